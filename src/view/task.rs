//! One task as answers show it (SPEC.md 1, "Tasks").

use serde::Serialize;

use crate::task::{
    ContentView, Datum, FileView, FixedSlotView, GitSha, Kategorie, Slot, Status, Tags, TaskId,
    Title,
};

/// The task object of lists and single answers.
#[derive(Debug, Serialize)]
pub struct TaskObject<'a> {
    id: TaskId,
    file: String,
    filename: &'a str,
    title: Title<'a>,
    kategorie: Kategorie,
    status: Status,
    tags: Tags<'a>,
    deadline: Option<Datum>,
    #[serde(rename = "fixedSlot")]
    fixed_slot: Option<Slot>,
    abgeschlossen_am: Option<Slot>,
    etag: Option<GitSha>,
}

/// What an answer says of a file that can't be read as a task.
#[derive(Debug, Serialize)]
pub struct FileObject<'a> {
    id: Option<TaskId>,
    file: String,
    filename: &'a str,
    etag: Option<GitSha>,
}

impl<'a> TaskObject<'a> {
    /// The object of a task in `folder`, which ends in `/`; `None` for any other file. An impossible
    /// appointment shows as none: the timeline's `problems` say what is wrong with it.
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
