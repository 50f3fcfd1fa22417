//! PURE. Where the artifact's index and the task files differ.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::seen::Raw;
use crate::store::WriteIds;
use crate::task::{FileView, TaskId, TaskTable};

/// A file that the artifact knows differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The task's number, for a name that has one.
    pub number: Option<TaskId>,
    /// The file's name.
    pub name: String,
    /// What happened since.
    pub change: Change,
    /// Who wrote the file as it is; nobody can tell of one that is gone, or may not be read.
    pub by: Option<Author>,
}

/// What happened to a file since the artifact's files were listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// It has another content.
    Changed,
    /// It was written again with the same content.
    Rewritten,
    /// It is the same file, and the artifact says something else of it.
    ReadDifferently,
    /// It is gone, or counts as absent.
    Removed,
}

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The service: the file carries write ids.
    Service,
    /// An editor, an upload, another program.
    SomethingElse,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Rewritten => "rewritten",
            Self::ReadDifferently => "read differently",
            Self::Removed => "removed",
        })
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "by the service",
            Self::SomethingElse => "by something else",
        })
    }
}

/// What differs, in the order in which tasks are planned. Settled files count as absent.
pub(super) fn differences(of_artifact: &TaskTable, raw: &Raw) -> Vec<Difference> {
    let names: BTreeSet<&str> = present(of_artifact).chain(present(&raw.table)).collect();
    let failed = |name: &str| raw.failed.iter().any(|(it, _)| it == name);
    let differing = names.into_iter().filter(|name| !failed(name));
    differing
        .filter_map(|name| {
            let (then, now) = (there(of_artifact, name), there(&raw.table, name));
            let change = change(then.as_ref(), now.as_ref())?;
            Some(Difference {
                number: now.or(then).and_then(|file| file.id()),
                name: name.to_owned(),
                change,
                by: now.and_then(|file| author(&file, raw.writes.get(name))),
            })
        })
        .collect()
}

fn present(table: &TaskTable) -> impl Iterator<Item = &str> {
    let there = table.iter().filter(|file| !file.is_settled());
    there.map(|file| file.name)
}

fn there<'a>(table: &'a TaskTable, name: &str) -> Option<FileView<'a>> {
    table.find(name).filter(|file| !file.is_settled())
}

fn change(then: Option<&FileView<'_>>, now: Option<&FileView<'_>>) -> Option<Change> {
    let (then, now) = match (then, now) {
        (Some(then), Some(now)) => (then, now),
        (None, Some(_)) => return Some(Change::Added),
        (Some(_), None) => return Some(Change::Removed),
        (None, None) => return None,
    };
    let same_file = then.etag == now.etag;
    let same_reading = then.to_record().content == now.to_record().content;
    match (same_file, same_reading) {
        (true, true) => None,
        (true, false) => Some(Change::ReadDifferently),
        (false, _) if then.sha.is_some() && then.sha == now.sha => Some(Change::Rewritten),
        (false, _) => Some(Change::Changed),
    }
}

fn author(file: &FileView<'_>, writes: Option<&WriteIds>) -> Option<Author> {
    file.sha?;
    Some(match writes.is_none_or(WriteIds::is_empty) {
        true => Author::SomethingElse,
        false => Author::Service,
    })
}
