//! Why a synchronisation fails.

use std::time::Duration;

use crate::github::GitHubError;
use crate::store::StoreError;
use crate::task::GitSha;
use crate::user_state::{NewerFormat, ReadError};
use crate::write::WriteError;

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
    /// A stable code for the API.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Off => "github_not_configured",
            Self::GitHub(GitHubError::Limited { .. }) => "github_limited",
            Self::GitHub(GitHubError::Denied { .. }) => "github_denied",
            Self::GitHub(_) => "github_unavailable",
            Self::Storage(_) => "storage_unavailable",
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
            Self::Storage(_) => "The storage can't be reached.",
            Self::TooMany { .. } => "There were too many requests.",
            Self::NewerFormat => "A newer version of the service wrote what Git is known to hold.",
            Self::Contended => "Others kept changing the same files.",
            Self::MassDelete(_) => "So many files would be removed that it has to be confirmed.",
        };
        message.to_owned()
    }
}

/// The error for a read that is older than what is known.
pub(super) fn replica_lag_error() -> GitHubError {
    GitHubError::Unavailable {
        operation: "read the branch",
        reason: "it shows an older commit than the known one".to_owned(),
    }
}
