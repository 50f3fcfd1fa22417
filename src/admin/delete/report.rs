//! PURE. The texts about what a deletion is about to remove, and what remains.

use std::fmt;

use super::holdings::Holdings;
use crate::admin::words::{count, escaped};
use crate::user::UserId;

/// What a deletion removed, and what remains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletionReport {
    /// Blobs removed, of all kinds.
    pub removed: usize,
    /// Tombstones left in place: the janitor removes them once their creates can no longer land.
    pub tombstones: usize,
    /// Listed names that are no valid blob keys.
    pub invalid_names: Vec<String>,
    /// The user is still listed in `state/.github.json`.
    pub mirrored: bool,
    /// Blobs that exist again below `state/{user}/`: a request for the user during the deletion has started a
    /// new, empty week.
    pub recreated: Vec<String>,
}

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
        let state = match self.state.is_empty() {
            true => "none".to_owned(),
            false => escaped(&self.state.join(", ")),
        };
        writeln!(f, "raw        {}", count(self.raw, "file"))?;
        writeln!(f, "artifacts  {}", count(self.artifacts, "blob"))?;
        writeln!(f, "state      {state}")?;
        if self.records > 0 {
            let records = count(self.records, "record");
            writeln!(f, "older      {records} below idempotency")?;
        }
        let queue = if self.hint { "a hint" } else { "none" };
        writeln!(f, "queue      {queue}")
    }
}

impl Holdings {
    /// A sentence about what Git is known to keep.
    pub fn in_git(&self, user: &UserId) -> String {
        let Some(place) = &self.place else {
            return "In Git: the files that were mirrored there, and their history.".to_owned();
        };
        let (repository, base) = place.split_once(':').unwrap_or((place.as_str(), ""));
        let files = count(self.in_git.len(), "file");
        let again = match self.in_git.is_empty() {
            true => "",
            false => " A sync imports the files again: remove them there first.",
        };
        escaped(&format!(
            "In Git: {files} in {base}/{user}/tasks of {repository}, and its history.{again}"
        ))
    }
}

impl DeletionReport {
    /// Notes a name once, though every pass meets it.
    pub(super) fn note_invalid(&mut self, name: String) {
        if !self.invalid_names.contains(&name) {
            self.invalid_names.push(name);
        }
    }

    /// What remains, a sentence for each; `before` is the inventory from before the deletion.
    pub fn describe_remaining(
        &self,
        user: &UserId,
        before: &Holdings,
        storage: Storage,
    ) -> Vec<String> {
        let of_storage = match storage {
            Storage::Container => {
                "In the storage account: soft-deleted blobs and versions, as long as its data protection keeps them."
            }
            Storage::Folder => {
                "In the folder: empty folders, lock files with the user's name, and backups."
            }
        };
        let of_instances = "In instances: cached data, until their next revalidation. Sessions stay valid: a user who \
             may still sign in (CODEX_ALLOWED_LOGINS) starts a new, empty week, and the login then belongs to the first \
             account that signs in by it.";
        let mut sentences = vec![
            before.in_git(user),
            of_storage.to_owned(),
            of_instances.to_owned(),
        ];
        if self.tombstones > 0 {
            let files = count(self.tombstones, "tombstone");
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
        let by_hand = |name| format!("{name}: no blob can have this name; remove it by hand.");
        sentences.extend(self.invalid_names.iter().map(by_hand));
        if !self.recreated.is_empty() {
            sentences.push(format!(
                "In state: {}, recreated by a request for the user during the deletion.",
                self.recreated.join(", ")
            ));
        }
        sentences.iter().map(|it| escaped(it)).collect()
    }
}
