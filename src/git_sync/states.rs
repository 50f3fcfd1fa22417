//! The two documents of the synchronisation in the store: each user's `git.json`, and `.github.json`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::GitSyncError;
use super::repo_state::RepoSyncState;
use super::sync_state::UserSyncState;
use crate::store::{
    Blob, BlobFormat, BlobKey, BlobStore, BlobStoreExt, BlobUpdate, ETag, PutIf, StoreError,
};
use crate::user::UserId;
use crate::user_state::NewerFormat;

/// Attempts of a compare-and-swap that loses to other writers.
pub(super) const CAS_ATTEMPTS: u32 = 20;

/// The documents about one location of the mirror. One that is missing, damaged or about another location counts as
/// empty: then both sides are merged without a base, and nothing is lost.
pub(super) struct SyncStates {
    store: Arc<dyn BlobStore>,
    /// The mirrored repository, branch and folder: `owner/name@branch:folder`.
    pub place: String,
    /// Whether changes go into pull requests.
    proposes: bool,
}

impl SyncStates {
    pub(super) fn new(store: Arc<dyn BlobStore>, place: String, proposes: bool) -> Self {
        Self {
            store,
            place,
            proposes,
        }
    }

    /// The user's `git.json`.
    pub(super) async fn of(&self, user: &UserId) -> Result<UserSyncState, GitSyncError> {
        self.user_state(self.store.read(&BlobKey::git(user)).await?)
    }

    /// Updates the user's `git.json` by compare-and-swap. `change` is applied again to a newer state after a lost race,
    /// so it has to check its preconditions itself.
    ///
    /// # Errors
    /// [`GitSyncError::Contended`] after too many lost races.
    pub(super) async fn update(
        &self,
        user: &UserId,
        change: impl Fn(&mut UserSyncState) + Send + Sync,
    ) -> Result<UserSyncState, GitSyncError> {
        let decide = |blob| {
            let before = self.user_state(blob)?;
            let mut state = before.clone();
            change(&mut state);
            Ok::<_, GitSyncError>(match state == before {
                true => BlobUpdate::Keep(state),
                false => BlobUpdate::Write(to_bytes(&state), state),
            })
        };
        let key = BlobKey::git(user);
        let updated = self.store.update(&key, CAS_ATTEMPTS, decide).await?;
        updated.ok_or(GitSyncError::Contended)
    }

    fn user_state(&self, blob: Option<Blob>) -> Result<UserSyncState, GitSyncError> {
        let state: Option<UserSyncState> = blob.map_or(Ok(None), |blob| parse(&blob.bytes))?;
        let state = state.filter(|it| it.place.as_ref() == Some(&self.place));
        let mut state = state.unwrap_or_else(|| UserSyncState::new(&self.place));
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
        let state: Option<RepoSyncState> = blob.map_or(Ok(None), |blob| parse(&blob.bytes))?;
        let state = state.filter(|it| it.place.as_ref() == Some(&self.place));
        let state = state.unwrap_or_else(|| RepoSyncState::new(&self.place));
        Ok((state, etag))
    }

    /// Writes `.github.json` by compare-and-swap. `false` after a lost race.
    pub(super) async fn put_repo(
        &self,
        state: &RepoSyncState,
        etag: Option<ETag>,
    ) -> Result<bool, StoreError> {
        let condition = etag.map_or(PutIf::Absent, PutIf::Same);
        let written = self
            .store
            .write(&BlobKey::github(), to_bytes(state), condition)
            .await?;
        Ok(written.is_some())
    }
}

/// Parses a state blob; `None` for a damaged one. A blob of a newer format is never treated as damaged.
///
/// # Errors
/// [`NewerFormat`] when only a newer version of the service may write it.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, NewerFormat> {
    let read = serde_json::from_slice(bytes).ok();
    let read_only = BlobFormat::of(bytes).is_some_and(BlobFormat::is_read_only);
    if read_only || (read.is_none() && BlobFormat::is_from_newer(bytes)) {
        return Err(NewerFormat);
    }
    Ok(read)
}

/// As stored.
pub(super) fn to_bytes(document: &impl Serialize) -> Bytes {
    // Maps with string keys, strings and numbers: serialisation can't fail.
    serde_json::to_vec(document).unwrap_or_default().into()
}
