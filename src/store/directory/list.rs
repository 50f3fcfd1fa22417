//! Listing a folder: names, and a `stat` each.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::files::{is_temporary, remove_if_abandoned};
use super::layout::Layout;
use super::version::{Version, unsettled};
use crate::store::{ETag, Listed, Listing, Prefix};

/// [`crate::store::BlobStore::list`].
pub(super) fn list(
    layout: &Layout,
    clock: fn() -> DateTime<Utc>,
    prefix: &Prefix,
) -> io::Result<Listing> {
    let folder = layout.folder(prefix);
    let names = match all_names(&folder, clock) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Asked of a name inside, so that the folder itself is looked at, too.
            return layout.check_absent(&folder.join("any")).map(|()| Listing {
                blobs: Vec::new(),
                requests: 1,
            });
        }
        names => names?,
    };
    let mut blobs = Vec::with_capacity(names.len());
    for name in names {
        // Linked files count, sub-folders, sockets and what has gone again don't. What may not be
        // looked at is there all the same, in a version that equals no other.
        let (etag, size) = match Version::at(&folder.join(&name)) {
            Ok(Some(version)) => (version.etag(), version.size),
            Ok(None) => continue,
            Err(_) => (ETag::new(""), 0),
        };
        blobs.push(Listed {
            name: printable(&name),
            etag,
            size,
        });
    }
    Ok(Listing { blobs, requests: 1 })
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
