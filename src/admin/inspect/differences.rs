//! PURE. The differences between the artifact's table and the task files.

use std::collections::BTreeSet;

use serde::Serialize;

use super::seen::SeenFiles;
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

/// The differing files, in planning order. Tombstones count as absent, files that failed to be read are skipped.
pub fn differences(of_artifact: &TaskTable, raw: &SeenFiles) -> Vec<Difference> {
    let files = of_artifact.iter().chain(raw.table.iter());
    let names: BTreeSet<&str> = files.map(|file| file.name).collect();
    let names = names.into_iter();
    let readable = names.filter(|name| !raw.failed.contains_key(*name));
    readable
        .filter_map(|name| {
            let (then, now) = (present(of_artifact, name), present(&raw.table, name));
            Some(Difference {
                number: now.or(then)?.id(),
                name: name.to_owned(),
                change: change(then, now)?,
                by: now.and_then(|file| author(&file, raw.writes.get(name))),
            })
        })
        .collect()
}

fn present<'a>(table: &'a TaskTable, name: &str) -> Option<FileView<'a>> {
    table.find(name).filter(|file| !file.is_tombstone())
}

fn change(then: Option<FileView<'_>>, now: Option<FileView<'_>>) -> Option<DifferenceKind> {
    let (then, now) = match (then, now) {
        (Some(then), Some(now)) => (then, now),
        (None, Some(_)) => return Some(DifferenceKind::Added),
        (Some(_), None) => return Some(DifferenceKind::Removed),
        (None, None) => return None,
    };
    match then.etag == now.etag {
        true if then.to_record().content == now.to_record().content => None,
        true => Some(DifferenceKind::ReadDifferently),
        false if then.sha.is_some() && then.sha == now.sha => Some(DifferenceKind::Rewritten),
        false => Some(DifferenceKind::Changed),
    }
}

fn author(file: &FileView<'_>, writes: Option<&WriteIds>) -> Option<Author> {
    file.sha?;
    Some(match writes.is_none_or(WriteIds::is_empty) {
        true => Author::SomethingElse,
        false => Author::Service,
    })
}
