//! Creating, changing and completing tasks.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;

use super::git::hint_text;
use super::locate::Target;
use super::{Codex, Freshness, Refusal, Requests, TaskError, Version, Want};
use crate::cache::{
    ChangeError, Decision, FileChanged, KeyHashes, NewFile, ReadError, WriteError, Writer,
    not_a_file,
};
use crate::now::Now;
use crate::store::{Key, StoreError};
use crate::task::{
    ContentView, Datum, Edit, EditError, FileName, GitSha, NewTask, Parsed, Slot, Status, Task,
    TaskRef, Zeit, edit, git_sha, new_file, parse,
};
use crate::user::UserId;

/// A task that was created.
#[derive(Debug, Clone)]
pub struct TaskCreated {
    /// Its file.
    pub name: FileName,
    /// The version that contains it.
    pub version: Version,
    /// The newest version known, which contains it: a later one for a request that came before.
    pub known: Version,
    /// What Git calls its content.
    pub etag: GitSha,
    /// An earlier request with the same key had created it.
    pub reused: bool,
    /// The storage requests sent before the answer.
    pub requests: Requests,
}

/// A task that was changed, or already was as it should be.
#[derive(Debug, Clone)]
pub struct TaskChanged {
    /// Its file.
    pub name: FileName,
    /// The version that contains the change.
    pub version: Version,
    /// What Git calls its content.
    pub etag: GitSha,
    /// Whether there was something to write.
    pub written: bool,
    /// The storage requests sent before the answer.
    pub requests: Requests,
}

/// A task that is done.
#[derive(Debug, Clone)]
pub struct TaskCompleted {
    /// The task.
    pub task: TaskChanged,
    /// When it was done; `None` for a task that was marked as done by hand, without a time.
    pub at: Option<Slot>,
    /// It was done before.
    pub already: bool,
}

/// `If-Match` on an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever is there.
    Any,
    /// One of these contents.
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

/// Why the file as it is isn't changed.
enum Objection {
    Edit(EditError),
    Precondition,
}

impl From<EditError> for Objection {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

impl Codex {
    /// Creates a task and gives it a number. A task that is created as done is done as of now.
    pub async fn create(
        &self,
        want: &Want,
        mut task: NewTask,
        key: Option<KeyHashes>,
    ) -> Result<TaskCreated, Refusal> {
        self.allow_write(want)?;
        if task.status == Status::Abgeschlossen {
            task.abgeschlossen_am = Some(completion_slot(want.now.utc, self.zone));
        }
        let (slug, text) = new_file(&task).map_err(TaskError::Edit)?;
        let bytes = Bytes::from(text);
        let etag = git_sha(&bytes);
        let file = NewFile { slug, bytes, key };
        let writer = self.writer(want, "create");
        let created = self.cache.create(writer, file).await?;
        Ok(TaskCreated {
            name: created.name,
            version: created.version,
            known: created.known,
            etag,
            reused: created.reused,
            requests: created.requests,
        })
    }

    /// Changes the fields that `fields` names and leaves the rest. When somebody else changed the task
    /// at the same time, the fields are changed in the newer text, unless `if_match` forbids it.
    pub async fn update(
        &self,
        want: &Want,
        task: &TaskRef,
        fields: Edit,
        if_match: Option<IfMatch>,
    ) -> Result<TaskChanged, Refusal> {
        self.allow_write(want)?;
        // Nothing to change is a matter for a confirmed index.
        let changes_nothing = fields == Edit::default();
        let mut target = match changes_nothing {
            true => self.confirmed_target(want, task, Freshness::Strict).await?,
            false => self.target(want, task, |_| false).await?,
        };
        if !fits(&target, if_match.as_ref()) {
            // Memory may be behind what the client knows.
            target = self.confirmed_target(want, task, Freshness::Strict).await?;
            if !fits(&target, if_match.as_ref()) {
                let version = target.entry.knowledge.hi;
                return Err(Refusal::at(TaskError::PreconditionFailed, version));
            }
        }
        let etag = target.entry.table().file(target.row).sha;
        if let Some(etag) = etag.filter(|_| changes_nothing) {
            return Ok(TaskChanged {
                name: target.name,
                version: target.entry.knowledge.hi,
                etag,
                written: false,
                requests: target.requests,
            });
        }
        let slot = completion_slot(want.now.utc, self.zone);
        let decide = move |name: &FileName, bytes: &[u8]| {
            let etag = git_sha(bytes);
            if if_match.as_ref().is_some_and(|it| !it.holds(etag)) {
                return Err(Objection::Precondition);
            }
            let (text, task) = readable(name, bytes)?;
            let edited = edit(name, text, &with_completion(&fields, &task, slot))?;
            Ok(decision(text, edited, etag, |etag| etag))
        };
        let (name, done) = self.change(want, task, target, "update", decide).await?;
        Ok(changed(name, &done, done.value))
    }

