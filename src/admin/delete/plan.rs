//! PURE. The decisions of a deletion.

use super::holdings::Holdings;
use crate::admin::error::AdminError;
use crate::admin::storage::UserFolder;
use crate::codex::{ChangeKind, State};
use crate::git_sync::UserSyncState;
use crate::store::BlobKey;
use crate::user::UserId;

/// What to do with a blob in a [`UserFolder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobRemoval {
    /// Remove it.
    Now(BlobKey),
    /// Leave it to a later step.
    Later,
    /// No blob can have this name: report it.
    Impossible,
}

/// What to do with the blob of this name.
pub fn removal(folder: UserFolder, user: &UserId, name: &str) -> BlobRemoval {
    let last = [BlobKey::state(user), BlobKey::owner(user)];
    match folder.key(user, name) {
        Some(key) if last.iter().any(|it| it.path() == key.path()) => BlobRemoval::Later,
        Some(key) => BlobRemoval::Now(key),
        // What isn't a record stays, and is reported at the end.
        None if folder == UserFolder::Records => BlobRemoval::Later,
        None => BlobRemoval::Impossible,
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
pub fn may_forget(note: &UserSyncState) -> bool {
    note.place.is_some() && note.files.is_empty() && note.pushing.is_empty()
}
