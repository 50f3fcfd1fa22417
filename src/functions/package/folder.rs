//! The folder on disk: whose it is, and how its files are replaced.

use std::collections::BTreeSet;
use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::PackageError;
use super::contents::{AppFile, SETTINGS};

/// Names what a package has written, so that the next one knows what is its own.
const MANIFEST: &str = ".codex-miroir-package";

/// The manifest's first line.
const SAYS: &str =
    "# codex-miroir package wrote these files; it replaces them when it is run again.";

/// Writes the files into an empty folder or an earlier package, where those that aren't part of the package
/// any more go. Says whether the settings were there already.
///
/// # Errors
/// `Foreign` for a folder that holds something else: it is left as it is.
pub(super) fn write(folder: &Path, files: &[AppFile]) -> Result<bool, PackageError> {
    let before = written_before(folder)?;
    let settings = folder.join(SETTINGS);
    let kept = settings.try_exists().map_err(PackageError::at(&settings))?;
    let own = |file: &&AppFile| file.name != SETTINGS;
    let names: BTreeSet<&str> = files.iter().filter(own).map(|file| file.name).collect();
    // First, with what was before: whatever cuts this off, the folder is known as a package.
    let all = before.iter().map(String::as_str).chain(names.clone());
    note(folder, all.collect())?;
    for file in files.iter().filter(|file| own(file) || !kept) {
        replace(&folder.join(file.name), &file.bytes, file.mode)?;
    }
    for gone in before.iter().filter(|name| !names.contains(name.as_str())) {
        remove(folder, gone)?;
    }
    note(folder, names)?;
    Ok(kept)
}

/// The names an earlier package wrote here; none in an empty or missing folder.
fn written_before(folder: &Path) -> Result<Vec<String>, PackageError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(PackageError::at(folder))?,
    };
    let manifest = folder.join(MANIFEST);
    match fs::read_to_string(&manifest) {
        Ok(said) => Ok(said
            .lines()
            .filter(|line| inside(line))
            .map(str::to_owned)
            .collect()),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(PackageError::at(&manifest)(error))
        }
        Err(_) if holds_nothing(entries).map_err(PackageError::at(folder))? => Ok(Vec::new()),
        Err(_) => Err(PackageError::Foreign(folder.to_owned())),
    }
}

/// But perhaps the manifest that a first package was writing when it was cut off.
fn holds_nothing(mut entries: ReadDir) -> io::Result<bool> {
    let unfinished = beside(Path::new(MANIFEST));
    entries.try_fold(true, |nothing, entry| {
        Ok(nothing && entry?.file_name() == unfinished.as_os_str())
    })
}

/// Whether a line of the manifest is a file below the folder, and not a person's own.
fn inside(line: &str) -> bool {
    let below = |part| matches!(part, Component::Normal(_));
    !line.is_empty()
        && !line.starts_with('#')
        && line != SETTINGS
        && Path::new(line).components().all(below)
}

fn note(folder: &Path, names: BTreeSet<&str>) -> Result<(), PackageError> {
    let lines: Vec<&str> = std::iter::once(SAYS).chain(names).collect();
    let text = lines.join("\n") + "\n";
    replace(&folder.join(MANIFEST), text.as_bytes(), 0o644)
}

/// Beside, then renamed: an executable that is running can't be written to, and nobody meets half a file.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PackageError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(PackageError::at(folder))?;
    }
    let beside = beside(path);
    let written = fs::write(&beside, bytes)
        .and_then(|()| set_mode(&beside, mode))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        PackageError::at(path)(error)
    })
}

/// Where a file is written before it is renamed.
fn beside(path: &Path) -> PathBuf {
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

/// With its folder, when nothing else is in that.
fn remove(folder: &Path, name: &str) -> Result<(), PackageError> {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(PackageError::at(&path)(error));
        }
        _ => {}
    }
    if let Some(function) = path.parent().filter(|parent| *parent != folder) {
        // It stays while a person's files are in it.
        let _ = fs::remove_dir(function);
    }
    Ok(())
}
