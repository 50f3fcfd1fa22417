//! What there is of a user to be removed.

use super::DeleteError;
use crate::admin::ask;
use crate::codex::{GitNote, Mirrored, OwnerError, OwnerFile, State, mirrored};
use crate::store::{BlobStore, Key, Prefix, StoreError};
use crate::user::UserId;

/// What there is of a user. Nothing of it was changed by looking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Files below `raw/{user}/tasks/`, settled ones included.
    pub raw: usize,
    /// Blobs below `artifacts/{user}/`.
    pub artifacts: usize,
    /// Blobs below `state/{user}/`, by name.
    pub state: Vec<String>,
    /// Blobs below `state/{user}/idempotency/`, the older service's.
    pub records: usize,
    /// There is a hint in the queue.
    pub hint: bool,
    /// The user stands in `state/.github.json`.
    pub mirrored: bool,
    /// The files that Git is known to hold.
    pub in_git: Vec<String>,
    /// Where they lie there: `owner/name@branch:folder`.
    pub place: Option<String>,
    /// A blob that only a newer version of the service understands.
    newer: Option<&'static str>,
}

impl Holdings {
    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        let blobs = self.raw + self.artifacts + self.state.len() + self.records;
        blobs == 0 && !self.hint && !self.mirrored
    }

    /// # Errors
    /// [`DeleteError::Newer`], because what this version doesn't understand it doesn't touch.
    pub fn refuse_newer(&self) -> Result<(), DeleteError> {
        self.newer
            .map_or(Ok(()), |blob| Err(DeleteError::Newer(blob)))
    }
}

/// Looks what there is.
pub async fn holdings(store: &dyn BlobStore, user: &UserId) -> Result<Holdings, StoreError> {
    let beside = ask::list(store, &Prefix::state(user)).await?.value.blobs;
    let mut state: Vec<String> = beside.into_iter().map(|it| it.name).collect();
    state.sort();
    let mut found = Holdings {
        raw: count(store, &Prefix::raw(user)).await?,
        artifacts: count(store, &Prefix::artifacts(user)).await?,
        state,
        records: count(store, &Prefix::legacy_idempotency(user)).await?,
        hint: ask::get(store, &Key::hint(user)).await?.value.is_some(),
        mirrored: mirrored(store, user).await? == Mirrored::Yes,
        ..Holdings::default()
    };
    if let Some(blob) = ask::get(store, &Key::git(user)).await?.value {
        match GitNote::parse(&blob.bytes) {
            Ok(Some(note)) => (found.in_git, found.place) = (note.files, note.place),
            Ok(None) => {}
            Err(_) => found.newer = Some("git.json"),
        }
    }
    if let Some(blob) = ask::get(store, &Key::state(user)).await?.value
        && State::parse(&blob.bytes).map_or(true, |it| it.is_some_and(|it| it.is_read_only()))
    {
        found.newer = Some("state.json");
    }
    if let Some(blob) = ask::get(store, &Key::owner(user)).await?.value
        && let Err(OwnerError::NewerFormat) = OwnerFile::parse(&blob.bytes)
    {
        found.newer = Some("owner.json");
    }
    Ok(found)
}

async fn count(store: &dyn BlobStore, prefix: &Prefix) -> Result<usize, StoreError> {
    Ok(ask::list(store, prefix).await?.value.blobs.len())
}
