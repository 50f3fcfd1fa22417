//! What an update or a completion does with a task file. Pure.

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;

use super::error::TaskError;
use crate::store::BlobUpdate;
use crate::task::{
    Datum, Edit, EditError, FileName, GitSha, Parsed, Slot, Status, Task, Zeit, edit, git_sha,
    parse,
};

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

/// What an update does next, by the snapshot in which its file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateStep {
    /// Look at a snapshot that is confirmed now: the client may know a newer content than this one.
    ConfirmFirst,
    /// Refuse: `If-Match` doesn't hold.
    PreconditionFailed,
    /// Answer without a write: the edit changes nothing of this content.
    Unchanged(GitSha),
    /// Write. The write itself checks `If-Match` by the file.
    Write,
}

/// What an update does next. `etag` is the snapshot's hash of the file, if it has one; `was_confirmed` after
/// [`UpdateStep::ConfirmFirst`].
pub fn update_step(
    etag: Option<GitSha>,
    if_match: Option<&IfMatch>,
    is_empty: bool,
    was_confirmed: bool,
) -> UpdateStep {
    let may_match = if_match.is_none_or(|it| etag.is_none_or(|etag| it.holds(etag)));
    match etag.filter(|_| is_empty) {
        _ if !may_match && !was_confirmed => UpdateStep::ConfirmFirst,
        _ if !may_match => UpdateStep::PreconditionFailed,
        Some(etag) => UpdateStep::Unchanged(etag),
        None => UpdateStep::Write,
    }
}

/// What a deletion does next, by the snapshot in which its file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteStep {
    /// Look at a snapshot that is confirmed now: the client may know a newer content than this one.
    ConfirmFirst,
    /// Refuse: `If-Match` doesn't hold.
    PreconditionFailed,
    /// Delete exactly this version of the file.
    Delete,
}

/// What a deletion does next. `etag` is the snapshot's hash of the file; without one (of a file that can't be read) no
/// listed one can hold.
pub fn delete_step(
    etag: Option<GitSha>,
    if_match: Option<&IfMatch>,
    was_confirmed: bool,
) -> DeleteStep {
    let holds = match (if_match, etag) {
        (None | Some(IfMatch::Any), _) => true,
        (Some(it), Some(etag)) => it.holds(etag),
        (Some(IfMatch::OneOf(_)), None) => false,
    };
    match (holds, was_confirmed) {
        (true, _) => DeleteStep::Delete,
        (false, false) => DeleteStep::ConfirmFirst,
        (false, true) => DeleteStep::PreconditionFailed,
    }
}

/// Whether the content `bytes`, which has taken the place of the one that was found, is deleted as well.
///
/// # Errors
/// When `if_match` doesn't hold, or the file is no task's any more.
pub fn deletable(
    name: &FileName,
    bytes: &[u8],
    if_match: Option<&IfMatch>,
) -> Result<(), TaskError> {
    if if_match.is_some_and(|it| !it.holds(git_sha(bytes))) {
        return Err(TaskError::PreconditionFailed);
    }
    match parse(name, bytes) {
        Parsed::Task(_) | Parsed::Unreadable(_) => Ok(()),
        Parsed::NotATask | Parsed::Tombstone => Err(TaskError::NotFound),
    }
}

/// What an update writes in place of the content `bytes`, with the SHA-1 of the result. A completion that follows from
/// it is as of `slot`.
///
/// # Errors
/// When `if_match` doesn't hold, the file isn't a readable task, or the edit is invalid.
pub fn updated(
    name: &FileName,
    bytes: &[u8],
    fields: &Edit,
    if_match: Option<&IfMatch>,
    slot: Slot,
) -> Result<BlobUpdate<GitSha>, TaskError> {
    if if_match.is_some_and(|it| !it.holds(git_sha(bytes))) {
        return Err(TaskError::PreconditionFailed);
    }
    let (text, task) = parse_task(name, bytes)?;
    let edited = edit(name, text, &with_completion_slot(fields, &task, slot))?;
    Ok(decision(text, edited, |etag| etag))
}

/// The result of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletionResult {
    /// The SHA-1 of the content.
    pub etag: GitSha,
    /// When the task was completed; `None` for a file whose status an editor set without a time.
    pub at: Option<Slot>,
    /// It was completed already.
    pub already: bool,
}

/// What a completion as of `slot` writes in place of the content `bytes`. A completed task stays unchanged.
///
/// # Errors
/// When the file isn't a readable task, or can't be edited.
pub fn completed(
    name: &FileName,
    bytes: &[u8],
    slot: Slot,
) -> Result<BlobUpdate<CompletionResult>, TaskError> {
    let (text, task) = parse_task(name, bytes)?;
    if task.status == Status::Abgeschlossen {
        return Ok(BlobUpdate::Keep(CompletionResult {
            etag: git_sha(bytes),
            at: task.abgeschlossen_am,
            already: true,
        }));
    }
    let done = Edit {
        status: Some(Status::Abgeschlossen),
        abgeschlossen_am: Some(Some(slot)),
        ..Edit::default()
    };
    let edited = edit(name, text, &done)?;
    Ok(decision(text, edited, |etag| CompletionResult {
        etag,
        at: Some(slot),
        already: false,
    }))
}

/// The slot of a completion at `now`, in local time: `morgens` before 12:00, `nachmittags` before 18:00, else `abends`.
pub fn completion_slot(now: DateTime<Utc>, zone: Tz) -> Slot {
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

fn parse_task<'a>(name: &FileName, bytes: &'a [u8]) -> Result<(&'a str, Task), EditError> {
    match (parse(name, bytes), std::str::from_utf8(bytes)) {
        (Parsed::Task(task), Ok(text)) => Ok((text, task)),
        (Parsed::Unreadable(problem), _) => Err(EditError::Unreadable(problem)),
        _ => Err(EditError::NotATask),
    }
}

/// Writes `edited`, unless it is the same text. `value` gets its SHA-1.
fn decision<T>(text: &str, edited: String, value: impl FnOnce(GitSha) -> T) -> BlobUpdate<T> {
    let value = value(git_sha(edited.as_bytes()));
    match edited == text {
        true => BlobUpdate::Keep(value),
        false => BlobUpdate::Write(edited.into(), value),
    }
}
