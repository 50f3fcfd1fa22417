//! Users with something to push in this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::now::Now;
use crate::user::UserId;

/// The backoff after the first failed push; doubled each time.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// The longest backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

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
        let mut queue = self.lock();
        let merged = match queue.get(&user) {
            None => due,
            Some(before) => Due {
                at: before.at.max(due.at),
                backoff: before.backoff.max(due.backoff),
            },
        };
        queue.insert(user, merged);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
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
        let mut queue = self.lock();
        let first = queue.iter().min_by_key(|(_, due)| due.at);
        let (user, due) = first.map(|(user, due)| (user.clone(), *due)).ok_or(None)?;
        if due.at > now.started {
            return Err(Some(due.at));
        }
        queue.remove(&user);
        Ok((user, due))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UserId, Due>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
