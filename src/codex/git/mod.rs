#![doc = include_str!("README.md")]

mod case_conflicts;
mod fetch;
mod guard;
mod head_order;
mod mutation;
mod plan;
mod pulls;
mod push;
mod reconcile;
mod repo_state;
mod report;
mod reviews;
mod status;
mod stored_state;
mod sync_state;
mod unpushed_scan;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache as Moka;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::ReadRequest;
use crate::cache::Consistency;
use crate::github::{GitHubError, GitSnapshot, Repository};
use crate::now::Now;
use crate::store::StoreError;
use crate::task::{FileName, GitSha};
use crate::user::UserId;
use crate::user_state::ReadError;
use crate::write::WriteError;

pub(super) use fetch::hint_text;
pub use fetch::{FetchReport, TickReport};
pub use mutation::GitMutation;
pub use report::UserReport;
pub use status::{GitStatus, PushState, SyncOutcome, SyncRequest};
pub use stored_state::{Mirrored, SyncStateSummary, forget_mirrored, mirrored};
pub use sync_state::{LastError, PullNote};

use fetch::FetchRuns;
use head_order::HeadOrder;
use reviews::OpenPulls;
use worker::Outbox;

/// Settings of the synchronisation with GitHub.
#[derive(Clone)]
pub struct GitSettings {
    /// The mirrored repository and branch.
    pub repository: Arc<dyn Repository>,
    /// The folder that contains the users' folders, without leading and trailing slashes.
    pub base_path: String,
    /// The clock for background work.
    pub clock: fn() -> Now,
}

/// Capacity of the cache of recent commits.
const MAX_RECENT: u64 = 1_000;

/// How long a write waits for its commit (`src/http/README.md`, "Waiting for Git").
pub(super) const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// The synchronisation with GitHub: what one process keeps in memory for it.
pub(super) struct GitSync {
    repository: Arc<dyn Repository>,
    base_path: String,
    clock: fn() -> Now,
    /// The last read tree and its commit; the ETag of it makes an unchanged read free.
    last_snapshot: tokio::sync::Mutex<Option<Arc<GitSnapshot>>>,
    /// Serialises this process's commits to a branch.
    branch: tokio::sync::Mutex<()>,
    runs: FetchRuns,
    outbox: Outbox,
    /// Users whose hints the timer left in the queue, and since when they wait.
    unserved: Mutex<BTreeMap<UserId, Instant>>,
    rotation: AtomicUsize,
    order: HeadOrder,
    /// The numbers of the open pull requests, as last listed.
    open_pulls: tokio::sync::Mutex<Option<OpenPulls>>,
    /// One lock per user whose files are being committed. A second push waits and then finds nothing left, instead of
    /// committing the same again.
    push_locks: Mutex<BTreeMap<UserId, Arc<tokio::sync::Mutex<()>>>>,
    /// The last committed content of each file and its commit, for writes that wait for it.
    recent_commits: Moka<(UserId, FileName), (GitSha, PublishedCommit)>,
    #[cfg(feature = "mutations")]
    pub(super) mutation: std::sync::OnceLock<GitMutation>,
}

/// A commit of a task file, and where GitHub shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCommit {
    /// The commit.
    pub commit: GitSha,
    /// The URL of its page.
    pub html_url: String,
    /// Its parent, if known.
    pub parent: Option<GitSha>,
    /// The pull request that contains it, if `CREATE_VIA_PR` is on.
    pub pull: Option<crate::github::Pull>,
}

/// Why a synchronisation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GitSyncError {
    /// GitHub mode is off.
    #[error("GitHub mode is off")]
    Off,
    /// A request to GitHub failed.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// A read of the store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A write to the store failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The user exceeded the rate limit of this instance.
    #[error("too many requests")]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
    /// A newer version of the service wrote `git.json` or `.github.json`.
    #[error("git.json has a newer format")]
    NewerFormat,
    /// Too many lost races with other writers.
    #[error("others kept changing the same files")]
    Contended,
    /// So many removals need a confirmation; nothing was changed.
    #[error("{0} files would be removed")]
    MassDelete(usize),
    /// The head of the branch isn't proven to come after the known one; nothing was changed.
    #[error("the branch is at {head}, which isn't proven to come after {base}")]
    HistoryRewritten {
        /// The last known head.
        base: GitSha,
        /// The head that GitHub shows.
        head: GitSha,
    },
}

impl From<StoreError> for GitSyncError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

impl GitSyncError {
    /// A stable code for the API.
    fn code(&self) -> &'static str {
        match self {
            Self::Off => "github_not_configured",
            Self::GitHub(GitHubError::Limited { .. }) => "github_limited",
            Self::GitHub(GitHubError::Denied { .. }) => "github_denied",
            Self::GitHub(_) => "github_unavailable",
            Self::Read(_) | Self::Write(_) => "storage_unavailable",
            Self::TooMany { .. } => "too_many_requests",
            Self::NewerFormat => "newer_format",
            Self::Contended => "conflict",
            Self::MassDelete(_) => "mass_delete",
            Self::HistoryRewritten { .. } => "history_rewritten",
        }
    }

    /// The message for the user, without details that are only for the log.
    pub(crate) fn user_message(&self) -> String {
        let message = match self {
            Self::HistoryRewritten { base, head } => {
                return format!(
                    "GitHub shows the branch at {head}, which doesn't follow {base}: wait where GitHub only lags, and POST /sync?confirm_head={head} where the branch was rewritten on purpose."
                );
            }
            Self::Off => "GitHub mode is off.",
            Self::GitHub(GitHubError::Limited { .. }) => "GitHub grants no more requests for now.",
            Self::GitHub(GitHubError::Denied { .. }) => {
                "GitHub doesn't let the service at the repository: check its name, the branch, the rules and the credentials."
            }
            Self::GitHub(_) => "GitHub can't be reached.",
            Self::Read(_) | Self::Write(_) => "The storage can't be reached.",
            Self::TooMany { .. } => "There were too many requests.",
            Self::NewerFormat => "A newer version of the service wrote what Git is known to hold.",
            Self::Contended => "Others kept changing the same files.",
            Self::MassDelete(_) => "So many files would be removed that it has to be confirmed.",
        };
        message.to_owned()
    }
}

