//! Several files under one mark and version.

use std::time::Duration;

use bytes::Bytes;

use super::create::{ids_before, place_for};
use super::file::{Outcome, WrittenFile};
use super::mark::Mark;
use super::{Act, BatchDone, FileChange, FileFate, Op};
use crate::cache::ledger::AnsweredFile;
use crate::cache::state::ChangeKind;
use crate::cache::{Entry, ReadError, WriteError};
use crate::store::{ETag, Put, PutIf, WriteId};
use crate::task::{FileName, GitSha, git_sha};

/// How many files go into one batch at most.
pub const MAX_BATCH: usize = 50;

/// How long a batch goes on before it leaves the rest to the next one.
const BATCH_TIME: Duration = Duration::from_secs(20);

impl Act {
    fn kind(&self) -> ChangeKind {
        match self {
            Self::Create(_) => ChangeKind::Create,
            Self::Replace { .. } => ChangeKind::Update,
            Self::Remove(_) => ChangeKind::Delete,
        }
    }

    /// The version that goes.
    fn replaces(&self) -> Option<ETag> {
        match self {
            Self::Create(_) => None,
            Self::Replace { etag, .. } | Self::Remove(etag) => Some(etag.clone()),
        }
    }

    fn removes(&self) -> bool {
        matches!(self, Self::Remove(_))
    }
}

impl FileChange {
    /// What the state is to say of a merged file.
    fn merged_file(&self) -> Option<(FileName, GitSha, Vec<String>)> {
        let Act::Replace { bytes, .. } = &self.act else {
            return None;
        };
        let merged = || (self.name.clone(), git_sha(bytes), self.merged.clone());
        (!self.merged.is_empty()).then(merged)
    }
}

impl Op {
    pub(super) async fn batch(
        &mut self,
        changes: Vec<FileChange>,
    ) -> Result<BatchDone, WriteError> {
        let batch = &changes[..changes.len().min(MAX_BATCH)];
        let ids = batch
            .iter()
            .map(|it| it.write.unwrap_or_else(|| self.write_id()));
        let ids: Vec<WriteId> = ids.collect();
        let files = batch
            .iter()
            .zip(&ids)
            .map(|(change, id)| (change.name.clone(), *id, change.act.kind()));
        let merged = batch.iter().filter_map(FileChange::merged_file);
        let known = self.inner.memory.get(&self.user);
        let mark = self
            .mark_merged(files.collect(), merged.collect(), None)
            .await?;
        // Before the first request, also where that is a removal's.
        self.put_hint().await;
        let mut fates = vec![FileFate::Untried; changes.len()];
        let mut answered = Some(vec![]);
        let (removed, written): (Vec<usize>, Vec<usize>) =
            (0..batch.len()).partition(|at| batch[*at].act.removes());
        for at in written.into_iter().chain(removed) {
            if self.is_batch_over(&mark) {
                break;
            }
            let change = &batch[at];
            match self.act(&mark, change, known.as_deref(), ids[at]).await {
                Outcome::Landed(written) => {
                    fates[at] = FileFate::Done;
                    let file = written.map(|written| AnsweredFile {
                        name: change.name.clone(),
                        old: change.act.replaces(),
                        new: Some(written.record(&change.name)),
                    });
                    answered = answered.zip(file).map(|(mut all, file)| {
                        all.push(file);
                        all
                    });
                }
                Outcome::Refused => {
                    fates[at] = FileFate::Lost;
                    answered = None;
                }
                // What was done until then is acknowledged. The mark stays, to be settled: a first try of
                // what was denied may still be on its way.
                Outcome::Denied(_) if fates.contains(&FileFate::Done) => {
                    self.refuse(&mark).await;
                    let version = self.acknowledge(&mark, None).await?;
                    return Ok(BatchDone { version, fates });
                }
                Outcome::Denied(error) => {
                    self.refuse(&mark).await;
                    return Err(ReadError::from(error).into());
                }
                Outcome::Unknown => return Err(WriteError::OutcomeUnknown(mark.version)),
            }
        }
        let version = self.acknowledge(&mark, answered).await?;
        self.finish(mark);
        Ok(BatchDone { version, fates })
    }

    fn is_batch_over(&self, mark: &Mark) -> bool {
        let passed = self.now.later().mono.saturating_duration_since(mark.sent);
        passed >= BATCH_TIME || self.is_stale(mark)
    }

    async fn act(
        &mut self,
        mark: &Mark,
        change: &FileChange,
        known: Option<&Entry>,
        id: WriteId,
    ) -> Outcome {
        let (bytes, before, condition) = match &change.act {
            Act::Create(bytes) => {
                let place = place_for(&change.name, known);
                (bytes, ids_before(&place), place)
            }
            Act::Replace {
                bytes,
                etag,
                writes,
            } => (bytes, writes.clone(), PutIf::Same(etag.clone())),
            Act::Remove(etag) => return self.delete(&change.name, etag).await,
        };
        let put = Put {
            bytes: Bytes::clone(bytes),
            writes: before.followed_by(id),
        };
        let creates = condition == PutIf::Absent;
        self.put(mark, &change.name, put, condition, id, creates)
            .await
    }
}

impl WrittenFile {
    /// What a removed file is to this instance's entry: it counts as absent.
    pub(super) fn removed() -> Self {
        Self {
            etag: ETag::new(""),
            bytes: crate::task::SETTLED_FILE.into(),
        }
    }
}
