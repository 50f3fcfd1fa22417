//! Why packaging failed.

use std::io;
use std::path::{Path, PathBuf};

/// Why packaging failed. A package that was written in part can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The folder is neither empty nor an earlier package; nothing is changed.
    #[error("{} holds something else and is left alone; name a new or empty folder, or an earlier package", .0.display())]
    ForeignFolder(PathBuf),
    /// A file that is no zip is at the archive's path; nothing is changed.
    #[error("{} is no zip archive and is left alone; name a new file, or an earlier archive", .0.display())]
    NotAnArchive(PathBuf),
    /// A file can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The zip writer failed.
    #[error("{}: {error}", path.display())]
    Archive {
        /// The archive's path.
        path: PathBuf,
        /// The writer's error.
        error: zip::result::ZipError,
    },
}

impl PackageError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::File { path, error }
    }
}
