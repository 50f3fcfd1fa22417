//! PURE. Writing the zip.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use bytes::Bytes;
use chrono::{DateTime, Datelike, Timelike, Utc};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::names::PortableNames;
use crate::store::Prefix;

/// A zip, with the number of task files in it and of those that were renamed.
pub(super) struct ExportArchive {
    pub zip: Vec<u8>,
    pub tasks: usize,
    pub renamed: usize,
}

/// Packs task files below `tasks/`, state blobs at the top and records below `idempotency/`. Where task files
/// had to be renamed, `names.json` maps the names to those in storage.
pub(super) fn pack<'a>(
    tasks: impl Iterator<Item = (&'a String, &'a Bytes)>,
    state: &BTreeMap<String, Bytes>,
    records: &BTreeMap<String, Bytes>,
    now: DateTime<Utc>,
) -> Result<ExportArchive, ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let mut options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(0o600);
    // The zip format has no dates before 1980.
    if let Some(at) = zip_time(now) {
        options = options.last_modified_time(at);
    }
    let mut add = |path: String, bytes: &[u8]| -> Result<(), ZipError> {
        zip.start_file(path, options)?;
        Ok(zip.write_all(bytes)?)
    };
    let (mut names, mut renamed, mut count) = (PortableNames::default(), BTreeMap::new(), 0);
    for (name, bytes) in tasks {
        let portable = names.portable(name);
        add(format!("tasks/{portable}"), bytes)?;
        count += 1;
        if portable != *name {
            renamed.insert(portable, name);
        }
    }
    let mut names = PortableNames::default();
    if !renamed.is_empty() {
        // A map of strings always serialises.
        let bytes = serde_json::to_vec_pretty(&renamed).unwrap_or_default();
        add(names.portable("names.json"), &bytes)?;
    }
    for (name, bytes) in state {
        add(names.portable(name), bytes)?;
    }
    let mut names = PortableNames::default();
    for (name, bytes) in records {
        let name = names.portable(name);
        add(format!("{}/{name}", Prefix::IDEMPOTENCY), bytes)?;
    }
    Ok(ExportArchive {
        zip: zip.finish()?.into_inner(),
        tasks: count,
        renamed: renamed.len(),
    })
}

fn zip_time(now: DateTime<Utc>) -> Option<zip::DateTime> {
    let year = u16::try_from(now.year()).ok()?;
    let parts = [
        now.month(),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
    ];
    let [month, day, hour, minute, second] = parts.map(|it| u8::try_from(it).unwrap_or_default());
    zip::DateTime::from_date_and_time(year, month, day, hour, minute, second).ok()
}
