//! The guarantees for every response (src/user_state/README.md, "Promises"), checked against the store's history.
//!
//! A task file's history is the list of its versions. A response *contains* a change if it shows the file at the
//! change's version or a later one. So the ETags in a response's table determine what it contains, independently
//! of the order of events.

use std::collections::BTreeMap;
use std::time::Duration;

use codex_miroir::task::{FileName, TaskTable, git_sha};

use crate::world::{FileVersion, World};

/// An acknowledged change.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) file: String,
    /// Its position in the file's history.
    pub(crate) position: usize,
    pub(crate) at: Duration,
    pub(crate) instance: usize,
}

/// A foreign version that a response has shown: from then on it has the guarantees of an acknowledged change.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) file: String,
    /// Its position in the file's history.
    pub(crate) position: usize,
    pub(crate) at: Duration,
    pub(crate) instance: usize,
}

/// Per file the position a client has seen or had acknowledged: it must not see an older one.
pub(crate) type Floors = BTreeMap<String, usize>;

/// Raises a file's floor to `position`.
pub(crate) fn raise(floors: &mut Floors, file: &str, position: usize) {
    let floor = floors.entry(file.to_owned()).or_default();
    *floor = position.max(*floor);
}

/// The version of a file that a table shows; for a file that the table lacks, the last absent version. `None` for
/// a file that was never absent since its first version.
fn shown<'a>(history: &'a [FileVersion], name: &str, table: &TaskTable) -> Option<&'a FileVersion> {
    match table.find(name).filter(|file| !file.is_tombstone()) {
        Some(file) => history.iter().find(|it| it.etag.as_str() == file.etag),
        None => history.iter().rfind(|it| it.is_absent()),
    }
}

/// Whether `table` shows `file` at `position` or later.
fn contains(world: &World, file: &str, position: usize, table: &TaskTable) -> bool {
    let history = &world.history[file];
    shown(history, file, table).is_some_and(|shown| shown.position >= position)
}

/// Every file of `table` has the content of the version with its ETag.
pub(crate) fn check_contents(world: &World, table: &TaskTable) -> Result<(), String> {
    for file in table.iter().filter(|file| !file.is_tombstone()) {
        let history = world.history.get(file.name).map_or(&[][..], Vec::as_slice);
        let version = history.iter().find(|it| it.etag.as_str() == file.etag);
        let text = version.and_then(|it| it.text.as_ref());
        let same = text.is_some_and(|text| file.sha == Some(git_sha(text.as_bytes())));
        if !same {
            return Err(format!(
                "{} at {} shows a content it never had",
                file.name, file.etag
            ));
        }
    }
    Ok(())
}

/// P1, P3: no file is older than the client has seen or had acknowledged.
pub(crate) fn check_floors(
    world: &World,
    floors: &Floors,
    table: &TaskTable,
) -> Result<(), String> {
    for (file, position) in floors {
        if !contains(world, file, *position, table) {
            let shown = shown(&world.history[file], file, table).map(|it| it.position);
            return Err(format!(
                "{file} is shown at {shown:?}, the client knows {position}"
            ));
        }
    }
    Ok(())
}

/// P2, P9: none of the acknowledged `changes` is missing.
pub(crate) fn check_acknowledged<'a>(
    world: &World,
    changes: impl Iterator<Item = &'a Acknowledged>,
    table: &TaskTable,
) -> Result<(), String> {
    for change in changes {
        if !contains(world, &change.file, change.position, table) {
            let shown = shown(&world.history[&change.file], &change.file, table);
            let shown = shown.map(|it| it.position);
            return Err(format!(
                "{change:?} is missing, its file is shown at {shown:?}"
            ));
        }
    }
    Ok(())
}

/// Raises a client's floors to what `table` shows, foreign versions included: once a response has shown one, later
/// responses must, too. A file that the table lacks may also not exist yet.
pub(crate) fn record_shown(world: &World, floors: &mut Floors, table: &TaskTable) {
    for (file, history) in &world.history {
        match shown(history, file, table) {
            Some(shown) if !shown.is_absent() => raise(floors, file, shown.position),
            // Seen before and absent now: it was removed since.
            _ => {
                let floor = floors.get(file).copied();
                let gone = floor.and_then(|floor| first_absence(history, floor));
                gone.into_iter().for_each(|at| raise(floors, file, at));
            }
        }
    }
}