impl GitSync {
    pub(super) fn new(settings: GitSettings) -> Self {
        Self {
            repository: settings.repository,
            base_path: settings.base_path,
            clock: settings.clock,
            last_snapshot: tokio::sync::Mutex::default(),
            branch: tokio::sync::Mutex::default(),
            runs: FetchRuns::default(),
            outbox: Outbox::default(),
            unserved: Mutex::default(),
            rotation: AtomicUsize::new(0),
            order: HeadOrder::default(),
            open_pulls: tokio::sync::Mutex::default(),
            push_locks: Mutex::default(),
            recent_commits: Moka::new(MAX_RECENT),
            #[cfg(feature = "mutations")]
            mutation: std::sync::OnceLock::new(),
        }
    }

    /// The path of a user's file in the repository.
    fn path(&self, user: &UserId, name: &FileName) -> String {
        format!("{}/{user}/tasks/{name}", self.base_path)
    }

    /// Reads the branch's head and tree after this call; the cached tree is returned if the head is unchanged.
    async fn snapshot(&self) -> Result<Arc<GitSnapshot>, GitHubError> {
        let mut last = self.last_snapshot.lock().await;
        let repository = self.repository.as_ref();
        let newer = GitSnapshot::read(repository, last.as_deref(), &self.base_path).await?;
        #[cfg(feature = "mutations")]
        let newer = newer.map(|mut newer| {
            self.misread(&mut newer);
            newer
        });
        Ok(match newer {
            Some(newer) => Arc::clone(last.insert(Arc::new(newer))),
            None => last.clone().unwrap_or_default(),
        })
    }

    /// Locks the user's pushes in this process.
    async fn lock_user_push(&self, user: &UserId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut push_locks = self
                .push_locks
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            push_locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(push_locks.entry(user.clone()).or_default())
        };
        lock.lock_owned().await
    }

    /// Queues a push and fetch of the user's files for the background worker.
    fn enqueue(&self, user: &UserId) {
        self.outbox.add(user, (self.clock)());
    }

    /// Caches the commit of a file's content.
    fn remember(&self, user: &UserId, name: &FileName, sha: GitSha, published: PublishedCommit) {
        self.recent_commits
            .insert((user.clone(), name.clone()), (sha, published));
    }

    /// The commit of this content, if it is the last one of the file that this process made.
    fn published(&self, user: &UserId, name: &FileName, sha: GitSha) -> Option<PublishedCommit> {
        let (last, published) = self.recent_commits.get(&(user.clone(), name.clone()))?;
        (last == sha).then_some(published)
    }

    /// The mirrored repository, branch and folder: `owner/name@branch:folder`.
    fn mirror_location(&self) -> String {
        let config = self.repository.config();
        let repository = config.full_name().to_lowercase();
        format!("{repository}@{}:{}", config.branch, self.base_path)
    }

    /// Records the users that the timer didn't finish, with the ages of their hints, which may be older than this
    /// process.
    fn record_unserved(&self, left: Vec<(UserId, Duration)>, now: Now) {
        let mut unserved = self.unserved.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |user: &UserId, age: Duration| {
            let by_hint = now.started.checked_sub(age).unwrap_or(now.started);
            unserved
                .get(user)
                .map_or(by_hint, |known| by_hint.min(*known))
        };
        let left = left.into_iter().map(|(user, age)| {
            let since = since(&user, age);
            (user, since)
        });
        *unserved = left.collect();
    }

    /// The number of users with changes that aren't synchronised, as far as this process knows, and since when the
    /// first of them waits.
    pub(super) fn unpushed(&self) -> (usize, Option<Instant>) {
        let unserved = self.unserved.lock().unwrap_or_else(PoisonError::into_inner);
        let first = unserved.values().min().copied();
        (unserved.len().max(self.outbox.len()), first)
    }

    /// Sorts the users and rotates the order by one with each call, so that each comes first once.
    fn rotated(&self, mut waiting: Vec<UserId>) -> Vec<UserId> {
        waiting.sort();
        let rotation = self.rotation.fetch_add(1, Ordering::Relaxed);
        if !waiting.is_empty() {
            let first = rotation % waiting.len();
            waiting.rotate_left(first);
        }
        waiting
    }
}

/// A read request of the service itself.
fn read_request(user: &UserId, now: Now, consistency: Consistency) -> ReadRequest {
    ReadRequest {
        user: user.clone(),
        seen: None,
        consistency,
        now,
    }
}
