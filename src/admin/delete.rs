//! Deleting a user's data.
//!
//! The order matters. Task files go first, through the write protocol, so that running instances see each
//! removal. Then `git.json`, so that no reconcile restores a removed file from Git; then the artifact; then the
//! state document, in a version in which no create was pending and no file was left, so that every instance
//! lists the folder anew at its next read; and last `owner.json`, so that no other account can claim the login
//! before. Every step is idempotent: an interrupted deletion is run again from the start.

mod holdings;
mod removal;
mod text;

use std::time::Duration;

use crate::codex::{Codex, Refusal};
use crate::now::Now;
use crate::store::{BlobStore, StoreError};
use crate::user::UserId;

pub use holdings::{Holdings, holdings};
use removal::Removal;
pub use text::Storage;

/// Passes that are made while removed blobs keep reappearing.
const MAX_PASSES: u32 = 5;

/// The parameters of a deletion.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// The user to delete.
    pub user: UserId,
    /// Delete even if `git.json` lists files: a sync would import them again.
    pub despite_git: bool,
    /// How long to wait for another writer's pending create: until it may be recovered, plus a margin.
    pub pending_timeout: Duration,
    /// When the deletion began.
    pub now: Now,
}

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

/// Why a deletion was interrupted. What was removed until then stays removed; the deletion can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// A storage request failed.
    #[error("{0}; run the same command again to remove the rest")]
    Store(#[from] StoreError),
    /// The write protocol refused or failed to remove task files.
    #[error("{}; run the same command again to remove the rest", .0.error)]
    Write(Refusal),
    /// `git.json` lists so many files, and `despite_git` isn't set.
    #[error(
        "by git.json, Git holds {0} of the user's files, which a sync would import again: remove them there first, or add --despite-git"
    )]
    InGit(usize),
    /// A newer version of the service wrote this blob.
    #[error("a newer version of the service wrote {0}: delete the user with that version")]
    Newer(&'static str),
    /// A single file takes longer than a write intent may stay pending.
    #[error("the storage is too slow for CODEX_PENDING_EXPIRY_SECONDS; increase it")]
    TooSlow,
    /// Other writers kept changing the user's data.
    #[error(
        "the user's data keeps changing: revoke the login's access (CODEX_ALLOWED_LOGINS), and try again"
    )]
    Contended,
}

/// Deletes everything that is stored for a user, and reports what remains.
///
/// `codex` works on the same store, with GitHub mode off, so that it leaves no hints.
///
/// # Errors
/// [`DeleteError`].
pub async fn delete(
    store: &dyn BlobStore,
    codex: &Codex,
    deletion: &Deletion,
) -> Result<DeletionReport, DeleteError> {
    let found = holdings(store, &deletion.user).await?;
    found.refuse_newer()?;
    if !found.in_git.is_empty() && !deletion.despite_git {
        return Err(DeleteError::InGit(found.in_git.len()));
    }
    let mut removal = Removal::new(store, codex, deletion);
    for _ in 0..MAX_PASSES {
        if removal.run_pass().await? {
            return Ok(removal.report);
        }
    }
    Err(DeleteError::Contended)
}
