//! Writing and removing, one writer per user at a time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::failure::not_a_file;
use super::files::{TempFile, make_folder, sync_folder};
use super::layout::Layout;
use super::lock::{UserLock, just_after};
use super::sidecar;
use super::version::{Version, is_other};
use crate::store::{Deleted, ETag, Key, Put, PutIf, Written};

/// [`crate::store::BlobStore::put`].
pub(super) fn put(
    layout: &Layout,
    clock: fn() -> DateTime<Utc>,
    key: &Key,
    blob: &Put,
    condition: &PutIf,
) -> io::Result<Written> {
    let lock = UserLock::take(&layout.lock(key))?;
    let target = behind_links(layout.blob(key));
    let current = Version::at(&target)?;
    if current.is_none() && is_other(&target) {
        return match condition {
            PutIf::Any => Err(not_a_file()),
            PutIf::Absent | PutIf::Same(_) => Ok(Written::Refused),
        };
    }
    if !holds(condition, current.as_ref()) {
        return Ok(Written::Refused);
    }
    let folder = folder_of(&target)?;
    make_folder(folder)?;
    let temp = TempFile::write(folder, &blob.bytes)?;
    let next = dress(
        &temp,
        &target,
        current.as_ref(),
        lock.next_time(clock().into())?,
    )?;
    if Layout::is_durable(key) {
        temp.sync()?;
    }
    if let Some(sidecar) = layout.sidecar(key).filter(|_| !blob.writes.is_empty()) {
        let current = current.map(|version| version.etag());
        sidecar::prepare(&sidecar, (&next, &blob.writes), current.as_ref())?;
    }
    if !place(temp, &target, condition)? {
        return Ok(Written::Refused);
    }
    if Layout::is_durable(key) {
        sync_folder(folder)?;
    }
    Ok(Written::Done(next))
}

/// [`crate::store::BlobStore::delete`].
pub(super) fn delete(
    layout: &Layout,
    clock: fn() -> DateTime<Utc>,
    key: &Key,
    if_match: &ETag,
) -> io::Result<Deleted> {
    let lock = UserLock::take(&layout.lock(key))?;
    let path = layout.blob(key);
    let Some(current) = Version::at(&path)? else {
        if is_other(&path) {
            return Ok(Deleted::Refused);
        }
        return layout.check_absent(&path).map(|()| Deleted::Absent);
    };
    if current.etag() != *if_match {
        return Ok(Deleted::Refused);
    }
    // What is written here next must not be taken for what goes now.
    lock.next_time(clock().into())?;
    fs::remove_file(&path)?;
    if let Some(sidecar) = layout.sidecar(key) {
        sidecar::remove(&sidecar);
    }
    sync_folder(folder_of(&path)?)?;
    Ok(Deleted::Done)
}

/// The file that a linked file's new version has to replace, so that the link stays.
fn behind_links(path: PathBuf) -> PathBuf {
    if path.is_symlink() {
        path.canonicalize().unwrap_or(path)
    } else {
        path
    }
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::other("a blob is in a folder"))
}

fn holds(condition: &PutIf, current: Option<&Version>) -> bool {
    match condition {
        PutIf::Any => true,
        PutIf::Absent => current.is_none(),
        PutIf::Same(etag) => current.is_some_and(|version| version.etag() == *etag),
    }
}

/// Gives the new file a time after the old one's, so that its ETag is one that never was.
fn dress(
    temp: &TempFile,
    target: &Path,
    current: Option<&Version>,
    now: std::time::SystemTime,
) -> io::Result<ETag> {
    let modified = current.map_or(now, |version| now.max(just_after(version.modified)));
    let permissions = match current {
        Some(_) => Some(fs::metadata(target)?.permissions()),
        None => None,
    };
    Ok(temp.dress(modified, permissions)?.etag())
}

/// Moves the file to its place. Making it durable took a while, in which an editor may have saved:
/// its text must not be lost, so the condition is looked at once more.
fn place(temp: TempFile, target: &Path, condition: &PutIf) -> io::Result<bool> {
    if *condition == PutIf::Absent {
        return temp.create(target);
    }
    let free = holds(condition, Version::at(target)?.as_ref());
    if free {
        temp.replace(target)?;
    }
    Ok(free)
}
