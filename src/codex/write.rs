//! Creating, changing and completing tasks.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;

use super::git::hint_text;
use super::locate::WriteTarget;
use super::{Codex, Consistency, ReadRequest, Refusal, Requests, TaskError, Version};
use crate::cache::non_file_problem;
use crate::now::Now;
use crate::store::{BlobKey, BlobUpdate, StoreError};
use crate::task::{
    ContentView, Datum, Edit, EditError, FileName, GitSha, NewTask, Parsed, Slot, Status, Task,
    TaskRef, Zeit, edit, git_sha, new_file, parse,
};
use crate::user::UserId;
use crate::user_state::{KeyHashes, ReadError};
use crate::write::{ChangeError, ChangeOutcome, NewTaskFile, WriteContext, WriteError};

/// A task that was created.
#[derive(Debug, Clone)]
pub struct TaskCreated {
    /// Its file.
    pub name: FileName,
    /// The version that contains it.
    pub version: Version,
    /// The newest version known, which contains it: later than `version` for a repeated request.
    pub known: Version,
    /// The Git blob SHA-1 of its content.
    pub etag: GitSha,
    /// An earlier request with the same `Idempotency-Key` created it.
    pub reused: bool,
    /// The storage requests sent before the answer.
    pub requests: Requests,
}

/// A task that was changed, or needed no change.
#[derive(Debug, Clone)]
pub struct TaskChanged {
    /// Its file.
    pub name: FileName,
    /// The version that contains the change.
    pub version: Version,
    /// The Git blob SHA-1 of its content.
    pub etag: GitSha,
    /// Whether a write was needed.
    pub written: bool,
    /// The storage requests sent before the answer.
    pub requests: Requests,
}

/// A completed task.
#[derive(Debug, Clone)]
pub struct TaskCompleted {
    /// The task.
    pub task: TaskChanged,
    /// When it was completed; `None` for a file whose status an editor set without a time.
    pub at: Option<Slot>,
    /// It was already completed before the request.
    pub already: bool,
}

/// `If-Match` on an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Any content (`*`).
    Any,
    /// One of these contents, by Git blob SHA-1.
    OneOf(Vec<GitSha>),
}

impl IfMatch {
    fn holds(&self, etag: GitSha) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(etags) => etags.contains(&etag),
        }
    }
}

/// Why a write leaves the current file unchanged.
enum EditRejection {
    Edit(EditError),
    Precondition,
}

