//! The stored synchronisation state for operators: inspecting it and deleting a user from it, without requests to
//! GitHub and also with GitHub mode off.

use chrono::{DateTime, Utc};

use super::plan::unpushed;
use super::repo_state::RepoSyncState;
use super::states::{CAS_ATTEMPTS, parse, to_bytes};
use super::sync_state::{LastError, PullNote, UserSyncState};
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt, BlobUpdate, StoreError};
use crate::task::{FileName, GitSha, TaskTable};
use crate::user::UserId;
use crate::user_state::NewerFormat;

/// The content of a user's `git.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncStateSummary {
    /// The mirrored repository, branch and folder: `owner/name@branch:folder`.
    pub place: Option<String>,
    /// The head that was last read.
    pub commit: Option<GitSha>,
    /// When it was read.
    pub synced_at: Option<DateTime<Utc>>,
    /// The names of the files that Git holds, as far as is known.
    pub files: Vec<String>,
    /// Files with a push of unknown outcome.
    pub pushing: Vec<String>,
    /// Files with an inbound write of unknown outcome.
    pub taking: Vec<String>,
    /// Files for whose pull request a branch was about to be created.
    pub proposing: Vec<String>,
    /// Pull requests whose changes aren't merged yet, by file.
    pub pulls: Vec<(String, PullNote)>,
    /// The last error.
    pub last_error: Option<LastError>,
    sync_state: UserSyncState,
}

impl SyncStateSummary {
    /// Parses a blob; `None` for a damaged one.
    ///
    /// # Errors
    /// [`NewerFormat`] when a newer version of the service wrote it.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NewerFormat> {
        let sync_state = parse::<UserSyncState>(bytes)?;
        Ok(sync_state.map(Self::of))
    }

    /// The summary of a missing `git.json`.
    pub fn empty() -> Self {
        Self::of(UserSyncState::default())
    }

    fn of(sync_state: UserSyncState) -> Self {
        Self {
            place: sync_state.place.clone(),
            commit: sync_state.commit,
            synced_at: sync_state.synced_at,
            files: sync_state.files.keys().cloned().collect(),
            pushing: sync_state.pushing.names().cloned().collect(),
            taking: sync_state.taking.names().cloned().collect(),
            proposing: sync_state.proposing.keys().cloned().collect(),
            pulls: sync_state.pulls.clone().into_iter().collect(),
            last_error: sync_state.last_error.clone(),
            sync_state,
        }
    }

    /// The files of the table that Git doesn't hold with this content, as far as is known.
    pub fn unpushed(&self, table: &TaskTable) -> Vec<FileName> {
        let unpushed = unpushed(&self.sync_state, table);
        unpushed.into_iter().map(|it| it.name).collect()
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
