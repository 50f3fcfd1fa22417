//! A raw file's write ids, kept in a file of their own.
//!
//! The sidecar is written before the file it belongs to takes its place, and holds a line for that
//! coming version and one for the version it replaces, each under its ETag. So a crash in between
//! leaves a line for whichever version is there, and a file that something else wrote has none.

use std::fs;
use std::io;
use std::path::Path;

use super::failure::is_nowhere;
use super::files::{TempFile, make_folder, sync_folder};
use crate::store::{ETag, WriteIds};

/// The write ids of the version `etag`; none if the store didn't write it.
pub(super) fn read(sidecar: &Path, etag: &ETag) -> io::Result<WriteIds> {
    let text = match fs::read(sidecar) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if is_nowhere(&error) => return Ok(WriteIds::default()),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    Ok(lines
        .find(|(of, _)| *of == etag.as_str())
        .map(|(_, ids)| WriteIds::parse(ids))
        .unwrap_or_default())
}

/// Makes the sidecar right for `next` and, until that has taken its place, for `current`.
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
    // Durable before its file is: else a power cut could leave the file without its ids.
    sync_folder(folder)
}

/// After its blob has gone. One that stays behind matches no later version.
pub(super) fn remove(sidecar: &Path) {
    let _ = fs::remove_file(sidecar);
}

fn line(etag: &ETag, writes: &WriteIds) -> String {
    format!("{} {writes}\n", etag.as_str())
}
