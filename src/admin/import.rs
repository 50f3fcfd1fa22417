//! Copying the task files of a data folder into the configured storage.

use crate::codex::{Act, Codex, FileChange, FileFate, MAX_BATCH, Refusal, Want, WeekError};
use crate::store::{BlobStore, GetIf, Got, Key, Prefix, StoreError};
use crate::task::FileName;

/// How an import went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Files copied.
    pub copied: usize,
    /// Files that were there already, in whatever version; they stay as they are.
    pub present: usize,
    /// Files that aren't called as task files are.
    pub skipped: usize,
}

/// Why an import broke off. What was copied until then stays; it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder can't be read.
    #[error(transparent)]
    From(#[from] StoreError),
    /// The storage can't be read.
    #[error(transparent)]
    Read(#[from] WeekError),
    /// The storage can't be written.
    #[error("{}", .0.error)]
    To(Refusal),
    /// The storage takes longer for a single file than a mark may stand.
    #[error("the storage is too slow for CODEX_PENDING_EXPIRY_SECONDS; make it longer")]
    TooSlow,
}

/// Copies a user's task files from a store to the one behind `to`, and replaces nothing there. Running
/// instances see them at once, as any change of the service's own.
pub async fn import(
    from: &dyn BlobStore,
    to: &Codex,
    want: &Want,
) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let mut batch = vec![];
    // So that it is known which files there only count as absent.
    to.week(want).await?;
    for listed in from.list(&Prefix::raw(&want.user)).await?.value.blobs {
        let name = listed.name.parse::<FileName>().ok();
        let key = Key::raw(&want.user, &listed.name).ok();
        let Some((name, key)) = name.zip(key) else {
            imported.skipped += 1;
            continue;
        };
        if let Got::Blob(blob) = from.get(&key, GetIf::Any).await?.value {
            let act = Act::Create(blob.bytes);
            batch.push(FileChange {
                name,
                act,
                merged: vec![],
                write: None,
            });
        }
        if batch.len() == MAX_BATCH {
            write(to, want, &mut batch, &mut imported).await?;
        }
    }
    write(to, want, &mut batch, &mut imported).await?;
    Ok(imported)
}

/// Writes the batch, and again what its time wasn't enough for.
async fn write(
    to: &Codex,
    want: &Want,
    batch: &mut Vec<FileChange>,
    imported: &mut Imported,
) -> Result<(), ImportError> {
    while !batch.is_empty() {
        let want = Want {
            now: want.now.later(),
            ..want.clone()
        };
        let done = to.write_files(&want, batch.clone()).await;
        let done = done.map_err(ImportError::To)?;
        let count = |fate| done.fates.iter().filter(|it| **it == fate).count();
        imported.copied += count(FileFate::Done);
        imported.present += count(FileFate::Lost);
        if count(FileFate::Untried) == batch.len() {
            return Err(ImportError::TooSlow);
        }
        let mut fates = done.fates.iter();
        batch.retain(|_| fates.next() == Some(&FileFate::Untried));
    }
    Ok(())
}
