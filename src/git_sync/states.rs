//! The two documents of the synchronisation in the store: each user's `git.json`, and `.github.json`. What operators do
//! with the latter sends no request to GitHub, and works with GitHub mode off.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::repo_state::RepoSyncState;
use super::report::GitSyncError;
use super::sync_state::{UserSyncState, parse};
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt, BlobUpdate, ETag, PutIf, StoreError};
use crate::user::UserId;

/// Attempts of a compare-and-swap that loses to other writers.
pub(super) const CAS_ATTEMPTS: u32 = 20;

/// The documents about one location of the mirror. One that is missing, damaged or about another location counts as
/// empty: then both sides are merged without a base, and nothing is lost.
pub(super) struct SyncStates {
    pub store: Arc<dyn BlobStore>,
    /// The mirrored repository, branch and folder: `owner/name@branch:folder`.
    pub place: String,
    /// Whether changes go into pull requests.
    pub proposes: bool,
}

impl SyncStates {
    /// A user's `git.json`, of this content.
    pub(super) fn user_state(&self, blob: Option<Blob>) -> Result<UserSyncState, GitSyncError> {
        let mut state = self.of_this_place(blob, |it: &mut UserSyncState| &mut it.place)?;
        if !self.proposes {
            // Pull requests from before `CREATE_VIA_PR` was switched off must not block anything.
            state.forget_pulls();
        }
        Ok(state)
    }

    /// `.github.json` and its ETag.
    pub(super) async fn repo(&self) -> Result<(RepoSyncState, Option<ETag>), GitSyncError> {
        let blob = self.store.read(&BlobKey::github()).await?;
        let etag = blob.as_ref().map(|blob| blob.etag.clone());
        Ok((
            self.of_this_place(blob, |it: &mut RepoSyncState| &mut it.place)?,
            etag,
        ))
    }

    /// A document's content; an empty one if it is of another repository, branch or folder.
    fn of_this_place<T: DeserializeOwned + Default>(
        &self,
        blob: Option<Blob>,
        place: fn(&mut T) -> &mut Option<String>,
    ) -> Result<T, GitSyncError> {
        let state: Option<T> = blob.map_or(Ok(None), |blob| parse(&blob.bytes))?;
        let mut state = state.unwrap_or_default();
        if place(&mut state).as_ref() != Some(&self.place) {
            state = T::default();
        }
        *place(&mut state) = Some(self.place.clone());
        Ok(state)
    }

    /// Writes `.github.json` by compare-and-swap. `false` after a lost race.
    pub(super) async fn put_repo(
        &self,
        state: &RepoSyncState,
        etag: Option<ETag>,
    ) -> Result<bool, StoreError> {
        let condition = etag.map_or(PutIf::Absent, PutIf::Same);
        let (key, text) = (BlobKey::github(), to_bytes(state));
        let written = self.store.write(&key, text, condition).await?;
        Ok(written.is_some())
    }
}

/// What `state/.github.json` has on a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// No record.
    No,
    /// A record that a folder of the user was imported, or that there are open pull requests.
    Yes,
    /// Not known: the blob is damaged, or a newer version wrote it.
    Unknown,
}

/// Whether `state/.github.json` has a record of the user.
pub async fn mirrored(store: &dyn BlobStore, user: &UserId) -> Result<Mirrored, StoreError> {
    let Some(blob) = store.read(&BlobKey::github()).await? else {
        return Ok(Mirrored::No);
    };
    Ok(match parse::<RepoSyncState>(&blob.bytes) {
        Ok(Some(state)) if state.has_record(user) => Mirrored::Yes,
        Ok(Some(_)) => Mirrored::No,
        Ok(None) | Err(_) => Mirrored::Unknown,
    })
}

/// Removes the user's record from `state/.github.json`. [`Mirrored::No`] on success, [`Mirrored::Unknown`] if the blob
/// can't be read, [`Mirrored::Yes`] after too many lost races.
///
/// While the repository still has the user's folder, the record keeps the service from importing it again with the next
/// commit of any user.
pub async fn forget_mirrored(store: &dyn BlobStore, user: &UserId) -> Result<Mirrored, StoreError> {
    let forget = |blob: Option<Blob>| {
        let Some(blob) = blob else {
            return Ok::<_, StoreError>(BlobUpdate::Keep(Mirrored::No));
        };
        Ok(match parse::<RepoSyncState>(&blob.bytes) {
            Ok(Some(mut state)) => match state.forget(user) {
                true => BlobUpdate::Write(to_bytes(&state), Mirrored::No),
                false => BlobUpdate::Keep(Mirrored::No),
            },
            Ok(None) | Err(_) => BlobUpdate::Keep(Mirrored::Unknown),
        })
    };
    let key = BlobKey::github();
    let left = store.update(&key, CAS_ATTEMPTS, forget).await?;
    Ok(left.unwrap_or(Mirrored::Yes))
}

/// As stored.
pub(super) fn to_bytes(document: &impl Serialize) -> Bytes {
    // Maps with string keys, strings and numbers: serialisation can't fail.
    serde_json::to_vec(document).unwrap_or_default().into()
}
