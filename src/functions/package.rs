//! `codex-miroir package`: a complete Functions app folder (`src/functions/README.md`, "The app's folder").

mod archive;
mod build;
mod contents;
mod error;
mod folder;
mod schedule;
mod written;

use std::fs;
use std::path::PathBuf;

pub use build::ExecutableKind;
pub use contents::{AppFile, EXECUTABLE, SETTINGS, files};
pub use error::PackageError;
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
    let functions = files.iter().filter(|file| file.name.contains('/'));
    Ok(PackageSummary {
        folder: request.folder.clone(),
        zip: request.zip.clone(),
        functions: functions.count(),
        kept_settings,
        build,
    })
}
