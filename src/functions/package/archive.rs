//! The folder as an archive for zip deploy. PURE: the same files give the same bytes.

use std::io::{Cursor, Write};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::contents::AppFile;

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
