//! Resolves the task that a request names to a file.

use std::sync::Arc;

use super::{Codex, Refusal, TaskError};
use crate::cache::{Consistency, Read, ReadRequest, Snapshot};
use crate::store::Requests;
use crate::task::{ContentView, FileName, Problem, Status, TaskRef, TaskTable};
use crate::user_state::{ReadError, Version};

/// The result of looking a task up in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Located {
    /// A readable task, in this row.
    Task(usize),
    /// A file that can't be read, in this row.
    Unreadable(usize, Problem),
    /// Several files have the number; these are their names without `.md`.
    Ambiguous(Vec<String>),
    /// No task file matches.
    Absent,
}

/// The file that a write changes.
pub(super) struct WriteTarget {
    pub name: FileName,
    pub row: usize,
    /// The snapshot it was found in.
    pub entry: Arc<Snapshot>,
    /// The storage requests that the lookup took.
    pub requests: Requests,
}

/// Looks `task` up by file name or number. Files that aren't tasks, and tombstones, count as absent.
pub(super) fn locate(table: &TaskTable, task: &TaskRef) -> Located {
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
        _ => Located::Ambiguous(
            found
                .iter()
                .filter_map(|row| table.file(*row).name.strip_suffix(".md"))
                .map(str::to_owned)
                .collect(),
        ),
    }
}

impl Codex {
    /// The file that a write changes. An unconfirmed snapshot is enough to find it, since the write reads the file
    /// first. A refusal, and the answer that nothing needs to be written (`done` holds for the task's status), need a
    /// snapshot that was just confirmed: a stale one may lack the task, or have its old status.
    ///
    /// # Errors
    /// When the task is missing, ambiguous or unreadable, or the read fails.
    pub(super) async fn write_target(
        &self,
        request: &ReadRequest,
        task: &TaskRef,
        done: fn(Status) -> bool,
    ) -> Result<WriteTarget, Refusal> {
        let is_done = |entry: &Snapshot, row: usize| match entry.table().file(row).content {
            ContentView::Task(task) => done(task.status),
            _ => false,
        };
        if let Some(entry) = self.cache.known(&request.user)
            && request.seen.is_none_or(|seen| seen <= entry.bounds.lo)
            && let Located::Task(row) = locate(entry.table(), task)
            && !is_done(&entry, row)
        {
            return write_target_at(entry, row, Requests::default());
        }
        self.confirmed_target(request, task, Consistency::Strict)
            .await
    }

    /// The file that a write changes, found in a snapshot that this call confirms.
    ///
    /// # Errors
    /// As [`Self::write_target`].
    pub(super) async fn confirmed_target(
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
        let Read {
            entry, requests, ..
        } = read;
        match located {
            Located::Task(row) => write_target_at(entry, row, requests),
            other => Err(lookup_refusal(other, entry.bounds.hi)),
        }
    }

    /// Reads a confirmed snapshot. A forced rebuild counts against the user's rebuild limit.
    async fn confirmed_read(
        &self,
        request: &ReadRequest,
        consistency: Consistency,
    ) -> Result<Read, TaskError> {
        if consistency == Consistency::Rebuilt {
            self.allow_rebuild(request)?;
        }
        let request = ReadRequest {
            consistency,
            ..request.clone()
        };
        Ok(self.cache.read(&request).await?)
    }
}

/// The refusal for a failed lookup in a snapshot of this version.
pub(super) fn lookup_refusal(located: Located, version: Version) -> Refusal {
    let error = match located {
        Located::Ambiguous(stems) => TaskError::Ambiguous { stems },
        Located::Unreadable(_, problem) => TaskError::Unreadable(problem),
        Located::Absent | Located::Task(_) => TaskError::NotFound,
    };
    Refusal::at(error, version)
}

fn write_target_at(
    entry: Arc<Snapshot>,
    row: usize,
    requests: Requests,
) -> Result<WriteTarget, Refusal> {
    let name = entry.table().file(row).name.parse();
    let name = name.map_err(|_| Refusal::from(ReadError::Broken))?;
    Ok(WriteTarget {
        name,
        row,
        entry,
        requests,
    })
}
