//! Synchronises a queued user in both directions, until nothing is left to do.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::case_conflicts::has_case_conflict;
use super::engine::UserSync;
use super::next_step::DrainChoice;
use super::push::push;
use super::reconcile::reconcile;
use super::repo_state::PassRecord;
use super::report::{GitSyncError, SyncMode};
use super::reviews;
use super::states::CAS_ATTEMPTS;
use super::sync_state::UserSyncState;
use crate::now::Now;
use crate::spans;
use crate::store::{BlobKey, BlobStoreExt, Prefix};
use crate::task::{GitSha, TOMBSTONE_FILE};
use crate::user_state::State;

/// Time for one user, so that a slow one doesn't starve the others.
pub(super) const USER_BUDGET: Duration = Duration::from_secs(20);

/// Time after a deadline for operations in flight to finish.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Passes for one user while each still finds something to do.
const MAX_PASSES: u32 = 4;

/// Synchronises one user within the time for one. Whether nothing is left.
pub(super) async fn drain_in_time(sync: UserSync<'_>, deadline: Instant, now: Now) -> bool {
    let span = spans::internal("git sync");
    if let Some(span) = &span {
        span.set("user.id", sync.user.to_string());
    }
    spans::within(span.as_ref(), drain_or_record(sync, deadline, now)).await
}

async fn drain_or_record(sync: UserSync<'_>, deadline: Instant, now: Now) -> bool {
    let now = now.later();
    let deadline = deadline.min(now.started + USER_BUDGET);
    let user = sync.user;
    let drain = Drain {
        sync,
        deadline,
        now,
    };
    match timeout_at(deadline + GRACE, drain.run()).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => {
            tracing::warn!(%user, %error, "the user's files aren't fully synchronised with Git yet");
            sync.record_error(&error, now).await;
            false
        }
        Err(_) => false,
    }
}

/// One user's synchronisation in both directions.
#[derive(Clone, Copy)]
struct Drain<'a> {
    sync: UserSync<'a>,
    deadline: Instant,
    now: Now,
}

impl Drain<'_> {
    /// Repeats passes, and removes the hint after one that found nothing left. Whether it did.
    async fn run(self) -> Result<bool, GitSyncError> {
        let UserSync { engine, user } = self.sync;
        for _ in 0..MAX_PASSES {
            let arrivals = engine.runs.arrivals();
            let since = self.now.later().started;
            let before = engine.states.repo().await?.0.imported_folder(user);
            let hint = engine.hints.get(user).await?;
            if before.is_none() && has_case_conflict(self.sync).await? {
                return Ok(engine.hints.remove(user, hint).await?);
            }
            if self.is_removed_locally(before).await? {
                self.record(before, before).await?;
                return Ok(engine.hints.remove(user, hint).await?);
            }
            match self.pass(before, arrivals, since).await? {
                DrainChoice::GoOn => return Ok(engine.hints.remove(user, hint).await?),
                DrainChoice::Again => {}
                DrainChoice::Leave => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Pushes, reconciles, refreshes the pull requests and records the result, as long as each part leaves nothing to
    /// do.
    async fn pass(
        self,
        before: Option<GitSha>,
        arrivals: u64,
        since: Instant,
    ) -> Result<DrainChoice, GitSyncError> {
        let sync = self.sync;
        let pushed = push(sync, self.deadline, self.now.later()).await;
        let mode = SyncMode::automatic(self.deadline);
        let report = reconcile(sync, self.now.later(), mode).await?;
        // Git's changes are imported even if the push failed.
        pushed?;
        let choice = DrainChoice::after_pass(&report);
        if choice != DrainChoice::GoOn {
            return Ok(choice);
        }
        match reviews::refresh(sync, report.commit, since).await {
            Ok(outcome) => match DrainChoice::after_pulls(outcome) {
                DrainChoice::GoOn => {}
                choice => return Ok(choice),
            },
            Err(error) => {
                tracing::debug!(user = %sync.user, %error, "the state of pull requests can't be read");
            }
        }
        sync.update(UserSyncState::clear_transient_error).await?;
        // A folder that can't be read is neither imported nor removed: keep what is recorded.
        let folder = if report.closed { before } else { report.folder };
        let recorded = self.record(before, folder).await?;
        let arrived = sync.engine.runs.arrivals() != arrivals;
        Ok(DrainChoice::after_recording(recorded, arrived))
    }

    /// Records the folder that a pass has imported, and whether the user has open pull requests, unless the recorded
    /// folder has changed since `before`. `false`: it changed, or the open pull requests did, so that another pass is
    /// needed.
    async fn record(
        self,
        before: Option<GitSha>,
        folder: Option<GitSha>,
    ) -> Result<bool, GitSyncError> {
        let UserSync { engine, user } = self.sync;
        for _ in 0..CAS_ATTEMPTS {
            let (mut repo, etag) = engine.states.repo().await?;
            // Read after the repository state: a proposal that isn't in `git.json` yet is followed by a pass of its
            // own, which records it.
            let proposes = engine.pull_prefix().is_some();
            let open = proposes && self.sync.state().await?.has_open_pulls();
            match repo.record_pass(user, before, folder, open) {
                PassRecord::Superseded => return Ok(false),
                PassRecord::Unchanged => return Ok(true),
                PassRecord::Changed { watch_changed } => {
                    if engine.states.put_repo(&repo, etag).await? {
                        return Ok(!watch_changed);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Whether the user was deleted from the store while Git kept the folder: it was imported as it is in Git, and the
    /// store has no file of the user. A hint that was left in between must not restore the files.
    ///
    /// Call it after reading the hint. A write puts its intent into the state before it leaves its hint, so either the
    /// intent or the file is visible here, or the hint has a newer version.
    async fn is_removed_locally(self, imported: Option<GitSha>) -> Result<bool, GitSyncError> {
        // Without an imported folder nothing could be restored.
        let Some(folder) = imported else {
            return Ok(false);
        };
        let sync_state = self.sync.state().await?;
        if !sync_state.was_never_synced()
            || self.has_write_intent().await?
            || self.has_task_files().await?
        {
            return Ok(false);
        }
        let snapshot = self.sync.engine.branch.snapshot().await?;
        Ok(snapshot.user(self.sync.user).folder == Some(folder))
    }

    async fn has_write_intent(self) -> Result<bool, GitSyncError> {
        let UserSync { engine, user } = self.sync;
        let state = engine.store.read(&BlobKey::state(user)).await?;
        // A state that can't be read may have a write intent.
        Ok(state.is_some_and(|blob| {
            let state = State::parse(&blob.bytes).ok().flatten();
            state.is_none_or(|state| !state.pending.is_empty())
        }))
    }

    /// Whether the user has files other than tombstones.
    async fn has_task_files(self) -> Result<bool, GitSyncError> {
        let UserSync { engine, user } = self.sync;
        let store = &engine.store;
        for file in store.list(&Prefix::raw(user)).await?.value.blobs {
            if file.size != TOMBSTONE_FILE.len() as u64 {
                return Ok(true);
            }
            let Some(key) = BlobKey::raw(user, &file.name) else {
                return Ok(true);
            };
            let blob = store.read(&key).await?;
            if blob.is_none_or(|blob| blob.bytes != TOMBSTONE_FILE.as_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
