//! `git.json`, the base of the three-way comparison (`src/codex/git/README.md`, "git.json"), changed by
//! compare-and-swap.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::GitSyncError;
use crate::codex::Codex;
use crate::github::Pull;
use crate::store::BlobFormat;
use crate::store::{BlobKey, ETag, GetIf, GetOutcome, Put, PutIf, PutOutcome, WriteId, WriteIds};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// Attempts of a compare-and-swap that loses to other writers.
const CAS_ATTEMPTS: u32 = 20;

/// Pushes and inbound writes of unknown outcome that are kept for each file.
const MAX_PENDING: usize = 8;

/// Abandoned heads that are kept.
const MAX_ABANDONED: usize = 4;

/// Age at which an inbound write counts as no longer running: write intents and requests both end before.
const INBOUND_WRITE_MAX_AGE: TimeDelta = TimeDelta::minutes(5);

/// The last known state of Git for one user's files, and the operations of unknown outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserSyncState {
    pub format: BlobFormat,
    /// The repository, branch and base path that this describes. State of another location is discarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The head that was last read, or an own commit made on top of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<GitSha>,
    /// Other own commits since the last read of the branch. A head is newer than this state only if it comes after
    /// `commit` and after each of these.
    #[serde(rename = "also", skip_serializing_if = "Vec::is_empty", default)]
    pub own_commits: Vec<GitSha>,
    /// The latest heads that the branch was moved away from. A head in their history isn't newer, although it may come
    /// after the commit that the branch was moved to.
    #[serde(rename = "left", skip_serializing_if = "Vec::is_empty", default)]
    pub abandoned: Vec<GitSha>,
    /// When the branch was last read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub synced_at: Option<DateTime<Utc>>,
    /// The base: the content that Git holds of each file, by name.
    #[serde(default)]
    pub files: BTreeMap<String, GitSha>,
    /// The files among them whose task is done in Git.
    #[serde(default)]
    pub done: BTreeSet<String>,
    /// Files that were removed from Git, and are kept here until a user confirms the removal.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub held: BTreeSet<String>,
    /// Folders of the same login in another letter case that Git has; nothing is imported from them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub respelt: Vec<String>,
    /// Git has such folders and no longer the login's own one: that was renamed, and must not be recreated by a push.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub renamed: bool,
    /// Contents whose commit was started, by file: they may be in Git.
    #[serde(default)]
    pub pushing: PendingPushes,
    /// Contents of Git whose write to the store was started, by file: they may be in the store.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub taking: BTreeMap<String, Vec<InboundWrite>>,
    /// The branch that is about to be created for a file's pull request, by file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub proposing: BTreeMap<String, String>,
    /// The commit from which that branch is created, by file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub proposing_from: BTreeMap<String, GitSha>,
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

/// Contents whose push has an unknown outcome, by file; the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PendingPushes(BTreeMap<String, Vec<GitSha>>);

/// The write of a content of Git to the store, alone or merged with ours, whose outcome isn't recorded yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InboundWrite {
    /// The content that Git had.
    pub sha: GitSha,
    /// The base at that time. If it has moved since, the written content was derived from another base.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    base: Option<GitSha>,
    /// The id of the write. A file has come from it if its write ids contain this one.
    write: String,
    /// When it was recorded.
    at: DateTime<Utc>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl InboundWrite {
    pub(super) fn new(
        sha: GitSha,
        base: Option<GitSha>,
        write: WriteId,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            sha,
            base,
            write: write.to_string(),
            at,
            unknown: Map::new(),
        }
    }

    /// Whether these write ids contain this write's.
    pub(super) fn is_among(&self, writes: &WriteIds) -> bool {
        self.write.parse().is_ok_and(|id| writes.contains(id))
    }

    /// Whether it was derived from this base.
    pub(super) fn is_based_on(&self, base: Option<GitSha>) -> bool {
        self.base == base
    }

    fn has_id(&self, write: WriteId) -> bool {
        self.write == write.to_string()
    }

    /// Whether it is too old to be still running.
    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now - self.at > INBOUND_WRITE_MAX_AGE
    }
}

/// A pull request with a file's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullNote {
    /// Its branch.
    pub branch: String,
    /// The content that the branch has.
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
    unknown: Map<String, Value>,
}

impl PullNote {
    pub(super) fn new(branch: String, sha: GitSha, commit: GitSha, pull: Pull) -> Self {
        Self {
            branch,
            sha,
            commit: Some(commit),
            pull,
            unknown: Map::new(),
        }
    }

