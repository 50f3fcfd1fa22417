//! PURE. `git.json`, the base of the three-way comparison (`src/git_sync/README.md`, "git.json").

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::pending::{InboundWrites, Pending, PendingPushes};
use super::report::GitSyncError;
use crate::github::Pull;
use crate::store::{BlobFormat, WriteIds};
use crate::task::{FileName, GitSha};
use crate::user_state::NewerFormat;

/// Abandoned heads that are kept.
const MAX_ABANDONED: usize = 4;

/// The last known state of Git for one user's files, and the operations of unknown outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserSyncState {
    pub(super) format: BlobFormat,
    /// The repository, branch and base path that this describes. State of another location is discarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The head that was last read, or an own commit made on top of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<GitSha>,
    /// Other own commits since the last read of the branch. A head is newer than this state only if it comes after
    /// `commit` and after each of these.
    #[serde(rename = "also", skip_serializing_if = "Vec::is_empty", default)]
    pub(super) own_commits: Vec<GitSha>,
    /// The latest heads that the branch was moved away from. A head in their history isn't newer, although it may come
    /// after the commit that the branch was moved to.
    #[serde(rename = "left", skip_serializing_if = "Vec::is_empty", default)]
    pub(super) abandoned: Vec<GitSha>,
    /// When the branch was last read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub synced_at: Option<DateTime<Utc>>,
    /// The base: the content that Git holds of each file, by name.
    #[serde(default)]
    pub files: BTreeMap<String, GitSha>,
    /// The files among them whose task is done in Git.
    #[serde(default)]
    pub(super) done: BTreeSet<String>,
    /// Files that were removed from Git, and are kept here until a user confirms the removal.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub(super) held: BTreeSet<String>,
    /// Folders of the same login in another letter case that Git has; nothing is imported from them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) respelt: Vec<String>,
    /// Git has such folders and no longer the login's own one: that was renamed, and must not be recreated by a push.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) renamed: bool,
    /// Contents whose commit was started, by file: they may be in Git.
    #[serde(default)]
    pub pushing: PendingPushes,
    /// Contents of Git whose write to the store was started, by file: they may be in the store.
    #[serde(skip_serializing_if = "Pending::is_empty", default)]
    pub taking: InboundWrites,
    /// The branch that is about to be created for a file's pull request, by file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub proposing: BTreeMap<String, String>,
    /// The commit from which that branch is created, by file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) proposing_from: BTreeMap<String, GitSha>,
    /// Pull requests whose changes aren't merged yet, by file.
    #[serde(default)]
    pub pulls: BTreeMap<String, PullNote>,
    /// The last error, until an operation succeeds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<LastError>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A pull request with a file's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullNote {
    /// Its branch.
    pub branch: String,
    /// The content that the branch has; forty zeros where it removes the file.
    pub sha: GitSha,
    /// The branch's commit with it: what is shown of the branch without that is old.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(ignore)]
    pub commit: Option<GitSha>,
    /// The request, as it was last seen.
    #[serde(flatten)]
    pub pull: Pull,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl PullNote {
    /// What the API shows of it.
    pub(super) fn shown(self) -> Self {
        Self {
            commit: None,
            unknown: Map::new(),
            ..self
        }
    }
}

/// What went wrong last between Git and the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastError {
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// When it was first noticed.
    pub at: DateTime<Utc>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl LastError {
    /// What the API shows of it.
    pub(super) fn shown(self) -> Self {
        let unknown = Map::new();
        Self { unknown, ..self }
    }

    /// Whether this is a finding of a reconcile pass, and not a failed operation.
    pub(super) fn is_from_reconcile(&self) -> bool {
        let code = self.code.as_str();
        matches!(code, "mass_delete" | "other_spelling" | "not_a_file")
    }
}