impl From<EditError> for EditRejection {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

impl Codex {
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
    ) -> Result<TaskCreated, Refusal> {
        self.allow_write(request)?;
        if task.status == Status::Abgeschlossen {
            task.abgeschlossen_am = Some(completion_slot(request.now.utc, self.zone));
        }
        let (slug, text) = new_file(&task).map_err(TaskError::Edit)?;
        let bytes = Bytes::from(text);
        let etag = git_sha(&bytes);
        let file = NewTaskFile { slug, bytes, key };
        let writer = self.write_context(request, "create");
        let created = self.writer.create(writer, file).await?;
        Ok(TaskCreated {
            name: created.name,
            version: created.version,
            known: created.known,
            etag,
            reused: created.reused,
            requests: created.requests,
        })
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
    ) -> Result<TaskChanged, Refusal> {
        self.allow_write(request)?;
        // An empty edit is answered without a write, so it needs a confirmed snapshot.
        let changes_nothing = fields == Edit::default();
        let mut target = match changes_nothing {
            true => {
                self.confirmed_target(request, task, Consistency::Strict)
                    .await?
            }
            false => self.write_target(request, task, |_| false).await?,
        };
        if !may_match(&target, if_match.as_ref()) {
            // The client may know a newer content than the snapshot in memory.
            target = self
                .confirmed_target(request, task, Consistency::Strict)
                .await?;
            if !may_match(&target, if_match.as_ref()) {
                let version = target.entry.bounds.hi;
                return Err(Refusal::at(TaskError::PreconditionFailed, version));
            }
        }
        let etag = target.entry.table().file(target.row).sha;
        if let Some(etag) = etag.filter(|_| changes_nothing) {
            return Ok(TaskChanged {
                name: target.name,
                version: target.entry.bounds.hi,
                etag,
                written: false,
                requests: target.requests,
            });
        }
        let slot = completion_slot(request.now.utc, self.zone);
        let decide = move |name: &FileName, bytes: &[u8]| {
            let etag = git_sha(bytes);
            if if_match.as_ref().is_some_and(|it| !it.holds(etag)) {
                return Err(EditRejection::Precondition);
            }
            let (text, task) = parse_task(name, bytes)?;
            let edited = edit(name, text, &with_completion_slot(&fields, &task, slot))?;
            Ok(decision(text, edited, etag, |etag| etag))
        };
        let (name, done) = self.change(request, task, target, "update", decide).await?;
        Ok(task_changed(name, &done, done.value))
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
    ) -> Result<TaskCompleted, Refusal> {
        self.allow_write(request)?;
        let is_done = |status| status == Status::Abgeschlossen;
        let target = self.write_target(request, task, is_done).await?;
        if let Some(done) = self.already_done(&target) {
            return Ok(done);
        }
        let slot = slot.unwrap_or_else(|| completion_slot(request.now.utc, self.zone));
        let decide = move |name: &FileName, bytes: &[u8]| {
            let (text, task) = parse_task(name, bytes)?;
            if task.status == Status::Abgeschlossen {
                return Ok(BlobUpdate::Keep((
                    git_sha(bytes),
                    task.abgeschlossen_am,
                    true,
                )));
            }
            let done = Edit {
                status: Some(Status::Abgeschlossen),
                abgeschlossen_am: Some(Some(slot)),
                ..Edit::default()
            };
            let edited = edit(name, text, &done)?;
            Ok(decision(text, edited, git_sha(bytes), |etag| {
                (etag, Some(slot), false)
            }))
        };
        let (name, done) = self
            .change(request, task, target, "complete", decide)
            .await?;
        let (etag, at, already) = done.value;
        Ok(TaskCompleted {
            task: task_changed(name, &done, etag),
            at,
            already,
        })
    }

    /// The result for a task that is already completed in a confirmed snapshot.
    fn already_done(&self, target: &WriteTarget) -> Option<TaskCompleted> {
        let file = target.entry.table().file(target.row);
        let ContentView::Task(task) = file.content else {
            return None;
        };
        let etag = file.sha.filter(|_| task.status == Status::Abgeschlossen)?;
        Some(TaskCompleted {
            task: TaskChanged {
                name: target.name.clone(),
                version: target.entry.bounds.hi,
                etag,
                written: false,
                requests: target.requests,
            },
            at: task.abgeschlossen_am,
            already: true,
        })
    }

    /// Changes the file. If it is gone, looks the task up once more after a rebuild: it may have been renamed.
    async fn change<T, D>(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        target: WriteTarget,
        reason: &'static str,
        decide: D,
    ) -> Result<(FileName, ChangeOutcome<T>), Refusal>
    where
        T: Send + 'static,
        D: Fn(&FileName, &[u8]) -> Result<BlobUpdate<T>, EditRejection> + Send + Sync + 'static,
    {
        let decide = Arc::new(decide);
        let mut target = target;
        for last in [false, true] {
            let name = target.name;
            let (decide, of_file) = (Arc::clone(&decide), name.clone());
            let decide = move |bytes: &[u8]| decide(&of_file, bytes);
            let changed = self
                .writer
                .change(self.write_context(request, reason), name.clone(), decide)
                .await;
            match changed {
                Ok(mut done) => {
                    done.requests += target.requests;
                    return Ok((name, done));
                }
                Err(ChangeError::Gone(_)) if !last => {
                    target = self
                        .confirmed_target(request, task, Consistency::Rebuilt)
                        .await?;
                }
                Err(error) => return Err(change_refusal(error)),
            }
        }
        Err(TaskError::NotFound.into())
    }
}

impl Codex {
    /// The writer for a request. In GitHub mode it also leaves a hint in the queue, by which any instance finds files
    /// that aren't pushed yet.
    pub(super) fn write_context(
        &self,
        request: &ReadRequest,
        reason: &'static str,
    ) -> WriteContext {
        self.write_context_for(&request.user, request.now, reason)
    }

