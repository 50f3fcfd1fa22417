//! Writing task files so that every instance sees it and `kill -9` at any moment loses nothing
//! (src/cache/README.md, "Write"): the intent in the state document, the file, the acknowledgement, and afterwards
//! the intent's removal.
//!
//! A write whose outcome this instance doesn't know keeps its intent, which is recovered later.

mod batch;
mod change;
mod create;
mod file;
mod intent;

use std::sync::Arc;

use bytes::Bytes;

use super::command::{CommandResult, KeyHashes, StateCommand};
use super::commit_queue::{CommitQueueHandle, CommittedCommand};
use super::state::Version;
use super::{
    Cache, CacheInner, Consistency, ReadError, ReadRequest, Requests, Snapshot, WriteError,
};
use crate::context::in_request_context;
use crate::now::Now;
use crate::store::{BlobKey, ETag, WriteId, WriteIds};
use crate::task::FileName;
use crate::user::UserId;

pub use batch::MAX_BATCH;
#[cfg(feature = "mutations")]
pub(super) use file::WriteOutcome;
#[cfg(feature = "mutations")]
pub(super) use intent::WriteIntent;

/// Attempts of an operation whose file others keep changing, before it fails with a conflict.
const ATTEMPTS: u32 = 3;

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
    /// An earlier request with the same key had created it.
    pub reused: bool,
    /// Storage requests sent before the answer.
    pub requests: Requests,
}

/// Decision about a file, made from its current content; `T` is handed on to the caller.
#[derive(Debug, Clone)]
pub enum ChangeDecision<T> {
    /// Write this content.
    Write(Bytes, T),
    /// Leave the file as it is.
    Keep(T),
}

/// Decides about a file from its current content. Called again when the write is retried.
pub(super) type ChangeFn<T, E> = dyn Fn(&[u8]) -> Result<ChangeDecision<T>, E> + Send + Sync;

/// Result of [`Cache::change`].
#[derive(Debug, Clone)]
pub struct ChangeOutcome<T> {
    /// The version that contains the change.
    pub version: Version,
    /// The decision's value.
    pub value: T,
    /// Whether the file was written.
    pub written: bool,
    /// Storage requests sent before the answer.
    pub requests: Requests,
}

/// Why [`Cache::change`] failed.
#[derive(Debug, Clone)]
pub enum ChangeError<E> {
    /// There is no such file as of this version.
    Gone(Version),
    /// The caller's function rejected the file, as of this version.
    Refused(E, Version),
    /// Others changed the file at each attempt; nothing was written.
    Conflict(Version),
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

/// Result of [`Cache::write_batch`].
#[derive(Debug, Clone)]
pub struct BatchResult {
    /// The version that contains every applied operation.
    pub version: Version,
    /// One outcome for each item, in their order.
    pub outcomes: Vec<FileOutcome>,
}

impl Cache {
    /// Creates a task file. Runs to its end even if the caller drops the future.
    ///
    /// # Errors
    /// See [`WriteError`]; [`WriteError::OutcomeUnknown`] if the file may have been or may still be created.
    pub async fn create(
        &self,
        context: WriteContext,
        file: NewTaskFile,
    ) -> Result<CreatedTask, WriteError> {
        let mut op = WriteOp::new(&self.inner, context);
        let created = tokio::spawn(in_request_context(async move { op.create(file).await }));
        created.await.unwrap_or(Err(ReadError::Broken.into()))
    }

    /// Changes one file as `decide` decides, up to three times from its current content if others change it in between.
    /// Runs to its end even if the caller drops the future.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change<T, E, D>(
        &self,
        context: WriteContext,
        name: FileName,
        decide: D,
    ) -> Result<ChangeOutcome<T>, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        D: Fn(&[u8]) -> Result<ChangeDecision<T>, E> + Send + Sync + 'static,
    {
        let mut op = WriteOp::new(&self.inner, context);
        let changed = tokio::spawn(in_request_context(async move {
            op.change(&name, &decide).await
        }));
        let broken = || Err(ChangeError::Write(ReadError::Broken.into()));
        changed.await.unwrap_or_else(|_| broken())
    }

    /// A new write id.
    pub fn write_id(&self) -> WriteId {
        WriteId((self.inner.settings.ids)())
    }

    /// Writes up to [`MAX_BATCH`] files under one version. Creates and replacements come before deletions, so that a
    /// reader always finds a renamed file. Each file is atomic, the batch isn't. Runs to its end even if the caller
    /// drops the future.
    ///
    /// # Errors
    /// See [`WriteError`]; some files may have been written even so.
    pub async fn write_batch(
        &self,
        context: WriteContext,
        items: Vec<BatchItem>,
    ) -> Result<BatchResult, WriteError> {
        let mut op = WriteOp::new(&self.inner, context);
        let done = tokio::spawn(in_request_context(async move { op.batch(items).await }));
        done.await.unwrap_or(Err(ReadError::Broken.into()))
    }
}

/// One write operation in progress.
pub(super) struct WriteOp {
    pub(super) inner: Arc<CacheInner>,
    queue: CommitQueueHandle,
    pub(super) user: UserId,
    pub(super) now: Now,
    pub(super) requests: Requests,
    /// See [`WriteContext::hint`]; `None` once it was put.
    hint: Option<(BlobKey, Bytes)>,
    reason: &'static str,
}

impl WriteOp {
    fn new(inner: &Arc<CacheInner>, context: WriteContext) -> Self {
        Self {
            inner: Arc::clone(inner),
            queue: inner.commit_queues.open(&context.user),
            user: context.user,
            now: context.now,
            requests: Requests::default(),
            hint: context.hint,
            reason: context.reason,
        }
    }

    /// Applies a command to the state document, creating the document by a read if the user has none.
    async fn submit(&mut self, command: StateCommand) -> Result<CommittedCommand, WriteError> {
        for _ in 0..ATTEMPTS {
            let committed = self
                .inner
                .submit(&self.queue, command.clone(), &self.now)
                .await;
            match committed {
                Err(WriteError::NoState) => self.read_strong().await?,
                Ok(committed) => {
                    self.log_version(&command, &committed.result);
                    self.requests += committed.requests;
                    return Ok(committed);
                }
                Err(error) => return Err(error),
            };
        }
        Err(ReadError::Contended.into())
    }

    /// One line for each new version, so that an operator can trace what a reader saw to its writer.
    fn log_version(&self, command: &StateCommand, result: &CommandResult) {
        let (op, version, tasks) = match (command, result) {
            (StateCommand::Create(intent), CommandResult::CreatedTask(version, name)) => {
                (&intent.op, version, name.id().to_string())
            }
            (StateCommand::RecordIntent(intent), CommandResult::Recorded(version)) => {
                let ids = intent.files.iter().map(|(name, ..)| name.id().to_string());
                (&intent.op, version, ids.collect::<Vec<_>>().join(" "))
            }
            _ => return,
        };
        let (user, version, reason) = (&self.user, version.0, self.reason);
        tracing::info!(%user, version, op, reason, tasks, "new version");
    }

    async fn read_strong(&mut self) -> Result<Arc<Snapshot>, ReadError> {
        let read_request = ReadRequest {
            user: self.user.clone(),
            seen: None,
            known: None,
            consistency: Consistency::Strict,
            now: self.now.later(),
        };
        let read = self.inner.read(&read_request).await?;
        self.requests += read.requests;
        Ok(read.entry)
    }

    fn op_id(&self) -> String {
        self.write_id().to_string()
    }

    pub(super) fn write_id(&self) -> WriteId {
        WriteId((self.inner.settings.ids)())
    }
}
