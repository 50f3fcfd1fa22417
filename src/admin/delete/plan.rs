//! PURE. The steps of a deletion, and its decisions.

use super::holdings::Holdings;
use crate::admin::error::AdminError;
use crate::codex::{ChangeKind, State};
use crate::git_sync::SyncStateSummary;
use crate::store::{BlobKey, Prefix};
use crate::user::UserId;

/// A step of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionStep {
    /// Remove the hint in the queue.
    Hint,
    /// Remove the task files: where there is a state, through the write protocol.
    TaskFiles,
    /// Wait until no create is pending, and look whether the task folder is still empty.
    Settle,
    /// Remove `git.json`, and the name in `state/.github.json` if Git holds nothing.
    Git,
    /// Remove the blobs directly in a folder.
    Folder(DeletionFolder),
    /// Remove the state document, in the version that [`DeletionStep::Settle`] found.
    State,
    /// Remove the owner record.
    Owner,
    /// Look whether everything is still gone.
    Verify,
}

/// The steps of one pass, in this order. A pass that finds something again is followed by another one.
pub const STEPS: [DeletionStep; 11] = [
    // So that no worker starts to push these files now.
    DeletionStep::Hint,
    // Running instances see each removal.
    DeletionStep::TaskFiles,
    DeletionStep::Settle,
    // No reconcile restores a removed file from Git any more.
    DeletionStep::Git,
    DeletionStep::Folder(DeletionFolder::Artifacts),
    DeletionStep::Folder(DeletionFolder::State),
    DeletionStep::Folder(DeletionFolder::Records),
    // In a version in which no create was pending and no file was left, so that every instance lists the folder anew at
    // its next read.
    DeletionStep::State,
    // A writer that was active when the first hint was removed may have left another one, through which a sync would
    // import everything from Git again.
    DeletionStep::Hint,
    // Last, so that no other account can claim the login before.
    DeletionStep::Owner,
    DeletionStep::Verify,
];

/// A user's folders besides that of the task files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionFolder {
    /// `artifacts/{user}/`.
    Artifacts,
    /// `state/{user}/`.
    State,
    /// `state/{user}/idempotency/`, the older service's records.
    Records,
}

/// What to do with a blob in a [`DeletionFolder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobRemoval {
    /// Remove it.
    Now(BlobKey),
    /// Leave it to a later step.
    Later,
    /// No blob can have this name: report it.
    Impossible,
}

impl DeletionFolder {
    /// Its path.
    pub fn prefix(self, user: &UserId) -> Prefix {
        match self {
            Self::Artifacts => Prefix::artifacts(user),
            Self::State => Prefix::state(user),
            Self::Records => Prefix::legacy_idempotency(user),
        }
    }

    /// What to do with the blob of this name.
    pub fn removal(self, user: &UserId, name: &str) -> BlobRemoval {
        let key = match self {
            Self::Artifacts => BlobKey::in_artifacts(user, name),
            Self::State => BlobKey::in_state(user, name),
            // What isn't a record stays, and is reported at the end.
            Self::Records => {
                let key = BlobKey::leftover(&self.prefix(user), name);
                return key.map_or(BlobRemoval::Later, BlobRemoval::Now);
            }
        };
        let last = [BlobKey::state(user), BlobKey::owner(user)];
        match key {
            Ok(key) if last.iter().any(|it| it.path() == key.path()) => BlobRemoval::Later,
            Ok(key) => BlobRemoval::Now(key),
            Err(_) => BlobRemoval::Impossible,
        }
    }
}

/// Refuses a deletion that a sync would undo, or that would remove what this version can't interpret.
///
/// # Errors
/// [`AdminError::Newer`], [`AdminError::InGit`].
pub fn refuse(held: &Holdings, despite_git: bool) -> Result<(), AdminError> {
    match (held.newer, held.in_git.len()) {
        (Some(blob), _) => Err(AdminError::Newer(blob)),
        (None, files) if files > 0 && !despite_git => Err(AdminError::InGit(files)),
        _ => Ok(()),
    }
}

/// Whether a create is pending. Pending updates and removals don't matter: without the file their conditions fail.
pub fn is_creating(state: &State) -> bool {
    let mut files = state.pending.values().flat_map(|op| &op.files);
    files.any(|file| file.kind == ChangeKind::Create)
}

/// Whether Git is known to hold none of the user's files, and no push is under way. While Git has the folder, the
/// user's name in `state/.github.json` keeps the service from importing it again.
pub fn may_forget(note: &SyncStateSummary) -> bool {
    note.place.is_some() && note.files.is_empty() && note.pushing.is_empty()
}
