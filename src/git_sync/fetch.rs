//! Brings the store up to date with the repository: after a webhook delivery, and by the timer, which also notices a
//! delivery that never came.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::case_conflicts::{find_conflicts, users_to_notify};
use super::drain::{GRACE, USER_BUDGET};
use super::engine::GitSync;
use super::mutation::GitMutation;
use super::reconcile::reconcile;
use super::repo_state::RepoSyncState;
use super::report::{FetchReport, GitSyncError, SyncMode, UserReport};
use crate::github::{GitSnapshot, SkipCode, skipped};
use crate::now::Now;
use crate::store::{Prefix, StoreError};
use crate::user::UserId;

/// Time for a delivery's work, since GitHub waits for ten seconds; the rest is left to the timer.
pub(super) const DELIVERY_BUDGET: Duration = Duration::from_millis(6500);

pub(super) const CONCURRENT_USERS: usize = 4;

/// One run for all users.
#[derive(Clone, Copy)]
pub(super) struct Fetch<'a> {
    pub engine: &'a GitSync,
    /// When to leave the rest to the timer.
    pub deadline: Instant,
    pub now: Now,
}

impl Fetch<'_> {
    /// Runs if the timer finds a commit that no delivery has announced. The number of users whose files were brought up
    /// to date.
    pub(super) async fn run_if_missed(self) -> Result<usize, GitSyncError> {
        let (repo, _) = self.engine.states.repo().await?;
        let snapshot = self.engine.branch.snapshot().await?;
        // Also at a known head: a concurrent pass with an older snapshot may have recorded an older folder since.
        let is_known = repo.changed_users(&snapshot).is_empty();
        if snapshot.commit() == repo.head && is_known {
            return Ok(0);
        }
        let now = self.now.later();
        let deadline = self.deadline.min(now.started + USER_BUDGET);
        let engine = self.engine;
        let fetch = Self {
            engine,
            deadline,
            now,
        };
        Ok(fetch.run().await?.users.len())
    }

    /// Brings every user's files up to date whose folder in Git has changed.
    pub(super) async fn run(self) -> Result<FetchReport, GitSyncError> {
        let states = &self.engine.states;
        let (mut repo, etag) = states.repo().await?;
        let before = repo.clone();
        let snapshot = self.engine.branch.snapshot_announced().await?;
        let mut report = FetchReport {
            head: snapshot.commit(),
            skipped: snapshot.tree.skipped.clone(),
            ..FetchReport::default()
        };
        if snapshot.commit() != repo.head {
            if !self.engine.breaks(GitMutation::QuietMergeMissed) {
                self.hint_at_open_pulls(&repo).await?;
            }
            repo.respelt.clear();
        }
        let (users, unknown) = self.changed_users(&mut repo, &before, &snapshot).await?;
        let fetched = stream::iter(users.clone()).map(|user| self.fetch_user(user));
        let fetched: Vec<_> = fetched.buffered(CONCURRENT_USERS).collect().await;
        let all_queued = fetched.iter().all(Result::is_ok) && unknown.is_empty();
        for (user, fetched) in users.into_iter().zip(fetched) {
            let fetched = fetched.unwrap_or_else(|_| UserReport::unfinished());
            // A folder that is closed only because it was renamed to another spelling was read.
            let was_read = !fetched.closed || !snapshot.user(&user).closed;
            if fetched.clean && was_read {
                repo.set_imported_folder(&user, fetched.folder);
            }
            report.users.push((user, fetched));
        }
        for user in unknown {
            report.users.push((user, UserReport::unfinished()));
        }
        // All remaining work is queued. If not, the timer reads this commit again.
        if all_queued {
            repo.head = snapshot.commit();
        }
        if repo != before {
            // After a lost race the other writer's state stays.
            states.put_repo(&repo, etag).await?;
        }
        Ok(report)
    }

    /// Queues the users with open pull requests: a merge may leave a user's folder unchanged.
    async fn hint_at_open_pulls(self, repo: &RepoSyncState) -> Result<(), StoreError> {
        let hints = stream::iter(repo.users_with_open_pulls())
            .map(async |user| self.engine.of(&user).hint_and_enqueue(self.now).await);
        let hints = hints.buffer_unordered(CONCURRENT_USERS);
        hints.try_collect().await
    }

    /// The users whose folder in Git has changed since it was last imported, and those among them whose state couldn't
    /// be read, who are left to the timer. Records the folders that are skipped because of their spelling.
    async fn changed_users(
        self,
        repo: &mut RepoSyncState,
        before: &RepoSyncState,
        snapshot: &GitSnapshot,
    ) -> Result<(BTreeSet<UserId>, BTreeSet<UserId>), GitSyncError> {
        let mut users = repo.changed_users(snapshot);
        let skipped = before.skipped_users();
        users.extend(skipped.filter(|user| repo.last_seen_folder(user).is_none()));
        let removed = self.removed_here(repo, &users).await;
        let (known, head) = (repo.head, snapshot.commit());
        let branch = &self.engine.branch;
        if !removed.is_empty() && !branch.ask(|facts| facts.follows(known, head)).await? {
            users.retain(|user| !removed.contains(user));
        }
        let new = users
            .iter()
            .filter(|it| repo.imported_folder(it).is_none() || removed.contains(it));
        let new = new.cloned().collect();
        let (case_conflicts, unknown) = find_conflicts(self.engine, new).await?;
        users.retain(|user| {
            let is_case_conflict = case_conflicts.iter().any(|it| it.user == *user);
            let folder = repo.imported_folder(user).or(snapshot.user(user).folder);
            folder.is_some() && !is_case_conflict && !unknown.contains(user)
        });
        for it in &case_conflicts {
            let folder = snapshot.user(&it.user).folder;
            if before.last_seen_folder(&it.user) != folder {
                tracing::warn!(folder = %it.user, "a folder is skipped: the login's folder here is spelled in another letter case");
                users.extend(users_to_notify(self.engine, it).await);
            }
            repo.set_skipped_folder(&it.user, folder);
        }
        Ok((users, unknown))
    }

    /// The users among these who may have been deleted here. Such a user's record may be of a newer commit than the
    /// snapshot, whose folder must not restore the user.
    async fn removed_here(
        self,
        repo: &RepoSyncState,
        users: &BTreeSet<UserId>,
    ) -> BTreeSet<UserId> {
        let mut removed = BTreeSet::new();
        for user in users {
            if repo.imported_folder(user).is_none() {
                continue;
            }
            // A `git.json` that can't be read is reported by the user's own pass.
            let sync_state = self.engine.of(user).state().await;
            if sync_state.is_ok_and(|sync_state| sync_state.known_heads().is_empty()) {
                removed.insert(user.clone());
            }
        }
        removed
    }

    /// Brings one user's files up to date, and leaves a hint for the remaining work. Fails when that can't be written.
    async fn fetch_user(self, user: UserId) -> Result<UserReport, GitSyncError> {
        let (sync, now) = (self.engine.of(&user), self.now);
        let run = reconcile(sync, now, SyncMode::automatic(self.deadline));
        let report = match timeout_at(self.deadline + GRACE, run).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => {
                tracing::warn!(%user, %error, "the user's files can't be brought up to date with Git");
                let mut report = UserReport::unfinished();
                if let GitSyncError::HistoryRewritten { .. } = &error {
                    sync.record_error(&error, now).await;
                    let (folder, (_, message)) = (Prefix::raw(&user), error.shown());
                    let code = SkipCode::HistoryRewritten;
                    report.skipped.push(skipped(folder.as_str(), code, message));
                }
                report
            }
            Err(_) => UserReport::unfinished(),
        };
        if report.leaves_work() {
            sync.hint_and_enqueue(now).await?;
        }
        Ok(report)
    }
}
