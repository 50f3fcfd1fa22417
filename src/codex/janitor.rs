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

use std::collections::BTreeSet;
use std::error::Error;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use derive_more::Display;
use futures::stream::{self, StreamExt};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use crate::cache::Cache;
use crate::git_sync::GitSync;
use crate::now::Now;
use crate::spans;
use crate::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, ListedBlob, Listing, Prefix, StoreError, StoreResponse,
};
use crate::user::UserId;
use crate::user_state::UserStates;

/// A pass starts no further user after this time: the Functions host ends a call after five minutes.
const PASS_BUDGET: Duration = Duration::from_secs(240);

/// Extra time for users in progress at the deadline.
const GRACE: Duration = Duration::from_secs(20);

const CONCURRENT_USERS: usize = 4;

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

/// Why a pass, or one user's part of it, failed: for the log.
pub type JanitorError = Box<dyn Error + Send + Sync>;

fn too_long(_: Elapsed) -> JanitorError {
    "the time limit was exceeded".into()
}

/// Collects the garbage of all users.
pub struct Janitor {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) states: UserStates,
    pub(super) cache: Arc<Cache>,
    /// In GitHub mode.
    pub(super) git: Option<Arc<GitSync>>,
}

impl Janitor {
    /// Runs one pass over all users; fails if they can't be listed. What fails or exceeds the time is left to the next
    /// pass, which starts with another user.
    pub async fn run(&self, now: Now) -> Result<JanitorReport, JanitorError> {
        let deadline = now.started + PASS_BUDGET;
        let survey = JanitorSurvey::take(&*self.store, self.git.is_some());
        let survey = timeout_at(deadline, survey).await;
        let mut survey = survey.map_err(too_long)??;
        let leftovers = mem::take(&mut survey.leftovers);
        let users = rotate_start(survey.users(), now.utc);
        let pass = JanitorPass {
            janitor: self,
            now,
            deadline,
            survey,
            failures: AtomicUsize::new(0),
        };
        let mut report = pass.shared_leftovers(leftovers).await;
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
        let spread = (self.cache.settings.ids)() % FIRST_DELAY.1.as_secs();
        let first = clock().started + FIRST_DELAY.0 + Duration::from_secs(spread);
        let mut ticks = interval_at(first, INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let span = spans::internal("janitor");
            if let Err(error) = spans::within(span.as_ref(), self.run(clock())).await {
                tracing::warn!(%error, "the users can't be listed");
            }
        }
    }
}

struct JanitorPass<'a> {
    janitor: &'a Janitor,
    now: Now,
    /// No user is started after this.
    deadline: Instant,
    survey: JanitorSurvey,
    /// Consecutive failures.
    failures: AtomicUsize,
}

