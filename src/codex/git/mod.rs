#![doc = include_str!("README.md")]

mod book;
mod fetch;
mod guard;
mod mirror;
mod mutation;
mod note;
mod order;
mod plan;
mod pulls;
mod push;
mod reconcile;
mod report;
mod reviews;
mod scan;
mod spelling;
mod status;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache as Moka;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::Want;
use crate::cache::{Freshness, ReadError, WriteError};
use crate::github::{GitHubError, GitSnapshot, Repository};
use crate::now::Now;
use crate::store::StoreError;
use crate::task::{FileName, GitSha};
use crate::user::UserId;

pub use book::{LastError, PullNote};
pub(super) use fetch::hint_text;
pub use fetch::{FetchReport, TickReport};
pub use mutation::GitMutation;
pub use note::{GitNote, Mirrored, forget_mirrored, mirrored};
pub use report::UserReport;
pub use status::{GitState, GitStatus, SyncRequest, Synced};

use fetch::Runs;
use order::Order;
use reviews::OpenPulls;
use worker::Outbox;

/// What the operations need to know of GitHub.
#[derive(Clone)]
pub struct GitSettings {
    /// The mirror.
    pub repository: Arc<dyn Repository>,
    /// Where task files lie in it, without slashes at its ends.
    pub base_path: String,
    /// What time it is, for what happens without a request.
    pub clock: fn() -> Now,
}

/// What was committed lately, for those who wait for it.
const MAX_RECENT: u64 = 1_000;

/// How long a write waits for its commit (`src/http/README.md`, "Waiting for Git").
pub(super) const WAIT: Duration = Duration::from_secs(10);

/// The side of the operations that looks at GitHub.
pub(super) struct Git {
    repository: Arc<dyn Repository>,
    base_path: String,
    clock: fn() -> Now,
    /// The newest tree that was read, and its commit.
    seen: tokio::sync::Mutex<Option<Arc<GitSnapshot>>>,
    /// One writer per branch at a time.
    branch: tokio::sync::Mutex<()>,
    runs: Runs,
    outbox: Outbox,
    /// Users whose hints the timer left in the queue, and since when it does.
    left: Mutex<BTreeMap<UserId, Instant>>,
    turn: AtomicUsize,
    order: Order,
    /// Pull requests that are open.
    open_pulls: tokio::sync::Mutex<Option<OpenPulls>>,
    /// Users for whom this process is committing. Who comes next finds nothing left, instead of sending the same
    /// once more.
    pushing: Mutex<BTreeMap<UserId, Arc<tokio::sync::Mutex<()>>>>,
    /// Of each file the content committed last, and where.
    recent: Moka<(UserId, FileName), (GitSha, Made)>,
    #[cfg(feature = "mutations")]
    pub(super) mutation: std::sync::OnceLock<GitMutation>,
}

/// Where a change is to be seen on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The commit.
    pub commit: GitSha,
    /// Its page.
    pub html_url: String,
    /// The commit it was made on.
    pub parent: Option<GitSha>,
    /// The pull request, if it is one.
    pub pull: Option<crate::github::Pull>,
}

/// Why Git and the store couldn't be brought together.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GitTrouble {
    /// GitHub mode is off.
    #[error("GitHub mode is off")]
    Off,
    /// GitHub didn't do it.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// The store didn't do it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A write to the store failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The user asked for more than this instance grants.
    #[error("too many requests")]
    TooMany {
        /// When to come back.
        retry_after: Duration,
    },
    /// A newer version of the service wrote `git.json`.
    #[error("git.json has a newer format")]
    NewerFormat,
    /// Others kept changing the same things.
    #[error("others kept changing the same files")]
    Contended,
    /// So many files would be removed that somebody has to confirm it; nothing was done.
    #[error("{0} files would be removed")]
    MassDelete(usize),
    /// The branch is at a commit that doesn't come after what Git was known to hold; nothing was concluded.
    #[error("the branch is at {head}, of which nothing proves that it comes after {base}")]
    HistoryRewritten {
        /// What Git was known to be at.
        base: GitSha,
        /// Where the branch is shown.
        head: GitSha,
    },
}

impl From<StoreError> for GitTrouble {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

impl GitTrouble {
    /// A stable code, for whoever looks at it later.
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

