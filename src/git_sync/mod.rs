#![doc = include_str!("README.md")]

mod apply;
mod branch;
pub mod case_conflicts;
mod drain;
mod engine;
mod fetch;
pub mod head_order;
mod mutation;
pub mod next_step;
mod outgoing;
mod pending;
pub mod plan;
mod proposals;
mod push;
mod queue;
mod reconcile;
mod repo_state;
mod report;
mod reviews;
mod states;
mod status;
mod sync_state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::cache::{Consistency, ReadRequest};
use crate::context::in_request_context;
use crate::github::Push;
use crate::now::Now;
use crate::spans;
use crate::task::TaskId;
use crate::user::UserId;
use crate::user_state::Version;

pub use branch::GitSettings;
pub use engine::{GitSync, PublishedCommit};
pub use mutation::GitMutation;
pub use plan::{RemovedFiles, settled_removals, unpushed_names};
pub use queue::hint;
pub use report::{FetchReport, GitSyncError, SyncRequest, TickReport, UserReport};
pub use states::{Mirrored, forget_mirrored, mirrored};
pub use status::{GitStatus, PullRequestEntry, PushState};
pub use sync_state::UserSyncState;

use drain::{USER_BUDGET, drain_in_time};
use fetch::{CONCURRENT_USERS, DELIVERY_BUDGET, Fetch};
use reconcile::reconcile;
use report::SyncMode;

/// Users pushed concurrently, so that a slow push doesn't delay other users.
const WORKERS: usize = 3;

/// The timer's interval, the same as that of `gitPush` under the Functions host.
const TICK_INTERVAL: Duration = Duration::from_secs(60);

/// Time for one run of the timer: runs don't overlap.
const TICK_BUDGET: Duration = Duration::from_secs(50);

/// Deadline of the answer to a delivery, also while it waits for an earlier run.
const ANSWER_DEADLINE: Duration = Duration::from_secs(9);

/// The result of `POST /sync`.
#[derive(Debug, Clone)]
pub struct SyncOutcome {
    /// What was done.
    pub report: UserReport,
    /// The version that contains it.
    pub version: Version,
    /// The number of the next new task.
    pub next_id: Option<TaskId>,
}

impl GitSync {
    /// Brings every user's files up to date with the repository. Concurrent calls share one run. Work that takes too
    /// long is queued for the timer, which also notices a commit that no run has read. Of `push` only the positions of
    /// the branch and their time are used.
    ///
    /// # Errors
    /// When the repository or the queue can't be read, or the remaining work can't be queued; the timer tries again.
    pub async fn fetch_all(
        self: &Arc<Self>,
        push: &Push,
        now: Now,
    ) -> Result<FetchReport, GitSyncError> {
        self.branch.record_delivery(push);
        let engine = Arc::clone(self);
        let work = async move {
            // A task of its own, so that it finishes even if GitHub drops the request.
            let deadline = now.later().started + DELIVERY_BUDGET;
            let run = tokio::spawn(in_request_context(async move {
                let fetch = Fetch {
                    engine: &engine,
                    deadline,
                    now: now.later(),
                };
                fetch.run().await
            }));
            run.await.unwrap_or(Err(GitSyncError::Contended))
        };
        let run = self.runs.run_or_share(work);
        let joined = timeout_at(now.started + ANSWER_DEADLINE, run).await;
        joined.unwrap_or_else(|_| {
            Ok(FetchReport {
                postponed: true,
                ..FetchReport::default()
            })
        })
    }

    /// One run of the timer: notices commits without a delivery, and synchronises the queued users. Several instances
    /// may run it concurrently.
    ///
    /// # Errors
    /// When the queue can't be read. Failed requests to GitHub leave their users in the queue.
    pub async fn tick(&self, now: Now) -> Result<TickReport, GitSyncError> {
        self.runs.arrive();
        let deadline = now.started + TICK_BUDGET;
        let mut report = TickReport::default();
        let fetch = Fetch {
            engine: self,
            deadline,
            now,
        };
        match fetch.run_if_missed().await {
            Ok(fetched) => report.fetched = fetched,
            Err(error) => tracing::warn!(%error, "the repository can't be checked for new commits"),
        }
        let ages = self.hints.list().await?;
        let waiting = self.rotated(ages.keys().cloned().collect());
        let drained = stream::iter(waiting).map(async |user| {
            let done = drain_in_time(self.of(&user), deadline, now).await;
            (!done).then_some(user)
        });
        let left: Vec<_> = drained.buffer_unordered(CONCURRENT_USERS).collect().await;
        let left: Vec<UserId> = left.into_iter().flatten().collect();
        (report.drained, report.left) = (ages.len() - left.len(), left.len());
        self.record_unserved(left, &ages, now);
        Ok(report)
    }

