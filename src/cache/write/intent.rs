//! The write intent of an operation: recorded before its files are written, removed after the answer
//! (src/cache/README.md, "Write").

use std::sync::Arc;
use std::time::Instant;

use super::{ATTEMPTS, WriteOp};
use crate::cache::command::{CommandResult, FilesIntent, StateCommand};
use crate::cache::commit_queue::{
    AcknowledgedFile, AcknowledgedOp, CommitQueueHandle, CommittedCommand, with_deadline,
};
use crate::cache::state::{ChangeKind, LegacyNextId, StatePresence, StoredState, Version};
use crate::cache::{CacheInner, ReadError, Requests, WriteError};
use crate::context::in_request_context;
use crate::now::Now;
use crate::store::{
    BlobKey, GetIf, Prefix, Put, PutIf, PutOutcome, StoreError, StoreResponse, WriteId,
};
use crate::task::{FileName, GitSha, UsedIds};
use crate::user::UserId;

/// Handle of an intent that this operation has recorded.
#[derive(Debug, Clone)]
pub(in crate::cache) struct WriteIntent {
    pub(in crate::cache) op: String,
    pub(in crate::cache) version: Version,
    /// Just before its swap was sent.
    pub(in crate::cache) sent: Instant,
}

/// Why an intent is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IntentEnd {
    /// The operation is complete.
    Done,
    /// The operation has written nothing and won't; its idempotency record goes, too.
    NoEffect,
}

/// `nextId.txt` is written this far ahead of the counter, so that it is written seldom.
const LEGACY_AHEAD: u32 = 100;

impl WriteOp {
    /// Records an intent on `files`, in place of the intent `replaces`.
    pub(in crate::cache) async fn intent(
        &mut self,
        files: Vec<(FileName, WriteId, ChangeKind)>,
        replaces: Option<&WriteIntent>,
    ) -> Result<WriteIntent, WriteError> {
        self.record_intent(files, vec![], replaces).await
    }

    /// The same for files among which those in `merged` are results of Git merges.
    pub(super) async fn record_intent(
        &mut self,
        files: Vec<(FileName, WriteId, ChangeKind)>,
        merged: Vec<(FileName, GitSha, Vec<String>)>,
        replaces: Option<&WriteIntent>,
    ) -> Result<WriteIntent, WriteError> {
        let op = self.op_id();
        let intent = FilesIntent {
            op: op.clone(),
            files,
            merged,
            replaces: replaces.map(|intent| intent.op.clone()),
        };
        let committed = self
            .submit_unblocked(StateCommand::RecordIntent(intent))
            .await?;
        match committed.result {
            CommandResult::Recorded(version) => Ok(WriteIntent {
                op,
                version,
                sent: committed.sent,
            }),
            _ => Err(ReadError::Broken.into()),
        }
    }

    /// The store denied the write under this intent. The intent stays and is flagged, so that until its recovery no
    /// further one is recorded on its files.
    pub(super) async fn set_refused(&mut self, intent: &WriteIntent) {
        let op = intent.op.clone();
        if let Err(error) = self.submit(StateCommand::SetRefused { op }).await {
            tracing::warn!(user = %self.user, %error, "the intent of a denied write can't be flagged");
        }
    }

    /// Applies a command that records an intent. If intents of denied writes block it, they are recovered first.
    ///
    /// # Errors
    /// Those of [`Self::submit`], or [`StoreError::Denied`] while recovery is impossible.
    pub(super) async fn submit_unblocked(
        &mut self,
        command: StateCommand,
    ) -> Result<CommittedCommand, WriteError> {
        let committed = self.submit(command.clone()).await?;
        if committed.result != CommandResult::Blocked {
            return Ok(committed);
        }
        if let Some(date) = self.inner.clock.at(self.now.later().mono) {
            let (inner, now) = (Arc::clone(&self.inner), self.now);
            let recovery = inner.recover_overdue(&self.user, &committed.stored, date, &now);
            if let Some((_, requests)) = recovery.await {
                self.requests += requests;
                let committed = self.submit(command).await?;
                if committed.result != CommandResult::Blocked {
                    return Ok(committed);
                }
            }
        }
        let denied = StoreError::Denied {
            operation: "put",
            key: Prefix::raw(&self.user).as_str().to_owned(),
            reason: "an earlier write was denied and can't be recovered yet".to_owned(),
        };
        Err(ReadError::from(denied).into())
    }

