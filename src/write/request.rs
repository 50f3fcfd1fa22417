//! What can be written, and what came of it.

use bytes::Bytes;

use crate::now::Now;
use crate::store::{BlobKey, BlobUpdate, ETag, Requests, StoreError, WriteId, WriteIds};
use crate::task::{FileName, GitSha};
use crate::user::UserId;
use crate::user_state::{ChangeKind, CommitError, KeyHashes, ReadError, Version};

/// User, time and purpose of a write.
#[derive(Debug, Clone)]
pub struct WriteContext {
    /// The user whose files are written.
    pub user: UserId,
    /// When the request arrived.
    pub now: Now,
    /// Purpose of the write, logged with its version.
    pub reason: &'static str,
    /// Work queue entry (key and content) that is put concurrently with the first file. Its failure is logged and
    /// doesn't fail the write: the work is then found later.
    pub hint: Option<(BlobKey, Bytes)>,
}

/// The file of a task to be created.
#[derive(Debug, Clone)]
pub struct NewTaskFile {
    /// File name without the number.
    pub slug: String,
    /// Content.
    pub bytes: Bytes,
    /// The request's idempotency key, if it has one.
    pub key: Option<KeyHashes>,
}

/// A created task.
#[derive(Debug, Clone)]
pub struct CreatedTask {
    /// Version of the create.
    pub version: Version,
    /// The newest version known, which contains the create; a later one for a repeated request.
    pub known: Version,
    /// Name of the task file.
    pub name: FileName,
    /// The Git blob SHA-1 of the request's content.
    pub etag: GitSha,
    /// An earlier request with the same key had created it.
    pub reused: bool,
    /// Storage requests sent before the answer.
    pub requests: Requests,
}

/// Decides about a file from its current content. Called again when the write is retried.
pub(super) type ChangeFn<T, E> = dyn Fn(&[u8]) -> Result<BlobUpdate<T>, E> + Send + Sync;

/// Result of [`Writer::change`](super::Writer::change).
#[derive(Debug, Clone)]
pub struct ChangeOutcome<T> {
    /// Name of the file.
    pub name: FileName,
    /// The version that contains the change.
    pub version: Version,
    /// The decision's value.
    pub value: T,
    /// Whether the file was written.
    pub written: bool,
    /// Storage requests sent before the answer.
    pub requests: Requests,
}

/// Why [`Writer::change`](super::Writer::change) failed.
#[derive(Debug, Clone)]
pub enum ChangeError<E> {
    /// There is no such file as of this version.
    Gone(Version),
    /// The caller's function rejected the file, as of this version.
    Refused(E, Version),
    /// The write failed.
    Write(WriteError),
}

impl<E> From<WriteError> for ChangeError<E> {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// One file of a batch.
#[derive(Debug, Clone)]
pub struct BatchItem {
    /// File name.
    pub name: FileName,
    /// What to do with the file.
    pub operation: FileOp,
    /// For the result of a Git merge: the fields in which the service's own value won. The timeline names them until
    /// the file's next change. Empty otherwise.
    pub merged: Vec<String>,
    /// Write id to use, for a caller that has to know it beforehand; `None` for a new one.
    pub write: Option<WriteId>,
}

/// What to do with a file of a batch.
#[derive(Debug, Clone)]
pub enum FileOp {
    /// Create it, if there is no file or only a tombstone that this instance knows.
    Create(Bytes),
    /// Replace it, if it still has this ETag.
    Replace {
        /// New content.
        bytes: Bytes,
        /// ETag of the file to replace.
        etag: ETag,
        /// Write ids of the file to replace.
        writes: WriteIds,
    },
    /// Delete it, if it still has this ETag.
    Remove(ETag),
}

/// The version of a file that is to be removed.
#[derive(Debug, Clone)]
pub struct TargetFile {
    /// Its ETag.
    pub etag: ETag,
    /// Its hash, if known.
    pub sha: Option<GitSha>,
}

/// Result for one file of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOutcome {
    /// The operation was applied.
    Done,
    /// Nothing was done: another context had changed the file.
    Conflict,
    /// Nothing was done: the batch was full or out of time before this file.
    NotAttempted,
}

/// Result of [`Writer::write_batch`](super::Writer::write_batch).
#[derive(Debug, Clone)]
pub struct BatchResult {
    /// The version that contains every applied operation.
    pub version: Version,
    /// One outcome for each item, in their order.
    pub outcomes: Vec<FileOutcome>,
}

/// Why a write was not acknowledged. The versions may be sent to the client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The store or the state document can't be used; nothing was written, and nothing will be.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The write may have landed, or may still land, with this version.
    #[error("whether it was written can't be known yet")]
    OutcomeUnknown(Version),
    /// Concurrent writers won every attempt; nothing was written.
    #[error("other writers kept changing the same file")]
    Conflict(Version),
    /// Every task number has a file.
    #[error("all 10,000 task numbers are taken")]
    IdsExhausted(Version),
    /// The `Idempotency-Key` belongs to a request with another body.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused(Version),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

impl From<CommitError> for WriteError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Read(error) => Self::Read(error),
            // A read makes the document, so that one that is missing again is a defect.
            CommitError::NoState => Self::Read(ReadError::Broken),
        }
    }
}

impl FileOp {
    pub(super) fn kind(&self) -> ChangeKind {
        match self {
            Self::Create(_) => ChangeKind::Create,
            Self::Replace { .. } => ChangeKind::Update,
            Self::Remove(_) => ChangeKind::Delete,
        }
    }

    /// ETag of the file that the operation replaces or deletes.
    pub(super) fn old_etag(&self) -> Option<ETag> {
        match self {
            Self::Create(_) => None,
            Self::Replace { etag, .. } | Self::Remove(etag) => Some(etag.clone()),
        }
    }
}
