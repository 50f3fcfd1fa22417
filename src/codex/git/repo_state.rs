//! `state/.github.json`: how far the repository was imported, so that a delivery only costs a pass for the users whose
//! folders have changed.
//!
//! It is a filter, and correct by two rules:
//!
//! - While a user's files are brought to another commit, there is a hint in the queue, which is written before the
//!   first change.
//! - A hint is removed only after a pass that found nothing to change and whose folder is recorded here, by a
//!   compare-and-swap against the folder recorded before the pass.
//!
//! A merged pull request may leave its user's folder unchanged, if a reviewer took the change back. So users with open
//! requests are recorded too, before the hint is removed; with every move of the branch each of them gets a pass.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::GitSyncError;
use super::sync_state::parse;
use crate::codex::Codex;
use crate::store::BlobFormat;
use crate::store::{BlobKey, ETag, GetIf, GetOutcome, Put, PutIf, PutOutcome};
use crate::task::GitSha;
use crate::user::UserId;

/// How far the repository was imported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RepoSyncState {
    pub format: BlobFormat,
    /// The repository, branch and base path that this describes. State of another location is discarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The newest commit that was imported.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head: Option<GitSha>,
    /// The tree SHA of each user's folder that was imported completely.
    #[serde(default)]
    pub users: BTreeMap<String, GitSha>,
    /// The tree SHA of each folder that is skipped at this commit, because its login has a folder in another letter
    /// case. It is checked again with the next commit, since the conflict may be resolved here in the meantime.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub respelt: BTreeMap<String, GitSha>,
    /// Users with open pull requests, as far as is known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub proposed: BTreeSet<String>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl RepoSyncState {
    /// As stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys and strings: serialisation can't fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The tree SHA of the user's folder that was imported.
    pub(super) fn imported_folder(&self, user: &UserId) -> Option<GitSha> {
        self.users.get(user.as_str()).copied()
    }

    /// The tree SHA of the folder that was last read: imported, or skipped because of its spelling.
    pub(super) fn last_seen_folder(&self, user: &UserId) -> Option<GitSha> {
        let respelt = || self.respelt.get(user.as_str()).copied();
        self.imported_folder(user).or_else(respelt)
    }

    /// Users whose folders are skipped because of their spelling.
    pub(super) fn skipped_users(&self) -> impl Iterator<Item = UserId> {
        let users = self.respelt.keys();
        users.filter_map(|user| UserId::parse(user).ok())
    }

    /// Records a folder that is skipped because of its spelling; `None` once it is gone from Git. For a user who was
    /// deleted here it stays recorded as imported, so that it isn't imported again.
    pub(super) fn set_skipped_folder(&mut self, user: &UserId, folder: Option<GitSha>) {
        let folders = match self.users.contains_key(user.as_str()) {
            true => &mut self.users,
            false => &mut self.respelt,
        };
        match folder {
            Some(folder) => drop(folders.insert(user.to_string(), folder)),
            None => drop(folders.remove(user.as_str())),
        }
    }

    /// Records the folder that a pass has imported; `None` removes the record.
    pub(super) fn set_imported_folder(&mut self, user: &UserId, folder: Option<GitSha>) {
        self.respelt.remove(user.as_str());
        match folder {
            Some(folder) => drop(self.users.insert(user.to_string(), folder)),
            None => drop(self.users.remove(user.as_str())),
        }
    }

    /// Records whether the user has open pull requests. Whether that is a change.
    pub(super) fn set_open_pulls(&mut self, user: &UserId, open: bool) -> bool {
        match open {
            true => self.proposed.insert(user.to_string()),
            false => self.proposed.remove(user.as_str()),
        }
    }

    /// Whether the user has a record.
    pub(super) fn has_record(&self, user: &UserId) -> bool {
        self.imported_folder(user).is_some() || self.proposed.contains(user.as_str())
    }

    /// Users with open pull requests.
    pub(super) fn users_with_open_pulls(&self) -> impl Iterator<Item = UserId> {
        let users = self.proposed.iter();
        users.filter_map(|user| UserId::parse(user).ok())
    }
}

impl Default for RepoSyncState {
    fn default() -> Self {
        Self {
            format: BlobFormat::CURRENT,
            place: None,
            head: None,
            users: BTreeMap::new(),
            respelt: BTreeMap::new(),
            proposed: BTreeSet::new(),
            unknown: Map::new(),
        }
    }
}

impl Codex {
    /// The repository state and its ETag. A missing, damaged or foreign one counts as empty: then everything is read
    /// again.
    pub(super) async fn mirror(&self) -> Result<(RepoSyncState, Option<ETag>), GitSyncError> {
        let place = Some(self.git()?.mirror_location());
        let got = self.store.get(&BlobKey::github(), GetIf::Any).await?.value;
        let (mirror, etag): (Option<RepoSyncState>, _) = match got {
            GetOutcome::Blob(blob) => (parse(&blob.bytes)?, Some(blob.etag)),
            GetOutcome::Absent | GetOutcome::Changed | GetOutcome::Unchanged => (None, None),
        };
        let mirror = mirror.filter(|it| it.place == place);
        let fresh = || RepoSyncState {
            place: place.clone(),
            ..RepoSyncState::default()
        };
        Ok((mirror.unwrap_or_else(fresh), etag))
    }

    /// Writes the repository state by compare-and-swap. The new ETag, or `None` after a lost race.
    pub(super) async fn put_repo_state(
        &self,
        mirror: &RepoSyncState,
        etag: Option<ETag>,
    ) -> Result<Option<ETag>, GitSyncError> {
        let put = Put {
            bytes: mirror.to_bytes().into(),
            ..Put::default()
        };
        let condition = etag.map_or(PutIf::Absent, PutIf::Same);
        match self
            .store
            .put(&BlobKey::github(), put, condition)
            .await?
            .value
        {
            PutOutcome::Done(etag) => Ok(Some(etag)),
            PutOutcome::Refused => Ok(None),
        }
    }
}
