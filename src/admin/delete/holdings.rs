//! The inventory of a user's blobs.

use super::DeleteError;
use crate::admin::ask;
use crate::codex::{Mirrored, State, SyncStateSummary, mirrored};
use crate::owners::{OwnerError, OwnerFile};
use crate::store::{BlobKey, BlobStore, Prefix, StoreError};
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
    newer: Option<&'static str>,
}

impl Holdings {
    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        let blobs = self.raw + self.artifacts + self.state.len() + self.records;
        blobs == 0 && !self.hint && !self.mirrored
    }

    /// # Errors
    /// [`DeleteError::Newer`] if a blob has a newer format: this version changes no blob it can't interpret.
    pub fn refuse_newer(&self) -> Result<(), DeleteError> {
        self.newer
            .map_or(Ok(()), |blob| Err(DeleteError::Newer(blob)))
    }
}

/// Takes the inventory of a user's blobs.
pub async fn holdings(store: &dyn BlobStore, user: &UserId) -> Result<Holdings, StoreError> {
    let beside = ask::list(store, &Prefix::state(user)).await?.value.blobs;
    let mut state: Vec<String> = beside.into_iter().map(|it| it.name).collect();
    state.sort();
    let mut found = Holdings {
        raw: count(store, &Prefix::raw(user)).await?,
        artifacts: count(store, &Prefix::artifacts(user)).await?,
        state,
        records: count(store, &Prefix::legacy_idempotency(user)).await?,
        hint: ask::get(store, &BlobKey::hint(user)).await?.value.is_some(),
        mirrored: mirrored(store, user).await? == Mirrored::Yes,
        ..Holdings::default()
    };
    if let Some(blob) = ask::get(store, &BlobKey::git(user)).await?.value {
        match SyncStateSummary::parse(&blob.bytes) {
            Ok(Some(note)) => (found.in_git, found.place) = (note.files, note.place),
            Ok(None) => {}
            Err(_) => found.newer = Some("git.json"),
        }
    }
    if let Some(blob) = ask::get(store, &BlobKey::state(user)).await?.value
        && State::parse(&blob.bytes).map_or(true, |it| it.is_some_and(|it| it.is_read_only()))
    {
        found.newer = Some("state.json");
    }
    if let Some(blob) = ask::get(store, &BlobKey::owner(user)).await?.value
        && let Err(OwnerError::NewerFormat) = OwnerFile::parse(&blob.bytes)
    {
        found.newer = Some("owner.json");
    }
    Ok(found)
}

async fn count(store: &dyn BlobStore, prefix: &Prefix) -> Result<usize, StoreError> {
    Ok(ask::list(store, prefix).await?.value.blobs.len())
}