    /// Rotates the order of the users by one with each call, so that each comes first once.
    fn rotated(&self, mut waiting: Vec<UserId>) -> Vec<UserId> {
        let rotation = self.timer_runs.fetch_add(1, Ordering::Relaxed);
        if !waiting.is_empty() {
            let first = rotation % waiting.len();
            waiting.rotate_left(first);
        }
        waiting
    }

    /// Records the users that weren't finished. Their hints may be older than this process.
    fn record_unserved(&self, left: Vec<UserId>, ages: &BTreeMap<UserId, Duration>, now: Now) {
        let mut unserved = self.unserved.lock();
        let left = left.into_iter().map(|user| {
            let age = ages.get(&user).copied().unwrap_or_default();
            let by_hint = now.started.checked_sub(age).unwrap_or(now.started);
            let known = unserved.get(&user).copied().unwrap_or(by_hint);
            (user, by_hint.min(known))
        });
        *unserved = left.collect();
    }

    /// Runs the timer's work once a minute. Never returns.
    pub async fn tick_in_background(self: Arc<Self>) {
        let mut ticks = interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let span = spans::internal("git timer");
            match spans::within(span.as_ref(), self.tick(self.clock())).await {
                Ok(report) => tracing::debug!(?report, "finished a timer pass"),
                Err(error) => tracing::warn!(%error, "the queue can't be read"),
            }
        }
    }

    /// Pushes the users in this process's outbox. Never returns.
    pub async fn push_in_background(self: Arc<Self>) {
        join_all((0..WORKERS).map(|_| self.push_when_due())).await;
    }

    async fn push_when_due(&self) {
        loop {
            let (user, due) = self.outbox.next(self.branch.settings.clock).await;
            let now = self.clock();
            let deadline = now.started + USER_BUDGET;
            if !drain_in_time(self.of(&user), deadline, now).await {
                // GitHub is unavailable, a concurrent write interfered, or a file in Git blocks the push.
                let wait = self.repository().wait();
                self.outbox.add_after_failure(user, due, wait, self.clock());
            }
        }
    }

    /// Synchronises one user's files, and queues what Git doesn't hold for a push.
    ///
    /// # Errors
    /// [`GitSyncError::MassDelete`] and [`GitSyncError::HistoryRewritten`] before anything is changed, and failed
    /// requests.
    pub async fn sync(
        &self,
        read_request: &ReadRequest,
        request: SyncRequest,
    ) -> Result<SyncOutcome, GitSyncError> {
        let (sync, now) = (self.of(&read_request.user), read_request.now);
        let mode = SyncMode {
            request,
            manual: true,
            deadline: None,
        };
        let report = reconcile(sync, now, mode).await?;
        if report.leaves_work() {
            sync.hint_and_enqueue(now.later()).await?;
        }
        let entry = sync.read(now.later(), Consistency::Strict).await?;
        Ok(SyncOutcome {
            report,
            version: entry.bounds.hi,
            next_id: entry.next_available_id(),
        })
    }

    /// Leaves a hint for a user who has unpushed files or open pull requests, unless there is one already: the hint of
    /// a write failed, or an editor wrote the file directly. Whether it did.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn hint_at_unpushed(&self, user: &UserId, now: Now) -> Result<bool, GitSyncError> {
        let sync = self.of(user);
        let sync_state = sync.state().await?;
        let entry = sync.read(now.later(), Consistency::Bounded).await?;
        let unpushed = unpushed_names(&sync_state, entry.table(), entry.removed());
        if unpushed.is_empty() && !sync_state.has_open_pulls() {
            return Ok(false);
        }
        // An existing hint may be in process; that pass finds at least what this check found.
        Ok(self.hints.leave_first(user, now.later()).await?)
    }

    /// The number of users with changes that aren't synchronised, as far as this process knows, and since when the
    /// first of them waits.
    pub fn unpushed(&self) -> (usize, Option<Instant>) {
        let unserved = self.unserved.lock();
        let since = unserved.values().min().copied();
        (unserved.len().max(self.outbox.len()), since)
    }

    /// The mirrored branch.
    pub fn mirrored_branch(&self) -> &str {
        &self.repository().config().branch
    }

    /// The mirrored repository, branch and folder: `owner/name@branch:folder`.
    pub fn mirrored_in(&self) -> &str {
        &self.states.place
    }

    /// Why a delivered push is ignored, if it is.
    pub fn ignored_reason(&self, push: &Push) -> Option<&'static str> {
        let config = self.repository().config();
        if !push.repository.eq_ignore_ascii_case(&config.full_name()) {
            return Some("another repository");
        }
        let branch = push.reference.strip_prefix("refs/heads/");
        (branch != Some(config.branch.as_str())).then_some("another branch")
    }
}
