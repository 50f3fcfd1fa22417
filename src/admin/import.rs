//! Import: copies the task files of a data folder into the configured storage.

use crate::codex::{
    BatchItem, Codex, FileOp, FileOutcome, MAX_BATCH, ReadRequest, Refusal, WeekError,
};
use crate::store::{BlobKey, BlobStore, GetIf, GetOutcome, Prefix, StoreError};
use crate::task::FileName;

/// The result of an import.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Files copied.
    pub copied: usize,
    /// Files that existed already, in any version; they are kept.
    pub present: usize,
    /// Files whose names are no task file names.
    pub skipped: usize,
}

/// Why an import was interrupted. What was copied until then stays; the import can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source folder can't be read.
    #[error(transparent)]
    Source(#[from] StoreError),
    /// The target storage can't be read.
    #[error(transparent)]
    Read(#[from] WeekError),
    /// The target storage can't be written.
    #[error("{}", .0.error)]
    Target(Refusal),
    /// A single file takes longer than a write intent may stay pending.
    #[error("the storage is too slow for CODEX_PENDING_EXPIRY_SECONDS; increase it")]
    TooSlow,
}

/// Copies a user's task files from `source` to the store behind `target`, and replaces nothing there. They go
/// through the write protocol, so running instances see them as any change of the service's own.
///
/// # Errors
/// [`ImportError`].
pub async fn import(
    source: &dyn BlobStore,
    target: &Codex,
    read_request: &ReadRequest,
) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport::default();
    let mut batch = vec![];
    // The read loads which of the target's files are tombstones.
    target.week(read_request).await?;
    for listed in source
        .list(&Prefix::raw(&read_request.user))
        .await?
        .value
        .blobs
    {
        let name = listed.name.parse::<FileName>().ok();
        let key = BlobKey::raw(&read_request.user, &listed.name).ok();
        let Some((name, key)) = name.zip(key) else {
            report.skipped += 1;
            continue;
        };
        if let GetOutcome::Blob(blob) = source.get(&key, GetIf::Any).await?.value {
            let operation = FileOp::Create(blob.bytes);
            batch.push(BatchItem {
                name,
                operation,
                merged: vec![],
                write: None,
            });
        }
        if batch.len() == MAX_BATCH {
            write(target, read_request, &mut batch, &mut report).await?;
        }
    }
    write(target, read_request, &mut batch, &mut report).await?;
    Ok(report)
}

/// Writes the batch, and retries those files that were not attempted before the deadline.
async fn write(
    target: &Codex,
    read_request: &ReadRequest,
    batch: &mut Vec<BatchItem>,
    report: &mut ImportReport,
) -> Result<(), ImportError> {
    while !batch.is_empty() {
        let read_request = ReadRequest {
            now: read_request.now.later(),
            ..read_request.clone()
        };
        let done = target.write_files(&read_request, batch.clone()).await;
        let done = done.map_err(ImportError::Target)?;
        let count = |outcome| done.outcomes.iter().filter(|it| **it == outcome).count();
        report.copied += count(FileOutcome::Done);
        report.present += count(FileOutcome::Conflict);
        if count(FileOutcome::NotAttempted) == batch.len() {
            return Err(ImportError::TooSlow);
        }
        let mut outcomes = done.outcomes.iter();
        batch.retain(|_| outcomes.next() == Some(&FileOutcome::NotAttempted));
    }
    Ok(())
}
