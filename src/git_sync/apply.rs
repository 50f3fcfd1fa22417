//! Applies what Git has to the store, through the cache's write protocol and in its batches.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::Map;

use super::engine::UserSync;
use super::mutation::GitMutation;
use super::pending::InboundWrite;
use super::plan::{LocalChange, LocalChangeKind, is_done_text};
use super::report::{GitSyncError, SyncMode, UserReport};
use super::sync_state::UserSyncState;
use crate::github::{SkipCode, merge, skipped};
use crate::now::Now;
use crate::store::WriteIds;
use crate::task::{FileName, GitSha};
use crate::write::{BatchItem, FileOp, FileOutcome, MAX_BATCH};

/// After this many consecutive failed writes the store is assumed to be failing, not the files.
const MAX_FAILURES: u32 = 2;

/// Files fetched concurrently from GitHub and the store.
const CONCURRENT_FETCHES: usize = 16;

/// A change to a file with everything that is needed to write it.
struct PreparedWrite {
    planned: LocalChange,
    item: BatchItem,
    /// What Git has, and whether as completed; `None` for a removal.
    theirs: Option<(GitSha, bool)>,
    /// The merge result differs from what Git has.
    differs: bool,
}

impl PreparedWrite {
    /// Moves the base to what was written if it `landed`, unless another pass has moved it since, and ends the inbound
    /// write.
    fn note(&self, landed: bool, sync_state: &mut UserSyncState) {
        let (planned, name) = (&self.planned, &self.planned.name);
        if landed && sync_state.base(name) == planned.base {
            match self.theirs {
                // The merge result goes to the pull request's branch, where the unresolved pushes stay valid.
                Some((theirs, done)) if self.differs && sync_state.has_pull_branch(name) => {
                    sync_state.set_base(name, theirs, Some(done));
                }
                Some((theirs, done)) => {
                    sync_state.set_base_after_write(name, theirs, done, &planned.pushing);
                }
                None => sync_state.clear_base(name),
            }
        }
        let none = WriteIds::default();
        let replaced = match &self.item.operation {
            FileOp::Replace { writes, .. } if landed => writes,
            _ => &none,
        };
        if let Some(write) = self.item.write {
            sync_state.taking.end(name, write, replaced);
        }
    }
}

/// One pass over one user's files, which repeats rounds until one finds nothing to change.
pub(super) struct ReconcilePass<'a> {
    pub sync: UserSync<'a>,
    pub now: Now,
    pub mode: SyncMode,
    pub report: UserReport,
    /// The base before this pass, for the guard against mass deletion.
    pub before: Option<BTreeMap<String, GitSha>>,
    /// Removals that a user has confirmed.
    pub confirmed: BTreeSet<FileName>,
    /// Files that this pass has removed.
    pub removed: BTreeSet<FileName>,
    /// How often this pass has waited for the state of pull requests.
    pub waits: u32,
}

