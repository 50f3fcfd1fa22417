//! The folder as an archive for zip deploy: the same files give the same bytes.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::contents::AppFile;

/// What every archive begins with.
const MAGIC: &[u8] = b"PK";

/// Whether an archive may be written here: where there is none yet, or one to replace.
pub(super) fn may_be_at(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    let mut begins = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begins)?;
    Ok(begins == MAGIC)
}

/// Packs what is deployed, with each file's mode: without the run bit the host couldn't start the
/// executable.
pub(super) fn archive(files: &[AppFile]) -> Result<Vec<u8>, ZipError> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for file in files.iter().filter(|file| file.deployed()) {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            // When it was packed would make each archive differ.
            .last_modified_time(DateTime::default())
            .unix_permissions(file.mode);
        archive.start_file(file.name, options)?;
        archive.write_all(&file.bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
