//! Creating a task: a number from the state document, then a PUT with `If-None-Match: *` (src/cache/README.md,
//! "Write").

use std::sync::Arc;

use super::file::WriteOutcome;
use super::intent::WriteIntent;
use super::{CreatedTask, NewTaskFile, WriteOp};
use crate::cache::command::{CommandResult, CreateIntent, NumbersInUse, StateCommand};
use crate::cache::commit_queue::{AcknowledgedFile, CommittedCommand};
use crate::cache::recovery::TOMBSTONE_WRITE_ID;
use crate::cache::state::{IdempotencyRecord, PendingOp, StoredState, Version};
use crate::cache::{ReadError, Snapshot, WriteError};
use crate::store::{ETag, Put, PutIf, WriteId, WriteIds};
use crate::task::{FileName, UsedIds};

/// Attempts of a create. Besides losing its name it may have to wait for a complete index or for recovery of another
/// intent.
const ATTEMPTS: u32 = 8;

/// What earlier attempts of a create leave to the next one.
#[derive(Default)]
struct CreateProgress {
    /// The previous attempt's intent, whose PUT was refused.
    previous: Option<WriteIntent>,
    /// A snapshot just read, in case memory doesn't keep it.
    read: Option<Arc<Snapshot>>,
    /// The numbers in use, if the counter is used up.
    numbers: Option<NumbersInUse>,
}

/// Result of a new file's PUT.
enum NewFilePut {
    /// The file was created; with the files by which this instance's snapshot can advance.
    Landed(Option<Vec<AcknowledgedFile>>),
    /// Another file has the name.
    NameTaken,
}

impl WriteOp {
    pub(super) async fn create(&mut self, file: NewTaskFile) -> Result<CreatedTask, WriteError> {
        let mut progress = CreateProgress {
            numbers: self.known_numbers(),
            ..CreateProgress::default()
        };
        for _ in 0..ATTEMPTS {
            let (op, write_id) = (self.op_id(), self.write_id());
            let in_memory = || self.inner.memory.get(&self.user);
            let known = progress.read.take().or_else(in_memory);
            let known = known.as_deref();
            let committed = self
                .record_create(&op, write_id, &file, known, &mut progress)
                .await?;
            let stored = committed.stored;
            let (version, name) = match committed.result {
                CommandResult::CreatedTask(version, name) => (version, name),
                CommandResult::Duplicate(record, pending) => {
                    self.discard(progress.previous.take());
                    match self
                        .answer_duplicate(record, pending, &file, &stored)
                        .await?
                    {
                        Some(created) => return Ok(created),
                        None => continue,
                    }
                }
                CommandResult::KeyReused => {
                    self.discard(progress.previous);
                    return Err(WriteError::KeyReused(stored.state.version));
                }
                CommandResult::Exhausted => {
                    self.discard(progress.previous);
                    return Err(WriteError::IdsExhausted(stored.state.version));
                }
                CommandResult::NeedsNumbers
                | CommandResult::Recorded(_)
                | CommandResult::Blocked
                | CommandResult::Done => {
                    // The request's own intent would keep the snapshot from ever being exact.
                    self.discard_now(progress.previous.take()).await?;
                    let snapshot = self.read_strong().await?;
                    progress.numbers = Some(numbers_in_use(&snapshot));
                    progress.read = Some(snapshot);
                    continue;
                }
            };
            let intent = WriteIntent {
                op,
                version,
                sent: committed.sent,
            };
            match self.put_new(&intent, &name, &file, write_id, known).await? {
                NewFilePut::Landed(files) => {
                    let version = self.acknowledge(&intent, files).await?;
                    self.finish(intent);
                    return Ok(CreatedTask {
                        version,
                        known: version,
                        name,
                        reused: false,
                        requests: self.requests,
                    });
                }
                NewFilePut::NameTaken => {
                    progress.previous = match file.key.is_some() && self.is_near_expiry(&intent) {
                        false => Some(intent),
                        // Another request with the same key may be writing under this intent.
                        true => self.recover_own(intent, &stored).await?,
                    };
                }
            }
        }
        let version = progress.previous.as_ref().map(|intent| intent.version);
        self.discard(progress.previous);
        Err(version.map_or(ReadError::Contended.into(), WriteError::Conflict))
    }

