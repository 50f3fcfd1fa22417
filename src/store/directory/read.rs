//! Reading next to editors, which know no lock.
//!
//! An editor saves by rename or in place. A rename can't be seen half. In place, a read may catch
//! half of it (the version changes while reading: read again), or all of a first save whose second
//! one gets the same time (a foreign file is given the time to settle).

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::failure::{is_nowhere, not_a_file};
use super::layout::Layout;
use super::sidecar;
use super::version::{Version, is_other, unsettled};
use crate::store::{Blob, ETag, GetIf, Got, Key, WriteIds};

/// How often a file is looked at that doesn't come to rest.
const ROUNDS: u32 = 10;

/// After a read that caught a save in the middle.
const SAVE_PAUSE: Duration = Duration::from_millis(2);

/// What one look at a file gave.
enum Look {
    /// One version, whole.
    Whole(Blob),
    /// The same, but it may get another save that can't be told from it for this long.
    Unsettled(Blob, Duration),
    /// Changed meanwhile.
    Torn,
}

/// [`crate::store::BlobStore::get`].
pub(super) fn get(
    layout: &Layout,
    clock: fn() -> DateTime<Utc>,
    key: &Key,
    condition: &GetIf,
) -> io::Result<Got> {
    let path = layout.blob(key);
    let mut restless = None;
    let mut waited = false;
    for _ in 0..ROUNDS {
        let Some(version) = Version::at(&path)? else {
            if is_other(&path) {
                return Err(not_a_file());
            }
            if let Some(pause) = being_saved(layout, key, clock).filter(|_| !waited) {
                waited = true;
                sleep(pause);
                continue;
            }
            return layout.check_absent(&path).map(|()| Got::Absent);
        };
        if let Some(answer) = without_reading(condition, &version.etag()) {
            return Ok(answer);
        }
        match look(&path, version, layout.sidecar(key).as_deref(), clock)? {
            Look::Whole(blob) => return Ok(Got::Blob(blob)),
            Look::Torn => sleep(SAVE_PAUSE),
            Look::Unsettled(blob, pause) => {
                restless = Some(blob);
                sleep(pause);
            }
        }
    }
    let busy = "the file keeps changing while it is read";
    restless
        .map(Got::Blob)
        .ok_or_else(|| io::Error::new(ErrorKind::ResourceBusy, busy))
}

/// How long to wait before a missing file counts as absent: some editors move the old file away before
/// they write the new one. Only where its folder changed just now.
fn being_saved(layout: &Layout, key: &Key, clock: fn() -> DateTime<Utc>) -> Option<Duration> {
    // Only task files have a sidecar, and are edited.
    layout.sidecar(key)?;
    let changed = layout
        .blob(key)
        .parent()?
        .metadata()
        .and_then(|folder| folder.modified())
        .ok()?;
    unsettled(changed, clock().into())
}

fn without_reading(condition: &GetIf, etag: &ETag) -> Option<Got> {
    match condition {
        GetIf::Changed(known) if known == etag => Some(Got::Unchanged),
        GetIf::Same(wanted) if wanted != etag => Some(Got::Changed),
        _ => None,
    }
}

/// Reads the file as `version`. `sidecar` is there for the kind of blob that editors write, too.
fn look(
    path: &Path,
    version: Version,
    sidecar: Option<&Path>,
    clock: fn() -> DateTime<Utc>,
) -> io::Result<Look> {
    let Some(bytes) = read_as(path, &version)? else {
        return Ok(Look::Torn);
    };
    let etag = version.etag();
    let writes = sidecar.map_or(Ok(WriteIds::default()), |file| sidecar::read(file, &etag))?;
    let foreign = sidecar.is_some() && writes.is_empty();
    if foreign && Version::at(path)? != Some(version) {
        // Two writes may have come since, whose sidecar no longer knows this version.
        return Ok(Look::Torn);
    }
    let blob = Blob {
        bytes,
        etag,
        writes,
    };
    match version.unsettled(clock().into()) {
        Some(pause) if foreign => Ok(Look::Unsettled(blob, pause)),
        _ => Ok(Look::Whole(blob)),
    }
}

/// The bytes, if the file was `version` before and after they were read.
fn read_as(path: &Path, version: &Version) -> io::Result<Option<Bytes>> {
    let mut file = match File::open(path) {
        Err(error) if is_nowhere(&error) => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::with_capacity(usize::try_from(version.size).unwrap_or_default());
    file.read_to_end(&mut bytes)?;
    let whole = bytes.len() as u64 == version.size && Version::of(&file.metadata()?)? == *version;
    Ok(whole.then(|| bytes.into()))
}
