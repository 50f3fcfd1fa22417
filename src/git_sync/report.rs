//! What a synchronisation is asked for, what it did, and why it failed.

use std::time::Duration;

use tokio::time::Instant;

use crate::github::{GitHubError, Skipped};
use crate::store::StoreError;
use crate::task::{FileName, GitSha};
use crate::user::UserId;
use crate::user_state::{NewerFormat, ReadError};
use crate::write::WriteError;

/// The options of `POST /sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRequest {
    /// Whether files that were removed from Git are removed here.
    pub clean: bool,
    /// The number of removals that the user has confirmed.
    pub confirm: Option<usize>,
    /// The head that the user has confirmed after the branch was rewritten on purpose.
    pub confirm_head: Option<GitSha>,
}

/// The options of one synchronisation.
#[derive(Debug, Clone, Copy)]
pub(super) struct SyncMode {
    pub request: SyncRequest,
    /// Requested by a user: a mass removal is an error before anything is done, instead of being left out, and the time
    /// is recorded.
    pub manual: bool,
    /// When to leave the rest to the timer.
    pub deadline: Option<Instant>,
}

impl SyncMode {
    /// The options of a synchronisation without a user's request.
    pub(super) fn automatic(deadline: Instant) -> Self {
        let request = SyncRequest {
            clean: true,
            confirm: None,
            confirm_head: None,
        };
        Self {
            request,
            manual: false,
            deadline: Some(deadline),
        }
    }
}

/// What a synchronisation of one user's files did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserReport {
    /// Files that were written.
    pub changed: usize,
    /// Files that were removed.
    pub deleted: usize,
    /// Files that were merged.
    pub merged: usize,
    /// What was skipped, and why.
    pub skipped: Vec<Skipped>,
    /// Files in the store whose content Git didn't hold in the last pass.
    pub unpushed: usize,
    /// Files that can't be committed, because Git has something else in their place.
    pub blocked: Vec<FileName>,
    /// The head that was read.
    pub commit: Option<GitSha>,
    /// The tree SHA of the user's folder in that commit.
    pub folder: Option<GitSha>,
    /// The folder wasn't imported: it isn't a folder in Git, or is spelled in another letter case.
    pub closed: bool,
    /// The last pass found nothing to change here and no write in progress: when it began, the store had everything
    /// that Git has.
    pub clean: bool,
    /// Work is left for a later synchronisation.
    pub unfinished: bool,
}

impl UserReport {
    /// The report of a synchronisation that failed or didn't run.
    pub(super) fn unfinished() -> Self {
        Self {
            unfinished: true,
            ..Self::default()
        }
    }

    /// Whether a later pass has something to do.
    pub fn leaves_work(&self) -> bool {
        let changes = self.unpushed + self.changed + self.deleted + self.merged;
        changes > 0 || !self.clean
    }
}

/// What a fetch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// The head that was read.
    pub head: Option<GitSha>,
    /// The users whose files differed from that commit.
    pub users: Vec<(UserId, UserReport)>,
    /// Folders that can't belong to a user.
    pub skipped: Vec<Skipped>,
    /// Nothing was read, because an earlier run takes too long; the timer does it.
    pub postponed: bool,
}

/// What a run of the timer did. Its `Debug` is logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Users whose files were brought up to date from Git.
    pub fetched: usize,
    /// Queued users who are fully synchronised now.
    pub drained: usize,
    /// Users who stay in the queue.
    pub left: usize,
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
    /// A read of the store or a write to it failed.
    #[error(transparent)]
    Storage(#[from] WriteError),
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

impl From<ReadError> for GitSyncError {
    fn from(error: ReadError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<StoreError> for GitSyncError {
    fn from(error: StoreError) -> Self {
        ReadError::from(error).into()
    }
}

impl From<NewerFormat> for GitSyncError {
    fn from(NewerFormat: NewerFormat) -> Self {
        Self::NewerFormat
    }
}

impl GitSyncError {
    /// A stable code for the API, and the message for the user, without details that are only for the log.
    pub(crate) fn shown(&self) -> (&'static str, String) {
        let (code, message) = match self {
            Self::Off => ("github_not_configured", "GitHub mode is off."),
            Self::GitHub(GitHubError::Limited { .. }) => {
                ("github_limited", "GitHub grants no more requests for now.")
            }
            Self::GitHub(GitHubError::Denied { .. }) => (
                "github_denied",
                "GitHub doesn't let the service at the repository: check its name, the branch, the rules and the credentials.",
            ),
            Self::GitHub(_) => ("github_unavailable", "GitHub can't be reached."),
            Self::Storage(_) => ("storage_unavailable", "The storage can't be reached."),
            Self::TooMany { .. } => ("too_many_requests", "There were too many requests."),
            Self::NewerFormat => (
                "newer_format",
                "A newer version of the service wrote what Git is known to hold.",
            ),
            Self::Contended => ("conflict", "Others kept changing the same files."),
            Self::MassDelete(_) => (
                "mass_delete",
                "So many files would be removed that it has to be confirmed.",
            ),
            Self::HistoryRewritten { base, head } => {
                let message = format!(
                    "GitHub shows the branch at {head}, which doesn't follow {base}: wait where GitHub only lags, and POST /sync?confirm_head={head} where the branch was rewritten on purpose."
                );
                return ("history_rewritten", message);
            }
        };
        (code, message.to_owned())
    }
}

/// The error for a read that is older than what is known.
pub(super) fn replica_lag_error() -> GitHubError {
    GitHubError::Unavailable {
        operation: "read the branch",
        reason: "it shows an older commit than the known one".to_owned(),
    }
}
