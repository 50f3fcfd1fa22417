//! Garbage collection for every user (src/user_state/README.md, "Garbage collection"): expired idempotency records,
//! write intents and tombstones, artifacts of deleted users, and blobs of the older service. In GitHub mode it also
//! finds files that aren't pushed and have no hint.
//!
//! Any instance may run it at any time, also several concurrently and beside other operations: blobs are deleted only
//! in the version that was read (`If-Match`), and the state changes by compare-and-swap. An interrupted pass leaves
//! the rest to the next one. Storage requests:
//!
//! - per pass: a LIST each of `raw/`, `state/` and `artifacts/`, and in GitHub mode of `queue/`;
//! - per user: a GET of the state and a LIST of the task files; a LIST each of the user's `state/` and `artifacts/`
//!   where these have blobs; another LIST where the older service left idempotency records;
//! - in GitHub mode, per user with files and without a hint: a GET of `git.json` and the cost of a read, which is a
//!   rebuild where none was done for long, and so finds foreign files;
//! - for what is collected: a DELETE per blob (for a tombstone a GET before it), one swap of the state for all expired
//!   idempotency records, and the cost of recovering write intents.

mod report;
pub mod survey;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use crate::cache::Cache;
use crate::git_sync::{GitSync, GitSyncError};
use crate::now::Now;
use crate::store::{
    BlobKey, BlobStore, Contents, DeleteOutcome, ETag, ListedBlob, Prefix, StoreError,
    StoreResponse,
};
use crate::user::UserId;
use crate::user_state::{CommitError, ReadError, UserStates};

pub use report::JanitorReport;
use survey::{JanitorSurvey, UsersByPrefix, rotate_start};

/// A pass starts no further user after this time: the Functions host ends a call after five minutes.
const PASS_BUDGET: Duration = Duration::from_secs(240);

/// Extra time for users in progress at the deadline.
const GRACE: Duration = Duration::from_secs(20);

/// Users processed concurrently.
const CONCURRENT_USERS: usize = 4;

/// Blobs of one user removed concurrently.
const CONCURRENT_REMOVALS: usize = 8;

/// After this many consecutive failures the store is assumed to be failing, and the pass ends.
const MAX_FAILURES: usize = 12;

/// The older service may still be running and would recreate its blobs: only blobs that it hasn't written for this
/// long are removed.
const LEFTOVER_MIN_AGE: TimeDelta = TimeDelta::days(1);

/// The interval between passes where no Functions host triggers them.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The shortest delay of the first pass after the start, and the range of the jitter added to it: the start itself is
/// busy, and instances that start together spread their passes.
const FIRST_DELAY: (Duration, Duration) = (Duration::from_secs(180), Duration::from_secs(600));

/// Why a pass, or one user's part of it, failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JanitorError {
    /// A storage request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user's state couldn't be read or changed.
    #[error(transparent)]
    State(#[from] CommitError),
    /// Unpushed files couldn't be determined.
    #[error(transparent)]
    Git(#[from] GitSyncError),
    /// The time limit was exceeded.
    #[error("the time limit was exceeded")]
    TooLong,
}

impl From<ReadError> for JanitorError {
    fn from(error: ReadError) -> Self {
        Self::State(error.into())
    }
}

/// Collects the garbage of all users.
pub struct Janitor {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) states: UserStates,
    pub(super) cache: Cache,
    /// In GitHub mode.
    pub(super) git: Option<Arc<GitSync>>,
}

impl Janitor {
    /// Runs one pass over all users. What fails or exceeds the time is left to the next pass, which starts with another
    /// user.
    ///
    /// # Errors
    /// When the users can't be listed.
    pub async fn run(&self, now: Now) -> Result<JanitorReport, JanitorError> {
        let deadline = now.started + PASS_BUDGET;
        let survey = JanitorSurvey::take(&*self.store, self.git.is_some());
        let survey = timeout_at(deadline, survey).await;
        let survey = survey.map_err(|_| JanitorError::TooLong)??;
        let pass = JanitorPass {
            janitor: self,
            now,
            deadline,
            users_by_prefix: survey.users_by_prefix,
            failures: AtomicUsize::new(0),
        };
        let mut report = pass.shared_leftovers(survey.leftovers).await;
        let users = rotate_start(survey.users, now.utc);
        let mut each = stream::iter(users)
            .map(|user| pass.clean_up_user_in_time(user))
            .buffer_unordered(CONCURRENT_USERS);
        while let Some(one) = each.next().await {
            report += one;
        }
        tracing::info!(%report, "tidied up");
        Ok(report)
    }

    /// Runs a pass every hour, as `janitor` does under the Functions host. Never returns.
    pub async fn run_in_background(self, clock: fn() -> Now) {
        let spread = (self.cache.settings().ids)() % FIRST_DELAY.1.as_secs();
        let first = clock().started + FIRST_DELAY.0 + Duration::from_secs(spread);
        let mut ticks = interval_at(first, INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.run(clock()).await {
                tracing::warn!(%error, "the users can't be listed");
            }
        }
    }
}

/// One pass over all users.
struct JanitorPass<'a> {
    janitor: &'a Janitor,
    now: Now,
    /// No user is started after this.
    deadline: Instant,
    users_by_prefix: UsersByPrefix,
    /// Consecutive failures.
    failures: AtomicUsize,
}

