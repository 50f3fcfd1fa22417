//! Who waits: users with a hint in the store's queue, users with something to push in this process, and callers that
//! want a fetch (`src/git_sync/README.md`, "Out").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::mutation::GitMutation;
use super::report::{FetchReport, GitSyncError};
use crate::now::Now;
use crate::rules::Rules;
use crate::store::{
    BlobKey, BlobStore, BlobStoreExt, DeleteOutcome, ETag, Prefix, PutIf, StoreError,
};
use crate::user::UserId;

/// The backoff after the first failed push; doubled each time.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// A user's hint, as a write leaves it beside the file: its key, and the time as its content.
pub fn hint(user: &UserId, now: Now) -> (BlobKey, Bytes) {
    (BlobKey::hint(user), now.utc.to_rfc3339().into())
}

/// The queue: a blob in it says that a user may have work left.
pub(super) struct Hints {
    pub store: Arc<dyn BlobStore>,
    pub rules: Rules<GitMutation>,
}

impl Hints {
    pub(super) async fn leave(&self, user: &UserId, now: Now) -> Result<(), StoreError> {
        let (key, text) = hint(user, now);
        self.store.write(&key, text, PutIf::Any).await.map(drop)
    }

    /// Leaves a hint unless there is one. Whether it did.
    pub(super) async fn leave_first(&self, user: &UserId, now: Now) -> Result<bool, StoreError> {
        let (key, text) = hint(user, now);
        let written = self.store.write(&key, text, PutIf::Absent).await?;
        Ok(written.is_some())
    }

    /// The ETag of the user's hint.
    pub(super) async fn get(&self, user: &UserId) -> Result<Option<ETag>, StoreError> {
        let found = self.store.read(&BlobKey::hint(user)).await?;
        Ok(found.map(|hint| hint.etag))
    }

    /// Removes this version of the hint. Whether the user has no hint now.
    pub(super) async fn remove(
        &self,
        user: &UserId,
        mut hint: Option<ETag>,
    ) -> Result<bool, StoreError> {
        if self.rules.breaks(GitMutation::HintDeletedUnconditionally) {
            hint = self.get(user).await?;
        }
        let Some(etag) = hint else {
            return Ok(self.get(user).await?.is_none());
        };
        let deleted = self.store.delete(&BlobKey::hint(user), &etag).await?.value;
        Ok(deleted != DeleteOutcome::Refused)
    }

    /// The users with a hint, and how old it is.
    pub(super) async fn list(&self) -> Result<BTreeMap<UserId, Duration>, StoreError> {
        let queue = self.store.list(&Prefix::queue()).await?;
        let hints = queue.value.blobs.iter();
        let ages = hints.filter_map(|it| Some((UserId::parse(&it.name).ok()?, it.age(queue.date))));
        Ok(ages.collect())
    }
}

/// Users with something to push, and when each is due.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    due: Mutex<BTreeMap<UserId, Due>>,
    changed: Notify,
}

/// When a user is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    at: Instant,
    /// The backoff after the last failed push; zero if none failed.
    backoff: Duration,
}

impl Outbox {
    /// Schedules a push for the user: now, or at the end of the backoff after a failed one.
    pub(super) fn add(&self, user: &UserId, now: Now) {
        let (at, backoff) = (now.started, Duration::ZERO);
        self.insert(user.clone(), Due { at, backoff });
        self.changed.notify_one();
    }

    /// Schedules another push after a failed one, in `min_wait` at the earliest.
    pub(super) fn add_after_failure(
        &self,
        user: UserId,
        failed: Due,
        min_wait: Duration,
        now: Now,
    ) {
        let backoff = (failed.backoff * 2).clamp(MIN_BACKOFF, MAX_BACKOFF);
        let at = now.started + min_wait.max(backoff);
        self.insert(user, Due { at, backoff });
    }

    fn insert(&self, user: UserId, due: Due) {
        let mut queue = self.due.lock();
        let queued = queue.entry(user).or_insert(due);
        queued.at = queued.at.max(due.at);
        queued.backoff = queued.backoff.max(due.backoff);
    }

    pub(super) fn len(&self) -> usize {
        self.due.lock().len()
    }

    /// Waits for a user who is due, and takes the user out.
    pub(super) async fn next(&self, clock: fn() -> Now) -> (UserId, Due) {
        loop {
            match self.take_due(clock()) {
                Ok(due) => return due,
                Err(Some(at)) => drop(timeout_at(at, self.changed.notified()).await),
                Err(None) => self.changed.notified().await,
            }
        }
    }

    /// Takes out the first user, if due; otherwise the time at which the first one will be.
    fn take_due(&self, now: Now) -> Result<(UserId, Due), Option<Instant>> {
        let mut queue = self.due.lock();
        let first = queue.iter().min_by_key(|(_, due)| due.at);
        let (user, due) = first.map(|(user, due)| (user.clone(), *due)).ok_or(None)?;
        if due.at > now.started {
            return Err(Some(due.at));
        }
        queue.remove(&user);
        Ok((user, due))
    }
}

/// The fetches of this process. A caller that arrives during a run waits for it and then shares the next one, whose
/// result is valid for every caller that arrived before it began.
#[derive(Default)]
pub(super) struct FetchRuns {
    /// The last run's result, and the number of arrivals after which it began.
    last: tokio::sync::Mutex<Option<(u64, Result<FetchReport, GitSyncError>)>>,
    arrivals: AtomicU64,
}

impl FetchRuns {
    /// The number of fetches and timer runs that have begun.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::SeqCst)
    }

    /// Counts an arrival and returns its number.
    pub(super) fn arrive(&self) -> u64 {
        self.arrivals.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Runs `work`, or returns the result of another caller's run that began after this call.
    pub(super) async fn run_or_share(
        &self,
        work: impl Future<Output = Result<FetchReport, GitSyncError>> + Send,
    ) -> Result<FetchReport, GitSyncError> {
        let ticket = self.arrive();
        let mut last = self.last.lock().await;
        if let Some((began_after, result)) = &*last
            && *began_after >= ticket
        {
            return result.clone();
        }
        let began_after = self.arrivals();
        let result = work.await;
        *last = Some((began_after, result.clone()));
        result
    }
}
