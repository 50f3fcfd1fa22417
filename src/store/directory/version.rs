//! A file's version, from its `stat` alone.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::failure::{is_circle, is_nowhere};
use crate::store::ETag;

/// What tells one save of a file from the next.
///
/// A second save in place can have the same time as the first when both fall into one tick of the
/// kernel's clock: [`Version::unsettled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) modified: SystemTime,
    pub(super) size: u64,
    inode: u64,
}

/// More than a tick of any kernel's file clock (1 to 10 ms on Linux, 16 ms on Windows).
pub(super) const TICK: Duration = Duration::from_millis(20);

impl Version {
    pub(super) fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: metadata.modified()?,
            size: metadata.len(),
            inode: inode(metadata),
        })
    }

    /// Of the file at `path`, following links; none when there is no file.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => Self::of(&found).map(Some),
            Ok(_) => Ok(None),
            Err(error) if is_nowhere(&error) || is_circle(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Short, because an instance keeps one for every file it knows.
    pub(super) fn etag(&self) -> ETag {
        let time = match self.modified.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos(),
            Err(before) => before.duration().as_nanos().wrapping_neg(),
        };
        // Nanoseconds need more than 64 bits from the year 2554 on.
        let parts = [time as u64, self.inode, self.size].map(|part| {
            let bytes = part.to_be_bytes();
            URL_SAFE_NO_PAD.encode(&bytes[part.leading_zeros() as usize / 8..])
        });
        ETag::new(&parts.join("."))
    }

    /// How long from `now` until a further save can't go unnoticed; none when that is so already.
    pub(super) fn unsettled(&self, now: SystemTime) -> Option<Duration> {
        unsettled(self.modified, now)
    }
}

/// Whether something is at `path` that is no file, nor a link to one. To be asked where [`Version::at`] found none.
pub(super) fn is_other(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| !found.is_file()) && !path.is_file()
}

/// [`Version::unsettled`] for a bare time, such as a folder's. A time far in the future isn't
/// waited for.
pub(super) fn unsettled(modified: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(modified) {
        Ok(age) => TICK.checked_sub(age),
        Err(ahead) => (ahead.duration() < TICK).then_some(TICK),
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}
