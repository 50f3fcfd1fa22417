//! PURE. The zip itself.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use chrono::{DateTime, Datelike, Timelike, Utc};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::Gathered;
use super::names::Names;
use crate::store::Prefix;

/// A zip, and what is in it.
pub(super) struct Packed {
    pub zip: Vec<u8>,
    pub files: usize,
    pub renamed: usize,
}

/// Packs what was gathered: `tasks/…`, and beside it what lies beside the state. Where a name had to change,
/// `names.json` says what it is in storage.
pub(super) fn pack(gathered: &Gathered, now: DateTime<Utc>) -> Result<Packed, ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let options = options(now);
    let (mut names, mut renamed, mut files) = (Names::default(), BTreeMap::new(), 0);
    for (name, bytes) in gathered.present() {
        let portable = names.portable(name);
        zip.start_file(format!("tasks/{portable}"), options)?;
        zip.write_all(bytes)?;
        files += 1;
        if portable != name {
            renamed.insert(portable, name);
        }
    }
    let mut names = Names::default();
    if !renamed.is_empty() {
        zip.start_file(names.portable("names.json"), options)?;
        // A map of strings: nothing in it can fail to serialise.
        zip.write_all(&serde_json::to_vec_pretty(&renamed).unwrap_or_default())?;
    }
    for (name, bytes) in &gathered.beside {
        zip.start_file(names.portable(name), options)?;
        zip.write_all(bytes)?;
    }
    let mut names = Names::default();
    for (name, bytes) in &gathered.records {
        let path = format!("{}/{}", Prefix::IDEMPOTENCY, names.portable(name));
        zip.start_file(path, options)?;
        zip.write_all(bytes)?;
    }
    Ok(Packed {
        zip: zip.finish()?.into_inner(),
        files,
        renamed: renamed.len(),
    })
}

fn options(now: DateTime<Utc>) -> SimpleFileOptions {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(0o600);
    match dated(now) {
        Some(at) => options.last_modified_time(at),
        // A zip has no dates before 1980.
        None => options,
    }
}

fn dated(now: DateTime<Utc>) -> Option<zip::DateTime> {
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
