//! Which file a request means.

use std::sync::Arc;

use super::{Codex, Refusal, TaskError};
use crate::cache::{Entry, Freshness, Read, ReadError, Requests, Version, Want};
use crate::task::{ContentView, FileName, Problem, Status, TaskRef, TaskTable};

/// What an index says of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Located {
    /// A readable task, in this row.
    Task(usize),
    /// A file that can't be read, in this row.
    Unreadable(usize, Problem),
    /// Several files have the number; their stems.
    Ambiguous(Vec<String>),
    /// None.
    Absent,
}

/// A file that can be written to.
pub(super) struct Target {
    pub name: FileName,
    pub row: usize,
    /// The index it was found in.
    pub entry: Arc<Entry>,
    /// What it took to find it.
    pub requests: Requests,
}

/// Looks `task` up. Files that aren't tasks, and settled ones, count as absent.
pub(super) fn locate(table: &TaskTable, task: &TaskRef) -> Located {
    let digits = match task {
        TaskRef::File(_) => String::new(),
        TaskRef::Number(id) => id.to_string(),
    };
    let is_meant = |name: &str| match task {
        TaskRef::File(file) => file.as_str() == name,
        // Parsed only where that is in doubt: most names differ in the digits already.
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
    /// The file that a write is about. An unconfirmed index is good enough to go on with, since the file is read before
    /// it is written. A refusal, and the answer that nothing needs to be written (`done`), come only from an index
    /// that was just confirmed: an older one may lack the task, or show it as it was.
    pub(super) async fn target(
        &self,
        want: &Want,
        task: &TaskRef,
        done: fn(Status) -> bool,
    ) -> Result<Target, Refusal> {
        let is_done = |entry: &Entry, row: usize| match entry.table().file(row).content {
            ContentView::Task(task) => done(task.status),
            _ => false,
        };
        if let Some(entry) = self.cache.known(&want.user)
            && want.seen.is_none_or(|seen| seen <= entry.knowledge.lo)
            && let Located::Task(row) = locate(entry.table(), task)
            && !is_done(&entry, row)
        {
            return target_in(entry, row, Requests::default());
        }
        self.confirmed_target(want, task, Freshness::Strict).await
    }

    /// The file that a write is about, by an index that is confirmed now.
    pub(super) async fn confirmed_target(
        &self,
        want: &Want,
        task: &TaskRef,
        freshness: Freshness,
    ) -> Result<Target, Refusal> {
        let mut read = self.confirmed(want, freshness).await?;
        let mut located = locate(read.entry.table(), task);
        // Whoever has just repaired it with an editor is not to be told of the old fault.
        if matches!(located, Located::Unreadable(..)) && freshness != Freshness::Rebuilt {
            read = self.confirmed(want, Freshness::Rebuilt).await?;
            located = locate(read.entry.table(), task);
        }
        let Read {
            entry, requests, ..
        } = read;
        match located {
            Located::Task(row) => target_in(entry, row, requests),
            other => Err(refusal(other, entry.knowledge.hi)),
        }
    }

    /// An index that is confirmed now. Listing the files anew counts as a rebuild that the user asked for.
    async fn confirmed(&self, want: &Want, freshness: Freshness) -> Result<Read, TaskError> {
        if freshness == Freshness::Rebuilt {
            self.allow_rebuild(want)?;
        }
        let want = Want {
            freshness,
            ..want.clone()
        };
        Ok(self.cache.read(&want).await?)
    }
}

/// What a task that can't be had is answered with, by an index of this version.
pub(super) fn refusal(located: Located, version: Version) -> Refusal {
    let error = match located {
        Located::Ambiguous(stems) => TaskError::Ambiguous { stems },
        Located::Unreadable(_, problem) => TaskError::Unreadable(problem),
        Located::Absent | Located::Task(_) => TaskError::NotFound,
    };
    Refusal::at(error, version)
}

fn target_in(entry: Arc<Entry>, row: usize, requests: Requests) -> Result<Target, Refusal> {
    let name = entry.table().file(row).name.parse();
    let name = name.map_err(|_| Refusal::from(ReadError::Broken))?;
    Ok(Target {
        name,
        row,
        entry,
        requests,
    })
}