    /// Marks a task as done at `slot`, or now. One that is done stays as it is.
    pub async fn complete(
        &self,
        want: &Want,
        task: &TaskRef,
        slot: Option<Slot>,
    ) -> Result<TaskCompleted, Refusal> {
        self.allow_write(want)?;
        let is_done = |status| status == Status::Abgeschlossen;
        let target = self.target(want, task, is_done).await?;
        if let Some(done) = self.done_before(&target) {
            return Ok(done);
        }
        let slot = slot.unwrap_or_else(|| completion_slot(want.now.utc, self.zone));
        let decide = move |name: &FileName, bytes: &[u8]| {
            let (text, task) = readable(name, bytes)?;
            if task.status == Status::Abgeschlossen {
                return Ok(Decision::Keep((
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
        let (name, done) = self.change(want, task, target, "complete", decide).await?;
        let (etag, at, already) = done.value;
        Ok(TaskCompleted {
            task: changed(name, &done, etag),
            at,
            already,
        })
    }

    /// The answer for a task that a confirmed index says is done.
    fn done_before(&self, target: &Target) -> Option<TaskCompleted> {
        let file = target.entry.table().file(target.row);
        let ContentView::Task(task) = file.content else {
            return None;
        };
        let etag = file.sha.filter(|_| task.status == Status::Abgeschlossen)?;
        Some(TaskCompleted {
            task: TaskChanged {
                name: target.name.clone(),
                version: target.entry.knowledge.hi,
                etag,
                written: false,
                requests: target.requests,
            },
            at: task.abgeschlossen_am,
            already: true,
        })
    }

    /// Changes the file, and looks once more where it is when it has gone from there.
    async fn change<T, D>(
        &self,
        want: &Want,
        task: &TaskRef,
        target: Target,
        reason: &'static str,
        decide: D,
    ) -> Result<(FileName, FileChanged<T>), Refusal>
    where
        T: Send + 'static,
        D: Fn(&FileName, &[u8]) -> Result<Decision<T>, Objection> + Send + Sync + 'static,
    {
        let decide = Arc::new(decide);
        let mut target = target;
        for last in [false, true] {
            let name = target.name;
            let (decide, of_file) = (Arc::clone(&decide), name.clone());
            let decide = move |bytes: &[u8]| decide(&of_file, bytes);
            let changed = self
                .cache
                .change(self.writer(want, reason), name.clone(), decide)
                .await;
            match changed {
                Ok(mut done) => {
                    done.requests += target.requests;
                    return Ok((name, done));
                }
                Err(ChangeError::Gone(_)) if !last => {
                    target = self
                        .confirmed_target(want, task, Freshness::Rebuilt)
                        .await?;
                }
                Err(error) => return Err(refusal_of(error)),
            }
        }
        Err(TaskError::NotFound.into())
    }
}

impl Codex {
    /// Who writes. In GitHub mode a hint goes beside the file, by which others find what Git doesn't have.
    pub(super) fn writer(&self, want: &Want, reason: &'static str) -> Writer {
        self.writer_for(&want.user, want.now, reason)
    }

    /// The same without a request.
    pub(super) fn writer_for(&self, user: &UserId, now: Now, reason: &'static str) -> Writer {
        let hint = || (Key::hint(user), hint_text(now));
        Writer {
            user: user.clone(),
            now,
            reason,
            hint: self.git.is_some().then(hint),
        }
    }
}

fn refusal_of(error: ChangeError<Objection>) -> Refusal {
    match error {
        ChangeError::Gone(version) => Refusal::at(TaskError::NotFound, version),
        ChangeError::Refused(Objection::Edit(EditError::NotATask), version) => {
            Refusal::at(TaskError::NotFound, version)
        }
        ChangeError::Refused(Objection::Edit(EditError::Unreadable(problem)), version) => {
            Refusal::at(TaskError::Unreadable(problem), version)
        }
        ChangeError::Refused(Objection::Edit(error), version) => {
            Refusal::at(TaskError::Edit(error), version)
        }
        ChangeError::Refused(Objection::Precondition, version) => {
            Refusal::at(TaskError::PreconditionFailed, version)
        }
        ChangeError::Conflict(version) => WriteError::Conflict(version).into(),
        // It has come in the file's place since the index was made.
        ChangeError::Write(WriteError::Read(ReadError::Store(StoreError::NotAFile { .. }))) => {
            TaskError::Unreadable(not_a_file()).into()
        }
        ChangeError::Write(error) => error.into(),
    }
}

/// As far as the index can tell: what it doesn't know, the file will.
fn fits(target: &Target, if_match: Option<&IfMatch>) -> bool {
    let etag = target.entry.table().file(target.row).sha;
    if_match.is_none_or(|it| etag.is_none_or(|etag| it.holds(etag)))
}

fn readable<'a>(name: &FileName, bytes: &'a [u8]) -> Result<(&'a str, Task), EditError> {
    match (parse(name, bytes), std::str::from_utf8(bytes)) {
        (Parsed::Task(task), Ok(text)) => Ok((text, task)),
        (Parsed::Unreadable(problem), _) => Err(EditError::Unreadable(problem)),
        _ => Err(EditError::NotATask),
    }
}

/// `value` gets the content's new name, or the present one where nothing changes.
fn decision<T>(
    text: &str,
    edited: String,
    etag: GitSha,
    value: impl FnOnce(GitSha) -> T,
) -> Decision<T> {
    if edited == text {
        Decision::Keep(value(etag))
    } else {
        let etag = git_sha(edited.as_bytes());
        Decision::Write(edited.into(), value(etag))
    }
}

/// A status says when a task was done: `abgeschlossen` sets it, as completing does, and keeps it when
/// it is set; any other removes it.
fn with_completion(fields: &Edit, task: &Task, slot: Slot) -> Edit {
    let done_before = task.status == Status::Abgeschlossen && task.abgeschlossen_am.is_some();
    let abgeschlossen_am = match fields.status {
        None => None,
        Some(Status::Abgeschlossen) if done_before => None,
        Some(Status::Abgeschlossen) => Some(Some(slot)),
        Some(Status::Offen | Status::Abgebrochen) => Some(None),
    };
    Edit {
        abgeschlossen_am,
        ..fields.clone()
    }
}

fn changed<T>(name: FileName, done: &FileChanged<T>, etag: GitSha) -> TaskChanged {
    TaskChanged {
        name,
        version: done.version,
        etag,
        written: done.written,
        requests: done.requests,
    }
}

/// The slot that something done at `now` counts for: `morgens` before 12:00, `nachmittags` before 18:00.
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
