//! Creating a task: a number from the state document, then a PUT with `If-None-Match: *` (src/user_state/README.md,
//! "A write").

use std::sync::Arc;

use super::advance::AcknowledgedFile;
use super::operation::{WriteIntent, WriteOp};
use super::outcome::WriteOutcome;
use super::request::{CreatedTask, NewTaskFile, WriteError};
use crate::cache::Snapshot;
use crate::store::{ETag, Put, PutIf, WriteId, WriteIds};
use crate::task::{FileName, TaskTable, UsedIds};
use crate::user_state::{
    CommandResult, CommittedCommand, CreateIntent, IdempotencyRecord, NumbersInUse, PendingOp,
    ReadError, StateCommand, StoredState, TOMBSTONE_WRITE_ID, Version,
};

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

/// What came of recording a create.
enum RecordedCreate {
    /// The name is recorded under this intent.
    Recorded(WriteIntent, FileName, Arc<StoredState>),
    /// An earlier request with the same key has created the task.
    Answered(CreatedTask),
    /// Nothing is recorded; the next attempt knows more.
    NotYet,
}

/// Creates a task file.
pub(super) async fn create(mut op: WriteOp, file: NewTaskFile) -> Result<CreatedTask, WriteError> {
    let op = &mut op;
    let mut progress = CreateProgress {
        numbers: known_numbers(op),
        ..CreateProgress::default()
    };
    for _ in 0..ATTEMPTS {
        let write_id = op.write_id();
        let known = progress.read.take().or_else(|| op.known());
        let known = known.as_deref();
        let recorded = record_create(op, write_id, &file, known, &mut progress).await?;
        let (intent, name, stored) = match recorded {
            RecordedCreate::Recorded(intent, name, stored) => (intent, name, stored),
            RecordedCreate::Answered(created) => return Ok(created),
            RecordedCreate::NotYet => continue,
        };
        match put_new(op, &intent, &name, &file, write_id, known).await? {
            NewFilePut::Landed(files) => {
                let version = op.acknowledge(&intent, files).await?;
                op.finish(intent);
                return Ok(CreatedTask {
                    version,
                    known: version,
                    name,
                    reused: false,
                    requests: op.requests(),
                });
            }
            NewFilePut::NameTaken => {
                progress.previous = match file.key.is_some() && op.is_near_expiry(&intent) {
                    false => Some(intent),
                    // Another request with the same key may be writing under this intent.
                    true => recover_own(op, intent, &stored).await?,
                };
            }
        }
    }
    let version = progress.previous.as_ref().map(|intent| intent.version);
    op.discard(progress.previous);
    Err(version.map_or(ReadError::Contended.into(), WriteError::Conflict))
}

/// Assigns a number and records the intent, in place of the previous attempt's; or finds out why that can't be done.
async fn record_create(
    op: &mut WriteOp,
    write_id: WriteId,
    file: &NewTaskFile,
    known: Option<&Snapshot>,
    progress: &mut CreateProgress,
) -> Result<RecordedCreate, WriteError> {
    let op_id = op.op_id();
    let committed = submit_create(op, &op_id, write_id, file, known, progress).await?;
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
            op.discard(progress.previous.take());
            let answered = answer_duplicate(op, record, pending, file, &stored).await?;
            Ok(answered.map_or(RecordedCreate::NotYet, RecordedCreate::Answered))
        }
        CommandResult::KeyReused => {
            op.discard(progress.previous.take());
            Err(WriteError::KeyReused(stored.state.version))
        }
        CommandResult::Exhausted => {
            op.discard(progress.previous.take());
            Err(WriteError::IdsExhausted(stored.state.version))
        }
        CommandResult::NeedsNumbers => {
            // The request's own intent would keep the snapshot from ever being exact.
            op.discard_now(progress.previous.take()).await?;
            let snapshot = op.read_strong().await?;
            progress.numbers = Some(numbers_in_use(&snapshot));
            progress.read = Some(snapshot);
            Ok(RecordedCreate::NotYet)
        }
        // Results of other commands, or of a create that `submit_unblocked` has dealt with.
        CommandResult::Recorded(_) | CommandResult::Blocked | CommandResult::Done => {
            Err(ReadError::Broken.into())
        }
    }
}

/// Submits the create, in place of the previous attempt's intent.
async fn submit_create(
    op: &mut WriteOp,
    op_id: &str,
    write_id: WriteId,
    file: &NewTaskFile,
    known: Option<&Snapshot>,
    progress: &mut CreateProgress,
) -> Result<CommittedCommand, WriteError> {
    let intent = CreateIntent {
        op: op_id.to_owned(),
        write_id,
        slug: file.slug.clone(),
        key: file.key.clone(),
        min_next_id: known.map_or(0, |snapshot| snapshot.table().min_next_id()),
        index: progress.numbers.take(),
        replaces: progress.previous.as_ref().map(|intent| intent.op.clone()),
    };
    let committed = op.submit_unblocked(StateCommand::Create(intent)).await;
    match &committed {
        Ok(committed) if matches!(committed.result, CommandResult::CreatedTask(..)) => {
            progress.previous = None;
        }
        Ok(_) => {}
        Err(_) => op.discard(progress.previous.take()),
    }
    committed
}

