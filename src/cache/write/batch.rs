//! Several files under one intent and version (src/cache/README.md, "Write").

use std::time::Duration;

use bytes::Bytes;

use super::create::{create_condition, replaced_ids};
use super::file::{WriteOutcome, WrittenFile};
use super::intent::WriteIntent;
use super::{BatchItem, BatchResult, FileOp, FileOutcome, WriteOp};
use crate::cache::commit_queue::AcknowledgedFile;
use crate::cache::state::ChangeKind;
use crate::cache::{ReadError, Snapshot, WriteError};
use crate::store::{ETag, Put, PutIf, WriteId};
use crate::task::{FileName, GitSha, git_sha};

/// Maximum number of files of a batch.
pub const MAX_BATCH: usize = 50;

/// A batch begins no further file after this time.
const BATCH_DEADLINE: Duration = Duration::from_secs(20);

impl FileOp {
    fn kind(&self) -> ChangeKind {
        match self {
            Self::Create(_) => ChangeKind::Create,
            Self::Replace { .. } => ChangeKind::Update,
            Self::Remove(_) => ChangeKind::Delete,
        }
    }

    /// ETag of the file that the operation replaces or deletes.
    fn old_etag(&self) -> Option<ETag> {
        match self {
            Self::Create(_) => None,
            Self::Replace { etag, .. } | Self::Remove(etag) => Some(etag.clone()),
        }
    }

    fn removes(&self) -> bool {
        matches!(self, Self::Remove(_))
    }
}

impl BatchItem {
    /// The entry for [`State::merged`](crate::cache::State::merged), if the file is the result of a Git merge.
    fn merged_file(&self) -> Option<(FileName, GitSha, Vec<String>)> {
        let FileOp::Replace { bytes, .. } = &self.operation else {
            return None;
        };
        let merged = || (self.name.clone(), git_sha(bytes), self.merged.clone());
        (!self.merged.is_empty()).then(merged)
    }
}

impl WriteOp {
    pub(super) async fn batch(&mut self, items: Vec<BatchItem>) -> Result<BatchResult, WriteError> {
        let batch = &items[..items.len().min(MAX_BATCH)];
        let ids = batch
            .iter()
            .map(|it| it.write.unwrap_or_else(|| self.write_id()));
        let ids: Vec<WriteId> = ids.collect();
        let files = batch
            .iter()
            .zip(&ids)
            .map(|(item, id)| (item.name.clone(), *id, item.operation.kind()));
        let merged = batch.iter().filter_map(BatchItem::merged_file);
        let known = self.inner.memory.get(&self.user);
        let intent = self
            .record_intent(files.collect(), merged.collect(), None)
            .await?;
        // A deletion doesn't put the work queue entry itself, so do it before the first request.
        self.put_hint().await;
        let mut outcomes = vec![FileOutcome::NotAttempted; items.len()];
        let mut acknowledged = Some(vec![]);
        let (removed, written): (Vec<usize>, Vec<usize>) =
            (0..batch.len()).partition(|at| batch[*at].operation.removes());
        for at in written.into_iter().chain(removed) {
            if self.is_batch_over(&intent) {
                break;
            }
            let item = &batch[at];
            match self
                .write_item(&intent, item, known.as_deref(), ids[at])
                .await
            {
                WriteOutcome::Landed(written) => {
                    outcomes[at] = FileOutcome::Done;
                    let file = written.map(|written| AcknowledgedFile {
                        name: item.name.clone(),
                        old: item.operation.old_etag(),
                        new: Some(written.record(&item.name)),
                    });
                    acknowledged = acknowledged.zip(file).map(|(mut all, file)| {
                        all.push(file);
                        all
                    });
                }
                WriteOutcome::Conflict => {
                    outcomes[at] = FileOutcome::Conflict;
                    acknowledged = None;
                }
                // Acknowledge what was written before. The intent stays for recovery: an earlier attempt of the denied
                // write may still be on its way.
                WriteOutcome::Denied(_) if outcomes.contains(&FileOutcome::Done) => {
                    self.set_refused(&intent).await;
                    let version = self.acknowledge(&intent, None).await?;
                    return Ok(BatchResult { version, outcomes });
                }
                WriteOutcome::Denied(error) => {
                    self.set_refused(&intent).await;
                    return Err(ReadError::from(error).into());
                }
                WriteOutcome::Unknown => return Err(WriteError::OutcomeUnknown(intent.version)),
            }
        }
        let version = self.acknowledge(&intent, acknowledged).await?;
        self.finish(intent);
        Ok(BatchResult { version, outcomes })
    }

    fn is_batch_over(&self, intent: &WriteIntent) -> bool {
        let passed = self.now.later().mono.saturating_duration_since(intent.sent);
        passed >= BATCH_DEADLINE || self.is_near_expiry(intent)
    }

    async fn write_item(
        &mut self,
        intent: &WriteIntent,
        item: &BatchItem,
        known: Option<&Snapshot>,
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
            FileOp::Remove(etag) => return self.delete(&item.name, etag).await,
        };
        let put = Put {
            bytes: Bytes::clone(bytes),
            writes: before.with_newest(id),
        };
        let creates = condition == PutIf::Absent;
        self.put(intent, &item.name, put, condition, id, creates)
            .await
    }
}

impl WrittenFile {
    /// A deleted file, for this instance's snapshot: like a tombstone it counts as absent.
    pub(super) fn deleted() -> Self {
        Self {
            etag: ETag::new(""),
            bytes: crate::task::TOMBSTONE_FILE.into(),
        }
    }
}
