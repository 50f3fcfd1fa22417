//! A place beside the store's own files, for `doctor` to write to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::store_error;
use super::files::{TempFile, is_abandoned, is_temporary, temporary_name};
use super::layout::Layout;
use crate::store::error::StoreError;

/// A folder on the store's disk; removed with all that is in it on drop. It has the name of a temporary file, which the
/// store never takes for its own.
#[derive(Debug)]
pub struct TrialFolder {
    path: PathBuf,
}

impl TrialFolder {
    /// Makes the folder where the store at `root` is, or would be made. Before that it makes and removes a file in each
    /// folder of the store, as a write does, and removes what a killed process has left of such a folder.
    pub fn create(root: &Path, now: SystemTime) -> Result<Self, StoreError> {
        let denied =
            |path: &Path, error: &io::Error| store_error("put", &path.display().to_string(), error);
        let root = std::path::absolute(root).map_err(|error| denied(root, &error))?;
        let private = Layout::private_folder(&root);
        let mut above = private.ancestors();
        let place = above.find(|it| it.is_dir()).unwrap_or(&root);
        remove_abandoned(place, now);
        let mut folders = vec![];
        if place.starts_with(&root) {
            folders_below(&root, &mut folders);
        }
        for folder in folders {
            TempFile::write(&folder, b"").map_err(|error| denied(&folder, &error))?;
        }
        let path = place.join(temporary_name());
        fs::create_dir(&path).map_err(|error| denied(place, &error))?;
        Ok(Self { path })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TrialFolder {
    fn drop(&mut self) {
        // What is left is removed by the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folders that the store writes to and everything below them, without following links.
fn folders_below(root: &Path, found: &mut Vec<PathBuf>) {
    let kept = Layout::folders_of(root);
    if kept.iter().any(|it| !it.exists()) {
        found.push(root.to_owned());
    }
    let mut next: Vec<PathBuf> = kept.into_iter().filter(|it| it.is_dir()).collect();
    while let Some(folder) = next.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()));
        next.extend(folders.map(|it| it.path()));
        found.push(folder);
    }
}

fn remove_abandoned(place: &Path, now: SystemTime) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && is_temporary(&entry.file_name()) && is_abandoned(&entry.path(), now) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
