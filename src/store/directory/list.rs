//! Listings: directory entries, and one or two `stat` calls each.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use super::files::{is_temporary, remove_if_abandoned};
use super::layout::Layout;
use super::version::{FileVersion, is_non_file, racy_window};
use crate::store::blob_store::{ListedBlob, Listing};
use crate::store::ids::ETag;
use crate::store::key::Prefix;

/// [`crate::store::blob_store::BlobStore::list`], or `contents` if `with_folders`.
pub(super) fn list(layout: &Layout, prefix: &Prefix, with_folders: bool) -> io::Result<Listing> {
    let folder = layout.folder(prefix);
    let mut listing = Listing {
        requests: 1,
        ..Listing::default()
    };
    for name in names_if_present(layout, &folder)? {
        let path = folder.join(&name);
        if with_folders && path.is_dir() {
            // Deleting files leaves their folders behind.
            if has_any_file(&path) {
                listing.folders.insert(escaped_name(&name));
            }
        } else if let Some(blob) = listed_blob(&path, &name) {
            listing.blobs.push(blob);
        } else if is_non_file(&path) {
            listing.others.push(escaped_name(&name));
        }
    }
    Ok(listing)
}

/// Whether the folder or a subfolder contains anything but folders. Counts unreadable entries as files, and doesn't
/// follow links.
fn has_any_file(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.any(|entry| {
            entry.is_ok_and(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => has_any_file(&entry.path()),
                _ => !is_temporary(&entry.file_name()),
            })
        }),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Includes links to files; excludes folders, sockets, dangling links and files deleted since. An inaccessible entry is
/// included with an ETag that equals no other.
fn listed_blob(path: &Path, name: &OsStr) -> Option<ListedBlob> {
    let (etag, size, modified) = match FileVersion::at(path) {
        Ok(version) => {
            let version = version?;
            (version.etag(), version.size, Some(version.modified.into()))
        }
        Err(_) => (ETag::new(""), 0, None),
    };
    Some(ListedBlob {
        name: escaped_name(name),
        etag,
        size,
        modified,
    })
}

/// The names in a folder; empty if the folder doesn't exist.
fn names_if_present(layout: &Layout, folder: &Path) -> io::Result<HashSet<OsString>> {
    match all_names(folder, layout.now()) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Checked for a name inside, so that the folder itself is checked, too.
            let absent = layout.check_absent(&folder.join("any"));
            absent.map(|()| HashSet::new())
        }
        names => names,
    }
}

/// Every name in the folder. An enumeration may miss a name that is being renamed over, so a folder that is changing,
/// or changed just before, is enumerated twice.
fn all_names(folder: &Path, now: SystemTime) -> io::Result<HashSet<OsString>> {
    let before = fs::metadata(folder)?.modified()?;
    let mut names = HashSet::new();
    enumerate(folder, now, &mut names)?;
    if racy_window(before, now).is_some() || fs::metadata(folder)?.modified()? != before {
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

/// The name in the form of [`ListedBlob::name`], with bytes that aren't UTF-8 as `\xNN`.
fn escaped_name(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}
