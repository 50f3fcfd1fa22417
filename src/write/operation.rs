//! One write operation: its write intent, recorded before its files are written and removed after the answer
//! (src/user_state/README.md, "A write").

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::advance::{AcknowledgedFile, AcknowledgedOp, Advances, advance};
use super::outcome::WriteOutcome;
use super::parts::WriterParts;
use super::request::{WriteContext, WriteError};
use super::task_files::TaskFiles;
use crate::cache::{Changed, Consistency, ReadRequest, Snapshot};
use crate::context::in_request_context;
use crate::now::Now;
use crate::per_user::PerUserHandle;
use crate::store::{
    BlobKey, BlobStoreExt, GetIf, Prefix, Put, PutIf, Requests, StoreError, WriteId,
};
use crate::task::{FileName, GitSha};
use crate::user::UserId;
use crate::user_state::{
    ChangeKind, CommandResult, CommitError, CommitQueue, CommittedCommand, FilesIntent, ReadError,
    StateCommand, StatePresence, Version, raise_legacy_counter,
};

/// Attempts of an operation whose file others keep changing, before it fails with a conflict.
pub(super) const ATTEMPTS: u32 = 3;

/// Handle of an intent that this operation has recorded.
#[derive(Debug, Clone)]
pub(super) struct WriteIntent {
    pub op: String,
    pub version: Version,
    /// Just before its swap was sent.
    pub sent: Instant,
}

/// Why an intent is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IntentEnd {
    /// The operation is complete.
    Done,
    /// The operation has written nothing and won't; its idempotency record goes, too.
    NoEffect,
}

/// One write operation in progress.
pub(super) struct WriteOp {
    pub parts: Arc<WriterParts>,
    pub user: UserId,
    pub now: Now,
    /// The task files, and all storage requests of the operation.
    pub files: TaskFiles,
    pub queue: CommitQueue,
    advances: PerUserHandle<Advances>,
    /// See [`WriteContext::hint`]; `None` once it was put.
    hint: Option<(BlobKey, Bytes)>,
    reason: &'static str,
}

impl WriteOp {
    pub(super) fn new(parts: &Arc<WriterParts>, context: WriteContext) -> Self {
        let WriteContext {
            user,
            now,
            reason,
            hint,
        } = context;
        let states = &parts.states;
        Self {
            queue: states.commits.open(&user),
            advances: parts.advances.open(&user),
            files: TaskFiles {
                documents: states.limited.clone(),
                user: user.clone(),
                now,
                requests: Requests::default(),
                rules: parts.rules(),
            },
            parts: Arc::clone(parts),
            user,
            now,
            hint,
            reason,
        }
    }

    /// Storage requests sent so far.
    pub(super) fn requests(&self) -> Requests {
        self.files.requests
    }

    /// This instance's snapshot, of any age.
    pub(super) fn known(&self) -> Option<Arc<Snapshot>> {
        self.parts.cache.known(&self.user)
    }

    /// A new operation id.
    pub(super) fn op_id(&self) -> String {
        self.write_id().to_string()
    }

    /// A new write id.
    pub(super) fn write_id(&self) -> WriteId {
        self.parts.write_id()
    }

