//! Creating, changing, completing and deleting tasks.

use std::sync::Arc;

use bytes::Bytes;
use chrono_tz::Tz;

use super::edits::{
    CompletionResult, DeleteStep, IfMatch, UpdateStep, completed, completion_slot, deletable,
    delete_step, update_step, updated,
};
use super::error::{Refusal, TaskError};
use super::limit::RateLimiter;
use super::locate::{Located, locate, unconfirmed_target};
use crate::cache::{Cache, Consistency, Read, ReadRequest, Snapshot};
use crate::git_sync::hint;
use crate::now::Now;
use crate::store::{BlobUpdate, ETag, Requests};
use crate::task::{
    ContentView, Edit, FileName, FileView, GitSha, NewTask, Slot, Status, TaskRef, new_file,
};
use crate::user::UserId;
use crate::user_state::{KeyHashes, ReadError};
use crate::write::{
    BatchItem, BatchResult, ChangeError, ChangeOutcome, CreatedTask, NewTaskFile, TargetFile,
    WriteContext, Writer,
};

/// The file that a write changes.
struct WriteTarget {
    name: FileName,
    row: usize,
    /// The snapshot it was found in.
    entry: Arc<Snapshot>,
    /// The storage requests that the lookup took.
    requests: Requests,
}

impl WriteTarget {
    fn new(entry: Arc<Snapshot>, row: usize, requests: Requests) -> Result<Self, Refusal> {
        let name = entry.table().file(row).name.parse();
        let name = name.map_err(|_| ReadError::Broken)?;
        Ok(Self {
            name,
            row,
            entry,
            requests,
        })
    }

    fn file(&self) -> FileView<'_> {
        self.entry.table().file(self.row)
    }

    /// The answer that the content needs no change.
    fn unchanged<T>(self, value: T) -> ChangeOutcome<T> {
        ChangeOutcome {
            name: self.name,
            version: self.entry.bounds.hi,
            value,
            written: false,
            requests: self.requests,
        }
    }
}

/// Writes tasks.
#[derive(Clone)]
pub struct TaskWriter {
    pub(super) cache: Arc<Cache>,
    pub(super) files: Writer,
    pub(super) writes: RateLimiter,
    pub(super) rebuilds: RateLimiter,
    pub(super) zone: Tz,
    /// In GitHub mode a write leaves a hint in the queue, by which any instance finds files that aren't pushed yet.
    pub(super) leaves_hints: bool,
}

impl TaskWriter {
    /// Creates a task with a new number. A task created with the status `abgeschlossen` is completed as of now.
    ///
    /// # Errors
    /// When the write limit is used up, the fields are invalid, the key was used for another request, or the write
    /// fails.
    pub async fn create(
        &self,
        request: &ReadRequest,
        mut task: NewTask,
        key: Option<KeyHashes>,
    ) -> Result<CreatedTask, Refusal> {
        self.writes.allow(request)?;
        if task.status == Status::Abgeschlossen {
            task.abgeschlossen_am = Some(completion_slot(request.now.utc, self.zone));
        }
        let (slug, text) = new_file(&task)?;
        let bytes = Bytes::from(text);
        let file = NewTaskFile { slug, bytes, key };
        let context = self.context(&request.user, request.now, "create");
        Ok(self.files.create(context, file).await?)
    }

