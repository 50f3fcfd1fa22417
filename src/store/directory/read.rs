//! Reads that are safe against concurrent saves by editors, which take no lock.
//!
//! A save by rename is atomic. During a save in place, a read may see part of it: the version changes while reading,
//! and the read is repeated. Or it may see a complete first save that is followed by a second one with the same
//! timestamp: a file that another program wrote is read again once its timestamp can't recur.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;

use super::error::{is_not_found, not_a_file};
use super::layout::Layout;
use super::sidecar;
use super::version::{FileVersion, is_non_file, racy_window};
use crate::store::blob_store::{Blob, GetIf, GetOutcome};
use crate::store::ids::ETag;
use crate::store::key::BlobKey;

/// The maximum number of attempts while a file keeps changing.
const MAX_ATTEMPTS: u32 = 10;

/// The delay after a read that overlapped with a save.
const SAVE_PAUSE: Duration = Duration::from_millis(2);

/// The result of one attempt to read.
enum ReadAttempt {
    /// One complete version.
    Complete(Blob),
    /// The same, but for this long a further save could get the same version.
    Racy(Blob, Duration),
    /// The file changed during the read.
    Torn,
}

/// [`crate::store::blob_store::BlobStore::get`].
pub(super) fn get(layout: &Layout, key: &BlobKey, condition: &GetIf) -> io::Result<GetOutcome> {
    let path = layout.blob(key);
    let mut last_racy = None;
    let mut waited = false;
    for _ in 0..MAX_ATTEMPTS {
        let Some(version) = FileVersion::at(&path)? else {
            if is_non_file(&path) {
                return Err(not_a_file());
            }
            if let Some(pause) = absence_racy_window(layout, key).filter(|_| !waited) {
                waited = true;
                sleep(pause);
                continue;
            }
            return layout.check_absent(&path).map(|()| GetOutcome::Absent);
        };
        if let Some(outcome) = outcome_without_reading(condition, &version.etag()) {
            return Ok(outcome);
        }
        match try_read(layout, key, version)? {
            ReadAttempt::Complete(blob) => return Ok(GetOutcome::Blob(blob)),
            ReadAttempt::Torn => sleep(SAVE_PAUSE),
            ReadAttempt::Racy(blob, pause) => {
                last_racy = Some(blob);
                sleep(pause);
            }
        }
    }
    let busy = "the file keeps changing while it is read";
    last_racy
        .map(GetOutcome::Blob)
        .ok_or_else(|| io::Error::new(ErrorKind::ResourceBusy, busy))
}

/// How long to wait before a missing file counts as absent, if its folder changed just now: some editors move the old
/// file away before they write the new one.
fn absence_racy_window(layout: &Layout, key: &BlobKey) -> Option<Duration> {
    // Only task files have a sidecar, and only they are edited.
    layout.sidecar(key)?;
    let folder = layout.blob(key).parent()?.metadata().ok()?;
    racy_window(folder.modified().ok()?, layout.now())
}

fn outcome_without_reading(condition: &GetIf, etag: &ETag) -> Option<GetOutcome> {
    match condition {
        GetIf::Changed(known) if known == etag => Some(GetOutcome::Unchanged),
        GetIf::Same(wanted) if wanted != etag => Some(GetOutcome::Changed),
        _ => None,
    }
}

/// Reads the file if it is still `version`.
fn try_read(layout: &Layout, key: &BlobKey, version: FileVersion) -> io::Result<ReadAttempt> {
    let path = layout.blob(key);
    let Some(bytes) = read_version(&path, &version)? else {
        return Ok(ReadAttempt::Torn);
    };
    let etag = version.etag();
    // The kind of blob that editors may write, too.
    let sidecar = layout.sidecar(key);
    let writes = sidecar.as_deref().map(|file| sidecar::read(file, &etag));
    let writes = writes.transpose()?.unwrap_or_default();
    let foreign = sidecar.is_some() && writes.is_empty();
    if foreign && FileVersion::at(&path)? != Some(version) {
        // Two writes may have followed, after which the sidecar no longer has a line for this version.
        return Ok(ReadAttempt::Torn);
    }
    let blob = Blob {
        bytes,
        etag,
        writes,
    };
    match racy_window(version.modified, layout.now()) {
        Some(pause) if foreign => Ok(ReadAttempt::Racy(blob, pause)),
        _ => Ok(ReadAttempt::Complete(blob)),
    }
}

/// The bytes, if the file had this version both before and after reading them.
fn read_version(path: &Path, version: &FileVersion) -> io::Result<Option<Bytes>> {
    let mut file = match File::open(path) {
        Err(error) if is_not_found(&error) => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::with_capacity(usize::try_from(version.size).unwrap_or_default());
    file.read_to_end(&mut bytes)?;
    let whole =
        bytes.len() as u64 == version.size && FileVersion::of(&file.metadata()?)? == *version;
    Ok(whole.then(|| bytes.into()))
}
