//! The inventory of a user's blobs.

use crate::admin::storage::names;
use crate::codex::State;
use crate::git_sync::{Mirrored, UserSyncState, mirrored};
use crate::owners::{OwnerError, OwnerFile};
use crate::store::{BlobKey, BlobStore, BlobStoreExt, Prefix, StoreError};
use crate::user::UserId;

/// Everything that is stored for a user. Taking this inventory changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Files below `raw/{user}/tasks/`, tombstones included.
    pub raw: usize,
    /// Blobs below `artifacts/{user}/`.
    pub artifacts: usize,
    /// Blobs below `state/{user}/`, by name.
    pub state: Vec<String>,
    /// Blobs below `state/{user}/idempotency/`, the older service's.
    pub records: usize,
    /// There is a hint in the queue (`queue/{user}`).
    pub hint: bool,
    /// The user is listed in `state/.github.json`.
    pub mirrored: bool,
    /// The files that Git is known to hold, by `git.json`.
    pub in_git: Vec<String>,
    /// Where Git has them: `owner/name@branch:folder`.
    pub place: Option<String>,
    /// A blob in a format that only a newer version of the service supports.
    pub newer: Option<&'static str>,
}

impl Holdings {
    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        let blobs = self.raw + self.artifacts + self.state.len() + self.records;
        blobs == 0 && !self.hint && !self.mirrored
    }
}

/// Takes the inventory of a user's blobs.
pub async fn holdings(store: &dyn BlobStore, user: &UserId) -> Result<Holdings, StoreError> {
    let mut found = Holdings {
        state: names(store, &Prefix::state(user)).await?,
        raw: names(store, &Prefix::raw(user)).await?.len(),
        artifacts: names(store, &Prefix::artifacts(user)).await?.len(),
        records: names(store, &Prefix::legacy_idempotency(user)).await?.len(),
        hint: store.read(&BlobKey::hint(user)).await?.is_some(),
        mirrored: mirrored(store, user).await? == Mirrored::Yes,
        ..Holdings::default()
    };
    if let Some(blob) = store.read(&BlobKey::git(user)).await? {
        match UserSyncState::parse(&blob.bytes) {
            Ok(Some(note)) => {
                found.in_git = note.files.into_keys().collect();
                found.place = note.place;
            }
            Ok(None) => {}
            Err(_) => found.newer = Some("git.json"),
        }
    }
    if let Some(blob) = store.read(&BlobKey::state(user)).await?
        && State::parse(&blob.bytes).map_or(true, |it| it.is_some_and(|it| it.is_read_only()))
    {
        found.newer = Some("state.json");
    }
    if let Some(blob) = store.read(&BlobKey::owner(user)).await?
        && let Err(OwnerError::NewerFormat) = OwnerFile::parse(&blob.bytes)
    {
        found.newer = Some("owner.json");
    }
    Ok(found)
}