impl UserSyncState {
    /// Parses a blob; `None` for a damaged one.
    ///
    /// # Errors
    /// [`NewerFormat`] when only a newer version of the service may write it.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NewerFormat> {
        parse(bytes)
    }

    /// The content that Git holds of a file.
    pub(super) fn base(&self, name: &FileName) -> Option<GitSha> {
        self.files.get(name.as_str()).copied()
    }

    /// The known heads. A head is newer than this state only if it comes after each of them.
    pub(super) fn known_heads(&self) -> Vec<GitSha> {
        let known = self.commit.iter().chain(&self.own_commits);
        known.copied().collect()
    }

    /// Whether a read of `head`, which comes after the heads in `passed`, is still the newest one. If not, another pass
    /// or push has recorded a commit that wasn't compared with `head`.
    pub(super) fn is_newest(&self, head: Option<GitSha>, passed: &[GitSha]) -> bool {
        let mut known = self.commit.iter().chain(&self.own_commits);
        known.all(|it| Some(*it) == head || passed.contains(it))
    }

    /// Records a read of the branch at `head`, to which it was moved away from the `abandoned` heads.
    pub(super) fn record_head(&mut self, head: GitSha, abandoned: &[GitSha]) {
        self.commit = Some(head);
        self.own_commits.clear();
        self.abandoned
            .retain(|it| *it != head && !abandoned.contains(it));
        self.abandoned.extend_from_slice(abandoned);
        let excess = self.abandoned.len().saturating_sub(MAX_ABANDONED);
        self.abandoned.drain(..excess);
    }

    pub(super) fn record_own_commit(&mut self, commit: GitSha, parent: Option<GitSha>) {
        let is_parent = |it: &GitSha| Some(*it) == parent;
        if self.commit.as_ref().is_none_or(is_parent) {
            self.commit = Some(commit);
        } else if self.commit != Some(commit) && !self.own_commits.contains(&commit) {
            self.own_commits.retain(|it| !is_parent(it));
            self.own_commits.push(commit);
        }
    }

    /// Records a merged pull request: what Git has now is derived from what was proposed, or from a reviewer's change
    /// to it. A newer content that was proposed after `had` isn't part of the merge.
    pub(super) fn record_merged_pull(
        &mut self,
        name: &FileName,
        proposed: GitSha,
        had: Option<GitSha>,
    ) {
        // A request that isn't recorded: GitHub's answer to opening it was lost.
        let is_unconfirmed =
            self.proposing.contains_key(name.as_str()) && self.pushing.of(name).contains(&proposed);
        if !self.is_proposed(name, Some(proposed)) && !is_unconfirmed {
            return;
        }
        if proposed == GitSha::NULL {
            // With the base gone, whatever Git has is a later change.
            match had {
                Some(GitSha::NULL) | None => self.clear_base(name),
                Some(_) => drop(self.pulls.remove(name.as_str())),
            }
            return;
        }
        if had != Some(proposed) {
            self.pulls.remove(name.as_str());
        }
        if let Some(had) = had {
            self.set_base(name, had, None);
        }
    }

    /// Whether no successful pass has written it; a failed one may have.
    pub(super) fn was_never_synced(&self) -> bool {
        let has_pending = !self.pushing.is_empty() || !self.taking.is_empty();
        self.commit.is_none() && self.files.is_empty() && !has_pending
    }

    /// Whether any pull request is open, as far as is known.
    pub(super) fn has_open_pulls(&self) -> bool {
        self.pulls.values().any(|note| note.pull.open)
    }

    /// Whether the file's pull request has this content; `None` for its removal.
    pub(super) fn is_proposed(&self, name: &FileName, sha: Option<GitSha>) -> bool {
        let pull = self.pulls.get(name.as_str());
        pull.is_some_and(|it| it.sha == sha.unwrap_or(GitSha::NULL))
    }

    /// Whether the file's removal was proposed by a request that was closed.
    pub(super) fn is_removal_rejected(&self, name: &FileName) -> bool {
        let pull = self.pulls.get(name.as_str());
        pull.is_some_and(|it| it.sha == GitSha::NULL && !it.pull.open)
    }

    /// Records that Git holds this content, and if known whether the task is done. Ends the pull request that brought
    /// it.
    pub(super) fn set_base(&mut self, name: &FileName, sha: GitSha, done: Option<bool>) {
        let key = name.as_str();
        self.files.insert(key.to_owned(), sha);
        match done {
            Some(true) => drop(self.done.insert(key.to_owned())),
            Some(false) => drop(self.done.remove(key)),
            None => {}
        }
        if self.is_removal_rejected(name) {
            self.pulls.remove(key);
        }
        // The proposed content is in Git, and so are all earlier commits of the request.
        if self.is_proposed(name, Some(sha)) {
            self.pulls.remove(key);
            self.pushing.end_all(name);
        }
        let is_sent = self.pushing.of(name).contains(&sha);
        self.pushing.end(name, sha);
        // With another content in Git, a request that is about to be opened still has an unknown outcome.
        if is_sent || self.pushing.of(name).is_empty() {
            self.end_proposing(key);
        }
    }

    /// Records that Git holds this content by an answered write, to Git or to the store. The pushes in `pending` were
    /// started before it and are conditional, so they can no longer land, unless Git gets back the content they
    /// replace; a sender that learns that its push did land records it again. Pushes started since may still land.
    pub(super) fn set_base_after_write(
        &mut self,
        name: &FileName,
        sha: GitSha,
        done: bool,
        pending: &[GitSha],
    ) {
        self.set_base(name, sha, Some(done));
        for it in pending {
            self.pushing.end(name, *it);
        }
        if self.pushing.of(name).is_empty() {
            self.end_proposing(name.as_str());
        }
    }

    /// Whether the file has a pull request branch, existing or about to be created: its commits land there, whatever
    /// the mirrored branch holds.
    pub(super) fn has_pull_branch(&self, name: &FileName) -> bool {
        let note = self.pulls.get(name.as_str());
        self.proposing.contains_key(name.as_str()) || note.is_some_and(|note| note.pull.open)
    }

    /// Whether a file with these write ids was written by an inbound write that isn't ended yet.
    pub(super) fn is_inbound(&self, name: &FileName, writes: &WriteIds) -> bool {
        self.taking.newest_in(name, writes).is_some()
    }

    /// Records that a pull request, the known one or another, has this content.
    pub(super) fn propose(&mut self, name: &FileName, mut note: PullNote) {
        if let Some(before) = self.pulls.remove(name.as_str())
            && before.branch == note.branch
        {
            note.unknown = before.unknown;
        }
        self.pulls.insert(name.to_string(), note);
        self.end_proposing(name.as_str());
    }

    /// Records that a branch is about to be created from this commit.
    pub(super) fn begin_proposing(&mut self, name: &FileName, branch: &str, from: GitSha) {
        self.proposing.insert(name.to_string(), branch.to_owned());
        self.proposing_from.insert(name.to_string(), from);
    }

    pub(super) fn forget_pulls(&mut self) {
        self.pulls.clear();
        self.proposing.clear();
        self.proposing_from.clear();
    }

    fn end_proposing(&mut self, name: &str) {
        self.proposing.remove(name);
        self.proposing_from.remove(name);
    }

    /// Records that Git doesn't hold the file, by an answered commit; see [`Self::set_base_after_write`].
    pub(super) fn clear_base_after_commit(&mut self, name: &FileName, pending: &[GitSha]) {
        self.clear_base(name);
        for it in pending {
            self.pushing.end(name, *it);
        }
    }

    /// Records that Git doesn't hold the file. Ends the pull request that removed it.
    pub(super) fn clear_base(&mut self, name: &FileName) {
        if self.is_proposed(name, None) {
            self.pulls.remove(name.as_str());
            self.end_proposing(name.as_str());
        }
        self.files.remove(name.as_str());
        self.done.remove(name.as_str());
    }

    /// Records the current error, keeping the time of an earlier one with the same code; `None` clears it.
    pub(super) fn set_last_error(&mut self, error: Option<(&str, String)>, at: DateTime<Utc>) {
        self.last_error = error.map(|(code, message)| match self.last_error.take() {
            Some(before) if before.code == code => LastError { message, ..before },
            _ => LastError {
                code: code.to_owned(),
                message,
                at,
                unknown: Map::new(),
            },
        });
    }

    /// Records a failed operation, unless it is recorded already. A finding of a reconcile pass stays, except for a
    /// branch that was rewritten.
    pub(super) fn note_failure(&mut self, error: &GitSyncError, at: DateTime<Utc>) {
        let (code, message) = error.shown();
        let rewritten = matches!(error, GitSyncError::HistoryRewritten { .. });
        let is_superseded = |it: &LastError| {
            (it.code != code || it.message != message) && (rewritten || !it.is_from_reconcile())
        };
        if self.last_error.as_ref().is_none_or(is_superseded) {
            self.set_last_error(Some((code, message)), at);
        }
    }

    /// Clears an error of an operation, after everything was pushed; findings of a reconcile pass stay.
    pub(super) fn clear_transient_error(&mut self) {
        self.last_error = self.last_error.take().filter(LastError::is_from_reconcile);
    }
}

/// Parses a state blob; `None` for a damaged one. One of a newer format is never treated as damaged.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, NewerFormat> {
    let read = serde_json::from_slice(bytes).ok();
    let read_only = BlobFormat::of(bytes).is_some_and(BlobFormat::is_read_only);
    if read_only || (read.is_none() && BlobFormat::is_from_newer(bytes)) {
        return Err(NewerFormat);
    }
    Ok(read)
}
