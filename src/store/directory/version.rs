//! File versions derived from `stat`.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{is_link_loop, is_not_found};
use crate::store::ids::ETag;

/// Identifies a version of a file.
///
/// A second save in place can get the same version as the first, if both fall into one tick of the kernel's clock; see
/// [`racy_window`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileVersion {
    pub(super) modified: SystemTime,
    pub(super) size: u64,
    inode: u64,
}

/// Longer than a tick of any kernel's file clock (1 to 10 ms on Linux, 16 ms on Windows).
const CLOCK_TICK: Duration = Duration::from_millis(20);

impl FileVersion {
    pub(super) fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: metadata.modified()?,
            size: metadata.len(),
            inode: inode(metadata),
        })
    }

    /// The version of the file at `path`, following links; `None` if there is no file.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => Self::of(&found).map(Some),
            Ok(_) => Ok(None),
            Err(error) if is_not_found(&error) || is_link_loop(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Compact, because an instance keeps one for each file it knows.
    pub(super) fn etag(&self) -> ETag {
        let time = match self.modified.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos(),
            Err(before) => before.duration().as_nanos().wrapping_neg(),
        };
        // Nanoseconds exceed 64 bits from the year 2554 on.
        let parts = [time as u64, self.inode, self.size].map(|part| {
            let bytes = part.to_be_bytes();
            URL_SAFE_NO_PAD.encode(&bytes[part.leading_zeros() as usize / 8..])
        });
        ETag::new(&parts.join("."))
    }
}

/// Whether `path` is something other than a file or a link to one. For use after [`FileVersion::at`] returned none.
pub(super) fn is_non_file(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| !found.is_file()) && !path.is_file()
}

/// How long from `now` a further save could still get the same modification time; `None` if it can't any more. Doesn't
/// wait for a time far in the future.
pub(super) fn racy_window(modified: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(modified) {
        Ok(age) => CLOCK_TICK.checked_sub(age),
        Err(ahead) => (ahead.duration() < CLOCK_TICK).then_some(CLOCK_TICK),
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
