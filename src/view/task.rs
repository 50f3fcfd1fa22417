//! The JSON object of one task (`src/http/README.md`, "Tasks").

use serde::Serialize;
use utoipa::ToSchema;

use crate::task::{
    ContentView, Datum, FileView, FixedSlotView, GitSha, Kategorie, Slot, Status, Tags, TaskId,
    Title,
};

/// A task in lists and single responses.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskObject<'a> {
    id: TaskId,
    file: String,
    filename: &'a str,
    #[schema(value_type = String)]
    title: Title<'a>,
    kategorie: Kategorie,
    status: Status,
    #[schema(value_type = [String])]
    tags: Tags<'a>,
    #[schema(required)]
    deadline: Option<Datum>,
    #[serde(rename = "fixedSlot")]
    #[schema(required)]
    fixed_slot: Option<Slot>,
    #[schema(required)]
    abgeschlossen_am: Option<Slot>,
    #[schema(required)]
    etag: Option<GitSha>,
}

/// A file that can't be parsed as a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileObject<'a> {
    #[schema(required)]
    id: Option<TaskId>,
    file: String,
    filename: &'a str,
    #[schema(required)]
    etag: Option<GitSha>,
}

impl<'a> TaskObject<'a> {
    /// The object of a task in `folder`, which ends in `/`; `None` for an unreadable file. An invalid `fixedSlot` is
    /// `null` here; the timeline's `problems` report it.
    pub fn new(folder: &str, file: &FileView<'a>) -> Option<Self> {
        let ContentView::Task(task) = file.content else {
            return None;
        };
        Some(Self {
            id: task.id,
            file: format!("{folder}{}", file.name),
            filename: file.name,
            title: task.title,
            kategorie: task.kategorie,
            status: task.status,
            tags: task.tags,
            deadline: task.deadline,
            fixed_slot: match task.fixed_slot {
                FixedSlotView::At(slot) => Some(slot),
                FixedSlotView::None | FixedSlotView::Invalid(_) => None,
            },
            abgeschlossen_am: task.abgeschlossen_am,
            etag: file.sha,
        })
    }
}

impl<'a> FileObject<'a> {
    /// The object of any file in `folder`, which ends in `/`.
    pub fn new(folder: &str, file: &FileView<'a>) -> Self {
        Self {
            id: file.id(),
            file: format!("{folder}{}", file.name),
            filename: file.name,
            etag: file.sha,
        }
    }
}
