//! The writer, and one write operation: its write intent, recorded before its files are written and removed after the
//! answer (src/user_state/README.md, "A write").

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::advance::{AcknowledgedFile, AcknowledgedOp, Advances, advance};
use super::outcome::WriteOutcome;
use super::request::{WriteContext, WriteError};
use super::task_files::TaskFiles;
use crate::cache::{Cache, Consistency, ReadRequest, Snapshot};
use crate::context::in_request_context;
use crate::now::Now;
use crate::per_user::{PerUser, PerUserHandle};
use crate::rules::Rules;
use crate::store::deadline::Deadline;
use crate::store::{
    BlobStore, BlobStoreExt, ETag, GetIf, Prefix, Put, PutIf, Requests, StoreError, WriteId,
};
use crate::task::{FileName, GitSha};
use crate::user_state::{
    ChangeKind, CommandResult, CommitError, CommitQueue, CommittedCommand, FilesIntent, Mutation,
    ReadError, StateCommand, StatePresence, StoredState, UserStates, Version, raise_legacy_counter,
};

/// Attempts of an operation whose file others keep changing, before it fails with a conflict.
pub(super) const ATTEMPTS: u32 = 3;

/// How long a write waits for its work queue entry.
const HINT_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes task files. A cheap handle. Every write runs to its end even if the caller drops the future.
#[derive(Clone)]
pub struct Writer {
    pub(super) states: UserStates,
    pub(super) cache: Arc<Cache>,
    advances: PerUser<Advances>,
    /// The store for work queue entries, with a short deadline.
    hints: Arc<dyn BlobStore>,
}

impl Writer {
    /// A writer of the files that `cache` reads, under the protocol of `states`.
    pub fn new(states: UserStates, cache: Arc<Cache>) -> Self {
        Self {
            hints: Deadline::wrap(&states.documents.store, HINT_TIMEOUT),
            advances: PerUser::default(),
            states,
            cache,
        }
    }

    /// A new write id.
    pub fn write_id(&self) -> WriteId {
        WriteId((self.cache.settings.ids)())
    }

    pub(super) fn rules(&self) -> Rules<Mutation> {
        self.cache.settings.rules
    }

    /// Removes an intent. If nothing is pending then and this instance's snapshot is exact, writes the artifact, once for
    /// all operations that share the swap.
    async fn remove_intent(
        &self,
        queue: &CommitQueue,
        intent: WriteIntent,
        no_effect: bool,
        now: &Now,
    ) {
        let user = queue.user();
        let mut legacy = None;
        if queue.claim_legacy_write() {
            let raised = raise_legacy_counter(&self.states.limited, queue, now).await;
            legacy = raised.unwrap_or_else(|error| {
                tracing::warn!(%user, %error, "the older service's nextId.txt can't be written");
                None
            });
            queue.release_legacy_write();
        }
        let command = StateCommand::RemoveIntent {
            op: intent.op,
            no_effect,
            legacy,
        };
        match queue.submit(command, now).await {
            Ok(committed) => {
                let state = &committed.stored.state;
                if committed.is_last_removal {
                    self.cache
                        .publish_finished(user, state, committed.sent, *now);
                }
                let snapshot = self.cache.known(user).filter(|snapshot| {
                    let known = &snapshot.bounds;
                    committed.is_last_removal && known.exact && state.is_quiescent_at(known.hi)
                });
                if let Some(snapshot) = snapshot {
                    self.cache.write_artifact(&snapshot).await;
                }
            }
            Err(error) => {
                tracing::warn!(%user, %error, "a write intent is left to recovery; until then reads cost a listing");
            }
        }
    }
}

/// Handle of an intent that this operation has recorded.
#[derive(Debug, Clone)]
pub(super) struct WriteIntent {
    pub op: String,
    pub version: Version,
    /// Just before its swap was sent.
    pub sent: Instant,
}

/// What came of the write of a file, if that is known and the store hasn't denied it.
pub(super) enum FileWrite {
    /// It landed; with what lets this instance's snapshot advance, unless another write has changed the file, too.
    Landed(Option<AcknowledgedFile>),
    /// The condition failed: the write hasn't landed and won't.
    Conflict,
}

pub(super) struct WriteOp {
    pub writer: Writer,
    /// Its hint is taken out when it is put.
    pub context: WriteContext,
    /// The task files, and all storage requests of the operation.
    pub files: TaskFiles,
    pub queue: CommitQueue,
    /// Whether a file that was to be deleted was gone, perhaps by a deletion of a higher version.
    has_found_gone: bool,
    advances: PerUserHandle<Advances>,
}

