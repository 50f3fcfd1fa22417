//! `codex-miroir package`: a complete Functions app folder (`src/functions/README.md`, "The app's folder").

mod archive;
mod build;
mod contents;
mod folder;
mod schedule;
mod written;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use build::ExecutableKind;
pub use contents::{AppFile, EXECUTABLE, SETTINGS, files};
pub use schedule::{Schedule, ScheduleError};
pub use written::PackageSummary;

/// The parameters of `codex-miroir package`.
#[derive(Debug, Clone)]
pub struct PackageRequest {
    /// The app folder: absent, empty, or an earlier package.
    pub folder: PathBuf,
    /// The executable to include.
    pub executable: PathBuf,
    /// The archive for zip deploy, if one is to be written.
    pub zip: Option<PathBuf>,
    /// The schedule of `gitPush`; the default is every minute.
    pub push_schedule: Option<Schedule>,
}

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
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::File { path, error }
    }
}

/// Writes the app folder, and the archive if one is asked for.
///
/// An earlier package's files are replaced, even while they are in use; the user's own files, including
/// `local.settings.json`, are kept. If a file that is no zip is at the archive's path, nothing is written.
///
/// # Errors
/// [`PackageError`], with the path.
pub fn write(request: &PackageRequest) -> Result<PackageSummary, PackageError> {
    let executable =
        fs::read(&request.executable).map_err(PackageError::at(&request.executable))?;
    if let Some(path) = &request.zip
        && !archive::can_replace(path).map_err(PackageError::at(path))?
    {
        return Err(PackageError::NotAnArchive(path.clone()));
    }
    let build = ExecutableKind::of(&executable);
    let files = files(executable.into(), request.push_schedule.as_ref());
    let kept_settings = folder::write(&request.folder, &files)?;
    if let Some(path) = &request.zip {
        let archive = archive::archive(&files).map_err(|error| PackageError::Archive {
            path: path.clone(),
            error,
        })?;
        folder::replace(path, &archive, 0o644)?;
    }
    Ok(PackageSummary::new(request, &files, kept_settings, build))
}