    /// The writer for a background job.
    pub(super) fn write_context_for(
        &self,
        user: &UserId,
        now: Now,
        reason: &'static str,
    ) -> WriteContext {
        let hint = || (BlobKey::hint(user), hint_text(now));
        WriteContext {
            user: user.clone(),
            now,
            reason,
            hint: self.git.is_some().then(hint),
        }
    }
}

fn change_refusal(error: ChangeError<EditRejection>) -> Refusal {
    match error {
        ChangeError::Gone(version) => Refusal::at(TaskError::NotFound, version),
        ChangeError::Refused(EditRejection::Edit(EditError::NotATask), version) => {
            Refusal::at(TaskError::NotFound, version)
        }
        ChangeError::Refused(EditRejection::Edit(EditError::Unreadable(problem)), version) => {
            Refusal::at(TaskError::Unreadable(problem), version)
        }
        ChangeError::Refused(EditRejection::Edit(error), version) => {
            Refusal::at(TaskError::Edit(error), version)
        }
        ChangeError::Refused(EditRejection::Precondition, version) => {
            Refusal::at(TaskError::PreconditionFailed, version)
        }
        ChangeError::Conflict(version) => WriteError::Conflict(version).into(),
        // A folder or the like replaced the file since the snapshot was made.
        ChangeError::Write(WriteError::Read(ReadError::Store(StoreError::NotAFile { .. }))) => {
            TaskError::Unreadable(non_file_problem()).into()
        }
        ChangeError::Write(error) => error.into(),
    }
}

/// Whether `if_match` may hold, by the snapshot. `true` if the snapshot has no hash; the write checks the file itself.
fn may_match(target: &WriteTarget, if_match: Option<&IfMatch>) -> bool {
    let etag = target.entry.table().file(target.row).sha;
    if_match.is_none_or(|it| etag.is_none_or(|etag| it.holds(etag)))
}

/// The file's text and parsed task.
fn parse_task<'a>(name: &FileName, bytes: &'a [u8]) -> Result<(&'a str, Task), EditError> {
    match (parse(name, bytes), std::str::from_utf8(bytes)) {
        (Parsed::Task(task), Ok(text)) => Ok((text, task)),
        (Parsed::Unreadable(problem), _) => Err(EditError::Unreadable(problem)),
        _ => Err(EditError::NotATask),
    }
}

/// Decides whether to write. `value` gets the SHA-1 of the new content, or `etag` if nothing changes.
fn decision<T>(
    text: &str,
    edited: String,
    etag: GitSha,
    value: impl FnOnce(GitSha) -> T,
) -> BlobUpdate<T> {
    if edited == text {
        BlobUpdate::Keep(value(etag))
    } else {
        let etag = git_sha(edited.as_bytes());
        BlobUpdate::Write(edited.into(), value(etag))
    }
}

/// Adds the change of the completion time that follows from a change of status: `abgeschlossen` sets it to `slot`
/// unless it is set already, any other status removes it.
fn with_completion_slot(fields: &Edit, task: &Task, slot: Slot) -> Edit {
    let already_done = task.status == Status::Abgeschlossen && task.abgeschlossen_am.is_some();
    let abgeschlossen_am = match fields.status {
        None => None,
        Some(Status::Abgeschlossen) if already_done => None,
        Some(Status::Abgeschlossen) => Some(Some(slot)),
        Some(Status::Offen | Status::Abgebrochen) => Some(None),
    };
    Edit {
        abgeschlossen_am,
        ..fields.clone()
    }
}

fn task_changed<T>(name: FileName, done: &ChangeOutcome<T>, etag: GitSha) -> TaskChanged {
    TaskChanged {
        name,
        version: done.version,
        etag,
        written: done.written,
        requests: done.requests,
    }
}

/// The slot of a completion at `now`, in local time: `morgens` before 12:00, `nachmittags` before 18:00, else `abends`.
fn completion_slot(now: DateTime<Utc>, zone: Tz) -> Slot {
    let local = now.with_timezone(&zone);
    let zeit = match local.hour() {
        0..12 => Zeit::Morgens,
        12..18 => Zeit::Nachmittags,
        _ => Zeit::Abends,
    };
    Slot {
        datum: Datum(local.date_naive()),
        zeit,
    }
}
