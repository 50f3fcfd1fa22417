//! Why an operation on tasks fails.

use std::time::Duration;

use crate::cache::non_file_problem;
use crate::store::StoreError;
use crate::task::{EditError, Problem};
use crate::user_state::{ReadError, Version};
use crate::write::{ChangeError, WriteError};

/// Why an operation on tasks was refused, and at which version.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason.
    pub error: TaskError,
    /// The version of the user's data that the refusal was decided on; `None` if none was read.
    pub version: Option<Version>,
}

/// Why an operation on tasks failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TaskError {
    /// The cache or the store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The write may have landed, or may still land.
    #[error("whether it was written can't be known yet")]
    OutcomeUnknown,
    /// The user's rate limit at this instance is used up.
    #[error("too many requests")]
    TooMany {
        /// How long to wait before the next request.
        retry_after: Duration,
        /// Which limit was hit.
        of: Limited,
    },
    /// There is no such task.
    #[error("no such task")]
    NotFound,
    /// Several files have the number.
    #[error("several files have the number")]
    Ambiguous {
        /// The file names without `.md`, each of which names one task.
        stems: Vec<String>,
    },
    /// The task's file can't be read.
    #[error("the file can't be read: {}", .0.message)]
    Unreadable(Problem),
    /// The edit is invalid.
    #[error(transparent)]
    Edit(EditError),
    /// The task's content isn't one that `If-Match` names.
    #[error("the task has changed")]
    PreconditionFailed,
    /// Every attempt lost to a concurrent write; nothing was written.
    #[error("others kept changing the task")]
    Conflict,
    /// All task numbers are in use.
    #[error("all task numbers are taken")]
    IdsExhausted,
    /// The `Idempotency-Key` was used with a different request body.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
}

/// The kinds of requests with a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// `nocache` and strict reads.
    Rebuilds,
    /// Creates, updates and completions.
    Writes,
    /// Look-ups of calendar addresses that are wrong. Of an instance, not of a user.
    Addresses,
}

impl From<EditError> for TaskError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::NotATask => Self::NotFound,
            EditError::Unreadable(problem) => Self::Unreadable(problem),
            error => Self::Edit(error),
        }
    }
}

impl Refusal {
    pub(super) fn at(error: TaskError, version: Version) -> Self {
        Self {
            error,
            version: Some(version),
        }
    }
}

impl<E: Into<TaskError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            version: None,
        }
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Read(error) => error.into(),
            WriteError::OutcomeUnknown(version) => Self::at(TaskError::OutcomeUnknown, version),
            WriteError::Conflict(version) => Self::at(TaskError::Conflict, version),
            WriteError::IdsExhausted(version) => Self::at(TaskError::IdsExhausted, version),
            WriteError::KeyReused(version) => Self::at(TaskError::KeyReused, version),
        }
    }
}

impl From<ChangeError<TaskError>> for Refusal {
    fn from(error: ChangeError<TaskError>) -> Self {
        match error {
            ChangeError::Gone(version) => Self::at(TaskError::NotFound, version),
            ChangeError::Refused(error, version) => Self::at(error, version),
            // A folder or the like replaced the file since the snapshot was made.
            ChangeError::Write(WriteError::Read(ReadError::Store(StoreError::NotAFile {
                ..
            }))) => TaskError::Unreadable(non_file_problem()).into(),
            ChangeError::Write(error) => error.into(),
        }
    }
}