    /// Sets the fields in `fields` and leaves the others. After a concurrent change the edit is applied to the newer
    /// text, unless `if_match` excludes that.
    ///
    /// # Errors
    /// When the write limit is used up, the task isn't there, `if_match` doesn't hold, the edit is invalid, or the
    /// write fails.
    pub async fn update(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        fields: Edit,
        if_match: Option<IfMatch>,
    ) -> Result<ChangeOutcome<GitSha>, Refusal> {
        self.writes.allow(request)?;
        let confirmed = || self.confirmed_target(request, task, Consistency::Strict);
        // An empty edit is answered without a write, so it needs a confirmed snapshot.
        let is_empty = fields == Edit::default();
        let mut target = match is_empty {
            true => confirmed().await?,
            false => self.target(request, task, |_| false).await?,
        };
        let mut was_confirmed = false;
        loop {
            let etag = target.file().sha;
            match update_step(etag, if_match.as_ref(), is_empty, was_confirmed) {
                UpdateStep::ConfirmFirst => {
                    target = confirmed().await?;
                    was_confirmed = true;
                }
                UpdateStep::PreconditionFailed => {
                    let version = target.entry.bounds.hi;
                    return Err(Refusal::at(TaskError::PreconditionFailed, version));
                }
                UpdateStep::Unchanged(etag) => return Ok(target.unchanged(etag)),
                UpdateStep::Write => break,
            }
        }
        let slot = completion_slot(request.now.utc, self.zone);
        let decide = move |name: &FileName, bytes: &[u8]| {
            updated(name, bytes, &fields, if_match.as_ref(), slot)
        };
        self.change(request, task, target, "update", decide).await
    }

