//! Reconciles one user's files: applies what Git has to the store, through the cache's write protocol and in its
//! batches.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use tokio::time::Instant;

use super::mutation::newcomers;
use super::plan::{LocalChange, LocalChangeKind, Plan};
use super::report::{SyncMode, UserReport};
use super::sync_state::{InboundWrite, LastError, PendingPushes, UserSyncState};
use super::{GitMutation, GitSync, GitSyncError, read_request};
use crate::cache::{Consistency, Snapshot};
use crate::codex::Codex;
use crate::github::{GitHubError, SkipCode, Skipped, UserTree, merge};
use crate::now::Now;
use crate::store::{Blob, BlobKey, ETag, GetIf, GetOutcome, WriteIds};
use crate::task::{FileName, GitSha, MAX_FILE_BYTES, Parsed, Status, git_sha, parse};
use crate::user::UserId;
use crate::user_state::ReadError;
use crate::write::{BatchItem, FileOp, FileOutcome, MAX_BATCH};

/// The most rounds of one pass, which repeats while files change concurrently.
const MAX_ROUNDS: u32 = 6;

/// After this many consecutive failed writes the store is assumed to be failing, not the files.
const MAX_FAILURES: u32 = 2;

/// Files fetched concurrently from GitHub and the store.
const CONCURRENT_FETCHES: usize = 16;

/// A change to a file with everything that is needed to write it.
struct PreparedWrite {
    change: BatchItem,
    base: Option<GitSha>,
    /// What Git has, and whether as completed; `None` for a removal.
    theirs: Option<(GitSha, bool)>,
    merged: bool,
    /// The merge result differs from what Git has.
    differs: bool,
}

/// The outcome of preparing a change.
enum Preparation {
    PreparedWrite(PreparedWrite),
    /// The local file changed since the decision; the next round decides again.
    Moved,
    /// A file couldn't be fetched.
    Failed(FileName, GitSyncError),
}

/// One reconcile pass over one user's files.
pub(super) struct ReconcilePass<'a> {
    pub codex: &'a Codex,
    pub git: &'a GitSync,
    pub user: &'a UserId,
    pub now: Now,
    pub mode: SyncMode,
    pub report: UserReport,
    /// The base before this pass, for the guard against mass deletion.
    pub before: Option<BTreeMap<String, GitSha>>,
    /// Removals that a user has confirmed.
    pub confirmed: BTreeSet<FileName>,
    /// Files that this pass has removed.
    pub removed: BTreeSet<FileName>,
    /// The unresolved pushes when Git's tree was read.
    pub pushing: PendingPushes,
    /// How often this pass has waited for the state of pull requests.
    pub waited: u32,
}

