//! Folders of the repository that differ only in letter case from the user's folder in the store. A login has one
//! folder: nothing is imported from the others, and while one exists, the own folder doesn't count as removed.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};

use super::engine::{GitSync, UserSync};
use super::report::GitSyncError;
use crate::owners::{folders, spellings};
use crate::user::UserId;

const CONCURRENT_LOOKUPS: usize = 16;

/// A folder in Git that isn't imported, and the folders in the store that have the login in another letter case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseConflict {
    /// The folder in Git.
    pub user: UserId,
    /// The folders in the store.
    pub here: Vec<UserId>,
}

/// The conflicts among `users`, who have no state in the store, with its `folders`. Of several new spellings of one
/// login the first, by bytes, is accepted and conflicts with the others.
pub fn case_conflicts(users: BTreeSet<UserId>, mut folders: BTreeSet<UserId>) -> Vec<CaseConflict> {
    let mut case_conflicts = vec![];
    for user in users {
        let login = user.folded();
        let here = folders.iter().filter(|it| it.folded() == login);
        let here: Vec<UserId> = here.cloned().collect();
        if here.is_empty() {
            folders.insert(user);
        } else if !here.contains(&user) {
            case_conflicts.push(CaseConflict { user, here });
        }
    }
    case_conflicts
}

/// Finds those of `users`, of whom nothing was imported yet, whose login has another folder in the store, and those
/// whose state couldn't be read. Lists the store's folders once, and only if a user has no state.
///
/// Two instances that read different commits, each with another spelling, may import both: `inspect` reports it.
pub(super) async fn find_conflicts(
    engine: &GitSync,
    users: BTreeSet<UserId>,
) -> Result<(Vec<CaseConflict>, BTreeSet<UserId>), GitSyncError> {
    let found = stream::iter(users).map(async |user| {
        let has_state = engine.of(&user).has_state().await;
        (user, has_state)
    });
    let found: Vec<_> = found.buffer_unordered(CONCURRENT_LOOKUPS).collect().await;
    let (mut new, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for (user, has_state) in found {
        match has_state {
            Ok(true) => {}
            Ok(false) => drop(new.insert(user)),
            Err(error) => {
                tracing::warn!(%user, %error, "the user's state can't be read; the import from Git is postponed");
                unknown.insert(user);
            }
        }
    }
    let conflicts = match new.is_empty() {
        true => vec![],
        false => case_conflicts(new, folders(&*engine.store).await?),
    };
    Ok((conflicts, unknown))
}

/// The users in the store who are shown the conflict: not deleted ones that left a folder.
pub(super) async fn users_to_notify(engine: &GitSync, conflict: &CaseConflict) -> Vec<UserId> {
    let mut users = vec![];
    for user in &conflict.here {
        if engine.of(user).has_state().await.unwrap_or(true) {
            users.push(user.clone());
        }
    }
    users
}

/// Whether a user of whom nothing was imported yet has no state, while the login has another folder in the store.
pub(super) async fn has_case_conflict(sync: UserSync<'_>) -> Result<bool, GitSyncError> {
    let UserSync { engine, user } = sync;
    if engine.cache.known(user).is_some() || sync.has_state().await? {
        return Ok(false);
    }
    let here = spellings(&*engine.store, user).await?;
    Ok(!here.is_empty() && !here.contains(user))
}
