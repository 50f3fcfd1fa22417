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

pub use build::Build;
pub use contents::{AppFile, EXECUTABLE, SETTINGS, files};
pub use schedule::{Schedule, ScheduleError};
pub use written::Written;

/// What is to be packaged, and where to.
#[derive(Debug, Clone)]
pub struct Order {
    /// The app folder: new, empty, or an earlier package.
    pub folder: PathBuf,
    /// The executable that goes in.
    pub executable: PathBuf,
    /// The archive for zip deploy, when one is wanted.
    pub zip: Option<PathBuf>,
    /// When `gitPush` runs, if not every minute.
    pub push: Option<Schedule>,
}

/// Why a folder wasn't packaged, or not completely: then it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The folder isn't the package's own, and is left alone.
    #[error("{} holds something else and is left alone; name a new or empty folder, or an earlier package", .0.display())]
    Foreign(PathBuf),
    /// What is in the archive's place is something else, and is left alone.
    #[error("{} is no zip archive and is left alone; name a new file, or an earlier archive", .0.display())]
    NoArchive(PathBuf),
    /// A file can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The archive can't be packed.
    #[error("{}: {error}", path.display())]
    Archive {
        /// Where it was to be.
        path: PathBuf,
        /// What doesn't fit.
        error: zip::result::ZipError,
    },
}

impl PackageError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::File { path, error }
    }
}

/// Writes the folder, and the archive where one is wanted.
///
/// An earlier package's files are replaced, also while they are used; a person's own, `local.settings.json`
/// among them, stay. So does whatever is in the archive's place and is none: then nothing is written.
///
/// # Errors
/// [`PackageError`]; each names its path.
pub fn write(order: &Order) -> Result<Written, PackageError> {
    let executable = fs::read(&order.executable).map_err(PackageError::at(&order.executable))?;
    if let Some(path) = &order.zip
        && !archive::may_be_at(path).map_err(PackageError::at(path))?
    {
        return Err(PackageError::NoArchive(path.clone()));
    }
    let build = Build::of(&executable);
    let files = files(executable.into(), order.push.as_ref());
    let kept_settings = folder::write(&order.folder, &files)?;
    if let Some(path) = &order.zip {
        let archive = archive::archive(&files).map_err(|error| PackageError::Archive {
            path: path.clone(),
            error,
        })?;
        folder::replace(path, &archive, 0o644)?;
    }
    Ok(Written::new(order, &files, kept_settings, build))
}