impl JanitorPass<'_> {
    /// Removes blobs that the older service kept in one place for all users.
    async fn shared_leftovers(
        &self,
        kept: Vec<(Prefix, StoreResponse<Contents>)>,
    ) -> JanitorReport {
        let mut report = JanitorReport::default();
        for (prefix, contents) in kept {
            let removal = self.remove_leftovers(&prefix, &contents, &mut report);
            let removed = timeout_at(self.deadline, removal).await;
            if let Err(error) = removed.map_err(|_| JanitorError::TooLong).flatten() {
                tracing::warn!(%error, %prefix, "not all blobs of the older service could be removed");
            }
        }
        report
    }

    /// Removes the older service's unused blobs directly below `prefix`, and counts them in `report`.
    async fn remove_leftovers(
        &self,
        prefix: &Prefix,
        contents: &StoreResponse<Contents>,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        let unused = |blob: &&ListedBlob| blob.is_older_than(LEFTOVER_MIN_AGE, contents.date);
        let unused = contents.value.blobs.iter().filter(unused);
        let leftovers: Vec<(BlobKey, ETag)> = unused
            .filter_map(|blob| Some((BlobKey::leftover(prefix, &blob.name)?, blob.etag.clone())))
            .collect();
        let mut removals = stream::iter(leftovers)
            .map(|(key, etag)| self.remove(key, etag))
            .buffer_unordered(CONCURRENT_REMOVALS);
        while let Some(removed) = removals.next().await {
            report.leftovers += usize::from(removed?);
        }
        Ok(())
    }

    /// Deletes the blob in the version that was listed; `false` if it has changed or is gone.
    async fn remove(&self, key: BlobKey, etag: ETag) -> Result<bool, StoreError> {
        let deleted = self.janitor.store.delete(&key, &etag).await?.value;
        Ok(deleted == DeleteOutcome::Done)
    }

    /// One user's part, unless the time is over or too many users in a row have failed.
    async fn clean_up_user_in_time(&self, user: UserId) -> JanitorReport {
        let mut report = JanitorReport::default();
        let late = self.now.later().started >= self.deadline;
        if late || self.failures.load(Ordering::Relaxed) >= MAX_FAILURES {
            report.left = 1;
            return report;
        }
        let work = self.clean_up_user(&user, &mut report);
        let done = timeout_at(self.deadline + GRACE, work).await;
        if let Err(error) = done.map_err(|_| JanitorError::TooLong).flatten() {
            tracing::warn!(%user, %error, "not all expired data of this user could be removed");
            self.failures.fetch_add(1, Ordering::Relaxed);
            report.failed = 1;
        } else {
            self.failures.store(0, Ordering::Relaxed);
            report.users = 1;
        }
        report
    }

    /// Collects all that expired of one user.
    ///
    /// # Errors
    /// At the first failure; `report` counts what was done before it.
    async fn clean_up_user(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        let now = self.now.later();
        // List the artifact before reading the state: an artifact is written only while there is a state, so a new
        // user's artifact can't be taken for a deleted user's.
        let artifact = self.clean_up_artifacts(user, report).await?;
        let collected = self.janitor.states.collect_garbage(user, &now).await?;
        report.records += collected.records;
        report.intents += collected.intents;
        report.tombstones += collected.tombstones;
        let is_gone = !collected.has_state && !collected.has_files;
        if let Some(artifact) = artifact.filter(|_| is_gone) {
            let gone = self.remove(BlobKey::artifact(user), artifact.etag).await?;
            report.artifacts += usize::from(gone);
        }
        self.clean_up_state(user, report).await?;
        if let Some(git) = &self.janitor.git
            && collected.has_files
            && !self.users_by_prefix.queue.contains(user)
        {
            report.hints += usize::from(git.hint_at_unpushed(user, now).await?);
        }
        Ok(())
    }

    /// Removes the older service's artifacts; returns the user's current one.
    async fn clean_up_artifacts(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<Option<ListedBlob>, JanitorError> {
        if !self.users_by_prefix.artifacts.contains(user) {
            return Ok(None);
        }
        let prefix = Prefix::artifacts(user);
        let contents = self.janitor.store.contents(&prefix).await?;
        self.remove_leftovers(&prefix, &contents, report).await?;
        let path = BlobKey::artifact(user);
        let is_ours = |blob: &ListedBlob| format!("{prefix}{}", blob.name) == path.path();
        Ok(contents.value.blobs.into_iter().find(is_ours))
    }

    /// Removes what the older service left beside the user's state.
    async fn clean_up_state(
        &self,
        user: &UserId,
        report: &mut JanitorReport,
    ) -> Result<(), JanitorError> {
        if !self.users_by_prefix.state.contains(user) {
            return Ok(());
        }
        let prefix = Prefix::state(user);
        let contents = self.janitor.store.contents(&prefix).await?;
        self.remove_leftovers(&prefix, &contents, report).await?;
        if contents.value.folders.contains(Prefix::IDEMPOTENCY) {
            let prefix = Prefix::legacy_idempotency(user);
            let records = self.janitor.store.contents(&prefix).await?;
            self.remove_leftovers(&prefix, &records, report).await?;
        }
        Ok(())
    }
}
