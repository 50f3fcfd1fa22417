//! PURE. Writing the zip.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use chrono::{DateTime, Datelike, Timelike, Utc};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::UserData;
use super::names::PortableNames;
use crate::store::Prefix;

/// A zip, with the number of task files in it and of those that were renamed.
pub(super) struct ExportArchive {
    pub zip: Vec<u8>,
    pub files: usize,
    pub renamed: usize,
}

/// Packs task files below `tasks/`, state blobs at the top and records below `idempotency/`. Where task files
/// had to be renamed, `names.json` maps the names to those in storage.
pub(super) fn pack(data: &UserData, now: DateTime<Utc>) -> Result<ExportArchive, ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let options = options(now);
    let (mut names, mut renamed, mut files) = (PortableNames::default(), BTreeMap::new(), 0);
    for (name, bytes) in data.present() {
        let portable = names.portable(name);
        zip.start_file(format!("tasks/{portable}"), options)?;
        zip.write_all(bytes)?;
        files += 1;
        if portable != name {
            renamed.insert(portable, name);
        }
    }
    let mut names = PortableNames::default();
    if !renamed.is_empty() {
        zip.start_file(names.portable("names.json"), options)?;
        // A map of strings always serialises.
        zip.write_all(&serde_json::to_vec_pretty(&renamed).unwrap_or_default())?;
    }
    for (name, bytes) in &data.state_files {
        zip.start_file(names.portable(name), options)?;
        zip.write_all(bytes)?;
    }
    let mut names = PortableNames::default();
    for (name, bytes) in &data.records {
        let path = format!("{}/{}", Prefix::IDEMPOTENCY, names.portable(name));
        zip.start_file(path, options)?;
        zip.write_all(bytes)?;
    }
    Ok(ExportArchive {
        zip: zip.finish()?.into_inner(),
        files,
        renamed: renamed.len(),
    })
}

fn options(now: DateTime<Utc>) -> SimpleFileOptions {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(0o600);
    match zip_time(now) {
        Some(at) => options.last_modified_time(at),
        // The zip format has no dates before 1980.
        None => options,
    }
}

fn zip_time(now: DateTime<Utc>) -> Option<zip::DateTime> {
    let part = |number: u32| u8::try_from(number).ok();
    zip::DateTime::from_date_and_time(
        u16::try_from(now.year()).ok()?,
        part(now.month())?,
        part(now.day())?,
        part(now.hour())?,
        part(now.minute())?,
        part(now.second())?,
    )
    .ok()
}
