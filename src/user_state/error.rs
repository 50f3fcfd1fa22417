//! Why a user's data can't be read or changed.

use super::document::NewerFormat;
use crate::store::StoreError;

/// Why a user's data, or a document about it, can't be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The deadline of a whole read passed, or, where a stale snapshot may be served, a shorter one of the store's first
    /// answer.
    #[error("the storage took too long")]
    TimedOut,
    /// Concurrent writers won every compare-and-swap.
    #[error("other writers kept changing the user's data")]
    Contended,
    /// A newer version of the service wrote a blob that this one can't read, or must not write.
    #[error(transparent)]
    NewerFormat(#[from] NewerFormat),
    /// The background task panicked or returned an impossible result: a defect.
    #[error("the background task ended without a result")]
    Broken,
}

/// Why a command wasn't applied to the state document.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The document can't be read or written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user has no state document, or a damaged one: a read creates it.
    #[error("the user has no state")]
    NoState,
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

impl ReadError {
    /// Whether the store was unreachable, so a snapshot may be served stale.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_) | Self::TimedOut)
    }
}