/// What an editor wrote before `due` is in `table`, even if no response has shown it.
pub(crate) fn check_editors(world: &World, due: Duration, table: &TaskTable) -> Result<(), String> {
    for (file, history) in &world.history {
        let written = history.iter().rfind(|it| !it.by_service && it.at < due);
        let missing = written.filter(|it| !contains(world, file, it.position, table));
        if let Some(missing) = missing {
            return Err(format!("an editor's {missing:?} of {file} is missing"));
        }
    }
    Ok(())
}

/// The foreign versions that a table shows.
pub(crate) fn shown_of_editors(world: &World, table: &TaskTable) -> Vec<(String, usize)> {
    let versions = world.history.iter().filter_map(|(file, history)| {
        let shown = shown(history, file, table)?;
        (!shown.by_service && !shown.is_absent()).then(|| (file.clone(), shown.position))
    });
    versions.collect()
}

/// Another file that was `shown` before, still exists, and has the number that `made` was assigned.
pub(crate) fn reuses_shown_number<'a>(
    world: &World,
    made: &FileName,
    shown: impl Iterator<Item = &'a Shown>,
) -> Option<String> {
    let same = shown.filter(|it| {
        let name = it.file.parse::<FileName>();
        let same = name.is_ok_and(|name| name.id() == made.id() && name != *made);
        // The number of a file that was removed since may be reused.
        same && !was_absent(world, &it.file, it.position)
    });
    same.map(|it| it.file.clone()).next()
}

/// The first position from `position` on at which the file is absent.
fn first_absence(history: &[FileVersion], position: usize) -> Option<usize> {
    let absent = |it: &&FileVersion| it.position >= position && it.is_absent();
    Some(history.iter().find(absent)?.position)
}

/// P2: no foreign version that a response has shown is missing.
pub(crate) fn check_shown<'a>(
    world: &World,
    due: impl Iterator<Item = &'a Shown>,
    table: &TaskTable,
) -> Result<(), String> {
    for it in due {
        if !contains(world, &it.file, it.position, table) {
            let shown = shown(&world.history[&it.file], &it.file, table).map(|it| it.position);
            return Err(format!(
                "{it:?} was shown and is missing, its file is shown at {shown:?}"
            ));
        }
    }
    Ok(())
}

/// Whether the file was absent in a version from `position` on.
pub(crate) fn was_absent(world: &World, file: &str, position: usize) -> bool {
    first_absence(&world.history[file], position).is_some()
}

/// The position of the change that wrote `token` in the file's history.
pub(crate) fn position_of(world: &World, file: &str, token: &str) -> Option<usize> {
    let has = |it: &&FileVersion| it.text.as_ref().is_some_and(|text| text.contains(token));
    Some(world.history.get(file)?.iter().find(has)?.position)
}

/// The position of the removal of the version `etag` in the file's history.
pub(crate) fn removal_of(world: &World, file: &str, etag: &str) -> Option<usize> {
    let history = world.history.get(file)?;
    let removed = history.iter().position(|it| it.etag.as_str() == etag)?;
    let after = history[removed..].iter().find(|it| it.is_absent())?;
    Some(after.position)
}

/// The position at which a file that was deleted by a request is absent: the one at which it was already when the store
/// had this number of `writes`, else the first one after.
pub(crate) fn absence_since(world: &World, file: &str, writes: u64) -> Option<usize> {
    let history = world.history.get(file)?;
    let before = history.iter().rfind(|it| it.order <= writes);
    let after = history.iter().filter(|it| it.order > writes);
    let mut found = before.into_iter().chain(after);
    Some(found.find(|it| it.is_absent())?.position)
}

/// The first and last position at which a file had this body.
pub(crate) fn positions_of_body(world: &World, file: &str, body: &str) -> Option<(usize, usize)> {
    let end = format!("---\n\n{body}");
    let has = |it: &&FileVersion| it.text.as_ref().is_some_and(|text| text.ends_with(&end));
    let history = world.history.get(file)?;
    Some((
        history.iter().find(has)?.position,
        history.iter().rfind(has)?.position,
    ))
}

/// The files that a create made, each with its lifetime in write numbers: from the write that made it to the one
/// that removed it.
pub(crate) fn files_made_with(world: &World, token: &str) -> Vec<(String, u64, u64)> {
    let made = world.history.iter().filter_map(|(name, versions)| {
        let has = |it: &FileVersion| it.text.as_ref().is_some_and(|text| text.contains(token));
        let first = versions.iter().position(has)?;
        let removed = versions[first..].iter().find(|it| it.is_absent());
        let end = removed.map_or(u64::MAX, |it| it.order);
        Some((name.clone(), versions[first].order, end))
    });
    made.collect()
}
