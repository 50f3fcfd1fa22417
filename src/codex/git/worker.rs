//! Background jobs: the push after a write, and the timer where no Functions host triggers it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::fetch;
use super::sync_state::{LastError, UserSyncState};
use super::{GitSync, GitSyncError};
use crate::codex::Codex;
use crate::now::Now;
use crate::user::UserId;

/// Users pushed concurrently, so that a slow push doesn't delay other users.
const WORKERS: usize = 3;

/// The backoff after the first failed push; doubled each time.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// The longest backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The timer's interval, the same as that of `gitPush` under the Functions host.
const TICK_INTERVAL: Duration = Duration::from_secs(60);

/// Users with something to push in this process, and when each is due.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    due: Mutex<BTreeMap<UserId, Due>>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// The backoff after the last failed push; zero if none failed.
    backoff: Duration,
}

/// A worker's next step.
enum OutboxStep {
    Push(UserId, Due),
    WaitUntil(Instant),
    WaitForever,
}

impl Outbox {
    /// Schedules a push for the user: now, or at the end of the backoff after a failed one.
    pub(super) fn add(&self, user: &UserId, now: Now) {
        let (at, backoff) = (now.started, Duration::ZERO);
        self.insert(user.clone(), Due { at, backoff });
        self.changed.notify_one();
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

    fn next(&self, now: Now) -> OutboxStep {
        let mut queue = self.lock();
        let first = queue.iter().min_by_key(|(_, due)| due.at);
        let Some((user, due)) = first.map(|(user, due)| (user.clone(), *due)) else {
            return OutboxStep::WaitForever;
        };
        if due.at > now.started {
            return OutboxStep::WaitUntil(due.at);
        }
        queue.remove(&user);
        OutboxStep::Push(user, due)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UserId, Due>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Codex {
    /// Pushes the users in this process's outbox. Never returns, unless GitHub mode is off.
    pub async fn push_in_background(self) {
        let Ok(git) = self.git() else { return };
        join_all((0..WORKERS).map(|_| self.push_when_due(&git))).await;
    }

    async fn push_when_due(&self, git: &Arc<GitSync>) {
        loop {
            match git.outbox.next((git.clock)()) {
                OutboxStep::Push(user, due) => self.push_or_reschedule(git, user, due).await,
                OutboxStep::WaitUntil(at) => {
                    let _ = timeout_at(at, git.outbox.changed.notified()).await;
                }
                OutboxStep::WaitForever => git.outbox.changed.notified().await,
            }
        }
    }

    async fn push_or_reschedule(&self, git: &Arc<GitSync>, user: UserId, due: Due) {
        let now = (git.clock)();
        let deadline = now.started + fetch::USER_BUDGET;
        if self.drain_in_time(git, user.clone(), deadline, now).await {
            return;
        }
        // GitHub is unavailable, a concurrent write interfered, or a file in Git blocks the push.
        let backoff = (due.backoff * 2).clamp(MIN_BACKOFF, MAX_BACKOFF);
        let wait = git.repository.wait().max(backoff);
        let at = (git.clock)().started + wait;
        git.outbox.insert(user, Due { at, backoff });
    }

    /// Runs the timer's work once a minute. Never returns, unless GitHub mode is off.
    pub async fn tick_in_background(self) {
        let Ok(git) = self.git() else { return };
        let mut ticks = interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.tick((git.clock)()).await {
                Ok(report) => {
                    tracing::debug!(?report, "finished a timer pass")
                }
                Err(error) => tracing::warn!(%error, "the queue can't be read"),
            }
        }
    }

    /// Records the error as `lastError`, unless the same one is recorded already. Skipped for a user without state:
    /// writing `git.json` would create a folder for the user, possibly of a login that has one in another letter case.
    pub(super) async fn record_sync_error(&self, user: &UserId, trouble: &GitSyncError, now: Now) {
        let (code, message) = (trouble.code(), trouble.user_message());
        let record = |sync_state: &mut UserSyncState| {
            let rewritten = matches!(trouble, GitSyncError::HistoryRewritten { .. });
            let is_different = |it: &LastError| {
                (it.code != code || it.message != message) && (rewritten || !it.is_from_reconcile())
            };
            if sync_state.last_error.as_ref().is_none_or(is_different) {
                sync_state.trouble(Some((code, message.clone())), now.utc);
            }
        };
        let recorded = async {
            if self.has_state(user).await? {
                self.update_sync_state(user, record).await?;
            }
            Ok::<_, GitSyncError>(())
        };
        if let Err(error) = recorded.await {
            tracing::warn!(%user, %error, "the sync error can't be recorded");
        }
    }
}