    /// Assigns a number and records the intent, in place of the previous attempt's.
    async fn record_create(
        &mut self,
        op: &str,
        write_id: WriteId,
        file: &NewTaskFile,
        known: Option<&Snapshot>,
        progress: &mut CreateProgress,
    ) -> Result<CommittedCommand, WriteError> {
        let intent = CreateIntent {
            op: op.to_owned(),
            write_id,
            slug: file.slug.clone(),
            key: file.key.clone(),
            min_next_id: known.map_or(0, |snapshot| snapshot.table().min_next_id()),
            index: progress.numbers.take(),
            replaces: progress.previous.as_ref().map(|intent| intent.op.clone()),
        };
        let committed = self.submit_unblocked(StateCommand::Create(intent)).await;
        match &committed {
            Ok(committed) if matches!(committed.result, CommandResult::CreatedTask(..)) => {
                progress.previous = None;
            }
            Ok(_) => {}
            Err(_) => self.discard(progress.previous.take()),
        }
        committed
    }

    /// Puts the new file, once. `known` is a snapshot from before the intent.
    async fn put_new(
        &mut self,
        intent: &WriteIntent,
        name: &FileName,
        file: &NewTaskFile,
        write_id: WriteId,
        known: Option<&Snapshot>,
    ) -> Result<NewFilePut, WriteError> {
        let condition = create_condition(name, known);
        let put = Put {
            bytes: file.bytes.clone(),
            writes: replaced_ids(&condition).with_newest(write_id),
        };
        match self.put(intent, name, put, condition, write_id, true).await {
            WriteOutcome::Landed(written) => Ok(NewFilePut::Landed(written.map(|written| {
                let (name, old) = (name.clone(), None);
                let new = Some(written.record(&name));
                vec![AcknowledgedFile { name, old, new }]
            }))),
            WriteOutcome::Conflict => Ok(NewFilePut::NameTaken),
            WriteOutcome::Denied(error) => {
                self.set_refused(intent).await;
                Err(ReadError::from(error).into())
            }
            WriteOutcome::Unknown => Err(WriteError::OutcomeUnknown(intent.version)),
        }
    }

    /// Recovers this operation's own intent, which is near its expiry. `Ok(None)` if the create was defeated, so that
    /// it can be tried anew.
    ///
    /// # Errors
    /// [`WriteError::OutcomeUnknown`] if recovery failed or its result is ambiguous.
    async fn recover_own(
        &mut self,
        intent: WriteIntent,
        stored: &Arc<StoredState>,
    ) -> Result<Option<WriteIntent>, WriteError> {
        let unknown = WriteError::OutcomeUnknown(intent.version);
        let Some(pending) = stored.state.pending.get(&intent.op) else {
            return Err(unknown);
        };
        let (inner, now) = (Arc::clone(&self.inner), self.now);
        let recovery = inner.recover_op(&self.user, &intent.op, pending, &now);
        let (recovered, requests) = recovery.await;
        self.requests += requests;
        // The record stays if another request's PUT may have landed and an editor saved over it.
        let is_defeated = |stored: &Arc<StoredState>| {
            stored
                .state
                .idempotency
                .values()
                .all(|it| it.op != intent.op)
        };
        recovered.filter(is_defeated).map(|_| None).ok_or(unknown)
    }

    /// Answers with the create of an earlier request with the same key, completing it if it is pending. `Ok(None)` if
    /// that create was defeated, so that this request may create the task itself.
    async fn answer_duplicate(
        &mut self,
        earlier: IdempotencyRecord,
        pending: Option<PendingOp>,
        file: &NewTaskFile,
        stored: &Arc<StoredState>,
    ) -> Result<Option<CreatedTask>, WriteError> {
        let Ok(name) = earlier.file.parse::<FileName>() else {
            return Err(ReadError::Broken.into());
        };
        let mut known = earlier.version.max(stored.state.version);
        if let Some(pending) = pending {
            let completed = self.complete_pending(&earlier, &pending, &name, file, stored);
            match completed.await? {
                Some(version) => known = known.max(version),
                None => return Ok(None),
            }
        }
        self.inner.acknowledged.raise(&self.user, earlier.version);
        Ok(Some(CreatedTask {
            version: earlier.version,
            known,
            name,
            reused: true,
            requests: self.requests,
        }))
    }

