//! Looks up, for users of whom nothing was imported yet, whether the store has their login in another letter case
//! (`case_conflicts.rs`).

use std::collections::BTreeSet;

use futures::{StreamExt, stream};

use super::case_conflicts::{CaseConflict, case_conflicts};
use super::engine::Engine;
use super::error::GitSyncError;
use crate::owners::{folders, spellings};
use crate::user::UserId;

/// Users whose state is looked up concurrently.
const CONCURRENT_LOOKUPS: usize = 16;

/// The result of checking users that Git has and the store may not have.
#[derive(Default)]
pub(super) struct NewUsers {
    pub case_conflicts: Vec<CaseConflict>,
    /// Users whose state couldn't be read.
    pub unknown: BTreeSet<UserId>,
}

impl NewUsers {
    /// Finds those of `users`, of whom nothing was imported yet, whose login has another folder in the store. Lists the
    /// store's folders once, and only if a user has no state.
    ///
    /// Two instances that read different commits, each with another spelling, may import both: `inspect` reports it.
    pub(super) async fn find(
        engine: &Engine,
        users: BTreeSet<UserId>,
    ) -> Result<Self, GitSyncError> {
        let found = stream::iter(users).map(async |user| {
            let has_state = engine.has_state(&user).await;
            (user, has_state)
        });
        let found: Vec<_> = found.buffer_unordered(CONCURRENT_LOOKUPS).collect().await;
        let mut newcomers = Self::default();
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
            newcomers.case_conflicts = case_conflicts(new, folders(&*engine.store).await?);
        }
        Ok(newcomers)
    }
}

/// The users in the store who are shown the conflict: not deleted ones that left a folder.
pub(super) async fn users_to_notify(engine: &Engine, conflict: &CaseConflict) -> Vec<UserId> {
    let mut users = vec![];
    for user in &conflict.here {
        if engine.has_state(user).await.unwrap_or(true) {
            users.push(user.clone());
        }
    }
    users
}

/// Whether a user of whom nothing was imported yet has no state, while the login has another folder in the store.
pub(super) async fn has_case_conflict(
    engine: &Engine,
    user: &UserId,
) -> Result<bool, GitSyncError> {
    if engine.cache.known(user).is_some() || engine.has_state(user).await? {
        return Ok(false);
    }
    let here = spellings(&*engine.store, user).await?;
    Ok(!here.is_empty() && !here.contains(user))
}
