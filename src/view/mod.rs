//! PURE. A timeline as the bytes a client gets: JSON and HTML.

mod html;
mod json;
mod language;
mod markdown;
mod task;
mod words;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use utoipa::ToSchema;

use crate::task::{ContentView, FixedSlotView, Problem, TaskId, TaskTable, TaskView};
use crate::timeline::Timeline;
use crate::user::UserId;

pub use html::{Bodies, CLOSED_BODY, STYLESHEET, html};
pub use json::{Document, json};
pub use language::Language;
pub use markdown::markdown_to_html;
pub use task::{FileObject, TaskObject};

/// Everything an answer shows of one user.
#[derive(Debug, Clone, Copy)]
pub struct Week<'a> {
    /// Whose week.
    pub user: &'a UserId,
    /// Folder of the task files in storage, ending in `/`; `file` members start with it.
    pub folder: &'a str,
    /// The files.
    pub table: &'a TaskTable,
    /// Placed from `table`.
    pub timeline: &'a Timeline,
    /// The zone it was placed in.
    pub zone: Tz,
    /// The number the next new task gets; `None` when all are used up.
    pub next_available_id: Option<TaskId>,
    /// How many numbers no file has.
    pub free_ids: usize,
    /// Files in which a change made here stands against one made in Git.
    pub merged: &'a [MergedRow<'a>],
}

/// A file whose fields were changed both here and in Git.
#[derive(Debug, Clone, Copy)]
pub struct MergedRow<'a> {
    /// The file.
    pub row: usize,
    /// The fields in which the change made here stands.
    pub fields: &'a [String],
}

/// When an answer's data was made; the part of a document that differs between instances.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Stamps {
    /// When the files were last listed, by the storage's clock.
    pub cache_created_at: DateTime<Utc>,
    /// When the tasks were placed.
    pub generated_at: DateTime<Utc>,
    /// The version of the user's data.
    pub version: u64,
}

/// From so many free numbers down, `problems` warns (`src/task/README.md`, "Names").
const FEW_IDS: usize = 100;

/// RFC 3339 in UTC, whole seconds.
fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The task in `row`, if that file is one.
fn task_in<'a>(week: &Week<'a>, row: usize) -> Option<TaskView<'a>> {
    match week.table.file(row).content {
        ContentView::Task(task) => Some(task),
        _ => None,
    }
}

/// Why the file in `row` stands in `problems`.
fn problem_in<'a>(week: &Week<'a>, row: usize) -> Option<&'a Problem> {
    match week.table.file(row).content {
        ContentView::Unreadable(problem) => Some(problem),
        ContentView::Task(TaskView {
            fixed_slot: FixedSlotView::Invalid(problem),
            ..
        }) => Some(problem),
        _ => None,
    }
}
