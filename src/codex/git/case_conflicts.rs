//! Folders of the repository that differ only in letter case from the user's folder in the store. A login has one
//! folder: nothing is imported from the others, and while one exists, the own folder doesn't count as removed.

use std::borrow::Cow;
use std::collections::BTreeSet;

use futures::{StreamExt, stream};

use super::GitSyncError;
use super::repo_state::RepoSyncState;
use crate::codex::Codex;
use crate::github::{GitSnapshot, UserTree};
use crate::owners::{folders, spellings};
use crate::user::UserId;

/// Users whose state is looked up concurrently.
const CONCURRENT_LOOKUPS: usize = 16;

/// A folder in Git that isn't imported, and the folders in the store that have the login in another letter case.
pub(super) struct CaseConflict {
    pub user: UserId,
    pub here: Vec<UserId>,
}

/// The result of checking users that Git has and the store may not have.
#[derive(Default)]
pub(super) struct NewUsers {
    pub case_conflicts: Vec<CaseConflict>,
    /// Users whose state couldn't be read.
    pub unknown: BTreeSet<UserId>,
}

/// The conflicts among `users`, who have no state in the store, with its `folders`. Of several new spellings of one
/// login the first, by bytes, is accepted and conflicts with the others.
pub(super) fn case_conflicts(
    users: BTreeSet<UserId>,
    mut folders: BTreeSet<UserId>,
) -> Vec<CaseConflict> {
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

/// Users whose folder in Git differs from the one that was last processed.
pub(super) fn changed_users(mirror: &RepoSyncState, snapshot: &GitSnapshot) -> BTreeSet<UserId> {
    let known = mirror.users.keys().chain(mirror.respelt.keys());
    let known = known.filter_map(|user| UserId::parse(user).ok());
    let users = known.chain(snapshot.tree.users.keys().cloned());
    let differs = |user: &UserId| {
        let tree = snapshot.user(user);
        !tree.closed && mirror.last_seen_folder(user) != tree.folder
    };
    users.filter(differs).collect()
}

impl Codex {
    /// The user's tree in Git, with the login's folders in another letter case, except those that also have a folder in
    /// the store (created before this rule): these belong to a user of their own. Without such folders in Git this
    /// costs no request.
    pub(super) async fn user_tree<'a>(
        &self,
        snapshot: &'a GitSnapshot,
        user: &UserId,
    ) -> Result<Cow<'a, UserTree>, GitSyncError> {
        let tree = snapshot.user(user);
        let others = snapshot.tree.spellings(user).iter();
        let mut respelt: Vec<UserId> = others.filter(|it| *it != user).cloned().collect();
        if !respelt.is_empty() {
            let here = spellings(&*self.store, user).await?;
            respelt.retain(|it| !here.contains(it));
        }
        Ok(match respelt.is_empty() {
            true => Cow::Borrowed(tree),
            false => Cow::Owned(tree.with_other_spellings(respelt, user, &self.git()?.base_path)),
        })
    }

    /// Finds those of `users`, of whom nothing was imported yet, whose login has another folder in the store. Lists the
    /// store's folders once, and only if a user has no state.
    ///
    /// Two instances that read different commits, each with another spelling, may import both: `inspect` reports it.
    pub(super) async fn find_case_conflicts(
        &self,
        users: BTreeSet<UserId>,
    ) -> Result<NewUsers, GitSyncError> {
        let found = stream::iter(users).map(async |user| {
            let has_state = self.has_state(&user).await;
            (user, has_state)
        });
        let found: Vec<_> = found.buffer_unordered(CONCURRENT_LOOKUPS).collect().await;
        let mut newcomers = NewUsers::default();
        let mut new = BTreeSet::new();
        for (user, has_state) in found {
            match has_state {
                Ok(true) => {}
                Ok(false) => drop(new.insert(user)),
                Err(error) => {
                    tracing::warn!(%user, %error, "the user's state can't be read; the import from Git is postponed");
                    newcomers.unknown.insert(user);
                }
            }
        }
        if !new.is_empty() {
            newcomers.case_conflicts = case_conflicts(new, folders(&*self.store).await?);
        }
        Ok(newcomers)
    }

    /// The users in the store who are shown the conflict: not deleted ones that left a folder.
    pub(super) async fn users_to_notify(&self, case_conflicts: &CaseConflict) -> Vec<UserId> {
        let mut users = vec![];
        for user in &case_conflicts.here {
            if self.has_state(user).await.unwrap_or(true) {
                users.push(user.clone());
            }
        }
        users
    }

    /// Whether a user of whom nothing was imported yet has no state, while the login has another folder in the store.
    pub(super) async fn has_case_conflict(&self, user: &UserId) -> Result<bool, GitSyncError> {
        if self.cache.known(user).is_some() || self.has_state(user).await? {
            return Ok(false);
        }
        let here = spellings(&*self.store, user).await?;
        Ok(!here.is_empty() && !here.contains(user))
    }
}