    /// Whether the intent is past 7/8 of its expiry, so that another instance may recover it soon or already does.
    /// Nothing may be written under it any more.
    pub(super) fn is_near_expiry(&self, intent: &WriteIntent) -> bool {
        let expiry = self.inner.settings.pending_expiry;
        let passed = self.now.later().mono.saturating_duration_since(intent.sent);
        passed >= expiry - expiry / 8
    }

    /// Acknowledges the operation, whose files have been written: returns the version for the answer. If the intent is
    /// near its expiry, it may have been recovered, so the version of the state document counts if that is higher.
    /// `files` lets this instance's snapshot advance; with `None` it stays where it is.
    ///
    /// # Errors
    /// [`WriteError::OutcomeUnknown`] if the state document had to be read and couldn't be.
    pub(in crate::cache) async fn acknowledge(
        &mut self,
        intent: &WriteIntent,
        files: Option<Vec<AcknowledgedFile>>,
    ) -> Result<Version, WriteError> {
        let mut version = intent.version;
        if self.is_near_expiry(intent) {
            let inner = Arc::clone(&self.inner);
            let (now, requests) = (self.now, &mut self.requests);
            let seen =
                with_deadline(inner.read_state(&self.user, GetIf::Any, &now, requests)).await;
            version = match seen.map(|seen| seen.found) {
                Ok(Some(StatePresence::Present(seen))) => version.max(seen.state.version),
                _ => return Err(WriteError::OutcomeUnknown(version)),
            };
        }
        self.inner.acknowledged.raise(&self.user, version);
        if let Some(files) = files {
            self.advance_snapshot(intent, files);
        }
        Ok(version)
    }

    fn advance_snapshot(&self, intent: &WriteIntent, files: Vec<AcknowledgedFile>) {
        let op = AcknowledgedOp {
            files,
            sent: intent.sent,
            acknowledged: self.now.later().utc,
        };
        self.inner.advance_snapshot(&self.queue, intent.version, op);
    }

    /// Removes, after the answer, an intent under which nothing was or will be sent. The snapshot advances by `files`,
    /// which the operation only read.
    pub(super) fn cancel(&self, intent: &WriteIntent, files: Vec<AcknowledgedFile>) {
        self.advance_snapshot(intent, files);
        self.remove_later(intent.clone(), IntentEnd::NoEffect);
    }

    /// Removes, after the answer, an intent whose write was refused or whose file is gone. That is a change which this
    /// instance's snapshot doesn't know, so the snapshot doesn't advance.
    pub(super) fn discard(&self, intent: Option<WriteIntent>) {
        if let Some(intent) = intent {
            self.remove_later(intent, IntentEnd::NoEffect);
        }
    }

    /// Like [`Self::discard`], but before it returns.
    pub(super) async fn discard_now(
        &mut self,
        intent: Option<WriteIntent>,
    ) -> Result<(), WriteError> {
        let Some(intent) = intent else { return Ok(()) };
        let command = StateCommand::RemoveIntent {
            op: intent.op,
            no_effect: true,
            legacy: None,
        };
        self.submit(command).await.map(drop)
    }

    /// Removes, after the answer, the intent of an acknowledged operation.
    pub(in crate::cache) fn finish(&self, intent: WriteIntent) {
        self.remove_later(intent, IntentEnd::Done);
    }

    fn remove_later(&self, intent: WriteIntent, end: IntentEnd) {
        let (inner, queue, now) = (Arc::clone(&self.inner), self.queue.clone(), self.now);
        tokio::spawn(in_request_context(async move {
            inner.remove_intent(&queue, intent, end, &now).await
        }));
    }
}

