//! Listing a folder: names, and a `stat` or two each.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::files::{is_temporary, remove_if_abandoned};
use super::layout::Layout;
use super::version::{Version, is_other, unsettled};
use crate::store::{Contents, ETag, Listed, Listing, Prefix};

/// [`crate::store::BlobStore::list`].
pub(super) fn list(
    layout: &Layout,
    clock: fn() -> DateTime<Utc>,
    prefix: &Prefix,
) -> io::Result<Listing> {
    let folder = layout.folder(prefix);
    let names = names_or_none(layout, clock, &folder)?;
    let mut listing = Listing {
        requests: 1,
        ..Listing::default()
    };
    for name in &names {
        match listed(&folder, name) {
            Some(blob) => listing.blobs.push(blob),
            None if is_other(&folder.join(name)) => listing.others.push(printable(name)),
            // Gone again.
            None => {}
        }
    }
    Ok(listing)
}

/// [`crate::store::BlobStore::contents`].
pub(super) fn contents(
    layout: &Layout,
    clock: fn() -> DateTime<Utc>,
    prefix: &Prefix,
) -> io::Result<Contents> {
    let folder = layout.folder(prefix);
    let names = names_or_none(layout, clock, &folder)?;
    let (mut folders, others): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| folder.join(name).is_dir());
    // What was removed leaves its folders.
    folders.retain(|name| holds_anything(&folder.join(name)));
    Ok(Contents {
        folders: folders.iter().map(|name| printable(name)).collect(),
        blobs: others
            .iter()
            .filter_map(|name| listed(&folder, name))
            .collect(),
        requests: 1,
    })
}

/// Whether there is anything in a folder, or in one below, but folders. What may not be looked at may hold something, and
/// where a link leads isn't looked at.
fn holds_anything(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.any(|entry| {
            entry.is_ok_and(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => holds_anything(&entry.path()),
                _ => !is_temporary(&entry.file_name()),
            })
        }),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Linked files count, sub-folders, sockets, links to nothing and what has gone again don't. What may not be looked at is
/// there all the same, in a version that equals no other.
fn listed(folder: &Path, name: &OsStr) -> Option<Listed> {
    let (etag, size, modified) = match Version::at(&folder.join(name)) {
        Ok(version) => {
            let version = version?;
            (version.etag(), version.size, Some(version.modified.into()))
        }
        Err(_) => (ETag::new(""), 0, None),
    };
    Some(Listed {
        name: printable(name),
        etag,
        size,
        modified,
    })
}

/// The names in a folder, none when it isn't there.
fn names_or_none(
    layout: &Layout,
    clock: fn() -> DateTime<Utc>,
    folder: &Path,
) -> io::Result<HashSet<OsString>> {
    match all_names(folder, clock) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Asked of a name inside, so that the folder itself is looked at, too.
            let absent = layout.check_absent(&folder.join("any"));
            absent.map(|()| HashSet::new())
        }
        names => names,
    }
}

/// Every name in the folder. While entries come and go an enumeration may miss one that is being
/// renamed over, so a folder that changes, or did so a moment ago, is enumerated twice.
fn all_names(folder: &Path, clock: fn() -> DateTime<Utc>) -> io::Result<HashSet<OsString>> {
    let now = clock().into();
    let before = fs::metadata(folder)?.modified()?;
    let mut names = HashSet::new();
    enumerate(folder, now, &mut names)?;
    if unsettled(before, now).is_some() || fs::metadata(folder)?.modified()? != before {
        enumerate(folder, now, &mut names)?;
    }
    Ok(names)
}

fn enumerate(folder: &Path, now: SystemTime, names: &mut HashSet<OsString>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if is_temporary(&name) {
            remove_if_abandoned(&folder.join(&name), now);
        } else {
            names.insert(name);
        }
    }
    Ok(())
}

/// The name as [`Listed::name`] wants it: what isn't UTF-8 as `\xNN`.
fn printable(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}
