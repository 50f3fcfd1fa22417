//! The stored synchronisation state for operators: inspecting it and deleting a user from it, without requests to
//! GitHub and also with GitHub mode off.

use chrono::{DateTime, Utc};

use super::plan::unpushed;
use super::repo_state::RepoSyncState;
use super::sync_state::{LastError, PullNote, UserSyncState, parse};
use super::{GitSync, GitSyncError};
use crate::codex::Codex;
use crate::store::{
    BlobKey, BlobStore, GetIf, GetOutcome, Prefix, Put, PutIf, PutOutcome, StoreError,
};
use crate::task::{FileName, GitSha, TOMBSTONE_FILE, TaskTable};
use crate::user::UserId;
use crate::user_state::{NewerFormat, State};

/// Attempts of a compare-and-swap that loses to other writers.
const CAS_ATTEMPTS: u32 = 20;

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
        let sync_state = parse::<UserSyncState>(bytes).map_err(|_| NewerFormat)?;
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
            taking: sync_state.taking.keys().cloned().collect(),
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

impl Codex {
    /// The mirrored repository, branch and folder; `None` while GitHub mode is off.
    pub fn mirrored_in(&self) -> Option<String> {
        self.git.as_ref().map(|git| git.mirror_location())
    }

    /// Whether the user was deleted from the store while Git kept the folder: it was imported as it is in Git, and the
    /// store has no file of the user. A hint that was left in between must not restore the files.
    ///
    /// Call it after reading the hint. A write puts its intent into the state before it leaves its hint, so either the
    /// intent or the file is visible here, or the hint has a newer version.
    pub(super) async fn is_removed_locally(
        &self,
        git: &GitSync,
        user: &UserId,
        imported: Option<GitSha>,
    ) -> Result<bool, GitSyncError> {
        // Without an imported folder nothing could be restored.
        let Some(folder) = imported else {
            return Ok(false);
        };
        let (sync_state, _) = self.sync_state(user).await?;
        if !was_never_synced(&sync_state) || self.has_write_intent(user).await? {
            return Ok(false);
        }
        if self.has_task_files(user).await? {
            return Ok(false);
        }
        let snapshot = git.snapshot().await?;
        Ok(snapshot.user(user).folder == Some(folder))
    }

    async fn has_write_intent(&self, user: &UserId) -> Result<bool, GitSyncError> {
        let got = self
            .store
            .get(&BlobKey::state(user), GetIf::Any)
            .await?
            .value;
        let GetOutcome::Blob(blob) = got else {
            return Ok(false);
        };
        // A state that can't be read may have a write intent.
        Ok(State::parse(&blob.bytes)
            .ok()
            .flatten()
            .is_none_or(|state| !state.pending.is_empty()))
    }

    /// Whether the user has files other than tombstones.
    async fn has_task_files(&self, user: &UserId) -> Result<bool, GitSyncError> {
        let listed = self.store.list(&Prefix::raw(user)).await?.value.blobs;
        for file in listed {
            let is_tombstone = file.size == TOMBSTONE_FILE.len() as u64
                && self.is_tombstone(user, &file.name).await?;
            if !is_tombstone {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_tombstone(&self, user: &UserId, name: &str) -> Result<bool, GitSyncError> {
        let Ok(key) = BlobKey::raw(user, name) else {
            return Ok(false);
        };
        let got = self.store.get(&key, GetIf::Any).await?.value;
        Ok(matches!(got, GetOutcome::Blob(blob) if blob.bytes == TOMBSTONE_FILE.as_bytes()))
    }
}

/// Whether no successful pass has written it; a failed one may have.
fn was_never_synced(sync_state: &UserSyncState) -> bool {
    let has_pending = sync_state.pushing.names().next().is_some() || !sync_state.taking.is_empty();
    sync_state.commit.is_none() && sync_state.files.is_empty() && !has_pending
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
    let got = store.get(&BlobKey::github(), GetIf::Any).await?.value;
    let GetOutcome::Blob(blob) = got else {
        return Ok(Mirrored::No);
    };
    Ok(match parse::<RepoSyncState>(&blob.bytes) {
        Ok(Some(mirror)) if mirror.has_record(user) => Mirrored::Yes,
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
    let key = BlobKey::github();
    for _ in 0..CAS_ATTEMPTS {
        let GetOutcome::Blob(blob) = store.get(&key, GetIf::Any).await?.value else {
            return Ok(Mirrored::No);
        };
        let Ok(Some(mut mirror)) = parse::<RepoSyncState>(&blob.bytes) else {
            return Ok(Mirrored::Unknown);
        };
        if !mirror.has_record(user) {
            return Ok(Mirrored::No);
        }
        mirror.set_imported_folder(user, None);
        mirror.set_open_pulls(user, false);
        let put = Put {
            bytes: mirror.to_bytes().into(),
            ..Put::default()
        };
        if let PutOutcome::Done(_) = store.put(&key, put, PutIf::Same(blob.etag)).await?.value {
            return Ok(Mirrored::No);
        }
    }
    Ok(Mirrored::Yes)
}
