//! What is rendered: a user's week.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use utoipa::ToSchema;

use crate::task::{ContentView, FixedSlotView, Problem, TaskId, TaskTable, TaskView};
use crate::timeline::Timeline;
use crate::user::UserId;

/// `problems` has a warning when at most this many task numbers are free (`src/task/README.md`, "Names").
const FEW_IDS: usize = 100;

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

impl<'a> Week<'a> {
    /// The task in `row`; `None` for an unreadable file.
    pub(super) fn task(&self, row: usize) -> Option<TaskView<'a>> {
        match self.table.file(row).content {
            ContentView::Task(task) => Some(task),
            _ => None,
        }
    }

    /// The problem for which the file in `row` is in `problems`.
    pub(super) fn problem(&self, row: usize) -> Option<&'a Problem> {
        match self.table.file(row).content {
            ContentView::Unreadable(problem) => Some(problem),
            ContentView::Task(TaskView {
                fixed_slot: FixedSlotView::Invalid(problem),
                ..
            }) => Some(problem),
            _ => None,
        }
    }

    /// Whether few task numbers are free, which is a warning in `problems`.
    pub(super) fn is_short_of_ids(&self) -> bool {
        self.free_ids <= FEW_IDS
    }
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
