//! Temporary files, folders, and flushing both to disk.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::version::FileVersion;
use crate::store::ids::ETag;

/// Prefix and suffix of temporary file names. They don't contain the target's name, which may already have the maximum
/// length.
const TEMPORARY: (&str, &str) = (".codex-miroir-", ".tmp");

/// No write takes this long; the process that made the file has died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A temporary file; deleted on drop unless it was moved to its target.
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
}

impl TempFile {
    /// Writes `bytes` to a new file in the target's folder, so that the rename never crosses file systems, even with
    /// links.
    pub(super) fn write(folder: &Path, bytes: &[u8]) -> io::Result<Self> {
        let path = folder.join(temporary_name());
        let file = File::options().write(true).create_new(true).open(&path)?;
        let mut temp = Self { path, file };
        temp.file.write_all(bytes)?;
        Ok(temp)
    }

    /// Sets the file's modification time, and the permissions of the file it replaces. Returns the resulting ETag.
    pub(super) fn set_metadata(
        &self,
        modified: SystemTime,
        permissions: Option<Permissions>,
    ) -> io::Result<ETag> {
        if let Some(permissions) = permissions {
            self.file.set_permissions(permissions)?;
        }
        self.file.set_modified(modified)?;
        Ok(FileVersion::of(&self.file.metadata()?)?.etag())
    }

    /// Flushes the content to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Renames the file over the target, whatever it is.
    pub(super) fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }

    /// Moves the file to the target; false if the target exists. A hard link fails even if an editor created the target
    /// just now. Where links aren't supported, existence is only checked beforehand.
    pub(super) fn create(self, target: &Path) -> io::Result<bool> {
        match fs::hard_link(&self.path, target) {
            Ok(()) => Ok(true),
            Err(e) => match e.kind() {
                ErrorKind::AlreadyExists => Ok(false),
                ErrorKind::Unsupported | ErrorKind::PermissionDenied => {
                    let free = target.symlink_metadata().is_err();
                    if free {
                        self.replace(target)?;
                    }
                    Ok(free)
                }
                _ => Err(e),
            },
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // After a rename this name no longer exists, and random names aren't reused.
        let _ = fs::remove_file(&self.path);
    }
}

/// Creates the folder and its parents, flushing each parent.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else {
        return Ok(());
    };
    make_folder(parent)?;
    match fs::create_dir(folder) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
        _ => sync_folder(parent),
    }
}

/// Flushes a rename, link or deletion in the folder to disk.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // On other systems a folder can't be opened as a file, and its metadata is journalled.
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}

/// A new name for a temporary file.
pub(super) fn temporary_name() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("{}{random:016x}{}", TEMPORARY.0, TEMPORARY.1)
}

/// Whether this is the name of a temporary file of the store.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes().strip_prefix(TEMPORARY.0.as_bytes());
    let random = name.and_then(|it| it.strip_suffix(TEMPORARY.1.as_bytes()));
    random.is_some_and(|it| it.len() == 16 && it.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a dead process left this temporary file or folder behind.
pub(super) fn is_abandoned(path: &Path, now: SystemTime) -> bool {
    let modified = path.symlink_metadata().and_then(|m| m.modified());
    let age = modified.ok().and_then(|m| now.duration_since(m).ok());
    age.is_some_and(|age| age > ABANDONED)
}

/// Deletes a temporary file that a dead process left behind. Ignores failures: it is tried again later.
pub(super) fn remove_if_abandoned(path: &Path, now: SystemTime) {
    if is_abandoned(path, now) {
        let _ = fs::remove_file(path);
    }
}

/// Deletes abandoned temporary files below `folder`, without following links. Ignores unreadable folders; a request
/// that needs them reports the error.
pub(super) fn sweep(folder: &Path, now: SystemTime) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path(), now);
        } else if is_temporary(&entry.file_name()) {
            remove_if_abandoned(&entry.path(), now);
        }
    }
}