impl CacheInner {
    /// Removes an intent. If nothing is pending then and this instance's snapshot is exact, writes the artifact, once
    /// for all operations that share the swap.
    async fn remove_intent(
        self: &Arc<Self>,
        queue: &CommitQueueHandle,
        intent: WriteIntent,
        end: IntentEnd,
        now: &Now,
    ) {
        let user = queue.user();
        let mut legacy = None;
        if queue.claim_legacy_write() {
            legacy = self.raise_legacy_next_id(queue, now).await.unwrap_or_else(|error| {
                tracing::warn!(%user, %error, "the older service's nextId.txt can't be written");
                None
            });
            queue.release_legacy_write();
        }
        let command = StateCommand::RemoveIntent {
            op: intent.op,
            no_effect: end == IntentEnd::NoEffect,
            legacy,
        };
        match self.submit(queue, command, now).await {
            Ok(committed) => {
                let state = &committed.stored.state;
                let snapshot = self.memory.get(user).filter(|snapshot| {
                    let known = &snapshot.bounds;
                    committed.is_last_removal && known.exact && state.is_quiescent_at(known.hi)
                });
                if let Some(snapshot) = snapshot {
                    self.write_artifact(&snapshot).await;
                }
            }
            Err(error) => {
                tracing::warn!(%user, %error, "a write intent is left to recovery; until then reads cost a listing");
            }
        }
    }

    /// Raises the older service's `nextId.txt`, if it exists, to at least the next number. Returns it if the state
    /// document has to be updated.
    async fn raise_legacy_next_id(
        &self,
        queue: &CommitQueueHandle,
        now: &Now,
    ) -> Result<Option<LegacyNextId>, ReadError> {
        let Some(stored) = self.newest_state(queue) else {
            return Ok(None);
        };
        let Some(mut legacy) = stored.state.legacy_next_id.clone() else {
            return Ok(None);
        };
        let key = BlobKey::legacy_next_id(queue.user());
        for _ in 0..ATTEMPTS {
            // Concurrent operations, which leave this write to the present one, may have taken numbers.
            let newest = self.newest_state(queue);
            let next_id = newest.map_or(0, |newest| newest.state.next_id);
            if legacy.number >= next_id.min(UsedIds::ALL) {
                break;
            }
            let number = (next_id + LEGACY_AHEAD).min(UsedIds::ALL);
            let put = Put {
                bytes: number.to_string().into(),
                ..Put::default()
            };
            let put = self.store.put(&key, put, PutIf::Same(legacy.etag.clone()));
            let StoreResponse { value, date } = with_deadline(async { Ok(put.await?) }).await?;
            self.clock.observe(date, now.later().mono);
            legacy = match value {
                PutOutcome::Done(etag) => LegacyNextId {
                    number,
                    etag,
                    ..legacy
                },
                PutOutcome::Refused => {
                    let user = queue.user();
                    match self.legacy_next_id(user, &mut Requests::default()).await? {
                        Some(newest) => LegacyNextId {
                            unknown: legacy.unknown,
                            ..newest
                        },
                        None => return Ok(None),
                    }
                }
            };
        }
        Ok((Some(&legacy) != stored.state.legacy_next_id.as_ref()).then_some(legacy))
    }

    /// Attaches a newer state document to the user's snapshot, so that the next write starts from it.
    pub(in crate::cache) fn attach_state(&self, user: &UserId, stored: &Arc<StoredState>) {
        let Some(snapshot) = self.memory.get(user) else {
            return;
        };
        let known = snapshot.bounds.state.as_ref();
        if known.is_none_or(|known| stored.is_newer_than(known)) {
            let updated = snapshot.with_state(Arc::clone(stored), self.settings.zone);
            self.memory.replace(&snapshot, &Arc::new(updated));
        }
    }
}
