//! What several commands do with the storage.

use super::error::AdminError;
use crate::codex::{BatchItem, Codex, FileOp, FileOutcome, MAX_BATCH, ReadRequest};
use crate::store::{BlobKey, BlobStore, Prefix, StoreError};
use crate::task::FileName;
use crate::user::UserId;

/// Task files that are read concurrently.
pub(super) const CONCURRENT_READS: usize = 32;

/// A user's folders besides that of the task files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserFolder {
    /// `artifacts/{user}/`.
    Artifacts,
    /// `state/{user}/`.
    State,
    /// `state/{user}/idempotency/`, the older service's records.
    Records,
}

impl UserFolder {
    /// Its path.
    pub fn prefix(self, user: &UserId) -> Prefix {
        match self {
            Self::Artifacts => Prefix::artifacts(user),
            Self::State => Prefix::state(user),
            Self::Records => Prefix::legacy_idempotency(user),
        }
    }

    /// The key of a name that is listed there; `None` if no blob, or no record, can have it.
    pub fn key(self, user: &UserId, name: &str) -> Option<BlobKey> {
        match self {
            Self::Artifacts | Self::State => BlobKey::inside(&self.prefix(user), name),
            Self::Records => BlobKey::leftover(&self.prefix(user), name),
        }
    }
}

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

/// A change of a file for [`write_all`].
pub(super) fn change(name: FileName, operation: FileOp) -> BatchItem {
    BatchItem {
        name,
        operation,
        merged: vec![],
        write: None,
    }
}

/// Writes files through the write protocol, until each was attempted. Returns how many were written, and how many were
/// left as they are because another writer had changed them.
pub(super) async fn write_all(
    codex: &Codex,
    request: &ReadRequest,
    mut changes: Vec<BatchItem>,
) -> Result<(usize, usize), AdminError> {
    let (mut done, mut conflicts) = (0, 0);
    while !changes.is_empty() {
        let batch = changes.split_off(changes.len().saturating_sub(MAX_BATCH));
        let (request, items) = (now(request), batch.clone());
        let written = codex.writer().write_files(&request, items).await;
        let outcomes = written.map_err(AdminError::Write)?.outcomes;
        if outcomes.iter().all(|it| *it == FileOutcome::NotAttempted) {
            return Err(AdminError::TooSlow);
        }
        for (item, outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                FileOutcome::Done => done += 1,
                FileOutcome::Conflict => conflicts += 1,
                FileOutcome::NotAttempted => changes.push(item),
            }
        }
    }
    Ok((done, conflicts))
}
