//! Writes and deletions, serialised per user by the lock.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::not_a_file;
use super::files::{TempFile, make_folder, sync_folder};
use super::layout::Layout;
use super::lock::{UserLock, just_after};
use super::sidecar;
use super::version::{FileVersion, is_non_file};
use crate::store::blob_store::{DeleteOutcome, Put, PutIf, PutOutcome};
use crate::store::ids::ETag;
use crate::store::key::BlobKey;

/// [`crate::store::blob_store::BlobStore::put`].
pub(super) fn put(
    layout: &Layout,
    key: &BlobKey,
    blob: &Put,
    condition: &PutIf,
) -> io::Result<PutOutcome> {
    let lock = UserLock::take(&layout.lock(key))?;
    let target = resolve_links(layout.blob(key));
    let current = FileVersion::at(&target)?;
    if current.is_none() && is_non_file(&target) {
        return match condition {
            PutIf::Any => Err(not_a_file()),
            PutIf::Absent | PutIf::Same(_) => Ok(PutOutcome::Refused),
        };
    }
    if !condition_holds(condition, current.as_ref()) {
        return Ok(PutOutcome::Refused);
    }
    let folder = folder_of(&target)?;
    make_folder(folder)?;
    let temp = TempFile::write(folder, &blob.bytes)?;
    // Later than the current file's, so that the ETag is new.
    let now = lock.next_time(layout.now())?;
    let modified = current.map_or(now, |version| now.max(just_after(version.modified)));
    let replaced = current.map(|_| fs::metadata(&target)).transpose()?;
    let next = temp.set_metadata(modified, replaced.map(|it| it.permissions()))?;
    if Layout::is_durable(key) {
        temp.sync()?;
    }
    if let Some(sidecar) = layout.sidecar(key).filter(|_| !blob.writes.is_empty()) {
        let current = current.map(|version| version.etag());
        sidecar::prepare(&sidecar, (&next, &blob.writes), current.as_ref())?;
    }
    if !move_into_place(temp, &target, condition)? {
        return Ok(PutOutcome::Refused);
    }
    if Layout::is_durable(key) {
        sync_folder(folder)?;
    }
    Ok(PutOutcome::Done(next))
}

/// [`crate::store::blob_store::BlobStore::delete`].
pub(super) fn delete(layout: &Layout, key: &BlobKey, if_match: &ETag) -> io::Result<DeleteOutcome> {
    let lock = UserLock::take(&layout.lock(key))?;
    let path = layout.blob(key);
    let Some(current) = FileVersion::at(&path)? else {
        if is_non_file(&path) {
            return Ok(DeleteOutcome::Refused);
        }
        return layout.check_absent(&path).map(|()| DeleteOutcome::Absent);
    };
    if current.etag() != *if_match {
        return Ok(DeleteOutcome::Refused);
    }
    // Advances the lock's time, so that a later file of this name can't get the deleted version's ETag.
    lock.next_time(layout.now())?;
    fs::remove_file(&path)?;
    if let Some(sidecar) = layout.sidecar(key) {
        // If this fails, the remaining lines match no later version.
        let _ = fs::remove_file(sidecar);
    }
    sync_folder(folder_of(&path)?)?;
    Ok(DeleteOutcome::Done)
}

/// The target of a link, which the new version replaces so that the link remains.
fn resolve_links(path: PathBuf) -> PathBuf {
    match path.is_symlink() {
        true => path.canonicalize().unwrap_or(path),
        false => path,
    }
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    let folder = path.parent();
    folder.ok_or_else(|| io::Error::other("a blob is in a folder"))
}

fn condition_holds(condition: &PutIf, current: Option<&FileVersion>) -> bool {
    match condition {
        PutIf::Any => true,
        PutIf::Absent => current.is_none(),
        PutIf::Same(etag) => current.is_some_and(|version| version.etag() == *etag),
    }
}

/// Moves the file into place. Flushing took a while, during which an editor may have saved: its text must not be lost,
/// so the condition is checked once more.
fn move_into_place(temp: TempFile, target: &Path, condition: &PutIf) -> io::Result<bool> {
    if *condition == PutIf::Absent {
        return temp.create(target);
    }
    let unchanged = condition_holds(condition, FileVersion::at(target)?.as_ref());
    if unchanged {
        temp.replace(target)?;
    }
    Ok(unchanged)
}
