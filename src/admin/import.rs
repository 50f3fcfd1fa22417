//! Import: copies the task files of a data folder into the configured storage.

use super::error::AdminError;
use super::storage::{change, write_all};
use crate::codex::{Codex, FileOp, MAX_BATCH, ReadRequest};
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
    // The read loads which of the target's files are tombstones.
    target.reader().week(request).await?;
    let listed = source.list(&Prefix::raw(&request.user)).await?.value.blobs;
    let names: Vec<FileName> = listed
        .iter()
        .filter_map(|it| it.name.parse().ok())
        .collect();
    let mut report = ImportReport {
        skipped: listed.len() - names.len(),
        ..ImportReport::default()
    };
    // A batch at a time is in memory.
    for names in names.chunks(MAX_BATCH) {
        let mut batch = vec![];
        for name in names {
            if let Some(blob) = source.read(&BlobKey::task(&request.user, name)).await? {
                batch.push(change(name.clone(), FileOp::Create(blob.bytes)));
            }
        }
        let (done, conflicts) = write_all(target, request, batch).await?;
        report.copied += done;
        report.present += conflicts;
    }
    Ok(report)
}
