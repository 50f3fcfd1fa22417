//! Creating a task: a number from the state document, then a PUT with `If-None-Match: *` (src/user_state/README.md,
//! "A write").

use std::sync::Arc;

use super::operation::{FileWrite, WriteIntent, WriteOp};
use super::request::{CreatedTask, NewTaskFile, WriteContext, WriteError};
use crate::cache::Snapshot;
use crate::store::{ETag, Put, PutIf, WriteId, WriteIds};
use crate::task::{FileName, TaskTable, UsedIds, git_sha};
use crate::user_state::{
    CommandResult, CommittedCommand, CreateIntent, IdempotencyRecord, NumbersInUse, PendingOp,
    ReadError, StateCommand, StoredState, TOMBSTONE_WRITE_ID, Version,
};

/// Attempts of a create. Besides losing its name it may have to wait for a complete index or for recovery of another
/// intent.
const ATTEMPTS: u32 = 8;

struct Create {
    op: WriteOp,
    file: NewTaskFile,
    /// The previous attempt's intent, whose PUT was refused.
    previous: Option<WriteIntent>,
    /// A snapshot just read, in case memory doesn't keep it.
    read: Option<Arc<Snapshot>>,
    /// The numbers in use, if the counter is used up.
    numbers: Option<NumbersInUse>,
}

/// What came of recording a create.
enum RecordedCreate {
    /// The name is recorded under this intent.
    Recorded(WriteIntent, FileName, Arc<StoredState>),
    /// An earlier request with the same key has created the task.
    Answered(CreatedTask),
    /// Nothing is recorded; the next attempt knows more.
    NotYet,
}

pub(super) async fn create(op: WriteOp, file: NewTaskFile) -> Result<CreatedTask, WriteError> {
    let create = Create {
        numbers: known_numbers(&op),
        op,
        file,
        previous: None,
        read: None,
    };
    create.run().await
}

impl Create {
    async fn run(mut self) -> Result<CreatedTask, WriteError> {
        for _ in 0..ATTEMPTS {
            let write_id = self.op.write_id();
            let known = self.read.take().or_else(|| self.op.known());
            let known = known.as_deref();
            let (intent, name, stored) = match self.record(write_id, known).await? {
                RecordedCreate::Recorded(intent, name, stored) => (intent, name, stored),
                RecordedCreate::Answered(created) => return Ok(created),
                RecordedCreate::NotYet => continue,
            };
            match self.put_new(&intent, &name, write_id, known).await? {
                FileWrite::Landed(file) => {
                    let files = file.map(|file| vec![file]);
                    let version = self.op.acknowledge(&intent, files).await?;
                    self.op.finish(intent);
                    return Ok(self.created(version, version, name, false));
                }
                FileWrite::Conflict => {
                    let has_key = self.file.key.is_some();
                    self.previous = match has_key && self.op.is_near_expiry(&intent) {
                        false => Some(intent),
                        // Another request with the same key may be writing under this intent.
                        true => self.recover_own(intent, &stored).await?,
                    };
                }
            }
        }
        let version = self.previous.as_ref().map(|intent| intent.version);
        self.op.discard(self.previous);
        Err(version.map_or(ReadError::Contended.into(), WriteError::Conflict))
    }

    fn created(
        &self,
        version: Version,
        known: Version,
        name: FileName,
        reused: bool,
    ) -> CreatedTask {
        CreatedTask {
            version,
            known,
            name,
            etag: git_sha(&self.file.bytes),
            reused,
            requests: self.op.files.requests,
        }
    }

    /// Assigns a number and records the intent, in place of the previous attempt's; or finds out why that can't be done.
    async fn record(
        &mut self,
        write_id: WriteId,
        known: Option<&Snapshot>,
    ) -> Result<RecordedCreate, WriteError> {
        let op_id = self.op.write_id().to_string();
        let committed = self.submit(&op_id, write_id, known).await?;
        let stored = committed.stored;
        match committed.result {
            CommandResult::CreatedTask(version, name) => {
                let intent = WriteIntent {
                    op: op_id,
                    version,
                    sent: committed.sent,
                };
                Ok(RecordedCreate::Recorded(intent, name, stored))
            }
            CommandResult::Duplicate(record, pending) => {
                self.op.discard(self.previous.take());
                let answered = self.answer_duplicate(record, pending, &stored).await?;
                Ok(answered.map_or(RecordedCreate::NotYet, RecordedCreate::Answered))
            }
            CommandResult::KeyReused => {
                self.op.discard(self.previous.take());
                Err(WriteError::KeyReused(stored.state.version))
            }
            CommandResult::Exhausted => {
                self.op.discard(self.previous.take());
                Err(WriteError::IdsExhausted(stored.state.version))
            }
            CommandResult::NeedsNumbers => {
                // The request's own intent would keep the snapshot from ever being exact.
                self.op.discard_now(self.previous.take()).await?;
                let snapshot = self.op.read_strong().await?;
                self.numbers = Some(numbers_in_use(&snapshot));
                self.read = Some(snapshot);
                Ok(RecordedCreate::NotYet)
            }
            // Results of other commands, or of a create that `submit_unblocked` has dealt with.
            CommandResult::Recorded(_) | CommandResult::Blocked | CommandResult::Done => {
                Err(ReadError::Broken.into())
            }
        }
    }