impl JanitorPass<'_> {
    /// Removes blobs that the older service kept in one place for all users.
    async fn shared_leftovers(
        &self,
        leftovers: Vec<(Prefix, StoreResponse<Listing>)>,
    ) -> JanitorReport {
        let mut report = JanitorReport::default();
        for (prefix, contents) in leftovers {
            let removal = self.remove_leftovers(&prefix, &contents, &mut report);
            let removed = timeout_at(self.deadline, removal).await;
            if let Err(error) = removed.map_err(too_long).flatten() {
                tracing::warn!(%error, %prefix, "not all blobs of the older service could be removed");
            }
        }
        report
    }

    /// Removes the older service's unused blobs directly below `prefix`, and counts them in `report`.
    async fn remove_leftovers(
        &self,
        prefix: &Prefix,
        contents: &StoreResponse<Listing>,
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
        if let Err(error) = done.map_err(too_long).flatten() {
            tracing::warn!(%user, %error, "not all expired data of this user could be removed");
            self.failures.fetch_add(1, Ordering::Relaxed);
            report.failed = 1;
        } else {
            self.failures.store(0, Ordering::Relaxed);
            report.users = 1;
        }
        report
    }

    /// Collects all that expired of one user. Ends at the first failure; `report` counts what was done before it.
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
            && !self.survey.queue.contains(user)
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
        if !self.survey.artifacts.contains(user) {
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
        if !self.survey.state.contains(user) {
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

/// Which users there are, and what they have, by a listing of the store. That saves requests for those who have nothing
/// below a prefix of these; users who get something there during the pass are left to the next one.
struct JanitorSurvey {
    /// Users with blobs in `raw/`.
    raw: BTreeSet<UserId>,
    /// Users with blobs in `state/`.
    state: BTreeSet<UserId>,
    /// Users with blobs in `artifacts/`.
    artifacts: BTreeSet<UserId>,
    /// Users with a hint in `queue/`; only in GitHub mode.
    queue: BTreeSet<UserId>,
    /// Folders with blobs that the older service shared between all users.
    leftovers: Vec<(Prefix, StoreResponse<Listing>)>,
}

impl JanitorSurvey {
    /// Lists the store; in GitHub mode also the queue.
    async fn take(store: &dyn BlobStore, lists_queue: bool) -> Result<Self, StoreError> {
        let (raw, of_state, of_artifacts) = (
            Prefix::all_raw(),
            Prefix::all_state(),
            Prefix::all_artifacts(),
        );
        let (raw, state, artifacts) = tokio::try_join!(
            store.contents(&raw),
            store.contents(&of_state),
            store.contents(&of_artifacts),
        )?;
        let mut queue = BTreeSet::new();
        if lists_queue {
            let hints = store.list(&Prefix::queue()).await?.value.blobs;
            queue.extend(hints.iter().filter_map(|it| UserId::parse(&it.name).ok()));
        }
        Ok(Self {
            raw: users_in(&raw.value),
            state: users_in(&state.value),
            artifacts: users_in(&artifacts.value),
            queue,
            leftovers: vec![(of_state, state), (of_artifacts, artifacts)],
        })
    }

    fn users(&self) -> Vec<UserId> {
        let users: BTreeSet<&UserId> = [&self.raw, &self.state, &self.artifacts]
            .into_iter()
            .flatten()
            .collect();
        users.into_iter().cloned().collect()
    }
}

fn users_in(contents: &Listing) -> BTreeSet<UserId> {
    let folders = contents.folders.iter();
    let users = folders.filter_map(|name| UserId::parse(name).ok());
    users.collect()
}

/// Rotates the list to start with another user each hour. Golden-ratio steps visit all starting points evenly, whatever
/// share of the users a pass completes, so no position has to be stored between passes.
pub fn rotate_start(mut users: Vec<UserId>, utc: DateTime<Utc>) -> Vec<UserId> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let hour = utc.timestamp().div_euclid(3600) as u64;
    let part = u128::from(hour.wrapping_mul(GOLDEN));
    // Always less than `users.len()`.
    let first = (part * users.len() as u128) >> 64;
    users.rotate_left(first as usize);
    users
}

/// Counts of what a pass did; its text is that of the log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Display)]
#[display(
    "users {users}: expired records {records}, settled marks {intents}, settled files {tombstones}, \
     artifacts of users gone {artifacts}, leftovers of the older service {leftovers}, hints {hints}; \
     failed {failed}, left {left}"
)]
pub struct JanitorReport {
    /// Users processed without failure.
    pub users: usize,
    /// Expired idempotency records that were removed.
    pub records: usize,
    /// Expired write intents that were recovered.
    pub intents: usize,
    /// Tombstones that were removed.
    pub tombstones: usize,
    /// Removed artifacts of deleted users: without a state and without a task file.
    pub artifacts: usize,
    /// Removed blobs of the older service.
    pub leftovers: usize,
    /// Users with unpushed files and without a hint, who got one.
    pub hints: usize,
    /// Users whose processing failed.
    pub failed: usize,
    /// Users left to the next pass.
    pub left: usize,
}

impl std::ops::AddAssign for JanitorReport {
    fn add_assign(&mut self, more: Self) {
        self.users += more.users;
        self.records += more.records;
        self.intents += more.intents;
        self.tombstones += more.tombstones;
        self.artifacts += more.artifacts;
        self.leftovers += more.leftovers;
        self.hints += more.hints;
        self.failed += more.failed;
        self.left += more.left;
    }
}