impl WriteOp {
    pub(super) fn new(writer: &Writer, context: WriteContext) -> Self {
        Self {
            queue: writer.states.commits.open(&context.user),
            has_found_gone: false,
            advances: writer.advances.open(&context.user),
            files: TaskFiles {
                documents: writer.states.limited.clone(),
                user: context.user.clone(),
                now: context.now,
                requests: Requests::default(),
                rules: writer.rules(),
            },
            writer: writer.clone(),
            context,
        }
    }

    /// This instance's snapshot, of any age.
    pub(super) fn known(&self) -> Option<Arc<Snapshot>> {
        self.writer.cache.known(&self.context.user)
    }

    pub(super) fn write_id(&self) -> WriteId {
        self.writer.write_id()
    }

    /// Applies a command to the state document, creating the document by a read if the user has none.
    async fn submit(&mut self, command: StateCommand) -> Result<CommittedCommand, WriteError> {
        for _ in 0..ATTEMPTS {
            match self.queue.submit(command.clone(), &self.context.now).await {
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

    /// Applies a command that records an intent. If intents of denied writes block it, they are recovered first;
    /// [`StoreError::Denied`] while that is impossible.
    pub(super) async fn submit_unblocked(
        &mut self,
        command: StateCommand,
    ) -> Result<CommittedCommand, WriteError> {
        let committed = self.submit(command.clone()).await?;
        if committed.result != CommandResult::Blocked {
            return Ok(committed);
        }
        let clock = &self.writer.states.documents.clock;
        if let Some(date) = clock.at(self.context.now.later().mono)
            && self.recover_overdue(&committed.stored, date).await
        {
            let committed = self.submit(command).await?;
            if committed.result != CommandResult::Blocked {
                return Ok(committed);
            }
        }
        let denied = StoreError::Denied {
            operation: "put",
            key: Prefix::raw(&self.context.user).as_str().to_owned(),
            reason: "an earlier write was denied and can't be recovered yet".to_owned(),
        };
        Err(denied.into())
    }

    /// Recovers the intents that are overdue at `date`; `false` if none was, or none could be recovered now.
    pub(super) async fn recover_overdue(
        &mut self,
        stored: &StoredState,
        date: DateTime<Utc>,
    ) -> bool {
        let (recovery, WriteContext { user, now, .. }) =
            (&self.writer.states.recovery, &self.context);
        let recovered = recovery.recover_overdue(user, stored, date, now).await;
        if recovered.stored.is_some() {
            self.files.requests += recovered.requests;
        }
        recovered.stored.is_some()
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
        let WriteContext { user, reason, .. } = &self.context;
        let version = version.0;
        tracing::info!(%user, version, op, reason, tasks, "new version");
    }

    pub(super) async fn read_strong(&mut self) -> Result<Arc<Snapshot>, ReadError> {
        let (user, now) = (self.context.user.clone(), self.context.now.later());
        let request = ReadRequest::new(user, Consistency::Strict, now);
        let read = self.writer.cache.read(&request).await?;
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
        self.record(FilesIntent {
            op: self.write_id().to_string(),
            files,
            merged,
            removed: vec![],
            replaces: replaces.map(|intent| intent.op.clone()),
        })
        .await
    }

    pub(super) async fn record(&mut self, intent: FilesIntent) -> Result<WriteIntent, WriteError> {
        let op = intent.op.clone();
        let command = StateCommand::RecordIntent(intent);
        let committed = self.submit_unblocked(command).await?;
        match committed.result {
            CommandResult::Recorded(version) => Ok(WriteIntent {
                op,
                version,
                sent: committed.sent,
            }),
            _ => Err(ReadError::Broken.into()),
        }
    }

    /// Whether the intent is past 7/8 of its expiry, so that another instance may recover it soon or already does.
    /// Nothing may be written under it any more.
    pub(super) fn is_near_expiry(&self, intent: &WriteIntent) -> bool {
        let expiry = self.writer.cache.settings.pending_expiry;
        self.age(intent) >= expiry - expiry / 8
    }

    pub(super) fn age(&self, intent: &WriteIntent) -> Duration {
        let now = self.context.now.later().mono;
        now.saturating_duration_since(intent.sent)
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

    /// Deletes a file under `intent`, at most once, as [`Self::put`] puts one.
    pub(super) async fn delete(
        &mut self,
        intent: &WriteIntent,
        name: &FileName,
        etag: &ETag,
        id: WriteId,
    ) -> WriteOutcome {
        if self.is_near_expiry(intent) {
            return WriteOutcome::Conflict;
        }
        let hint = self.put_hint();
        tokio::join!(self.files.delete(name, etag, id), hint).0
    }

    /// What came of a file's write under `intent`, by which the file with the ETag `old` was replaced. If the store denied
    /// it, the intent stays and is flagged, so that until its recovery no further one is recorded on its files: an
    /// earlier attempt of the write may still be on its way.
    pub(super) async fn settle(
        &mut self,
        intent: &WriteIntent,
        outcome: WriteOutcome,
        name: &FileName,
        old: Option<ETag>,
    ) -> Result<FileWrite, WriteError> {
        match outcome {
            WriteOutcome::Landed(written) => Ok(FileWrite::Landed(written.map(|written| {
                let (name, new) = (name.clone(), Some(written.record(name)));
                AcknowledgedFile { name, old, new }
            }))),
            WriteOutcome::Gone => {
                self.has_found_gone = true;
                Ok(FileWrite::Landed(None))
            }
            WriteOutcome::Conflict => Ok(FileWrite::Conflict),
            WriteOutcome::Denied(error) => {
                let op = intent.op.clone();
                if let Err(error) = self.submit(StateCommand::SetDenied { op }).await {
                    tracing::warn!(user = %self.context.user, %error, "the intent of a denied write can't be flagged");
                }
                Err(error.into())
            }
            WriteOutcome::Unknown => Err(WriteError::OutcomeUnknown(intent.version)),
        }
    }

    /// The future that puts the work queue entry; it does nothing the second time. Failure is only logged: without the
    /// entry its work is found later.
    pub(super) fn put_hint(&mut self) -> impl Future<Output = ()> + use<> {
        let hint = self.context.hint.take();
        self.files.requests.writes += u32::from(hint.is_some());
        let hints = Arc::clone(&self.writer.hints);
        async move {
            let Some((key, bytes)) = hint else { return };
            if let Err(error) = hints.write(&key, bytes, PutIf::Any).await {
                tracing::warn!(%error, "a work queue entry can't be written; its work will be found later");
            }
        }
    }

    /// Acknowledges the operation, whose files have been written: returns the version for the answer. If the intent is
    /// near its expiry, it may have been recovered, and a file that is gone may have been deleted under another intent: then
    /// the version of the state document counts if that is higher. `files` lets this instance's snapshot advance; with
    /// `None` it stays where it is. The outcome is unknown if the state document had to be read and couldn't be.
    pub(super) async fn acknowledge(
        &mut self,
        intent: &WriteIntent,
        files: Option<Vec<AcknowledgedFile>>,
    ) -> Result<Version, WriteError> {
        let mut version = intent.version;
        if self.has_found_gone || self.is_near_expiry(intent) {
            let WriteContext { user, now, .. } = &self.context;
            let TaskFiles {
                documents,
                requests,
                ..
            } = &mut self.files;
            let seen = documents.read(user, GetIf::Any, now, requests).await;
            version = match seen.map(|seen| seen.found) {
                Ok(Some(StatePresence::Present(seen))) => version.max(seen.state.version),
                _ => return Err(WriteError::OutcomeUnknown(version)),
            };
        }
        self.writer
            .cache
            .raise_acknowledged(&self.context.user, version);
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
            acknowledged: self.context.now.later().utc,
        };
        let mut ops = self.advances.lock();
        ops.insert(intent.version, op);
        let Some(snapshot) = self.known() else { return };
        let (hi, exact) = (snapshot.bounds.hi, snapshot.bounds.exact);
        let rules = self.writer.rules();
        if let Some(change) = advance(&mut ops, snapshot.table(), hi, exact, rules) {
            let state = self.queue.latest();
            self.writer.cache.publish_change(&snapshot, &change, state);
        }
    }

    /// Removes, after the answer, an intent under which nothing was or will be sent. The snapshot advances by `files`,
    /// which the operation only read.
    pub(super) fn cancel(&self, intent: &WriteIntent, files: Vec<AcknowledgedFile>) {
        self.advance_snapshot(intent, files);
        self.remove_later(intent.clone(), true);
    }

    /// Removes, after the answer, an intent whose write was refused or whose file is gone. That is a change which this
    /// instance's snapshot doesn't know, so the snapshot doesn't advance.
    pub(super) fn discard(&self, intent: Option<WriteIntent>) {
        if let Some(intent) = intent {
            self.remove_later(intent, true);
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
        self.remove_later(intent, false);
    }

    /// `no_effect`: the operation has written nothing and won't; its idempotency record goes, too.
    fn remove_later(&self, intent: WriteIntent, no_effect: bool) {
        let (writer, queue, now) = (self.writer.clone(), self.queue.clone(), self.context.now);
        // What other operations have acknowledged stays known until the last one ends.
        let advances = self.advances.clone();
        tokio::spawn(in_request_context(async move {
            writer.remove_intent(&queue, intent, no_effect, &now).await;
            drop(advances);
        }));
    }
}
