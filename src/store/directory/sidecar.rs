//! Files with the write ids of task files.
//!
//! A sidecar is written before its task file is moved into place. It has one line for the new version and one for the
//! version that it replaces, each keyed by ETag. So after a crash in between there is a line for whichever version
//! exists, and none for a file that another program wrote.

use std::fs;
use std::io;
use std::path::Path;

use super::error::is_not_found;
use super::files::{TempFile, make_folder, sync_folder};
use crate::store::ids::{ETag, WriteIds};

/// The write ids of the version `etag`; empty if the store didn't write it.
pub(super) fn read(sidecar: &Path, etag: &ETag) -> io::Result<WriteIds> {
    let text = match fs::read(sidecar) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if is_not_found(&error) => return Ok(WriteIds::default()),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let ids = lines.find(|(of, _)| *of == etag.as_str());
    Ok(ids.map(|(_, ids)| WriteIds::parse(ids)).unwrap_or_default())
}

/// Writes the lines of `next` and, until that is in place, of `current`.
pub(super) fn prepare(
    sidecar: &Path,
    next: (&ETag, &WriteIds),
    current: Option<&ETag>,
) -> io::Result<()> {
    let Some(folder) = sidecar.parent() else {
        return Ok(());
    };
    let mut lines = line(next.0, next.1);
    if let Some(current) = current {
        lines.push_str(&line(current, &read(sidecar, current)?));
    }
    make_folder(folder)?;
    let temp = TempFile::write(folder, lines.as_bytes())?;
    temp.sync()?;
    temp.replace(sidecar)?;
    // Flushed before the task file is: otherwise a power failure could leave the file without its ids.
    sync_folder(folder)
}

fn line(etag: &ETag, writes: &WriteIds) -> String {
    format!("{} {writes}\n", etag.as_str())
}
