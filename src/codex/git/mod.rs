//! What Git and the store don't share yet, and how they come to (SPEC.md 5). One engine behind the
//! webhook, sync by hand, the push after a write, and the timer: [`Plan`] decides, the rest carries out.
//!
//! Three rules keep it right with several instances and crashes. `git.json` is read before the
//! repository's tree, and the tree before the store's files, so a tree is never older than what Git is
//! known to hold. A file here is only changed if it still is what was decided about. And the base follows
//! only what was answered.

mod book;
mod fetch;
mod mirror;
mod plan;
mod pulls;
mod push;
mod reconcile;
mod status;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Moka;

use super::Want;
use crate::cache::{Freshness, ReadError, WriteError};
use crate::github::{GitHubError, GitSnapshot, Repository};
use crate::now::Now;
use crate::store::StoreError;
use crate::task::{FileName, GitSha};
use crate::user::UserId;

pub use book::{LastError, PullNote};
pub use fetch::{FetchReport, TickReport};
pub use reconcile::UserReport;
pub use status::{GitState, GitStatus, SyncRequest, Synced};

use fetch::Runs;
use worker::{Outbox, Task};

/// What the operations need to know of GitHub.
#[derive(Clone)]
pub struct GitSettings {
    /// The mirror.
    pub repository: Arc<Repository>,
    /// Where task files lie in it, without slashes at its ends.
    pub base_path: String,
    /// What time it is, for what happens without a request.
    pub clock: fn() -> Now,
}

/// What was committed lately, for those who wait for it.
const MAX_RECENT: u64 = 1_000;

/// How long a write waits for its commit (SPEC.md 1, "Create").
pub(super) const WAIT: Duration = Duration::from_secs(10);

/// The side of the operations that looks at GitHub.
pub(super) struct Git {
    repository: Arc<Repository>,
    base_path: String,
    clock: fn() -> Now,
    /// The newest tree that was read, and its commit.
    seen: tokio::sync::Mutex<Option<Arc<GitSnapshot>>>,
    /// One writer per branch at a time.
    branch: tokio::sync::Mutex<()>,
    runs: Runs,
    outbox: Outbox,
    recent: Moka<(UserId, FileName, GitSha), Made>,
}

/// Where a change is to be seen on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The commit.
    pub commit: GitSha,
    /// Its page.
    pub html_url: String,
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
        }
    }

    /// When to try again, if that was said.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::GitHub(GitHubError::Limited { retry_after }) => Some(*retry_after),
            _ => None,
        }
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
            recent: Moka::new(MAX_RECENT),
        }
    }

    /// Where a user's file lies in the repository.
    fn path(&self, user: &UserId, name: &FileName) -> String {
        format!("{}/{user}/tasks/{name}", self.base_path)
    }

    /// The repository as it is now: read after this was called, and not read again where it is unchanged.
    async fn snapshot(&self) -> Result<Arc<GitSnapshot>, GitHubError> {
        let mut seen = self.seen.lock().await;
        let known = seen.as_deref();
        let newer = self.repository.snapshot(known, &self.base_path).await?;
        Ok(match newer {
            Some(newer) => Arc::clone(seen.insert(Arc::new(newer))),
            None => seen.clone().unwrap_or_default(),
        })
    }

    /// Has the user's files pushed, or more.
    fn enqueue(&self, user: &UserId, task: Task) {
        self.outbox.add(user, task, (self.clock)());
    }
}

/// What the service itself wants of a user's files.
fn want(user: &UserId, now: Now, freshness: Freshness) -> Want {
    Want {
        user: user.clone(),
        seen: None,
        freshness,
        now,
    }
}
