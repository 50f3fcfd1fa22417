//! Why a call to GitHub failed: below octocrab, by octocrab, and what callers see. None holds a token; only a refusal
//! keeps a text, to be matched.

use std::time::Duration;

use http::StatusCode;

use crate::net;

/// Why a call to GitHub failed. Holds no token, no path and no task text, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// No usable response: connection refused or reset, timeout, 5xx. A write may or may not have happened.
    #[error("GitHub can't be reached for {operation}: {reason}")]
    Unavailable {
        /// The operation that failed.
        operation: &'static str,
        /// What went wrong, for the log.
        reason: String,
    },
    /// The rate limit is exhausted. Nothing happened.
    #[error("GitHub grants no more requests for {} s", .retry_after.as_secs())]
    Limited {
        /// How long to wait before the next request.
        retry_after: Duration,
    },
    /// GitHub refuses; a retry fails too until the repository, the credentials or the settings change.
    #[error("GitHub refuses {operation} with {status}")]
    Denied {
        /// The operation that was refused.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// A response that GitHub doesn't document.
    #[error("GitHub's answer to {operation} can't be used: {reason}")]
    Unexpected {
        /// The operation that failed.
        operation: &'static str,
        /// What is wrong with the response.
        reason: &'static str,
    },
}

impl GitHubError {
    /// The kind of failure, without what is particular to it.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Limited { .. } => "limited",
            Self::Denied { .. } => "denied",
            Self::Unexpected { .. } => "unexpected",
        }
    }

    pub(super) fn unexpected(operation: &'static str, reason: &'static str) -> Self {
        Self::Unexpected { operation, reason }
    }
}

/// Why a call failed. Callers match the statuses that they expect and turn the rest into [`GitHubError`].
pub(super) enum CallError {
    /// A response with a status other than 2xx (304 included) that is neither a rate limit nor 5xx.
    Refused {
        /// The operation that was refused.
        operation: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// GitHub's error message in lower case. It may name files, so it isn't logged.
        message: String,
    },
    /// Any other failure.
    Failed(GitHubError),
}

impl CallError {
    pub(super) fn has_status(&self, expected: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == expected)
    }

    /// Whether GitHub refused with this status and a message that contains `part`, which is in lower case. A status
    /// alone doesn't tell causes apart.
    pub(super) fn has_message(&self, expected: StatusCode, part: &str) -> bool {
        matches!(self, Self::Refused { status, message, .. } if *status == expected && message.contains(part))
    }
}

/// What GitHub answered; `None` when it refused as by [`CallError::has_message`].
pub(super) fn unless<T>(
    result: Result<T, CallError>,
    status: StatusCode,
    part: &str,
) -> Result<Option<T>, GitHubError> {
    match result {
        Err(error) if error.has_message(status, part) => Ok(None),
        result => Ok(Some(result?)),
    }
}

impl From<GitHubError> for CallError {
    fn from(error: GitHubError) -> Self {
        Self::Failed(error)
    }
}

impl From<CallError> for GitHubError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused {
                operation, status, ..
            } => Self::Denied {
                operation,
                status: status.as_u16(),
            },
            CallError::Failed(error) => error,
        }
    }
}

/// A failure below octocrab: no response that it could parse.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportFault {
    #[error("no usable answer: {0}")]
    Unavailable(String),
    #[error("no more requests for {} s", .0.as_secs())]
    Limited(Duration),
    #[error("the response is too large")]
    TooLong,
}

impl TransportFault {
    pub(super) fn server_error(status: StatusCode) -> Self {
        Self::Unavailable(format!("it answers {}", status.as_u16()))
    }

    pub(super) fn into_github_error(self, operation: &'static str) -> GitHubError {
        match self {
            Self::Unavailable(reason) => GitHubError::Unavailable { operation, reason },
            Self::Limited(retry_after) => GitHubError::Limited { retry_after },
            Self::TooLong => GitHubError::unexpected(operation, "the response is too large"),
        }
    }
}

impl From<reqwest::Error> for TransportFault {
    fn from(error: reqwest::Error) -> Self {
        Self::Unavailable(match net::certificate_error(&error) {
            Some(fault) => fault,
            None if error.is_timeout() => "no answer in time".to_owned(),
            None if error.is_connect() => "no connection".to_owned(),
            None => "the connection broke".to_owned(),
        })
    }
}

/// Classifies octocrab's errors. Only a refusal keeps a text, to be matched: texts may name addresses and files.
pub(super) fn classify_error(operation: &'static str, error: octocrab::Error) -> CallError {
    let unexpected = |reason| CallError::Failed(GitHubError::unexpected(operation, reason));
    match error {
        octocrab::Error::GitHub { source, .. } => CallError::Refused {
            operation,
            status: source.status_code,
            message: source.to_string().to_lowercase(),
        },
        octocrab::Error::Service { source, .. } => match source.downcast::<TransportFault>() {
            Ok(fault) => CallError::Failed(fault.into_github_error(operation)),
            Err(_) => {
                let reason = "the process is ending".to_owned();
                CallError::Failed(GitHubError::Unavailable { operation, reason })
            }
        },
        octocrab::Error::Json { .. } | octocrab::Error::Serde { .. } => {
            unexpected("not the documented JSON")
        }
        _ => unexpected("the request can't be sent"),
    }
}
