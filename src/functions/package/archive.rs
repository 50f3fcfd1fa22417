//! The archive for zip deploy. Reproducible: the same files give the same bytes.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::contents::AppFile;

/// The first bytes of every zip.
const MAGIC: &[u8] = b"PK";

/// Whether an archive may be written at `path`: nothing is there, or a zip.
pub(super) fn can_replace(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    let mut begins = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begins)?;
    Ok(begins == MAGIC)
}

/// Packs the files that are deployed, with their modes: the executable needs its execute bit to be started.
pub(super) fn archive(files: &[AppFile]) -> Result<Vec<u8>, ZipError> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for file in files.iter().filter(|file| file.is_deployed()) {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            // The packing time would make every archive differ.
            .last_modified_time(DateTime::default())
            .unix_permissions(file.mode);
        archive.start_file(file.name, options)?;
        archive.write_all(&file.bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