    /// Sends the same PUT as the earlier request, with its write id, or recovers its intent if that is overdue. Returns
    /// the version for the answer if the file was created, `None` if not.
    async fn complete_pending(
        &mut self,
        earlier: &IdempotencyRecord,
        pending: &PendingOp,
        name: &FileName,
        file: &NewTaskFile,
        stored: &Arc<StoredState>,
    ) -> Result<Option<Version>, WriteError> {
        let instant = self.now.later().mono;
        let date = self.inner.clock.at(instant).unwrap_or(pending.at);
        if pending.is_overdue(date, self.inner.settings.pending_expiry) {
            let (inner, now) = (Arc::clone(&self.inner), self.now);
            if let Some((_, requests)) = inner.recover_overdue(&self.user, stored, date, &now).await
            {
                self.requests += requests;
            }
            return Ok(None);
        }
        let write_id = pending
            .files
            .first()
            .and_then(|it| it.write_id.parse::<WriteId>().ok());
        let Some(write_id) = write_id else {
            return Err(ReadError::Broken.into());
        };
        let put = Put {
            bytes: file.bytes.clone(),
            writes: WriteIds::default().with_newest(write_id),
        };
        // Recorded by another operation, so its age is known only by the storage clock.
        let age = (date - pending.at).to_std().unwrap_or_default();
        let intent = WriteIntent {
            op: earlier.op.clone(),
            version: earlier.version,
            sent: instant.checked_sub(age).unwrap_or(instant),
        };
        match self
            .put(&intent, name, put, PutIf::Absent, write_id, true)
            .await
        {
            WriteOutcome::Landed(_) => {
                let version = self.acknowledge(&intent, None).await?;
                self.finish(intent);
                Ok(Some(version))
            }
            WriteOutcome::Conflict => Ok(None),
            WriteOutcome::Denied(error) => {
                self.set_refused(&intent).await;
                Err(ReadError::from(error).into())
            }
            WriteOutcome::Unknown => Err(WriteError::OutcomeUnknown(earlier.version)),
        }
    }

    /// The numbers in use by this instance's snapshot, if the counter is used up.
    fn known_numbers(&self) -> Option<NumbersInUse> {
        let state = self.inner.newest_state(&self.queue)?;
        let used_up = state.state.next_id >= UsedIds::ALL;
        let snapshot = self.inner.memory.get(&self.user).filter(|_| used_up)?;
        Some(numbers_in_use(&snapshot))
    }
}

/// Condition of a create's PUT. A tombstone may be replaced if the snapshot `known` from before the intent has it,
/// since recovery of the intent rewrites it.
pub(super) fn create_condition(name: &FileName, known: Option<&Snapshot>) -> PutIf {
    let file = known.and_then(|snapshot| snapshot.table().find(name.as_str()));
    let tombstone = file.filter(|it| it.is_tombstone() && !it.etag.is_empty());
    tombstone.map_or(PutIf::Absent, |it| PutIf::Same(ETag::new(it.etag)))
}

/// Write ids of what a create with this condition replaces: none, or a tombstone's.
pub(super) fn replaced_ids(condition: &PutIf) -> WriteIds {
    match condition {
        PutIf::Same(_) => WriteIds::default().with_newest(TOMBSTONE_WRITE_ID),
        PutIf::Any | PutIf::Absent => WriteIds::default(),
    }
}

fn numbers_in_use(snapshot: &Snapshot) -> NumbersInUse {
    let known = &snapshot.bounds;
    let (version, pending) = match &known.before {
        Some(before) if !known.exact => (
            before.state.version,
            before.state.pending.keys().cloned().collect(),
        ),
        _ => (known.lo, vec![]),
    };
    NumbersInUse {
        version,
        pending,
        used: Arc::new(UsedIds::of(snapshot.table())),
    }
}
