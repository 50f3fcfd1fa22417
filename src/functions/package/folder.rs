//! The folder on disk: recognising an earlier package, and replacing its files.

use std::collections::BTreeSet;
use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::contents::{AppFile, SETTINGS};

/// Why packaging failed. A package that was written in part can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The folder is neither empty nor an earlier package; nothing is changed.
    #[error("{} holds something else and is left alone; name a new or empty folder, or an earlier package", .0.display())]
    ForeignFolder(PathBuf),
    /// A file that is no zip is at the archive's path; nothing is changed.
    #[error("{} is no zip archive and is left alone; name a new file, or an earlier archive", .0.display())]
    NotAnArchive(PathBuf),
    /// The folder of what deploys the app, and the app's folder, are one or one inside the other; nothing is changed.
    #[error("{} and {} must not be the same folder, nor one inside the other: what deploys the app isn't deployed itself", deploy.display(), app.display())]
    Nested {
        /// The folder of what deploys it.
        deploy: PathBuf,
        /// The app's folder.
        app: PathBuf,
    },
    /// A file, or the archive, can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl PackageError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::File { path, error }
    }
}

/// Lists the files of a package, so that the next run knows which files it may replace.
const MANIFEST: &str = ".codex-miroir-package";

/// The manifest's first line.
const MANIFEST_HEADER: &str =
    "# codex-miroir package wrote these files; it replaces them when it is run again.";

/// Writes the files into an empty folder or an earlier package; files that are no longer part of the package are
/// removed. Returns whether the settings file existed already.
///
/// # Errors
/// `ForeignFolder` for a folder with other contents: nothing is changed.
pub(super) fn write(folder: &Path, files: &[AppFile]) -> Result<bool, PackageError> {
    let before = previous_files(folder)?;
    let settings = folder.join(SETTINGS);
    let kept = settings.try_exists().map_err(PackageError::at(&settings))?;
    let own = |file: &&AppFile| file.name != SETTINGS;
    let names: BTreeSet<&str> = files.iter().filter(own).map(|file| file.name).collect();
    // First, with the former files included: wherever this is interrupted, the folder is known as a package.
    let all = before.iter().map(String::as_str).chain(names.clone());
    write_manifest(folder, all.collect())?;
    for file in files.iter().filter(|file| own(file) || !kept) {
        replace(&folder.join(file.name), &file.bytes, file.mode)?;
    }
    for gone in before.iter().filter(|name| !names.contains(name.as_str())) {
        remove(folder, gone)?;
    }
    write_manifest(folder, names)?;
    Ok(kept)
}

/// The files of an earlier package; none in an empty or missing folder.
fn previous_files(folder: &Path) -> Result<Vec<String>, PackageError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(PackageError::at(folder))?,
    };
    let manifest = folder.join(MANIFEST);
    match fs::read_to_string(&manifest) {
        Ok(manifest_text) => Ok(manifest_text
            .lines()
            .filter(|line| is_package_file(line))
            .map(str::to_owned)
            .collect()),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(PackageError::at(&manifest)(error))
        }
        Err(_) if is_empty_folder(entries).map_err(PackageError::at(folder))? => Ok(Vec::new()),
        Err(_) => Err(PackageError::ForeignFolder(folder.to_owned())),
    }
}

/// Whether the folder is empty, but for the unfinished manifest of an interrupted first run.
fn is_empty_folder(mut entries: ReadDir) -> io::Result<bool> {
    let unfinished = temporary_path(Path::new(MANIFEST));
    entries.try_fold(true, |nothing, entry| {
        Ok(nothing && entry?.file_name() == unfinished.as_os_str())
    })
}

/// Whether a manifest line names a file below the folder, other than the settings file.
fn is_package_file(line: &str) -> bool {
    let below = |part| matches!(part, Component::Normal(_));
    !line.is_empty()
        && !line.starts_with('#')
        && line != SETTINGS
        && Path::new(line).components().all(below)
}

fn write_manifest(folder: &Path, names: BTreeSet<&str>) -> Result<(), PackageError> {
    let lines: Vec<&str> = std::iter::once(MANIFEST_HEADER).chain(names).collect();
    let text = lines.join("\n") + "\n";
    replace(&folder.join(MANIFEST), text.as_bytes(), 0o644)
}

/// Writes a temporary file and renames it: a running executable can't be overwritten, and no reader sees a
/// partial file.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PackageError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(PackageError::at(folder))?;
    }
    let temporary_path = temporary_path(path);
    let written = fs::write(&temporary_path, bytes)
        .and_then(|()| set_mode(&temporary_path, mode))
        .and_then(|()| fs::rename(&temporary_path, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary_path);
        PackageError::at(path)(error)
    })
}

/// The temporary file for `path`, in the same folder.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".codex-miroir-new");
    path.with_file_name(name)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Removes a file, and its function's folder if that is empty then.
fn remove(folder: &Path, name: &str) -> Result<(), PackageError> {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(PackageError::at(&path)(error));
        }
        _ => {}
    }
    if let Some(function) = path.parent().filter(|parent| *parent != folder) {
        // Fails, as it should, while the user's own files are in it.
        let _ = fs::remove_dir(function);
    }
    Ok(())
}