impl ReconcilePass<'_> {
    /// Repeats rounds until one finds nothing to change. The report is `unfinished` if the rounds run out.
    pub(super) async fn run(mut self) -> Result<UserReport, GitSyncError> {
        for _ in 0..MAX_ROUNDS {
            if self.round().await? {
                return Ok(self.report);
            }
        }
        self.report.unfinished = true;
        Ok(self.report)
    }

    /// Compares base, store and Git once and applies the difference. `true` if no further round is needed.
    async fn round(&mut self) -> Result<bool, GitSyncError> {
        // The order of these reads matters (`src/codex/git/README.md`, "Several instances and crashes").
        let (mut sync_state, _) = self.codex.sync_state(self.user).await?;
        let mut before = self
            .before
            .get_or_insert_with(|| sync_state.files.clone())
            .clone();
        let read_request = read_request(self.user, self.now.later(), Consistency::Rebuilt);
        let entry = self.codex.cache.read(&read_request).await?.entry;
        // Held files that are gone here. Of what `git.json` had when it was read: a file held later may have been
        // created after the listing.
        let is_here = |name: &String| {
            let file = entry.table().find(name);
            file.is_some_and(|file| !file.is_tombstone())
        };
        let held_and_gone = sync_state
            .held
            .iter()
            .filter(|name| !is_here(name))
            .cloned();
        let held_and_gone: BTreeSet<String> = held_and_gone.collect();
        let inbound_before = sync_state.taking.clone();
        if !inbound_before.is_empty() {
            sync_state = self.resolve_inbound(&sync_state, &entry).await?;
        }
        let passed = sync_state.known_heads();
        let confirmed = self.mode.confirmed_head;
        let snapshot = self.git.snapshot_after(&sync_state, confirmed).await?;
        let left = self.git.abandoned_by(&passed, snapshot.commit()).await?;
        if let Some(head) = confirmed.filter(|it| Some(*it) == snapshot.commit()) {
            // Recorded at once, also when the pass then stops at another confirmation (`mass_delete`).
            let confirm = |sync_state: &mut UserSyncState| {
                if sync_state.is_newest(Some(head), &passed) {
                    sync_state.record_head(head, &left);
                }
            };
            self.codex.update_sync_state(self.user, &confirm).await?;
            confirm(&mut sync_state);
        }
        let (newer, _) = self.codex.sync_state(self.user).await?;
        sync_state.pushing.extend_from(&newer.pushing);
        self.pushing = sync_state.pushing.clone();
        let tree = self.codex.user_tree(&snapshot, self.user).await?;
        let tree = tree.as_ref();
        if self.git.breaks(GitMutation::GuardCountsNewFiles) {
            before.extend(newcomers(tree));
        }
        if self.resolve_pulls(&newer, &snapshot, tree).await? {
            return Ok(false);
        }
        let mut plan = Plan::of(&sync_state, entry.table(), tree);
        if self.git.breaks(GitMutation::LocalOnlyFileRemoved) {
            plan.remove_what_git_never_had();
        }
        if snapshot.commit().is_none() && !sync_state.files.is_empty() {
            // The repository has lost all commits: conclude nothing from its empty tree.
            plan.agreed.clear();
        }
        // Exclude files with an inbound write recorded after `inbound_before`: the listed file may come from it.
        let moved = plan.retain_unmoved_bases(&newer)
            | plan.exclude(|name| newer.has_inbound_since(&inbound_before, name));
        self.report.commit = snapshot.commit();
        self.report.folder = tree.folder;
        self.report.closed = tree.closed;
        self.report.skipped = tree.skipped.clone();
        self.report.unpushed = plan.unpushed.len();
        self.report.blocked = std::mem::take(&mut plan.blocked);
        let held = self.guard(&mut plan, tree, &newer, &before, &held_and_gone)?;
        let changes = std::mem::take(&mut plan.changes);
        self.report.clean = changes.is_empty() && !moved && entry.bounds.exact;
        let last = changes.is_empty() && !moved;
        let noted = self
            .record_round(&plan, &newer, tree, (&passed, &left), held)
            .await?;
        if !noted.is_newest(snapshot.commit(), &[]) && snapshot.commit().is_some() {
            return Ok(false);
        }
        let changes = self.allowed(changes, &noted);
        self.apply(changes).await?;
        Ok(last || self.report.unfinished)
    }

    /// Resolves inbound writes without a recorded outcome: if a local file carries the write id of one, that write
    /// landed, and its content is what Git was known to hold. Expired ones are dropped.
    async fn resolve_inbound(
        &self,
        sync_state: &UserSyncState,
        entry: &Snapshot,
    ) -> Result<UserSyncState, GitSyncError> {
        let mut came_from = vec![];
        for (name, takes) in &sync_state.taking {
            let Ok(name) = name.parse::<FileName>() else {
                continue;
            };
            let file = entry.table().find(name.as_str());
            let Some(file) = file.filter(|file| !file.is_tombstone()) else {
                continue;
            };
            let etag = ETag::new(file.etag);
            if let Some(blob) = self.codex.raw(self.user, &name, &etag).await? {
                let newest = takes.iter().rev().find(|it| it.is_among(&blob.writes));
                let sha = newest.map(|it| it.is_based_on(sync_state.base(&name)).then_some(it.sha));
                came_from.extend(sha.map(|sha| (name, sha, blob.writes.clone())));
            }
        }
        let now = self.now.later().utc;
        let resolve = |newer: &mut UserSyncState| {
            for (name, sha, writes) in &came_from {
                if let Some(sha) = sha
                    && newer.base(name) == sync_state.base(name)
                {
                    newer.set_base(name, *sha, None);
                }
                newer.end_inbound_in(name, writes);
            }
            newer.taking.retain(|_, takes| {
                takes.retain(|it| !it.is_expired(now));
                !takes.is_empty()
            });
        };
        self.codex.update_sync_state(self.user, &resolve).await?;
        // Apply it to the old sync state, not the stored one: that may name contents in Git that came to the store
        // after the listing.
        let mut sync_state = sync_state.clone();
        resolve(&mut sync_state);
        Ok(sync_state)
    }

    /// Applies the changes in batches, until the deadline.
    async fn apply(&mut self, changes: Vec<LocalChange>) -> Result<(), GitSyncError> {
        if !changes.is_empty() {
            // Before the first change, so that after a crash the timer reconciles again.
            self.codex.leave_hint(self.user, self.now.later()).await?;
        }
        for batch in changes.chunks(MAX_BATCH) {
            if self.is_past_deadline() {
                self.report.unfinished = true;
                return Ok(());
            }
            let prepared = stream::iter(batch.to_vec()).map(|change| self.prepare(change));
            let prepared: Vec<Preparation> = prepared.buffered(CONCURRENT_FETCHES).collect().await;
            let mut ready = vec![];
            let mut failed = 0;
            for prepared in prepared {
                match prepared {
                    Preparation::PreparedWrite(it) => ready.push(it),
                    Preparation::Moved => {}
                    Preparation::Failed(name, trouble) => {
                        failed += 1;
                        self.report_failure(&name, &trouble);
                    }
                }
            }
            // A single failure doesn't stop the other files; if the whole batch failed, it is an outage.
            if failed == batch.len() {
                return Ok(());
            }
            self.apply_batch(ready).await?;
        }
        Ok(())
    }

    /// Writes a batch; if that fails, writes its files one by one.
    async fn apply_batch(&mut self, ready: Vec<PreparedWrite>) -> Result<(), GitSyncError> {
        if !self.record_inbound(&ready).await? || self.write(&ready).await.is_ok() {
            return Ok(());
        }
        let mut failures = 0;
        for mut it in ready {
            // With a new write id: the batch's write may have landed and the file been removed again since.
            it.change.write = Some(self.codex.writer.write_id());
            let it = std::slice::from_ref(&it);
            if !self.record_inbound(it).await? {
                return Ok(());
            }
            match self.write(it).await {
                Ok(()) => failures = 0,
                Err(trouble) => {
                    self.report_failure(&it[0].change.name, &trouble);
                    failures += 1;
                }
            }
            if failures >= MAX_FAILURES {
                // The store is failing.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Records the inbound writes that are about to happen. `false` if another pass has recorded a newer head since:
    /// the files that it removed must not be created again.
    async fn record_inbound(&self, ready: &[PreparedWrite]) -> Result<bool, GitSyncError> {
        let now = self.now.later().utc;
        let head = self.report.commit;
        let is_past =
            |sync_state: &UserSyncState| head.is_some() && !sync_state.is_newest(head, &[]);
        let note = |sync_state: &mut UserSyncState| {
            if is_past(sync_state) {
                return;
            }
            for it in ready {
                if self.git.breaks(GitMutation::BaseBeforeWrite)
                    && let Some((theirs, done)) = it.theirs
                {
                    sync_state.set_base(&it.change.name, theirs, Some(done));
                }
                if self.git.breaks(GitMutation::InboundWriteNotRecorded) {
                    break;
                }
                if let (Some((theirs, _)), Some(write)) = (it.theirs, it.change.write) {
                    let taking = InboundWrite::new(theirs, it.base, write, now);
                    sync_state.begin_inbound(&it.change.name, taking);
                }
            }
        };
        Ok(!is_past(
            &self.codex.update_sync_state(self.user, note).await?,
        ))
    }

    /// Writes the files, under one write intent after another, while each makes progress.
    async fn write(&mut self, ready: &[PreparedWrite]) -> Result<(), GitSyncError> {
        let mut left: Vec<&PreparedWrite> = ready.iter().collect();
        while !left.is_empty() {
            let changes = left.iter().map(|it| it.change.clone()).collect();
            let writer = self
                .codex
                .write_context_for(self.user, self.now.later(), "sync");
            let done = self.codex.writer.write_batch(writer, changes).await?;
            let mut untried = vec![];
            let mut tried = vec![];
            for (it, fate) in left.into_iter().zip(&done.outcomes) {
                match fate {
                    FileOutcome::NotAttempted => untried.push(it),
                    fate => tried.push((it, *fate == FileOutcome::Done)),
                }
            }
            self.advance_base(&tried).await?;
            if tried.is_empty() {
                return Err(GitSyncError::Contended);
            }
            left = untried;
        }
        Ok(())
    }

    /// Moves the base to what was written, unless another pass has moved it since, and ends the inbound writes.
    async fn advance_base(&mut self, tried: &[(&PreparedWrite, bool)]) -> Result<(), GitSyncError> {
        let advance = |sync_state: &mut UserSyncState| {
            for (it, landed) in tried {
                let name = &it.change.name;
                let unmoved = sync_state.base(name) == it.base;
                match it.theirs {
                    // The merge result goes to the pull request's branch, where the unresolved pushes stay valid.
                    Some((theirs, done))
                        if *landed && unmoved && it.differs && sync_state.has_pull_branch(name) =>
                    {
                        sync_state.set_base(name, theirs, Some(done));
                    }
                    Some((theirs, done)) if *landed && unmoved => {
                        sync_state.set_base_after_write(name, theirs, done, self.pushing.of(name));
                    }
                    None if *landed && unmoved => sync_state.clear_base(name),
                    _ => {}
                }
                let replaced = match &it.change.operation {
                    FileOp::Replace { writes, .. } if *landed => writes.clone(),
                    _ => WriteIds::default(),
                };
                if let Some(write) = it.change.write {
                    sync_state.end_inbound(name, write, &replaced);
                }
            }
        };
        self.codex.update_sync_state(self.user, advance).await?;
        for (it, _) in tried.iter().filter(|(_, landed)| *landed) {
            match (it.theirs, it.merged) {
                (None, _) => {
                    self.removed.insert(it.change.name.clone());
                    self.report.deleted += 1;
                }
                (Some(_), true) => self.report.merged += 1,
                (Some(_), false) => self.report.changed += 1,
            }
        }
        Ok(())
    }

    /// Records the result of comparing: contents both sides agree on, the head, held files, and the error to show.
    async fn record_round(
        &mut self,
        plan: &Plan,
        before: &UserSyncState,
        tree: &UserTree,
        (passed, left): (&[GitSha], &[GitSha]),
        waiting: Option<BTreeSet<FileName>>,
    ) -> Result<UserSyncState, GitSyncError> {
        let (commit, at) = (self.report.commit, self.now.utc);
        let waiting: Option<BTreeSet<String>> =
            waiting.map(|names| names.iter().map(FileName::to_string).collect());
        let error_for = |code, name| {
            let skipped = self.report.skipped.iter().find(|it| it.code == code);
            skipped.map(|it| (name, it.message.clone()))
        };
        let held = error_for(SkipCode::MassDelete, "mass_delete");
        let respelt = error_for(SkipCode::OtherSpelling, "other_spelling");
        let blocked = self.report.blocked.first().map(|name| {
            let path = self.git.path(self.user, name);
            (
                "not_a_file",
                format!("In Git {path} isn't a plain file of at most 1 MiB: move it away there."),
            )
        });
        let (manual, allows_removal) = (self.mode.manual, self.mode.allows_removal);
        let note = |sync_state: &mut UserSyncState| {
            if !sync_state.is_newest(commit, passed) {
                return;
            }
            for agreed in &plan.agreed {
                if sync_state.base(&agreed.name) == agreed.before {
                    agreed.note(sync_state);
                }
            }
            sync_state.respelt = tree.respelt.iter().map(UserId::to_string).collect();
            sync_state.renamed = !tree.respelt.is_empty() && tree.folder.is_none();
            if sync_state.commit != commit || manual {
                sync_state.synced_at = Some(at);
            }
            if let Some(head) = commit {
                sync_state.record_head(head, left);
            }
            if let Some(waiting) = &waiting {
                // Replace those held before this pass; files that another pass has held since stay.
                sync_state.held.retain(|name| !before.held.contains(name));
                sync_state.held.extend(waiting.iter().cloned());
            }
            let found = held.as_ref().or(respelt.as_ref()).or(blocked.as_ref());
            if found.is_some()
                || allows_removal
                    && sync_state
                        .last_error
                        .as_ref()
                        .is_some_and(LastError::is_from_reconcile)
            {
                sync_state.trouble(found.map(|(code, message)| (*code, message.clone())), at);
            }
        };
        self.codex.update_sync_state(self.user, note).await
    }

    fn is_past_deadline(&self) -> bool {
        let passed = |deadline: Instant| deadline <= self.now.later().started;
        self.mode.deadline.is_some_and(passed)
    }

    /// Logs and reports a file that couldn't be applied; it is retried later.
    fn report_failure(&mut self, name: &FileName, trouble: &GitSyncError) {
        let user = self.user;
        tracing::warn!(%user, task = %name.id(), error = %trouble, "a file from Git couldn't be applied");
        self.report.unfinished = true;
        self.report.skipped.push(Skipped {
            file: self.git.path(self.user, name),
            code: SkipCode::Failed,
            message: "It couldn't be fetched or written; it is tried again.".to_owned(),
        });
    }

    /// Fetches everything that a change needs.
    async fn prepare(&self, change: LocalChange) -> Preparation {
        match self.try_prepare(&change).await {
            Ok(Some(ready)) => Preparation::PreparedWrite(ready),
            Ok(None) => Preparation::Moved,
            Err(trouble) => Preparation::Failed(change.name, trouble),
        }
    }

    async fn try_prepare(
        &self,
        change: &LocalChange,
    ) -> Result<Option<PreparedWrite>, GitSyncError> {
        let name = &change.name;
        let ready = |operation, theirs, fields: Vec<String>, merged| {
            Some(PreparedWrite {
                change: BatchItem {
                    name: name.clone(),
                    operation,
                    merged: fields,
                    write: Some(self.codex.writer.write_id()),
                },
                base: change.base,
                theirs,
                merged,
                differs: false,
            })
        };
        let (base, theirs) = match (change.kind, &change.etag) {
            (LocalChangeKind::Remove, Some(etag)) => {
                return Ok(ready(FileOp::Remove(etag.clone()), None, vec![], false));
            }
            (LocalChangeKind::Remove, None) => return Ok(None),
            (LocalChangeKind::Take(theirs), _) => (None, theirs),
            (LocalChangeKind::Merge(base, theirs), _) => (base, theirs),
        };
        let text = self.git.blob(theirs).await?;
        let held = Some((theirs, is_done(name, &text)));
        let Some(etag) = &change.etag else {
            return Ok(ready(FileOp::Create(text), held, vec![], false));
        };
        let ours = self.codex.raw(self.user, name, etag).await?;
        let Some(Blob {
            bytes: ours,
            writes,
            ..
        }) = ours
        else {
            return Ok(None);
        };
        let replace = |bytes: Bytes| FileOp::Replace {
            bytes,
            etag: etag.clone(),
            writes: WriteIds::clone(&writes),
        };
        if let LocalChangeKind::Take(_) = change.kind {
            return Ok(ready(replace(text), held, vec![], false));
        }
        let base = match base {
            // `None` if Git has lost the blob after a history rewrite: then the merge has no base.
            Some(base) => self.git.repository.blob(base).await?,
            None => None,
        };
        let merged = merge(name, base.as_deref(), &ours, &text);
        let differs = merged.bytes != text;
        let operation = replace(merged.bytes.into());
        let ready = ready(operation, held, merged.conflicts, true);
        Ok(ready.map(|it| PreparedWrite { differs, ..it }))
    }
}

impl GitSync {
    /// The content of a task file in Git.
    ///
    /// # Errors
    /// When it can't be fetched, is larger than a task file may be, or doesn't match its SHA.
    pub(super) async fn blob(&self, sha: GitSha) -> Result<Bytes, GitSyncError> {
        let operation = "read a file";
        let unexpected = |reason| GitHubError::Unexpected { operation, reason };
        let blob = self.repository.blob(sha).await?;
        let bytes = blob.ok_or(unexpected("the blob is missing"))?;
        if bytes.len() > MAX_FILE_BYTES || git_sha(&bytes) != sha {
            return Err(unexpected("the content is too large or doesn't match its SHA").into());
        }
        Ok(bytes)
    }
}

impl Codex {
    /// A task file, if the store still has this version; else `None`.
    pub(super) async fn raw(
        &self,
        user: &UserId,
        name: &FileName,
        etag: &ETag,
    ) -> Result<Option<Blob>, GitSyncError> {
        let key = BlobKey::raw(user, name.as_str()).map_err(|_| ReadError::Broken)?;
        let got = self.store.get(&key, GetIf::Same(etag.clone())).await?.value;
        Ok(match got {
            GetOutcome::Blob(blob) => Some(blob),
            GetOutcome::Absent | GetOutcome::Changed | GetOutcome::Unchanged => None,
        })
    }
}

/// Whether the text parses as a completed task.
pub(super) fn is_done(name: &FileName, text: &[u8]) -> bool {
    matches!(parse(name, text), Parsed::Task(task) if task.status == Status::Abgeschlossen)
}