    /// Without the members that aren't part of the API.
    pub(super) fn without_internal(mut self) -> Self {
        self.commit = None;
        self.unknown.clear();
        self
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
    /// Without the members that aren't part of the API.
    pub(super) fn without_internal(mut self) -> Self {
        self.unknown.clear();
        self
    }

    /// Whether this is a finding of a reconcile pass, and not a failed operation.
    pub(super) fn is_from_reconcile(&self) -> bool {
        matches!(
            self.code.as_str(),
            "mass_delete" | "other_spelling" | "not_a_file"
        )
    }
}

impl Default for UserSyncState {
    fn default() -> Self {
        Self {
            format: BlobFormat::CURRENT,
            place: None,
            commit: None,
            own_commits: vec![],
            abandoned: vec![],
            synced_at: None,
            files: BTreeMap::new(),
            done: BTreeSet::new(),
            held: BTreeSet::new(),
            respelt: vec![],
            renamed: false,
            pushing: PendingPushes::default(),
            taking: BTreeMap::new(),
            proposing: BTreeMap::new(),
            proposing_from: BTreeMap::new(),
            pulls: BTreeMap::new(),
            last_error: None,
            unknown: Map::new(),
        }
    }
}

impl PendingPushes {
    /// The contents of one file.
    pub(super) fn of(&self, name: &FileName) -> &[GitSha] {
        self.0.get(name.as_str()).map_or(&[], |it| it)
    }

    /// Records that a push of this content starts. Beyond [`MAX_PENDING`] the oldest one is forgotten.
    pub(super) fn begin(&mut self, name: &FileName, sha: GitSha) {
        let pending = self.0.entry(name.to_string()).or_default();
        if !pending.contains(&sha) {
            pending.push(sha);
        }
        if pending.len() > MAX_PENDING {
            pending.remove(0);
        }
    }

    /// Removes a push whose outcome is known.
    pub(super) fn end(&mut self, name: &FileName, sha: GitSha) {
        let Some(pending) = self.0.get_mut(name.as_str()) else {
            return;
        };
        pending.retain(|it| *it != sha);
        if pending.is_empty() {
            self.0.remove(name.as_str());
        }
    }

    /// Removes all pushes of a file: their outcomes are known.
    pub(super) fn end_all(&mut self, name: &FileName) {
        self.0.remove(name.as_str());
    }

    /// The files with such a push.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Adds the pushes of `other`.
    pub(super) fn extend_from(&mut self, other: &Self) {
        for (name, contents) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            mine.extend(
                contents
                    .iter()
                    .filter(|sha| !mine.contains(sha))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
    }
}

impl UserSyncState {
    /// The content that Git holds of a file.
    pub(super) fn base(&self, name: &FileName) -> Option<GitSha> {
        self.files.get(name.as_str()).copied()
    }

    /// The known heads. A head is newer than this state only if it comes after each of them.
    pub(super) fn known_heads(&self) -> Vec<GitSha> {
        self.commit
            .iter()
            .chain(&self.own_commits)
            .copied()
            .collect()
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

    /// Records an own commit on `parent`.
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
        if !self.is_proposed(name, proposed) && !is_unconfirmed {
            return;
        }
        if had != Some(proposed) {
            self.pulls.remove(name.as_str());
        }
        if let Some(had) = had {
            self.set_base(name, had, None);
        }
    }

    /// Whether any pull request is open, as far as is known.
    pub(super) fn has_open_pulls(&self) -> bool {
        self.pulls.values().any(|note| note.pull.open)
    }

