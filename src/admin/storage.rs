//! What several commands do with the storage.

use crate::admin::error::AdminError;
use crate::codex::{BatchItem, Codex, FileOp, FileOutcome, ReadRequest};
use crate::store::{BlobStore, Prefix, StoreError};
use crate::task::FileName;

/// Task files that are read concurrently.
pub(super) const CONCURRENT_READS: usize = 32;

/// The names of the blobs directly below a prefix, sorted.
pub(super) async fn names(
    store: &dyn BlobStore,
    prefix: &Prefix,
) -> Result<Vec<String>, StoreError> {
    let listed = store.list(prefix).await?.value.blobs;
    let mut names: Vec<String> = listed.into_iter().map(|it| it.name).collect();
    names.sort();
    Ok(names)
}

/// The result of a read; `None` if just this blob can't be read, although others can.
pub(super) fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Unreadable { .. } | StoreError::NotAFile { .. }) => Ok(None),
        read => read.map(Some),
    }
}

/// The request as of this moment.
pub(super) fn now(request: &ReadRequest) -> ReadRequest {
    ReadRequest {
        now: request.now.later(),
        ..request.clone()
    }
}

/// A change of a file for [`write_batch`].
pub(super) fn change(name: FileName, operation: FileOp) -> BatchItem {
    BatchItem {
        name,
        operation,
        merged: vec![],
        write: None,
    }
}

/// What became of a batch.
pub(super) struct WrittenBatch {
    /// Files written.
    pub done: usize,
    /// Files that another writer had changed; they are left as they are.
    pub conflicts: usize,
    /// Files that were not attempted before the deadline.
    pub left: Vec<BatchItem>,
}

/// Writes files through the write protocol, under one write intent.
pub(super) async fn write_batch(
    codex: &Codex,
    request: &ReadRequest,
    batch: Vec<BatchItem>,
) -> Result<WrittenBatch, AdminError> {
    let written = codex.writer();
    let written = written.write_files(&now(request), batch.clone()).await;
    let outcomes = written.map_err(AdminError::Write)?.outcomes;
    let count = |outcome| outcomes.iter().filter(|it| **it == outcome).count();
    let not_attempted = |outcome: &&FileOutcome| **outcome == FileOutcome::NotAttempted;
    if count(FileOutcome::NotAttempted) == outcomes.len() {
        return Err(AdminError::TooSlow);
    }
    let left = batch.into_iter().zip(&outcomes);
    let left = left.filter(|(_, outcome)| not_attempted(outcome));
    Ok(WrittenBatch {
        done: count(FileOutcome::Done),
        conflicts: count(FileOutcome::Conflict),
        left: left.map(|(item, _)| item).collect(),
    })
}
