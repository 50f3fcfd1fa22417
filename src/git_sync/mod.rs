#![doc = include_str!("README.md")]

mod apply;
mod branch;
pub mod case_conflicts;
mod commits;
mod drain;
mod engine;
mod error;
mod fetch;
pub mod guard;
pub mod head_order;
mod hints;
mod mutation;
mod newcomers;
pub mod next_step;
mod outbox;
mod outgoing;
mod pending;
mod plan;
pub mod proposal_branch;
mod proposals;
mod push;
mod reconcile;
mod repo_state;
mod report;
mod reviews;
mod round;
mod runs;
mod states;
mod status;
mod summary;
mod sync_state;
mod timer;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::cache::{Cache, Consistency, ReadRequest};
use crate::context::in_request_context;
use crate::github::Push;
use crate::now::Now;
use crate::store::BlobStore;
use crate::task::{FileName, GitSha, TaskId};
use crate::user::UserId;
use crate::user_state::Version;
use crate::write::Writer;

pub use commits::PublishedCommit;
pub use engine::GitSettings;
pub use error::GitSyncError;
pub use hints::hint;
pub use mutation::GitMutation;
pub use report::{FetchReport, SyncRequest, TickReport, UserReport};
pub use status::{GitStatus, PushState};
pub use summary::{Mirrored, SyncStateSummary, forget_mirrored, mirrored};
pub use sync_state::{LastError, PullNote};

use drain::{USER_BUDGET, drain_in_time};
use engine::Engine;
use fetch::{DELIVERY_BUDGET, Fetch};
use plan::unpushed;
use reconcile::reconcile;
use report::SyncMode;
use timer::Timer;

/// Users pushed concurrently, so that a slow push doesn't delay other users.
const WORKERS: usize = 3;

/// The timer's interval, the same as that of `gitPush` under the Functions host.
const TICK_INTERVAL: Duration = Duration::from_secs(60);

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

/// The synchronisation of one store with one repository.
pub struct GitSync {
    engine: Arc<Engine>,
    timer: Timer,
}

impl GitSync {
    /// The synchronisation of `store`, whose files are read by `cache` and written by `writer`.
    pub fn new(
        settings: GitSettings,
        store: Arc<dyn BlobStore>,
        cache: Arc<Cache>,
        writer: Writer,
    ) -> Self {
        Self {
            engine: Arc::new(Engine::new(settings, store, cache, writer)),
            timer: Timer::default(),
        }
    }

    /// Brings every user's files up to date with the repository. Concurrent calls share one run. Work that takes too
    /// long is queued for the timer, which also notices a commit that no run has read. Of `push` only the positions of
    /// the branch and their time are used.
    ///
    /// # Errors
    /// When the repository or the queue can't be read, or the remaining work can't be queued; the timer tries again.
    pub async fn fetch_all(&self, push: &Push, now: Now) -> Result<FetchReport, GitSyncError> {
        self.engine.branch.record_delivery(push);
        let engine = Arc::clone(&self.engine);
        let work = move || async move {
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
        let run = self.engine.runs.run_or_share(work);
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
        self.timer.run(&self.engine, now).await
    }

    /// Runs the timer's work once a minute. Never returns.
    pub async fn tick_in_background(self: Arc<Self>) {
        let mut ticks = interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.tick((self.engine.clock)()).await {
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
        let engine = &self.engine;
        loop {
            let (user, due) = engine.outbox.next(engine.clock).await;
            let now = (engine.clock)();
            let deadline = now.started + USER_BUDGET;
            if !drain_in_time(engine, user.clone(), deadline, now).await {
                // GitHub is unavailable, a concurrent write interfered, or a file in Git blocks the push.
                let wait = engine.repository.wait();
                let now = (engine.clock)();
                engine.outbox.add_after_failure(user, due, wait, now);
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
        let ReadRequest { user, now, .. } = read_request;
        let mode = SyncMode {
            request,
            manual: true,
            deadline: None,
        };
        let report = reconcile(&self.engine, user, *now, mode).await?;
        if report.leaves_work() {
            self.engine.hint_and_enqueue(user, now.later()).await?;
        }
        let strict = Consistency::Strict;
        let entry = self.engine.read(user, now.later(), strict).await?;
        Ok(SyncOutcome {
            report,
            version: entry.bounds.hi,
            next_id: entry.next_available_id(),
        })
    }

    /// The synchronisation status, from the storage alone: GitHub isn't asked.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn status(&self, request: &ReadRequest) -> Result<GitStatus, GitSyncError> {
        GitStatus::read(&self.engine, request).await
    }

    /// Whether Git holds the file's content `sha` after a request that has `written` it, or found it to be there
    /// already. Queues its push; with `wait`, waits up to ten seconds for the commit of a written one.
    pub async fn push_state_after(
        &self,
        request: &ReadRequest,
        name: &FileName,
        sha: GitSha,
        written: bool,
        wait: bool,
    ) -> PushState {
        match written {
            true => PushState::start(&self.engine, request, name, sha, wait).await,
            false => PushState::read(&self.engine, request, name).await,
        }
    }

    /// Leaves a hint for a user who has unpushed files or open pull requests, unless there is one already: the hint of
    /// a write failed, or an editor wrote the file directly. Whether it did.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn hint_at_unpushed(&self, user: &UserId, now: Now) -> Result<bool, GitSyncError> {
        let sync_state = self.engine.states.of(user).await?;
        let bounded = Consistency::Bounded;
        let entry = self.engine.read(user, now.later(), bounded).await?;
        if unpushed(&sync_state, entry.table()).is_empty() && !sync_state.has_open_pulls() {
            return Ok(false);
        }
        // An existing hint may be in process; that pass finds at least what this check found.
        Ok(self.engine.hints.leave_first(user, now.later()).await?)
    }

    /// The number of users with changes that aren't synchronised, as far as this process knows, and since when the
    /// first of them waits.
    pub fn unpushed(&self) -> (usize, Option<Instant>) {
        let (unserved, since) = self.timer.waiting();
        (unserved.max(self.engine.outbox.len()), since)
    }

    /// The mirrored branch.
    pub fn mirrored_branch(&self) -> &str {
        &self.engine.repository.config().branch
    }

    /// The mirrored repository, branch and folder: `owner/name@branch:folder`.
    pub fn mirrored_in(&self) -> &str {
        &self.engine.states.place
    }

    /// Why a delivered push is ignored, if it is.
    pub fn ignored_reason(&self, push: &Push) -> Option<&'static str> {
        let config = self.engine.repository.config();
        if !push.repository.eq_ignore_ascii_case(&config.full_name()) {
            return Some("another repository");
        }
        let branch = push.reference.strip_prefix("refs/heads/");
        (branch != Some(config.branch.as_str())).then_some("another branch")
    }
}