    /// The same for a person, without anything that is only for the log.
    pub(crate) fn told(&self) -> String {
        let told = match self {
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
        told.to_owned()
    }
}

impl Git {
    pub(super) fn new(settings: GitSettings) -> Self {
        Self {
            repository: settings.repository,
            base_path: settings.base_path,
            clock: settings.clock,
            seen: tokio::sync::Mutex::default(),
            branch: tokio::sync::Mutex::default(),
            runs: Runs::default(),
            outbox: Outbox::default(),
            left: Mutex::default(),
            turn: AtomicUsize::new(0),
            order: Order::default(),
            open_pulls: tokio::sync::Mutex::default(),
            pushing: Mutex::default(),
            recent: Moka::new(MAX_RECENT),
            #[cfg(feature = "mutations")]
            mutation: std::sync::OnceLock::new(),
        }
    }

    /// Where a user's file lies in the repository.
    fn path(&self, user: &UserId, name: &FileName) -> String {
        format!("{}/{user}/tasks/{name}", self.base_path)
    }

    /// The repository as GitHub shows it now: read after this was called, and not read again where it is unchanged.
    async fn snapshot(&self) -> Result<Arc<GitSnapshot>, GitHubError> {
        let mut seen = self.seen.lock().await;
        let repository = self.repository.as_ref();
        let newer = GitSnapshot::read(repository, seen.as_deref(), &self.base_path).await?;
        #[cfg(feature = "mutations")]
        let newer = newer.map(|mut newer| {
            self.misread(&mut newer);
            newer
        });
        Ok(match newer {
            Some(newer) => Arc::clone(seen.insert(Arc::new(newer))),
            None => seen.clone().unwrap_or_default(),
        })
    }

    /// Waits until nobody else in this process commits for the user, and keeps others from it.
    async fn only_push(&self, user: &UserId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut pushing = self.pushing.lock().unwrap_or_else(PoisonError::into_inner);
            pushing.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(pushing.entry(user.clone()).or_default())
        };
        lock.lock_owned().await
    }

    /// Has whatever the user's files and Git don't share yet shared.
    fn enqueue(&self, user: &UserId) {
        self.outbox.add(user, (self.clock)());
    }

    /// Remembers where this content of a file is to be seen.
    fn remember(&self, user: &UserId, name: &FileName, sha: GitSha, made: Made) {
        self.recent
            .insert((user.clone(), name.clone()), (sha, made));
    }

    /// Where this content of a file is to be seen, if it was the last one committed here.
    fn made(&self, user: &UserId, name: &FileName, sha: GitSha) -> Option<Made> {
        let (last, made) = self.recent.get(&(user.clone(), name.clone()))?;
        (last == sha).then_some(made)
    }

    /// Which repository, branch and folder the users' files are mirrored in.
    fn place(&self) -> String {
        let repository = self.repository.full_name().to_lowercase();
        let branch = self.repository.branch();
        format!("{repository}@{branch}:{}", self.base_path)
    }

    /// Those whom the timer could not serve, with the ages of their hints: an older process may have known of
    /// them before this one.
    fn note_left(&self, left: Vec<(UserId, Duration)>, now: Now) {
        let mut noted = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |user: &UserId, age: Duration| {
            let by_hint = now.started.checked_sub(age).unwrap_or(now.started);
            noted.get(user).map_or(by_hint, |known| by_hint.min(*known))
        };
        let left = left.into_iter().map(|(user, age)| {
            let since = since(&user, age);
            (user, since)
        });
        *noted = left.collect();
    }

    /// How many users have something that isn't shared with Git, as far as is known here, and since when the
    /// first of them.
    pub(super) fn unpushed(&self) -> (usize, Option<Instant>) {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let first = left.values().min().copied();
        (left.len().max(self.outbox.len()), first)
    }

    /// Those who wait, beginning with another each time.
    fn in_turn(&self, mut waiting: Vec<UserId>) -> Vec<UserId> {
        waiting.sort();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if !waiting.is_empty() {
            let first = turn % waiting.len();
            waiting.rotate_left(first);
        }
        waiting
    }
}

/// What the service itself wants of a user's files.
fn want(user: &UserId, now: Now, freshness: Freshness) -> Want {
    Want {
        user: user.clone(),
        seen: None,
        known: None,
        freshness,
        now,
    }
}
