//! PURE. The texts about what a deletion is about to remove, and what remains.

use std::fmt;

use super::{DeletionReport, Holdings};
use crate::admin::words::{Escaped, count};
use crate::user::UserId;

/// The kind of storage that held the blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// A container of a storage account.
    Container,
    /// A folder on disk.
    Folder,
}

/// One line for each kind of blob.
impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "raw        {}", count(self.raw, "file", "files"))?;
        writeln!(f, "artifacts  {}", count(self.artifacts, "blob", "blobs"))?;
        let state = self.state.join(", ");
        let state = if state.is_empty() { "none" } else { &state };
        writeln!(f, "state      {}", Escaped(state))?;
        if self.records > 0 {
            let records = count(self.records, "record", "records");
            writeln!(f, "older      {records} below idempotency")?;
        }
        let hint = if self.hint { "a hint" } else { "none" };
        writeln!(f, "queue      {hint}")
    }
}

impl Holdings {
    /// A sentence about what Git is known to keep.
    pub fn in_git(&self, user: &UserId) -> String {
        let Some(place) = &self.place else {
            return "In Git: the files that were mirrored there, and their history.".to_owned();
        };
        let (repository, base) = place.split_once(':').unwrap_or((place.as_str(), ""));
        let files = count(self.in_git.len(), "file", "files");
        let path = format!("{base}/{user}/tasks");
        let (repository, path) = (Escaped(repository), Escaped(&path));
        let again = match self.in_git.is_empty() {
            true => "",
            false => " A sync imports the files again: remove them there first.",
        };
        format!("In Git: {files} in {path} of {repository}, and its history.{again}")
    }
}

impl DeletionReport {
    /// What remains, a sentence for each; `before` is the inventory from before the deletion.
    pub fn describe_remaining(
        &self,
        user: &UserId,
        before: &Holdings,
        storage: Storage,
    ) -> Vec<String> {
        let mut sentences = vec![before.in_git(user), storage_remains(storage).to_owned()];
        sentences.push(
            "In instances: cached data, until their next revalidation. Sessions stay valid: a user who may still sign \
             in (CODEX_ALLOWED_LOGINS) starts a new, empty week, and the login then belongs to the first account \
             that signs in by it."
                .to_owned(),
        );
        if self.tombstones > 0 {
            let files = count(self.tombstones, "tombstone", "tombstones");
            sentences.push(format!(
                "In raw: {files}, against creates that may still land; the janitor removes them."
            ));
        }
        if self.mirrored {
            sentences.push(
                "In state/.github.json: the name, so that other users' commits don't bring the files back from Git; \
                 the service removes it when it next sees a commit without the folder."
                    .to_owned(),
            );
        }
        for name in &self.invalid_names {
            let name = Escaped(name);
            sentences.push(format!(
                "{name}: no blob can have this name; remove it by hand."
            ));
        }
        if !self.recreated.is_empty() {
            let names = self.recreated.join(", ");
            sentences.push(format!(
                "In state: {}, recreated by a request for the user during the deletion.",
                Escaped(&names)
            ));
        }
        sentences
    }
}

fn storage_remains(storage: Storage) -> &'static str {
    match storage {
        Storage::Container => {
            "In the storage account: soft-deleted blobs and versions, as long as its data protection keeps them."
        }
        Storage::Folder => {
            "In the folder: empty folders, lock files with the user's name, and backups."
        }
    }
}