    /// Applies a command to the state document, creating the document by a read if the user has none.
    async fn submit(&mut self, command: StateCommand) -> Result<CommittedCommand, WriteError> {
        for _ in 0..ATTEMPTS {
            match self.queue.submit(command.clone(), &self.now).await {
                Err(CommitError::NoState) => self.read_strong().await?,
                Ok(committed) => {
                    self.log_version(&command, &committed.result);
                    self.files.requests += committed.requests;
                    return Ok(committed);
                }
                Err(error) => return Err(error.into()),
            };
        }
        Err(ReadError::Contended.into())
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
        let states = self.parts.states.clone();
        if let Some(date) = states.documents.clock().at(self.now.later().mono) {
            let recovery = states.recovery;
            let recovery = recovery.recover_overdue(&self.user, &committed.stored, date, &self.now);
            let recovered = recovery.await;
            if recovered.stored.is_some() {
                self.files.requests += recovered.requests;
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
        Err(denied.into())
    }

    /// One line for each new version, so that an operator can trace what a reader saw to its writer.
    fn log_version(&self, command: &StateCommand, result: &CommandResult) {
        let (op, version, tasks) = match (command, result) {
            (StateCommand::Create(intent), CommandResult::CreatedTask(version, name)) => {
                (&intent.op, version, name.id().to_string())
            }
            (StateCommand::RecordIntent(intent), CommandResult::Recorded(version)) => {
                let ids = intent.files.iter().map(|(name, ..)| name.id().to_string());
                (&intent.op, version, ids.collect::<Vec<_>>().join(" "))
            }
            _ => return,
        };
        let (user, version, reason) = (&self.user, version.0, self.reason);
        tracing::info!(%user, version, op, reason, tasks, "new version");
    }

    /// Reads the user's snapshot at strong consistency.
    pub(super) async fn read_strong(&mut self) -> Result<Arc<Snapshot>, ReadError> {
        let request = ReadRequest {
            user: self.user.clone(),
            seen: None,
            consistency: Consistency::Strict,
            now: self.now.later(),
        };
        let read = self.parts.cache.read(&request).await?;
        self.files.requests += read.requests;
        Ok(read.entry)
    }

    /// Records an intent on `files`, in place of the intent `replaces`. Those in `merged` are results of Git merges.
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
    pub(super) async fn set_denied(&mut self, intent: &WriteIntent) {
        let op = intent.op.clone();
        if let Err(error) = self.submit(StateCommand::SetDenied { op }).await {
            tracing::warn!(user = %self.user, %error, "the intent of a denied write can't be flagged");
        }
    }

    /// Whether the intent is past 7/8 of its expiry, so that another instance may recover it soon or already does.
    /// Nothing may be written under it any more.
    pub(super) fn is_near_expiry(&self, intent: &WriteIntent) -> bool {
        let expiry = self.parts.cache.settings().pending_expiry;
        let passed = self.now.later().mono.saturating_duration_since(intent.sent);
        passed >= expiry - expiry / 8
    }

    /// Puts a file under `intent`, at most once; [`WriteOutcome::Conflict`] without a request if the intent is near its
    /// expiry. With `creates`, see [`decide_put`](super::outcome::decide_put).
    pub(super) async fn put(
        &mut self,
        intent: &WriteIntent,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
        creates: bool,
    ) -> WriteOutcome {
        if self.is_near_expiry(intent) {
            // Another instance may be recovering it: nothing may be written under it any more.
            return WriteOutcome::Conflict;
        }
        let hint = self.put_hint();
        tokio::join!(self.files.put(name, put, condition, id, creates), hint).0
    }

    /// The future that puts the work queue entry; it does nothing the second time. Failure is only logged: without the
    /// entry its work is found later.
    pub(super) fn put_hint(&mut self) -> impl Future<Output = ()> + use<> {
        let hint = self.hint.take();
        self.files.requests.writes += u32::from(hint.is_some());
        let parts = Arc::clone(&self.parts);
        async move {
            let Some((key, bytes)) = hint else { return };
            if let Err(error) = parts.hints.write(&key, bytes, PutIf::Any).await {
                tracing::warn!(%error, "a work queue entry can't be written; its work will be found later");
            }
        }
    }

    /// Acknowledges the operation, whose files have been written: returns the version for the answer. If the intent is
    /// near its expiry, it may have been recovered, so the version of the state document counts if that is higher.
    /// `files` lets this instance's snapshot advance; with `None` it stays where it is.
    ///
    /// # Errors
    /// [`WriteError::OutcomeUnknown`] if the state document had to be read and couldn't be.
    pub(super) async fn acknowledge(
        &mut self,
        intent: &WriteIntent,
        files: Option<Vec<AcknowledgedFile>>,
    ) -> Result<Version, WriteError> {
        let mut version = intent.version;
        if self.is_near_expiry(intent) {
            let documents = self.files.documents.clone();
            let requests = &mut self.files.requests;
            let seen = documents.read(&self.user, GetIf::Any, &self.now, requests);
            version = match seen.await.map(|seen| seen.found) {
                Ok(Some(StatePresence::Present(seen))) => version.max(seen.state.version),
                _ => return Err(WriteError::OutcomeUnknown(version)),
            };
        }
        self.parts.cache.raise_acknowledged(&self.user, version);
        if let Some(files) = files {
            self.advance_snapshot(intent, files);
        }
        Ok(version)
    }

    /// Advances this instance's snapshot by an acknowledged operation, once every operation before it has been
    /// acknowledged as well.
    fn advance_snapshot(&self, intent: &WriteIntent, files: Vec<AcknowledgedFile>) {
        let op = AcknowledgedOp {
            files,
            sent: intent.sent,
            acknowledged: self.now.later().utc,
        };
        let mut ops = self.advances.lock().unwrap_or_else(PoisonError::into_inner);
        ops.insert(intent.version, op);
        let Some(snapshot) = self.known() else { return };
        let (hi, exact) = (snapshot.bounds.hi, snapshot.bounds.exact);
        let rules = self.parts.rules();
        if let Some(advance) = advance(&mut ops, snapshot.table(), hi, exact, rules) {
            let changed = Changed {
                version: advance.version,
                files: &advance.files,
                sent: advance.sent,
                placed: advance.acknowledged,
                state: self.queue.latest(),
            };
            self.parts.cache.publish_change(&snapshot, changed);
        }
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
    pub(super) fn finish(&self, intent: WriteIntent) {
        self.remove_later(intent, IntentEnd::Done);
    }

    fn remove_later(&self, intent: WriteIntent, end: IntentEnd) {
        let (parts, queue, now) = (Arc::clone(&self.parts), self.queue.clone(), self.now);
        // What other operations have acknowledged stays known until the last one ends.
        let advances = self.advances.clone();
        tokio::spawn(in_request_context(async move {
            remove_intent(&parts, &queue, intent, end, &now).await;
            drop(advances);
        }));
    }
}

/// Removes an intent. If nothing is pending then and this instance's snapshot is exact, writes the artifact, once for
/// all operations that share the swap.
async fn remove_intent(
    parts: &WriterParts,
    queue: &CommitQueue,
    intent: WriteIntent,
    end: IntentEnd,
    now: &Now,
) {
    let user = queue.user();
    let mut legacy = None;
    if queue.claim_legacy_write() {
        let raised = raise_legacy_counter(&parts.states.limited, queue, now).await;
        legacy = raised.unwrap_or_else(|error| {
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
    match queue.submit(command, now).await {
        Ok(committed) => {
            let state = &committed.stored.state;
            let snapshot = parts.cache.known(user).filter(|snapshot| {
                let known = &snapshot.bounds;
                committed.is_last_removal && known.exact && state.is_quiescent_at(known.hi)
            });
            if let Some(snapshot) = snapshot {
                parts.cache.write_artifact(&snapshot).await;
            }
        }
        Err(error) => {
            tracing::warn!(%user, %error, "a write intent is left to recovery; until then reads cost a listing");
        }
    }
}