impl ReconcilePass<'_> {
    /// Applies the changes in batches, until the deadline.
    pub(super) async fn import(&mut self, changes: Vec<LocalChange>) -> Result<(), GitSyncError> {
        if !changes.is_empty() {
            // Before the first change, so that after a crash the timer reconciles again.
            let now = self.now.later();
            self.sync.engine.hints.leave(self.sync.user, now).await?;
        }
        for batch in changes.chunks(MAX_BATCH) {
            let now = self.now.later().started;
            if self.mode.deadline.is_some_and(|deadline| deadline <= now) {
                self.report.unfinished = true;
                return Ok(());
            }
            let prepared = stream::iter(batch.to_vec())
                .map(async |change| (self.prepare(&change).await, change.name));
            let prepared: Vec<_> = prepared.buffered(CONCURRENT_FETCHES).collect().await;
            let mut ready = vec![];
            let mut failed = 0;
            for (prepared, name) in prepared {
                match prepared {
                    Ok(prepared) => ready.extend(prepared),
                    Err(error) => {
                        failed += 1;
                        self.report_failure(&name, &error);
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

    /// Fetches everything that a change needs. `None` if the local file changed since the decision: the next round
    /// decides again.
    async fn prepare(&self, change: &LocalChange) -> Result<Option<PreparedWrite>, GitSyncError> {
        let (engine, name) = (self.sync.engine, &change.name);
        let ready = |operation, theirs| PreparedWrite {
            planned: change.clone(),
            item: BatchItem {
                name: name.clone(),
                operation,
                merged: vec![],
                write: Some(engine.writer.write_id()),
            },
            theirs,
            differs: false,
        };
        let (LocalChangeKind::Take(theirs) | LocalChangeKind::Merge(_, theirs)) = change.kind
        else {
            let removal = change.etag.clone().map(FileOp::Remove);
            return Ok(removal.map(|removal| ready(removal, None)));
        };
        let text = engine.blob_in_git(theirs).await?;
        let theirs = Some((theirs, is_done_text(name, &text)));
        let Some(etag) = &change.etag else {
            return Ok(Some(ready(FileOp::Create(text), theirs)));
        };
        let Some(ours) = self.sync.file(name, etag).await? else {
            return Ok(None);
        };
        let replace = |bytes: Bytes| FileOp::Replace {
            bytes,
            etag: etag.clone(),
            writes: ours.writes.clone(),
        };
        let LocalChangeKind::Merge(base, _) = change.kind else {
            return Ok(Some(ready(replace(text), theirs)));
        };
        let base = match base {
            // `None` if Git has lost the blob after a history rewrite: then the merge has no base.
            Some(base) => engine.repository().blob(base).await?,
            None => None,
        };
        let merged = merge(name, base.as_deref(), &ours.bytes, &text);
        let differs = merged.bytes != text;
        let mut ready = ready(replace(merged.bytes.into()), theirs);
        (ready.item.merged, ready.differs) = (merged.conflicts, differs);
        Ok(Some(ready))
    }

    /// Writes a batch; if that fails, writes its files one by one.
    async fn apply_batch(&mut self, ready: Vec<PreparedWrite>) -> Result<(), GitSyncError> {
        if !self.record_inbound(&ready).await? || self.write(&ready).await.is_ok() {
            return Ok(());
        }
        let mut failures = 0;
        for mut it in ready {
            // With a new write id: the batch's write may have landed and the file been removed again since.
            it.item.write = Some(self.sync.engine.writer.write_id());
            let it = std::slice::from_ref(&it);
            if !self.record_inbound(it).await? {
                return Ok(());
            }
            match self.write(it).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    self.report_failure(&it[0].planned.name, &error);
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
        let (head, engine) = (self.report.commit, self.sync.engine);
        let is_past =
            |sync_state: &UserSyncState| head.is_some() && !sync_state.is_newest(head, &[]);
        let note = |sync_state: &mut UserSyncState| {
            if is_past(sync_state) {
                return;
            }
            for it in ready {
                let (Some((theirs, done)), Some(write)) = (it.theirs, it.item.write) else {
                    continue;
                };
                if engine.breaks(GitMutation::BaseBeforeWrite) {
                    sync_state.set_base(&it.planned.name, theirs, Some(done));
                }
                if !engine.breaks(GitMutation::InboundWriteNotRecorded) {
                    let inbound = InboundWrite {
                        sha: theirs,
                        base: it.planned.base,
                        write: write.to_string(),
                        at: now,
                        unknown: Map::new(),
                    };
                    sync_state.taking.begin(&it.planned.name, inbound);
                }
            }
        };
        let noted = self.sync.update(note).await?;
        Ok(!is_past(&noted))
    }

    /// Writes the files, under one write intent after another, while each makes progress.
    async fn write(&mut self, ready: &[PreparedWrite]) -> Result<(), GitSyncError> {
        let mut left: Vec<&PreparedWrite> = ready.iter().collect();
        while !left.is_empty() {
            let changes = left.iter().map(|it| it.item.clone()).collect();
            let done = self.sync.write(self.now.later(), "sync", changes).await?;
            let mut untried = vec![];
            let mut tried = vec![];
            for (it, outcome) in left.into_iter().zip(&done.outcomes) {
                match outcome {
                    FileOutcome::NotAttempted => untried.push(it),
                    outcome => tried.push((it, *outcome == FileOutcome::Done)),
                }
            }
            let note = |sync_state: &mut UserSyncState| {
                for (it, landed) in &tried {
                    it.note(*landed, sync_state);
                }
            };
            self.sync.update(note).await?;
            for (it, _) in tried.iter().filter(|(_, landed)| *landed) {
                self.count(it);
            }
            if tried.is_empty() {
                return Err(GitSyncError::Contended);
            }
            left = untried;
        }
        Ok(())
    }

    fn count(&mut self, done: &PreparedWrite) {
        match done.planned.kind {
            LocalChangeKind::Take(_) => self.report.changed += 1,
            LocalChangeKind::Merge(..) => self.report.merged += 1,
            LocalChangeKind::Remove => {
                self.removed.insert(done.planned.name.clone());
                self.report.deleted += 1;
            }
        }
    }

    /// Logs and reports a file that couldn't be applied; it is retried later.
    fn report_failure(&mut self, name: &FileName, error: &GitSyncError) {
        let user = self.sync.user;
        tracing::warn!(%user, task = %name.id(), %error, "a file from Git couldn't be applied");
        self.report.unfinished = true;
        let message = "It couldn't be fetched or written; it is tried again.".to_owned();
        let failed = skipped(self.sync.path(name), SkipCode::Failed, message);
        self.report.skipped.push(failed);
    }
}
