//! Temporary files, folders, and making both durable.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::version::Version;

/// What the store's temporary files are called. The name says nothing of the target's, which may
/// leave no room for more.
const TEMPORARY: (&str, &str) = (".codex-miroir-", ".tmp");

/// Nobody writes one file for this long: the process has died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A file on its way to its place; removed when it doesn't get there.
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
}

impl TempFile {
    /// Writes `bytes` beside their target, so that a rename never crosses file systems, wherever
    /// links lead.
    pub(super) fn write(folder: &Path, bytes: &[u8]) -> io::Result<Self> {
        let random = RandomState::new().build_hasher().finish();
        let path = folder.join(format!("{}{random:016x}{}", TEMPORARY.0, TEMPORARY.1));
        let file = File::options().write(true).create_new(true).open(&path)?;
        let mut temp = Self { path, file };
        temp.file.write_all(bytes)?;
        Ok(temp)
    }

    /// Gives the file its time, and the permissions of the file it replaces.
    pub(super) fn dress(
        &self,
        modified: SystemTime,
        permissions: Option<Permissions>,
    ) -> io::Result<Version> {
        if let Some(permissions) = permissions {
            self.file.set_permissions(permissions)?;
        }
        self.file.set_modified(modified)?;
        Version::of(&self.file.metadata()?)
    }

    /// Returns when a power cut can't take the bytes.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Takes the target's place, whatever is there.
    pub(super) fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }

    /// Takes the target's place if it is free, else false. A link fails when something is there,
    /// even an editor's file of this very moment; where links aren't supported, a look must do.
    pub(super) fn create(self, target: &Path) -> io::Result<bool> {
        match fs::hard_link(&self.path, target) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::Unsupported | ErrorKind::PermissionDenied
                ) =>
            {
                let free = target.symlink_metadata().is_err();
                if free {
                    self.replace(target)?;
                }
                Ok(free)
            }
            Err(e) => Err(e),
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name, and nobody else ever uses it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the folder and those above it, each durable in the one above.
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

/// Makes a rename, link or removal in the folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Elsewhere a folder can't be opened as a file, and its changes are journalled.
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// Whether this is one of the store's temporary files.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(TEMPORARY.0.as_bytes()) && name.ends_with(TEMPORARY.1.as_bytes())
}

/// Removes a temporary file that a dead process left. Failing to is no harm: it is tried again.
pub(super) fn remove_if_abandoned(path: &Path, now: SystemTime) {
    let modified = path.symlink_metadata().and_then(|m| m.modified());
    let age = modified.ok().and_then(|m| now.duration_since(m).ok());
    if age.is_some_and(|age| age > ABANDONED) {
        let _ = fs::remove_file(path);
    }
}

/// Removes what dead processes left anywhere below `folder`, links not followed. What can't be read
/// is left to the request that needs it.
pub(super) fn sweep(folder: &Path, now: SystemTime) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path(), now);
        } else if is_temporary(&entry.file_name()) {
            remove_if_abandoned(&entry.path(), now);
        }
    }
}