    async fn submit(
        &mut self,
        op_id: &str,
        write_id: WriteId,
        known: Option<&Snapshot>,
    ) -> Result<CommittedCommand, WriteError> {
        let intent = CreateIntent {
            op: op_id.to_owned(),
            write_id,
            slug: self.file.slug.clone(),
            key: self.file.key.clone(),
            min_next_id: known.map_or(0, |snapshot| snapshot.table().min_next_id()),
            index: self.numbers.take(),
            replaces: self.previous.as_ref().map(|intent| intent.op.clone()),
        };
        let command = StateCommand::Create(intent);
        let committed = self.op.submit_unblocked(command).await;
        match &committed {
            Ok(committed) if matches!(committed.result, CommandResult::CreatedTask(..)) => {
                self.previous = None;
            }
            Ok(_) => {}
            Err(_) => self.op.discard(self.previous.take()),
        }
        committed
    }

    /// Puts the new file, once. `known` is a snapshot from before the intent.
    async fn put_new(
        &mut self,
        intent: &WriteIntent,
        name: &FileName,
        write_id: WriteId,
        known: Option<&Snapshot>,
    ) -> Result<FileWrite, WriteError> {
        let condition = create_condition(name, known.map(|snapshot| &**snapshot.table()));
        let put = Put {
            bytes: self.file.bytes.clone(),
            writes: replaced_ids(&condition).with_newest(write_id),
        };
        let put = self.op.put(intent, name, put, condition, write_id, true);
        let outcome = put.await;
        self.op.settle(intent, outcome, name, None).await
    }

    /// Recovers this operation's own intent, which is near its expiry. `Ok(None)` if the create was defeated, so that it
    /// can be tried anew; the outcome is unknown if recovery failed or its result is ambiguous.
    async fn recover_own(
        &mut self,
        intent: WriteIntent,
        stored: &Arc<StoredState>,
    ) -> Result<Option<WriteIntent>, WriteError> {
        let unknown = WriteError::OutcomeUnknown(intent.version);
        let Some(pending) = stored.state.pending.get(&intent.op) else {
            return Err(unknown);
        };
        let WriteContext { user, now, .. } = &self.op.context;
        let recovery = &self.op.writer.states.recovery;
        let recovered = recovery.recover(user, &intent.op, pending, now).await;
        self.op.files.requests += recovered.requests;
        // The record stays if another request's PUT may have landed and an editor saved over it.
        let is_defeated = |stored: &Arc<StoredState>| {
            let mut records = stored.state.idempotency.values();
            records.all(|it| it.op != intent.op)
        };
        let defeated = recovered.stored.filter(is_defeated);
        defeated.map(|_| None).ok_or(unknown)
    }

    /// Answers with the create of an earlier request with the same key, completing it if it is pending. `Ok(None)` if
    /// that create was defeated, so that this request may create the task itself.
    async fn answer_duplicate(
        &mut self,
        earlier: IdempotencyRecord,
        pending: Option<PendingOp>,
        stored: &Arc<StoredState>,
    ) -> Result<Option<CreatedTask>, WriteError> {
        let Ok(name) = earlier.file.parse::<FileName>() else {
            return Err(ReadError::Broken.into());
        };
        let mut known = earlier.version.max(stored.state.version);
        if let Some(pending) = pending {
            let completed = self.complete_pending(&earlier, &pending, &name, stored);
            match completed.await? {
                Some(version) => known = known.max(version),
                None => return Ok(None),
            }
        }
        let cache = &self.op.writer.cache;
        cache.raise_acknowledged(&self.op.context.user, earlier.version);
        Ok(Some(self.created(earlier.version, known, name, true)))
    }

    /// Sends the same PUT as the earlier request, with its write id, or recovers its intent if that is overdue. Returns
    /// the version for the answer if the file was created, `None` if not.
    async fn complete_pending(
        &mut self,
        earlier: &IdempotencyRecord,
        pending: &PendingOp,
        name: &FileName,
        stored: &Arc<StoredState>,
    ) -> Result<Option<Version>, WriteError> {
        let instant = self.op.context.now.later().mono;
        let states = &self.op.writer.states;
        let date = states.documents.clock.at(instant).unwrap_or(pending.at);
        if states.recovery.is_overdue(pending, date) {
            self.op.recover_overdue(stored, date).await;
            return Ok(None);
        }
        let file = pending.files.first();
        let Some(write_id) = file.and_then(|it| it.write_id.parse().ok()) else {
            return Err(ReadError::Broken.into());
        };
        // Recorded by another operation, so its age is known only by the storage clock.
        let age = (date - pending.at).to_std().unwrap_or_default();
        let intent = WriteIntent {
            op: earlier.op.clone(),
            version: earlier.version,
            sent: instant.checked_sub(age).unwrap_or(instant),
        };
        // No snapshot: whatever is there by now isn't from before the intent.
        match self.put_new(&intent, name, write_id, None).await? {
            FileWrite::Landed(_) => {
                let version = self.op.acknowledge(&intent, None).await?;
                self.op.finish(intent);
                Ok(Some(version))
            }
            FileWrite::Conflict => Ok(None),
        }
    }
}

/// The numbers in use by this instance's snapshot, if the counter is used up.
fn known_numbers(op: &WriteOp) -> Option<NumbersInUse> {
    let used_up = op.queue.newest()?.state.next_id >= UsedIds::ALL;
    let snapshot = op.known().filter(|_| used_up)?;
    Some(numbers_in_use(&snapshot))
}

/// PURE. Condition of a create's PUT. A tombstone may be replaced if a snapshot from before the intent has it in its table
/// `known`, since recovery of the intent rewrites it.
pub fn create_condition(name: &FileName, known: Option<&TaskTable>) -> PutIf {
    let file = known.and_then(|table| table.find(name.as_str()));
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
