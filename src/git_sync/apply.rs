//! Applies what Git has to the store, through the cache's write protocol and in its batches.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::engine::Engine;
use super::error::GitSyncError;
use super::mutation::GitMutation;
use super::pending::{InboundWrite, PendingPushes};
use super::plan::{LocalChange, LocalChangeKind, is_done_text};
use super::report::UserReport;
use super::sync_state::UserSyncState;
use crate::github::{SkipCode, Skipped, merge};
use crate::now::Now;
use crate::store::WriteIds;
use crate::task::{FileName, GitSha};
use crate::user::UserId;
use crate::write::{BatchItem, FileOp, FileOutcome, MAX_BATCH};

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

impl PreparedWrite {
    /// Moves the base to what was written if it `landed`, unless another pass has moved it since, and ends the inbound
    /// write. `pushing` are the unresolved pushes when Git's tree was read.
    fn note(&self, landed: bool, pushing: &PendingPushes, sync_state: &mut UserSyncState) {
        let name = &self.change.name;
        if landed && sync_state.base(name) == self.base {
            match self.theirs {
                // The merge result goes to the pull request's branch, where the unresolved pushes stay valid.
                Some((theirs, done)) if self.differs && sync_state.has_pull_branch(name) => {
                    sync_state.set_base(name, theirs, Some(done));
                }
                Some((theirs, done)) => {
                    sync_state.set_base_after_write(name, theirs, done, pushing.of(name));
                }
                None => sync_state.clear_base(name),
            }
        }
        let none = WriteIds::default();
        let replaced = match &self.change.operation {
            FileOp::Replace { writes, .. } if landed => writes,
            _ => &none,
        };
        if let Some(write) = self.change.write {
            sync_state.taking.end(name, write, replaced);
        }
    }
}

/// The changes of one round.
pub(super) struct Import<'a> {
    pub engine: &'a Engine,
    pub user: &'a UserId,
    pub now: Now,
    /// When to leave the rest to the timer.
    pub deadline: Option<Instant>,
    /// The unresolved pushes when Git's tree was read.
    pub pushing: &'a PendingPushes,
    pub report: &'a mut UserReport,
    /// Files that were removed.
    pub removed: &'a mut BTreeSet<FileName>,
}

impl Import<'_> {
    /// Applies the changes in batches, until the deadline.
    pub(super) async fn run(mut self, changes: Vec<LocalChange>) -> Result<(), GitSyncError> {
        if !changes.is_empty() {
            // Before the first change, so that after a crash the timer reconciles again.
            let now = self.now.later();
            self.engine.hints.leave(self.user, now).await?;
        }
        for batch in changes.chunks(MAX_BATCH) {
            let now = self.now.later().started;
            if self.deadline.is_some_and(|deadline| deadline <= now) {
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
        let name = &change.name;
        let ready = |operation, theirs| PreparedWrite {
            change: BatchItem {
                name: name.clone(),
                operation,
                merged: vec![],
                write: Some(self.engine.write_id()),
            },
            base: change.base,
            theirs,
            merged: false,
            differs: false,
        };
        let (LocalChangeKind::Take(theirs) | LocalChangeKind::Merge(_, theirs)) = change.kind
        else {
            let removal = change.etag.clone().map(FileOp::Remove);
            return Ok(removal.map(|removal| ready(removal, None)));
        };
        let text = self.engine.blob_in_git(theirs).await?;
        let theirs = Some((theirs, is_done_text(name, &text)));
        let Some(etag) = &change.etag else {
            return Ok(Some(ready(FileOp::Create(text), theirs)));
        };
        let Some(ours) = self.engine.file(self.user, name, etag).await? else {
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
            Some(base) => self.engine.repository.blob(base).await?,
            None => None,
        };
        let merged = merge(name, base.as_deref(), &ours.bytes, &text);
        let differs = merged.bytes != text;
        let mut ready = ready(replace(merged.bytes.into()), theirs);
        ready.change.merged = merged.conflicts;
        Ok(Some(PreparedWrite {
            merged: true,
            differs,
            ..ready
        }))
    }

    /// Writes a batch; if that fails, writes its files one by one.
    async fn apply_batch(&mut self, ready: Vec<PreparedWrite>) -> Result<(), GitSyncError> {
        if !self.record_inbound(&ready).await? || self.write(&ready).await.is_ok() {
            return Ok(());
        }
        let mut failures = 0;
        for mut it in ready {
            // With a new write id: the batch's write may have landed and the file been removed again since.
            it.change.write = Some(self.engine.write_id());
            let it = std::slice::from_ref(&it);
            if !self.record_inbound(it).await? {
                return Ok(());
            }
            match self.write(it).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    self.report_failure(&it[0].change.name, &error);
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
        let (head, rules) = (self.report.commit, self.engine.rules);
        let is_past =
            |sync_state: &UserSyncState| head.is_some() && !sync_state.is_newest(head, &[]);
        let note = |sync_state: &mut UserSyncState| {
            if is_past(sync_state) {
                return;
            }
            for it in ready {
                let (Some((theirs, done)), Some(write)) = (it.theirs, it.change.write) else {
                    continue;
                };
                if rules.breaks(GitMutation::BaseBeforeWrite) {
                    sync_state.set_base(&it.change.name, theirs, Some(done));
                }
                if !rules.breaks(GitMutation::InboundWriteNotRecorded) {
                    let inbound = InboundWrite::new(theirs, it.base, write, now);
                    sync_state.taking.begin(&it.change.name, inbound);
                }
            }
        };
        let noted = self.engine.states.update(self.user, note).await?;
        Ok(!is_past(&noted))
    }

    /// Writes the files, under one write intent after another, while each makes progress.
    async fn write(&mut self, ready: &[PreparedWrite]) -> Result<(), GitSyncError> {
        let mut left: Vec<&PreparedWrite> = ready.iter().collect();
        while !left.is_empty() {
            let changes = left.iter().map(|it| it.change.clone()).collect();
            let now = self.now.later();
            let done = self.engine.write(self.user, now, "sync", changes).await?;
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
                    it.note(*landed, self.pushing, sync_state);
                }
            };
            self.engine.states.update(self.user, note).await?;
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
        match (done.theirs, done.merged) {
            (None, _) => {
                self.removed.insert(done.change.name.clone());
                self.report.deleted += 1;
            }
            (Some(_), true) => self.report.merged += 1,
            (Some(_), false) => self.report.changed += 1,
        }
    }

    /// Logs and reports a file that couldn't be applied; it is retried later.
    fn report_failure(&mut self, name: &FileName, error: &GitSyncError) {
        let user = self.user;
        tracing::warn!(%user, task = %name.id(), %error, "a file from Git couldn't be applied");
        self.report.unfinished = true;
        self.report.skipped.push(Skipped {
            file: self.engine.path(self.user, name),
            code: SkipCode::Failed,
            message: "It couldn't be fetched or written; it is tried again.".to_owned(),
        });
    }
}
