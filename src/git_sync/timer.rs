//! The timer: notices commits without a delivery, and synchronises the queued users.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::drain::drain_in_time;
use super::engine::Engine;
use super::error::GitSyncError;
use super::fetch::{CONCURRENT_USERS, Fetch};
use super::report::TickReport;
use crate::now::Now;
use crate::user::UserId;

/// Time for one run, which comes once a minute: runs don't overlap.
const TICK_BUDGET: Duration = Duration::from_secs(50);

/// What one process keeps between the runs of its timer.
#[derive(Default)]
pub(super) struct Timer {
    /// Users whose hints were left in the queue, and since when they wait.
    unserved: Mutex<BTreeMap<UserId, Instant>>,
    rotation: AtomicUsize,
}

impl Timer {
    /// One run.
    ///
    /// # Errors
    /// When the queue can't be read.
    pub(super) async fn run(&self, engine: &Engine, now: Now) -> Result<TickReport, GitSyncError> {
        engine.runs.arrive();
        let deadline = now.started + TICK_BUDGET;
        let mut report = TickReport::default();
        let fetch = Fetch {
            engine,
            deadline,
            now,
        };
        match fetch.run_if_missed().await {
            Ok(fetched) => report.fetched = fetched,
            Err(error) => tracing::warn!(%error, "the repository can't be checked for new commits"),
        }
        let ages = engine.hints.list().await?;
        let waiting = self.rotated(ages.keys().cloned().collect());
        let drained = stream::iter(waiting).map(async |user| {
            let done = drain_in_time(engine, user.clone(), deadline, now).await;
            (!done).then_some(user)
        });
        let left: Vec<_> = drained.buffer_unordered(CONCURRENT_USERS).collect().await;
        let left: Vec<UserId> = left.into_iter().flatten().collect();
        (report.drained, report.left) = (ages.len() - left.len(), left.len());
        self.record_unserved(&left, &ages, now);
        Ok(report)
    }

    /// Rotates the order of the users by one with each call, so that each comes first once.
    fn rotated(&self, mut waiting: Vec<UserId>) -> Vec<UserId> {
        let rotation = self.rotation.fetch_add(1, Ordering::Relaxed);
        if !waiting.is_empty() {
            let first = rotation % waiting.len();
            waiting.rotate_left(first);
        }
        waiting
    }

    /// Records the users that weren't finished. Their hints may be older than this process.
    fn record_unserved(&self, left: &[UserId], ages: &BTreeMap<UserId, Duration>, now: Now) {
        let mut unserved = self.unserved();
        let left = left.iter().map(|user| {
            let age = ages.get(user).copied().unwrap_or_default();
            let by_hint = now.started.checked_sub(age).unwrap_or(now.started);
            let known = unserved.get(user).copied();
            (
                user.clone(),
                known.map_or(by_hint, |known| by_hint.min(known)),
            )
        });
        *unserved = left.collect();
    }

    /// The number of users that weren't finished, and since when the first of them waits.
    pub(super) fn waiting(&self) -> (usize, Option<Instant>) {
        let unserved = self.unserved();
        (unserved.len(), unserved.values().min().copied())
    }

    fn unserved(&self) -> MutexGuard<'_, BTreeMap<UserId, Instant>> {
        self.unserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
