//! PURE. `state/.github.json`: how far the repository was imported, so that a delivery only costs a pass for the users
//! whose folders have changed.
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

use crate::github::GitSnapshot;
use crate::store::BlobFormat;
use crate::task::GitSha;
use crate::user::UserId;

/// How far the repository was imported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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

pub(super) enum PassRecord {
    /// Another pass has recorded something else: one more pass is needed.
    Superseded,
    /// It is recorded already.
    Unchanged,
    /// It has to be stored.
    Changed {
        /// The user's requests are watched only from now on, or no longer: one more pass has to ask for them.
        watch_changed: bool,
    },
}

impl RepoSyncState {
    /// The tree SHA of the user's folder that was imported.
    pub(super) fn imported_folder(&self, user: &UserId) -> Option<GitSha> {
        self.users.get(user.as_str()).copied()
    }

    /// The tree SHA of the folder that was last read: imported, or skipped because of its spelling.
    pub(super) fn last_seen_folder(&self, user: &UserId) -> Option<GitSha> {
        let respelt = || self.respelt.get(user.as_str()).copied();
        self.imported_folder(user).or_else(respelt)
    }

    /// Users whose folder in Git differs from the one that was last processed.
    pub(super) fn changed_users(&self, snapshot: &GitSnapshot) -> BTreeSet<UserId> {
        let known = self.users.keys().chain(self.respelt.keys());
        let known = known.filter_map(|user| UserId::parse(user).ok());
        let users = known.chain(snapshot.tree.users.keys().cloned());
        let differs = |user: &UserId| {
            let tree = snapshot.user(user);
            !tree.closed && self.last_seen_folder(user) != tree.folder
        };
        users.filter(differs).collect()
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

    /// Records what a pass has imported, and whether the user has `open` requests, unless the record has changed since
    /// `before` the pass.
    pub(super) fn record_pass(
        &mut self,
        user: &UserId,
        before: Option<GitSha>,
        folder: Option<GitSha>,
        open: bool,
    ) -> PassRecord {
        let recorded = self.imported_folder(user);
        if recorded != folder && recorded != before {
            return PassRecord::Superseded;
        }
        let watch_changed = self.set_open_pulls(user, open);
        if recorded == folder && !watch_changed {
            return PassRecord::Unchanged;
        }
        self.set_imported_folder(user, folder);
        PassRecord::Changed { watch_changed }
    }

    /// Removes the user's record. Whether there was one.
    pub(super) fn forget(&mut self, user: &UserId) -> bool {
        let had_record = self.has_record(user);
        self.set_imported_folder(user, None);
        self.set_open_pulls(user, false);
        had_record
    }

    pub(super) fn has_record(&self, user: &UserId) -> bool {
        self.imported_folder(user).is_some() || self.proposed.contains(user.as_str())
    }

    /// Users with open pull requests.
    pub(super) fn users_with_open_pulls(&self) -> impl Iterator<Item = UserId> {
        let users = self.proposed.iter();
        users.filter_map(|user| UserId::parse(user).ok())
    }
}
