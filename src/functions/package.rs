//! `codex-miroir package`: a complete Functions app folder (`src/functions/README.md`, "The app's folder").

mod build;
mod contents;
mod deploy;
mod folder;
mod schedule;
mod written;

use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

pub use build::ExecutableKind;
pub use contents::{AppFile, EXECUTABLE, SETTINGS, files};
pub use folder::PackageError;
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
    /// The folder for what deploys the app, if it is to be written: outside the app folder, as a rule a repository.
    pub deploy: Option<PathBuf>,
    /// The schedule of `gitPush`; the default is every minute.
    pub push_schedule: Option<Schedule>,
}

/// Writes the app folder, and the archive and what deploys the app if they are asked for.
///
/// An earlier package's files are replaced, even while they are in use; the user's own files, including
/// `local.settings.json`, are kept, and so is every file that deploys the app once it is there. If a file that is no zip
/// is at the archive's path, or the folder of what deploys the app is inside the app folder, nothing is written.
pub fn write(request: &PackageRequest) -> Result<PackageSummary, PackageError> {
    let executable =
        fs::read(&request.executable).map_err(PackageError::at(&request.executable))?;
    if let Some(path) = &request.zip
        && !can_replace(path).map_err(PackageError::at(path))?
    {
        return Err(PackageError::NotAnArchive(path.clone()));
    }
    let deploy = match &request.deploy {
        Some(folder) => deploy::plan(folder, &request.folder)?,
        None => Vec::new(),
    };
    let build = ExecutableKind::of(&executable);
    let files = files(executable.into(), request.push_schedule.as_ref());
    let kept_settings = folder::write(&request.folder, &files)?;
    if let Some(path) = &request.zip {
        let archive = archive(&files).map_err(PackageError::at(path))?;
        folder::replace(path, &archive, 0o644)?;
    }
    deploy::write(&deploy)?;
    let functions = files.iter().filter(|file| file.name.contains('/'));
    Ok(PackageSummary {
        folder: request.folder.clone(),
        zip: request.zip.clone(),
        deploy,
        functions: functions.count(),
        kept_settings,
        build,
    })
}

/// The first bytes of every zip.
const MAGIC: &[u8] = b"PK";

/// Whether an archive may be written at `path`: nothing is there, or a zip.
fn can_replace(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    let mut begins = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begins)?;
    Ok(begins == MAGIC)
}

/// Packs the files that are deployed, with their modes: the executable needs its execute bit to be started.
/// Reproducible: the same files give the same bytes.
fn archive(files: &[AppFile]) -> io::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for file in files.iter().filter(|file| file.is_deployed()) {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            // The packing time would make every archive differ.
            .last_modified_time(DateTime::default())
            .unix_permissions(file.mode);
        archive.start_file(file.name, options)?;
        archive.write_all(&file.bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