    /// Whether the file's pull request has this content.
    pub(super) fn is_proposed(&self, name: &FileName, sha: GitSha) -> bool {
        let pull = self.pulls.get(name.as_str());
        pull.is_some_and(|it| it.sha == sha)
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
        // The proposed content is in Git, and so are all earlier commits of the request.
        if self.is_proposed(name, sha) {
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
        let takes = self.taking.get(name.as_str());
        takes.is_some_and(|takes| takes.iter().any(|it| it.is_among(writes)))
    }

    /// Whether an inbound write of the file was recorded that isn't in the earlier state `asked`.
    pub(super) fn has_inbound_since(
        &self,
        asked: &BTreeMap<String, Vec<InboundWrite>>,
        name: &FileName,
    ) -> bool {
        let before = asked.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let takes = self.taking.get(name.as_str()).into_iter().flatten();
        takes.into_iter().any(|it| !before.contains(it))
    }

    /// Records that an inbound write starts.
    pub(super) fn begin_inbound(&mut self, name: &FileName, taking: InboundWrite) {
        let pending = self.taking.entry(name.to_string()).or_default();
        pending.retain(|it| it.write != taking.write);
        pending.push(taking);
        if pending.len() > MAX_PENDING {
            pending.remove(0);
        }
    }

    /// Ends an answered write, and the writes that are contained in the file it `replaced`. Others stay: a write that
    /// creates the file on condition that it is absent may still land after the file is removed.
    pub(super) fn end_inbound(&mut self, name: &FileName, write: WriteId, replaced: &WriteIds) {
        self.end_inbound_where(name, |it| it.has_id(write) || it.is_among(replaced));
    }

    /// Ends the writes that are contained in the file.
    pub(super) fn end_inbound_in(&mut self, name: &FileName, writes: &WriteIds) {
        self.end_inbound_where(name, |it| it.is_among(writes));
    }

    fn end_inbound_where(&mut self, name: &FileName, ends: impl Fn(&InboundWrite) -> bool) {
        if let Some(pending) = self.taking.get_mut(name.as_str()) {
            pending.retain(|it| !ends(it));
            if pending.is_empty() {
                self.taking.remove(name.as_str());
            }
        }
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

    fn end_proposing(&mut self, name: &str) {
        self.proposing.remove(name);
        self.proposing_from.remove(name);
    }

    /// Records that Git doesn't hold the file.
    pub(super) fn clear_base(&mut self, name: &FileName) {
        self.files.remove(name.as_str());
        self.done.remove(name.as_str());
    }

    /// Records the current error, keeping the time of an earlier one with the same code; `None` clears it.
    pub(super) fn trouble(&mut self, trouble: Option<(&str, String)>, at: DateTime<Utc>) {
        self.last_error = trouble.map(|(code, message)| match self.last_error.take() {
            Some(before) if before.code == code => LastError { message, ..before },
            _ => LastError {
                code: code.to_owned(),
                message,
                at,
                unknown: Map::new(),
            },
        });
    }

    /// Clears an error of an operation, after everything was pushed; findings of a reconcile pass stay.
    pub(super) fn clear_transient_error(&mut self) {
        self.last_error = self.last_error.take().filter(LastError::is_from_reconcile);
    }
}

/// Parses a state blob; `None` for a damaged one. A blob of a newer format is never treated as damaged.
///
/// # Errors
/// [`GitSyncError::NewerFormat`].
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, GitSyncError> {
    let read = serde_json::from_slice(bytes).ok();
    let read_only = BlobFormat::of(bytes).is_some_and(BlobFormat::is_read_only);
    if read_only || (read.is_none() && BlobFormat::is_from_newer(bytes)) {
        return Err(GitSyncError::NewerFormat);
    }
    Ok(read)
}

impl Codex {
    /// The user's `git.json`. A missing or damaged one, or one of another repository, counts as empty: then both sides
    /// are merged without a base, and nothing is lost.
    pub(super) async fn sync_state(
        &self,
        user: &UserId,
    ) -> Result<(UserSyncState, Option<ETag>), GitSyncError> {
        let place = self.git()?.mirror_location();
        let got = self.store.get(&BlobKey::git(user), GetIf::Any).await?.value;
        let (state, etag): (Option<UserSyncState>, _) = match got {
            GetOutcome::Blob(blob) => (parse(&blob.bytes)?, Some(blob.etag)),
            GetOutcome::Absent | GetOutcome::Changed | GetOutcome::Unchanged => (None, None),
        };
        let mut state = state.filter(|it| it.place.as_ref() == Some(&place));
        if let (Some(state), None) = (&mut state, &self.git()?.repository.config().pull_requests) {
            // Pull requests from before `CREATE_VIA_PR` was switched off must not block anything.
            state.pulls.clear();
            state.proposing.clear();
            state.proposing_from.clear();
        }
        let fresh = || UserSyncState {
            place: Some(place.clone()),
            ..UserSyncState::default()
        };
        Ok((state.unwrap_or_else(fresh), etag))
    }

    /// Updates the user's `git.json` by compare-and-swap. `change` is applied again to a newer state after a lost race,
    /// so it has to check its preconditions itself.
    ///
    /// # Errors
    /// [`GitSyncError::Contended`] after too many lost races.
    pub(super) async fn update_sync_state(
        &self,
        user: &UserId,
        change: impl Fn(&mut UserSyncState) + Send,
    ) -> Result<UserSyncState, GitSyncError> {
        for _ in 0..CAS_ATTEMPTS {
            let (before, etag) = self.sync_state(user).await?;
            let mut state = before.clone();
            change(&mut state);
            if state == before {
                return Ok(state);
            }
            let put = Put {
                // Maps with string keys, strings and numbers: serialisation can't fail.
                bytes: serde_json::to_vec(&state).unwrap_or_default().into(),
                ..Put::default()
            };
            let condition = etag.map_or(PutIf::Absent, PutIf::Same);
            match self
                .store
                .put(&BlobKey::git(user), put, condition)
                .await?
                .value
            {
                PutOutcome::Done(_) => return Ok(state),
                // A lost race, or an earlier attempt of this very write that has landed: the next read tells.
                PutOutcome::Refused => {}
            }
        }
        Err(GitSyncError::Contended)
    }
}