/// Puts the new file, once. `known` is a snapshot from before the intent.
async fn put_new(
    op: &mut WriteOp,
    intent: &WriteIntent,
    name: &FileName,
    file: &NewTaskFile,
    write_id: WriteId,
    known: Option<&Snapshot>,
) -> Result<NewFilePut, WriteError> {
    let condition = create_condition(name, known.map(|snapshot| &**snapshot.table()));
    let put = Put {
        bytes: file.bytes.clone(),
        writes: replaced_ids(&condition).with_newest(write_id),
    };
    match op.put(intent, name, put, condition, write_id, true).await {
        WriteOutcome::Landed(written) => Ok(NewFilePut::Landed(written.map(|written| {
            let (name, old) = (name.clone(), None);
            let new = Some(written.record(&name));
            vec![AcknowledgedFile { name, old, new }]
        }))),
        WriteOutcome::Conflict => Ok(NewFilePut::NameTaken),
        WriteOutcome::Denied(error) => {
            op.set_denied(intent).await;
            Err(error.into())
        }
        WriteOutcome::Unknown => Err(WriteError::OutcomeUnknown(intent.version)),
    }
}

/// Recovers this operation's own intent, which is near its expiry. `Ok(None)` if the create was defeated, so that it can
/// be tried anew.
///
/// # Errors
/// [`WriteError::OutcomeUnknown`] if recovery failed or its result is ambiguous.
async fn recover_own(
    op: &mut WriteOp,
    intent: WriteIntent,
    stored: &Arc<StoredState>,
) -> Result<Option<WriteIntent>, WriteError> {
    let unknown = WriteError::OutcomeUnknown(intent.version);
    let Some(pending) = stored.state.pending.get(&intent.op) else {
        return Err(unknown);
    };
    let recovery = &op.parts.states.recovery;
    let recovery = recovery.recover(&op.user, &intent.op, pending, &op.now);
    let recovered = recovery.await;
    op.files.requests += recovered.requests;
    // The record stays if another request's PUT may have landed and an editor saved over it.
    let is_defeated = |stored: &Arc<StoredState>| {
        let mut records = stored.state.idempotency.values();
        records.all(|it| it.op != intent.op)
    };
    let defeated = recovered.stored.filter(is_defeated);
    defeated.map(|_| None).ok_or(unknown)
}

/// Answers with the create of an earlier request with the same key, completing it if it is pending. `Ok(None)` if that
/// create was defeated, so that this request may create the task itself.
async fn answer_duplicate(
    op: &mut WriteOp,
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
        match complete_pending(op, &earlier, &pending, &name, file, stored).await? {
            Some(version) => known = known.max(version),
            None => return Ok(None),
        }
    }
    let cache = &op.parts.cache;
    cache.raise_acknowledged(&op.user, earlier.version);
    Ok(Some(CreatedTask {
        version: earlier.version,
        known,
        name,
        reused: true,
        requests: op.requests(),
    }))
}

/// Sends the same PUT as the earlier request, with its write id, or recovers its intent if that is overdue. Returns the
/// version for the answer if the file was created, `None` if not.
async fn complete_pending(
    op: &mut WriteOp,
    earlier: &IdempotencyRecord,
    pending: &PendingOp,
    name: &FileName,
    file: &NewTaskFile,
    stored: &Arc<StoredState>,
) -> Result<Option<Version>, WriteError> {
    let instant = op.now.later().mono;
    let states = &op.parts.states;
    let date = states.documents.clock().at(instant).unwrap_or(pending.at);
    if states.recovery.is_overdue(pending, date) {
        let recovery = states
            .recovery
            .recover_overdue(&op.user, stored, date, &op.now);
        let recovered = recovery.await;
        if recovered.stored.is_some() {
            op.files.requests += recovered.requests;
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
    // Recorded by another operation, so its age is known only by the storage clock.
    let age = (date - pending.at).to_std().unwrap_or_default();
    let intent = WriteIntent {
        op: earlier.op.clone(),
        version: earlier.version,
        sent: instant.checked_sub(age).unwrap_or(instant),
    };
    // No snapshot: whatever is there by now isn't from before the intent.
    match put_new(op, &intent, name, file, write_id, None).await? {
        NewFilePut::Landed(_) => {
            let version = op.acknowledge(&intent, None).await?;
            op.finish(intent);
            Ok(Some(version))
        }
        NewFilePut::NameTaken => Ok(None),
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
