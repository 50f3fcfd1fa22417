//! Writing task files so that every instance sees it and `kill -9` at any moment loses nothing
//! (src/user_state/README.md, "A write"): the intent in the state document, the file, the acknowledgement, and
//! afterwards the intent's removal.
//!
//! A write whose outcome this instance doesn't know keeps its intent, which is recovered later.

mod advance;
mod batch;
#[cfg(feature = "mutations")]
mod broken;
mod change;
mod create;
mod operation;
mod outcome;
mod remove;
mod request;
mod task_files;

use chrono::{DateTime, Utc};

use crate::context::in_request_context;
use crate::now::Now;
use crate::store::BlobUpdate;
use crate::task::FileName;
use crate::user::UserId;
use crate::user_state::{ReadError, StateCommand, Version};

pub use advance::{AcknowledgedFile, AcknowledgedOp, AcknowledgedOps, advance};
pub use batch::MAX_BATCH;
pub use change::is_from_before;
pub use create::create_condition;
pub use operation::Writer;
pub use outcome::{Doubt, Readback, WriteOutcome, WrittenFile, decide_delete, decide_put};
pub use request::{
    BatchItem, BatchResult, ChangeError, ChangeOutcome, CreatedTask, FileOp, FileOutcome,
    NewTaskFile, TargetFile, WriteContext, WriteError,
};

use change::FileChange;
use operation::WriteOp;
use remove::FileRemoval;

impl Writer {
    /// Creates a task file.
    ///
    /// # Errors
    /// [`WriteError::OutcomeUnknown`] if the file may have been or may still be created, or another [`WriteError`].
    pub async fn create(
        &self,
        context: WriteContext,
        file: NewTaskFile,
    ) -> Result<CreatedTask, WriteError> {
        let op = WriteOp::new(self, context);
        let created = tokio::spawn(in_request_context(create::create(op, file)));
        created.await.unwrap_or(Err(ReadError::Broken.into()))
    }

    /// Changes one file as `decide` decides, up to three times from its current content if others change it in between.
    pub async fn change<T, E, D>(
        &self,
        context: WriteContext,
        name: FileName,
        decide: D,
    ) -> Result<ChangeOutcome<T>, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        D: Fn(&[u8]) -> Result<BlobUpdate<T>, E> + Send + Sync + 'static,
    {
        let op = WriteOp::new(self, context);
        let change = async move { FileChange { op, name }.run(&decide).await };
        let changed = tokio::spawn(in_request_context(change)).await;
        changed.unwrap_or(Err(ChangeError::Write(ReadError::Broken.into())))
    }

    /// Removes one file, a version that this instance's snapshot knows. If it has changed since, `decide` says whether
    /// what is there now is removed.
    pub async fn remove<E, D>(
        &self,
        context: WriteContext,
        name: FileName,
        target: TargetFile,
        decide: D,
    ) -> Result<ChangeOutcome<()>, ChangeError<E>>
    where
        E: Send + 'static,
        D: Fn(&[u8]) -> Result<(), E> + Send + Sync + 'static,
    {
        let op = WriteOp::new(self, context);
        let removal = async move { FileRemoval::new(op, name).run(target, &decide).await };
        let removed = tokio::spawn(in_request_context(removal)).await;
        removed.unwrap_or(Err(ChangeError::Write(ReadError::Broken.into())))
    }

    /// The storage clock's time at `now`; `None` before the first answer of the store.
    pub fn storage_time(&self, now: &Now) -> Option<DateTime<Utc>> {
        self.states.documents.clock.at(now.mono)
    }

    /// Forgets that these files were removed through the service, by operations of these versions.
    ///
    /// # Errors
    /// When the state document can't be written.
    pub async fn forget_removals(
        &self,
        user: &UserId,
        removals: Vec<(FileName, Version)>,
        now: &Now,
    ) -> Result<(), WriteError> {
        let command = StateCommand::ForgetRemovals(removals);
        let committed = self.states.commits.open(user).submit(command, now).await;
        Ok(committed.map(drop)?)
    }

    /// Writes up to [`MAX_BATCH`] files under one version. Creates and replacements come before deletions, so that a
    /// reader always finds a renamed file. Each file is atomic, the batch isn't.
    ///
    /// # Errors
    /// See [`WriteError`]; some files may have been written even so.
    pub async fn write_batch(
        &self,
        context: WriteContext,
        items: Vec<BatchItem>,
    ) -> Result<BatchResult, WriteError> {
        let op = WriteOp::new(self, context);
        let done = tokio::spawn(in_request_context(batch::write_batch(op, items)));
        done.await.unwrap_or(Err(ReadError::Broken.into()))
    }

    /// Number of users with a write in progress.
    pub fn active_users(&self) -> usize {
        self.states.commits.active_users()
    }

    /// Waits for the background work of acknowledged writes, so that a process that shuts down leaves no write intent.
    pub async fn finish(&self) {
        self.states.commits.wait_idle().await;
    }
}