    /// Completes a task as of `slot`, or now. A completed task stays unchanged.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn complete(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        slot: Option<Slot>,
    ) -> Result<ChangeOutcome<CompletionResult>, Refusal> {
        self.writes.allow(request)?;
        let is_done = |status| status == Status::Abgeschlossen;
        let target = self.target(request, task, is_done).await?;
        let file = target.file();
        if let (ContentView::Task(task), Some(etag)) = (&file.content, file.sha)
            && is_done(task.status)
        {
            let at = task.abgeschlossen_am;
            return Ok(target.unchanged(CompletionResult {
                etag,
                at,
                already: true,
            }));
        }
        let slot = slot.unwrap_or_else(|| completion_slot(request.now.utc, self.zone));
        let decide = move |name: &FileName, bytes: &[u8]| completed(name, bytes, slot);
        self.change(request, task, target, "complete", decide).await
    }

    /// Deletes a task, or a file that can't be read as one. After a concurrent change its newer content is deleted,
    /// unless `if_match` excludes that.
    ///
    /// # Errors
    /// When the write limit is used up, the task isn't there, `if_match` doesn't hold, or the write fails.
    pub async fn delete(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        if_match: Option<IfMatch>,
    ) -> Result<ChangeOutcome<()>, Refusal> {
        self.writes.allow(request)?;
        let mut target = self.deletion_target(request, task).await?;
        let mut was_confirmed = false;
        loop {
            match delete_step(target.file().sha, if_match.as_ref(), was_confirmed) {
                DeleteStep::Delete => break,
                DeleteStep::ConfirmFirst => {
                    target = self.existing(request, task, Consistency::Strict).await?;
                    was_confirmed = true;
                }
                DeleteStep::PreconditionFailed => {
                    let version = target.entry.bounds.hi;
                    return Err(Refusal::at(TaskError::PreconditionFailed, version));
                }
            }
        }
        for last in [false, true] {
            let file = target.file();
            let version = TargetFile {
                etag: ETag::new(file.etag),
                sha: file.sha,
            };
            let (if_match, name) = (if_match.clone(), target.name.clone());
            let decide = move |bytes: &[u8]| deletable(&name, bytes, if_match.as_ref());
            let context = self.context(&request.user, request.now, "delete");
            let deleted = self
                .files
                .remove(context, target.name, version, decide)
                .await;
            match deleted {
                Ok(mut done) => {
                    done.requests += target.requests;
                    return Ok(done);
                }
                Err(ChangeError::Gone(_)) if !last => {
                    target = self.existing(request, task, Consistency::Rebuilt).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(TaskError::NotFound.into())
    }

    /// Writes up to [`MAX_BATCH`](crate::write::MAX_BATCH) files under one version.
    /// [`FileOutcome`](crate::write::FileOutcome) is the outcome for each file.
    ///
    /// # Errors
    /// When the batch as a whole failed.
    pub async fn write_files(
        &self,
        request: &ReadRequest,
        changes: Vec<BatchItem>,
    ) -> Result<BatchResult, Refusal> {
        let context = self.context(&request.user, request.now, "files");
        Ok(self.files.write_batch(context, changes).await?)
    }

    /// The file that a write changes, from memory if that is enough: see [`unconfirmed_target`].
    async fn target(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        is_done: fn(Status) -> bool,
    ) -> Result<WriteTarget, Refusal> {
        let known = self.cache.known(&request.user);
        if let Some(entry) = known
            && request.seen.is_none_or(|seen| seen <= entry.bounds.lo)
            && let Some(row) = unconfirmed_target(entry.table(), task, is_done)
        {
            return WriteTarget::new(entry, row, Requests::default());
        }
        self.confirmed_target(request, task, Consistency::Strict)
            .await
    }

    /// The file that a write changes, found in a snapshot that this call confirms.
    async fn confirmed_target(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        consistency: Consistency,
    ) -> Result<WriteTarget, Refusal> {
        let mut read = self.confirmed_read(request, consistency).await?;
        let mut located = locate(read.entry.table(), task);
        // An editor may have repaired the file since it was listed: rebuild before reporting the problem.
        if matches!(located, Located::Unreadable(..)) && consistency != Consistency::Rebuilt {
            read = self.confirmed_read(request, Consistency::Rebuilt).await?;
            located = locate(read.entry.table(), task);
        }
        match located {
            Located::Task(row) => WriteTarget::new(read.entry, row, read.requests),
            other => Err(other.refusal(read.entry.bounds.hi)),
        }
    }

    /// The file that a deletion removes, from a snapshot as current as a read's: a later repetition finds none.
    async fn deletion_target(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
    ) -> Result<WriteTarget, Refusal> {
        let found = self.existing(request, task, request.consistency).await;
        match found {
            // A refusal needs a confirmed snapshot.
            Err(_) if request.consistency == Consistency::Bounded => {
                self.existing(request, task, Consistency::Strict).await
            }
            found => found,
        }
    }

    /// The task's file, or one that can't be read as a task, in a snapshot of this consistency.
    async fn existing(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        consistency: Consistency,
    ) -> Result<WriteTarget, Refusal> {
        let read = self.confirmed_read(request, consistency).await?;
        match locate(read.entry.table(), task) {
            Located::Task(row) => WriteTarget::new(read.entry, row, read.requests),
            // What has no version, such as a folder, can't be removed conditionally.
            Located::Unreadable(row, _) if !read.entry.table().file(row).etag.is_empty() => {
                WriteTarget::new(read.entry, row, read.requests)
            }
            other => Err(other.refusal(read.entry.bounds.hi)),
        }
    }

    /// Reads a snapshot of this consistency. A forced rebuild counts against the user's rebuild limit.
    async fn confirmed_read(
        &self,
        request: &ReadRequest,
        consistency: Consistency,
    ) -> Result<Read, TaskError> {
        if consistency == Consistency::Rebuilt {
            self.rebuilds.allow(request)?;
        }
        Ok(self.cache.read(&request.at(consistency)).await?)
    }

    /// Changes the file. If it is gone, looks the task up once more after a rebuild: it may have been renamed.
    async fn change<T, D>(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        mut target: WriteTarget,
        reason: &'static str,
        decide: D,
    ) -> Result<ChangeOutcome<T>, Refusal>
    where
        T: Send + 'static,
        D: Fn(&FileName, &[u8]) -> Result<BlobUpdate<T>, TaskError> + Send + Sync + 'static,
    {
        let decide = Arc::new(decide);
        for last in [false, true] {
            let (decide, name) = (Arc::clone(&decide), target.name.clone());
            let decide = move |bytes: &[u8]| decide(&name, bytes);
            let context = self.context(&request.user, request.now, reason);
            match self.files.change(context, target.name, decide).await {
                Ok(mut done) => {
                    done.requests += target.requests;
                    return Ok(done);
                }
                Err(ChangeError::Gone(_)) if !last => {
                    target = self
                        .confirmed_target(request, task, Consistency::Rebuilt)
                        .await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(TaskError::NotFound.into())
    }

    /// What the cache needs to know of a write.
    pub(super) fn context(&self, user: &UserId, now: Now, reason: &'static str) -> WriteContext {
        WriteContext {
            user: user.clone(),
            now,
            reason,
            hint: self.leaves_hints.then(|| hint(user, now)),
        }
    }
}
