//! PURE. Renders a timeline to JSON and HTML.

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

pub use html::{Bodies, STYLESHEET, UNREADABLE_BODY, html};
pub use json::{WeekDocument, json};
pub use language::Language;
pub use markdown::markdown_to_html;
pub use task::{FileObject, TaskObject};

/// The input of a rendered week: a user's placed tasks.
#[derive(Debug, Clone, Copy)]
pub struct Week<'a> {
    /// The user.
    pub user: &'a UserId,
    /// Folder of the task files in storage, ending in `/`; `file` members start with it.
    pub folder: &'a str,
    /// The user's files.
    pub table: &'a TaskTable,
    /// The placement of `table`.
    pub timeline: &'a Timeline,
    /// The time zone of the placement.
    pub zone: Tz,
    /// The number of the next new task; `None` when all are used.
    pub next_available_id: Option<TaskId>,
    /// Count of unused task numbers.
    pub free_ids: usize,
    /// Files with merge conflicts, in which the change made here won over Git's.
    pub merged: &'a [MergedRow<'a>],
}

/// A file with a merge conflict between a change made here and one made in Git.
#[derive(Debug, Clone, Copy)]
pub struct MergedRow<'a> {
    /// The file's row in the table.
    pub row: usize,
    /// The fields in conflict, in which the change made here won.
    pub fields: &'a [String],
}

/// Timestamps and version of the data: the part of a document that differs between instances.
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

/// `problems` has a warning when at most this many task numbers are free (`src/task/README.md`, "Names").
const FEW_IDS: usize = 100;

/// RFC 3339 in UTC, whole seconds.
fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The task in `row`; `None` for an unreadable file.
fn task_in<'a>(week: &Week<'a>, row: usize) -> Option<TaskView<'a>> {
    match week.table.file(row).content {
        ContentView::Task(task) => Some(task),
        _ => None,
    }
}

/// The problem for which the file in `row` is in `problems`.
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
