//! Import: copies the task files of a data folder into the configured storage.

use super::error::AdminError;
use super::storage::{change, write_batch};
use crate::codex::{BatchItem, Codex, FileOp, MAX_BATCH, ReadRequest};
use crate::store::{BlobKey, BlobStore, BlobStoreExt, Prefix};
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

/// Copies a user's task files from `source` to the store behind `target`, and replaces nothing there. They go
/// through the write protocol, so running instances see them as any change of the service's own.
///
/// # Errors
/// [`AdminError`]. What was copied until then stays; the import can be repeated.
pub async fn import(
    source: &dyn BlobStore,
    target: &Codex,
    request: &ReadRequest,
) -> Result<ImportReport, AdminError> {
    let mut report = ImportReport::default();
    let mut batch = vec![];
    // The read loads which of the target's files are tombstones.
    target.reader().week(request).await?;
    let listed = source.list(&Prefix::raw(&request.user)).await?.value.blobs;
    for listed in listed {
        let name = listed.name.parse::<FileName>().ok();
        let key = BlobKey::raw(&request.user, &listed.name).ok();
        let Some((name, key)) = name.zip(key) else {
            report.skipped += 1;
            continue;
        };
        if let Some(blob) = source.read(&key).await? {
            batch.push(change(name, FileOp::Create(blob.bytes)));
        }
        if batch.len() == MAX_BATCH {
            write(target, request, &mut batch, &mut report).await?;
        }
    }
    write(target, request, &mut batch, &mut report).await?;
    Ok(report)
}

/// Writes the batch, and repeats those files that were not attempted before the deadline.
async fn write(
    target: &Codex,
    request: &ReadRequest,
    batch: &mut Vec<BatchItem>,
    report: &mut ImportReport,
) -> Result<(), AdminError> {
    while !batch.is_empty() {
        let written = write_batch(target, request, std::mem::take(batch)).await?;
        report.copied += written.done;
        report.present += written.conflicts;
        *batch = written.left;
    }
    Ok(())
}
