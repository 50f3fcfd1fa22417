//! Several files under one intent and version (src/user_state/README.md, "A write").

use std::time::Duration;

use bytes::Bytes;

use super::create::{create_condition, replaced_ids};
use super::operation::{FileWrite, WriteIntent, WriteOp};
use super::outcome::WriteOutcome;
use super::request::{BatchItem, BatchResult, FileOp, FileOutcome, WriteError};
use crate::store::{Put, PutIf, StoreError, WriteId};
use crate::task::{FileName, GitSha, TaskTable, git_sha};
use crate::user_state::ReadError;

/// Maximum number of files of a batch.
pub const MAX_BATCH: usize = 50;

/// A batch begins no further file after this time.
const BATCH_DEADLINE: Duration = Duration::from_secs(20);

pub(super) async fn write_batch(
    mut op: WriteOp,
    items: Vec<BatchItem>,
) -> Result<BatchResult, WriteError> {
    let op = &mut op;
    let batch = &items[..items.len().min(MAX_BATCH)];
    let ids = batch.iter().map(|it| it.write);
    let ids: Vec<WriteId> = ids.map(|id| id.unwrap_or_else(|| op.write_id())).collect();
    let known = op.known();
    let table = known.as_ref().map(|snapshot| &**snapshot.table());
    let intent = record_batch(op, batch, &ids).await?;
    // A deletion in a batch doesn't put the work queue entry itself, so do it before the first request.
    op.put_hint().await;
    let mut outcomes = vec![FileOutcome::NotAttempted; items.len()];
    let mut acknowledged = Some(vec![]);
    for at in order(batch) {
        if is_batch_over(op, &intent) {
            break;
        }
        let item = &batch[at];
        let outcome = write_item(op, &intent, item, table, ids[at]).await;
        let old = item.operation.old_etag();
        match op.settle(&intent, outcome, &item.name, old).await {
            Ok(FileWrite::Landed(file)) => {
                outcomes[at] = FileOutcome::Done;
                acknowledged = acknowledged.zip(file).map(|(mut all, file)| {
                    all.push(file);
                    all
                });
            }
            Ok(FileWrite::Conflict) => {
                outcomes[at] = FileOutcome::Conflict;
                acknowledged = None;
            }
            // Acknowledge what was written before. The intent stays for recovery.
            Err(WriteError::Read(ReadError::Store(StoreError::Denied { .. })))
                if outcomes.contains(&FileOutcome::Done) =>
            {
                let version = op.acknowledge(&intent, None).await?;
                return Ok(BatchResult { version, outcomes });
            }
            Err(error) => return Err(error),
        }
    }
    let version = op.acknowledge(&intent, acknowledged).await?;
    op.finish(intent);
    Ok(BatchResult { version, outcomes })
}

async fn record_batch(
    op: &mut WriteOp,
    batch: &[BatchItem],
    ids: &[WriteId],
) -> Result<WriteIntent, WriteError> {
    let files = batch.iter().zip(ids);
    let files = files.map(|(item, id)| (item.name.clone(), *id, item.operation.kind()));
    let merged = batch.iter().filter_map(merged_file).collect();
    op.record_intent(files.collect(), merged, None).await
}

/// The order in which a batch is written: deletions last, so that a renamed file is always found.
fn order(batch: &[BatchItem]) -> impl Iterator<Item = usize> {
    let removes = |at: &usize| matches!(batch[*at].operation, FileOp::Remove(_));
    let (removed, written): (Vec<usize>, Vec<usize>) = (0..batch.len()).partition(removes);
    written.into_iter().chain(removed)
}

fn is_batch_over(op: &WriteOp, intent: &WriteIntent) -> bool {
    op.age(intent) >= BATCH_DEADLINE || op.is_near_expiry(intent)
}

async fn write_item(
    op: &mut WriteOp,
    intent: &WriteIntent,
    item: &BatchItem,
    known: Option<&TaskTable>,
    id: WriteId,
) -> WriteOutcome {
    let (bytes, before, condition) = match &item.operation {
        FileOp::Create(bytes) => {
            let condition = create_condition(&item.name, known);
            (bytes, replaced_ids(&condition), condition)
        }
        FileOp::Replace {
            bytes,
            etag,
            writes,
        } => (bytes, writes.clone(), PutIf::Same(etag.clone())),
        FileOp::Remove(etag) => return op.files.delete(&item.name, etag, id).await,
    };
    let put = Put {
        bytes: Bytes::clone(bytes),
        writes: before.with_newest(id),
    };
    let creates = condition == PutIf::Absent;
    op.put(intent, &item.name, put, condition, id, creates)
        .await
}

/// The entry for [`State::merged`](crate::user_state::State::merged), if the file is the result of a Git merge.
fn merged_file(item: &BatchItem) -> Option<(FileName, GitSha, Vec<String>)> {
    let FileOp::Replace { bytes, .. } = &item.operation else {
        return None;
    };
    let merged = || (item.name.clone(), git_sha(bytes), item.merged.clone());
    (!item.merged.is_empty()).then(merged)
}
