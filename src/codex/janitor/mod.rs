//! Garbage collection for every user (src/cache/README.md, "Garbage collection"): expired idempotency records, write
//! intents and tombstones, artifacts of deleted users, and blobs of the older service. In GitHub mode it also finds
//! files that aren't pushed and have no hint.
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
mod user;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use super::Codex;
use super::git::GitSyncError;
use crate::now::Now;
use crate::store::{
    BlobKey, Contents, DeleteOutcome, ETag, ListedBlob, Prefix, StoreError, StoreResponse,
};
use crate::user::UserId;
use crate::user_state::CommitError;
use crate::user_state::ReadError;

pub use report::JanitorReport;

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

/// The users to process, found by listing the store.
struct JanitorSurvey {
    users: Vec<UserId>,
    users_by_prefix: UsersByPrefix,
    /// Folders with blobs that the older service shared between all users.
    leftovers: Vec<(Prefix, StoreResponse<Contents>)>,
}

/// Which users have blobs below a prefix, as of the survey; saves requests for the others. Users who get some during
/// the pass are left to the next one.
struct UsersByPrefix {
    /// Users with blobs in `state/`.
    state: BTreeSet<UserId>,
    /// Users with blobs in `artifacts/`.
    artifacts: BTreeSet<UserId>,
    /// Users with a hint in `queue/`; only in GitHub mode.
    queue: BTreeSet<UserId>,
}

/// One pass over all users.
struct JanitorPass {
    codex: Codex,
    now: Now,
    /// No user is started after this.
    deadline: Instant,
    users_by_prefix: UsersByPrefix,
    /// Consecutive failures.
    failures: AtomicUsize,
}

impl Codex {
    /// Runs one pass over all users. What fails or exceeds the time is left to the next pass, which starts with another
    /// user.
    ///
    /// # Errors
    /// When the users can't be listed.
    pub async fn run_janitor(&self, now: Now) -> Result<JanitorReport, JanitorError> {
        let deadline = now.started + PASS_BUDGET;
        let survey = timeout_at(deadline, self.survey()).await;
        let survey = survey.map_err(|_| JanitorError::TooLong)??;
        let users = rotate_start(survey.users, now.utc);
        let pass = JanitorPass {
            codex: self.clone(),
            now,
            deadline,
            users_by_prefix: survey.users_by_prefix,
            failures: AtomicUsize::new(0),
        };
        let mut report = pass.shared_leftovers(survey.leftovers).await;
        let mut each = stream::iter(users)
            .map(|user| pass.clean_up_user_in_time(user))
            .buffer_unordered(CONCURRENT_USERS);
        while let Some(one) = each.next().await {
            report += one;
        }
        tracing::info!(%report, "tidied up");
        Ok(report)
    }

    async fn survey(&self) -> Result<JanitorSurvey, StoreError> {
        let prefixes = [
            Prefix::all_raw(),
            Prefix::all_state(),
            Prefix::all_artifacts(),
        ];
        let [raw, state, artifacts] = &prefixes;
        let (raw, state, artifacts) = tokio::try_join!(
            self.store.contents(raw),
            self.store.contents(state),
            self.store.contents(artifacts),
        )?;
        let mut queue = BTreeSet::new();
        if self.git.is_some() {
            let hints = self.store.list(&Prefix::queue()).await?.value.blobs;
            queue.extend(hints.iter().filter_map(|it| UserId::parse(&it.name).ok()));
        }
        let users_by_prefix = UsersByPrefix {
            state: users_in(&state.value),
            artifacts: users_in(&artifacts.value),
            queue,
        };
        let mut users = users_in(&raw.value);
        users.extend(
            users_by_prefix
                .state
                .iter()
                .chain(&users_by_prefix.artifacts)
                .cloned(),
        );
        let [_, of_state, of_artifacts] = prefixes;
        Ok(JanitorSurvey {
            users: users.into_iter().collect(),
            users_by_prefix,
            leftovers: vec![(of_state, state), (of_artifacts, artifacts)],
        })
    }

    /// Runs a pass every hour, as `janitor` does under the Functions host. Never returns.
    pub async fn run_janitor_in_background(self, clock: fn() -> Now) {
        let spread = self.writer.write_id().0 % FIRST_DELAY.1.as_secs();
        let first = clock().started + FIRST_DELAY.0 + Duration::from_secs(spread);
        let mut ticks = interval_at(first, INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.run_janitor(clock()).await {
                tracing::warn!(%error, "the users can't be listed");
            }
        }
    }
}

impl JanitorPass {
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
        let deleted = self.codex.store.delete(&key, &etag).await?.value;
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
}

/// The users with a folder in a listing.
fn users_in(contents: &Contents) -> BTreeSet<UserId> {
    let folders = contents.folders.iter();
    folders
        .filter_map(|name| UserId::parse(name).ok())
        .collect()
}

/// Rotates the list to start with another user each hour. Golden-ratio steps visit all starting points evenly, whatever
/// share of the users a pass completes, so no position has to be stored between passes.
fn rotate_start(mut users: Vec<UserId>, utc: DateTime<Utc>) -> Vec<UserId> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let hour = utc.timestamp().div_euclid(3600) as u64;
    let part = u128::from(hour.wrapping_mul(GOLDEN));
    // Always less than `users.len()`.
    let first = (part * users.len() as u128) >> 64;
    users.rotate_left(first as usize);
    users
}
