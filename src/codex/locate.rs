//! Which file a request means. Pure.

use super::error::{Refusal, TaskError};
use crate::task::{ContentView, FileName, Problem, Status, TaskRef, TaskTable};
use crate::user_state::Version;

/// The result of looking a task up in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// A readable task, in this row.
    Task(usize),
    /// A file that can't be read, in this row.
    Unreadable(usize, Problem),
    /// Several files have the number; these are their names without `.md`.
    Ambiguous(Vec<String>),
    /// No task file matches.
    Absent,
}

impl Located {
    /// The refusal where no readable task was found, in a snapshot of this version.
    pub fn refusal(self, version: Version) -> Refusal {
        let error = match self {
            Self::Ambiguous(stems) => TaskError::Ambiguous { stems },
            Self::Unreadable(_, problem) => TaskError::Unreadable(problem),
            Self::Absent | Self::Task(_) => TaskError::NotFound,
        };
        Refusal::at(error, version)
    }
}

/// Looks `task` up by file name or number. Files that aren't tasks, and tombstones, count as absent.
pub fn locate(table: &TaskTable, task: &TaskRef) -> Located {
    let digits = match task {
        TaskRef::File(_) => String::new(),
        TaskRef::Number(id) => id.to_string(),
    };
    let is_meant = |name: &str| match task {
        TaskRef::File(file) => file.as_str() == name,
        // The prefix check first: it is cheaper than parsing, and rejects most names.
        TaskRef::Number(_) => name.starts_with(&digits) && name.parse::<FileName>().is_ok(),
    };
    let found: Vec<usize> = (0..table.len())
        .filter(|row| {
            let file = table.file(*row);
            let counts = matches!(
                file.content,
                ContentView::Task(_) | ContentView::Unreadable(_)
            );
            counts && is_meant(file.name)
        })
        .collect();
    match found[..] {
        [] => Located::Absent,
        [row] => match table.file(row).content {
            ContentView::Unreadable(problem) => Located::Unreadable(row, problem.clone()),
            _ => Located::Task(row),
        },
        _ => {
            let names = found.iter().map(|row| table.file(*row).name);
            let stems = names.filter_map(|name| Some(name.strip_suffix(".md")?.to_owned()));
            Located::Ambiguous(stems.collect())
        }
    }
}

/// The row of the file that a write changes, by a snapshot that may be outdated: good enough, since the write reads the
/// file first. `None` if a snapshot has to be confirmed first: a refusal, and the answer that nothing needs to be
/// written (`is_done` holds for the task's status), need one, because an outdated one may lack the task, or have its old
/// status.
pub fn unconfirmed_target(
    table: &TaskTable,
    task: &TaskRef,
    is_done: fn(Status) -> bool,
) -> Option<usize> {
    let Located::Task(row) = locate(table, task) else {
        return None;
    };
    match table.file(row).content {
        ContentView::Task(task) if is_done(task.status) => None,
        _ => Some(row),
    }
}
