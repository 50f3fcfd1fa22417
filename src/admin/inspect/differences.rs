//! PURE. The differences between the artifact's table and the task files.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::seen::RawFiles;
use crate::store::WriteIds;
use crate::task::{FileView, TaskId, TaskTable};

/// A file for which the artifact differs from storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The task's number, for a name that has one.
    pub number: Option<TaskId>,
    /// The file's name.
    pub name: String,
    /// How the file differs from the artifact's entry.
    pub change: DifferenceKind,
    /// Who wrote the present version; unknown if the file is gone, or can't be read.
    pub by: Option<Author>,
}

/// How a file differs from the artifact's entry for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The artifact has no entry for the file.
    Added,
    /// The content has changed.
    Changed,
    /// Another ETag, the same content.
    Rewritten,
    /// The same ETag, but the artifact's entry was parsed differently.
    ReadDifferently,
    /// The file is gone, or a tombstone.
    Removed,
}

/// Who wrote a version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The service: the blob has write ids.
    Service,
    /// An editor, an upload or another program: the blob has none.
    SomethingElse,
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Rewritten => "rewritten",
            Self::ReadDifferently => "parsed differently",
            Self::Removed => "removed",
        })
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "by the service",
            Self::SomethingElse => "by another program",
        })
    }
}

/// The differing files, in planning order. Tombstones count as absent, files that failed to be read are skipped.
pub(super) fn differences(of_artifact: &TaskTable, raw: &RawFiles) -> Vec<Difference> {
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
    let there = table.iter().filter(|file| !file.is_tombstone());
    there.map(|file| file.name)
}

fn there<'a>(table: &'a TaskTable, name: &str) -> Option<FileView<'a>> {
    table.find(name).filter(|file| !file.is_tombstone())
}

fn change(then: Option<&FileView<'_>>, now: Option<&FileView<'_>>) -> Option<DifferenceKind> {
    let (then, now) = match (then, now) {
        (Some(then), Some(now)) => (then, now),
        (None, Some(_)) => return Some(DifferenceKind::Added),
        (Some(_), None) => return Some(DifferenceKind::Removed),
        (None, None) => return None,
    };
    let same_file = then.etag == now.etag;
    let same_reading = then.to_record().content == now.to_record().content;
    match (same_file, same_reading) {
        (true, true) => None,
        (true, false) => Some(DifferenceKind::ReadDifferently),
        (false, _) if then.sha.is_some() && then.sha == now.sha => Some(DifferenceKind::Rewritten),
        (false, _) => Some(DifferenceKind::Changed),
    }
}

fn author(file: &FileView<'_>, writes: Option<&WriteIds>) -> Option<Author> {
    file.sha?;
    Some(match writes.is_none_or(WriteIds::is_empty) {
        true => Author::SomethingElse,
        false => Author::Service,
    })
}
