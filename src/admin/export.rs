//! Export of everything that is stored for a user, as one zip.

mod archive;
mod collect;
pub mod names;

use std::fmt;

use chrono::{DateTime, Utc};

use super::error::AdminError;
use super::words::count;
use crate::codex::State;
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt};
use crate::user::UserId;
use collect::UserFiles;

/// Passes that are made while the data changes during the export.
const MAX_PASSES: u32 = 5;

/// A user's data, as a zip.
#[derive(Debug, Clone)]
pub struct Export {
    /// The zip.
    pub zip: Vec<u8>,
    /// Task files in the zip.
    pub files: usize,
    /// Task files under another name than in storage, as not every system allows that one; `names.json` in the
    /// zip maps the names back.
    pub renamed: usize,
    /// Files that couldn't be read, and aren't in the zip.
    pub left_out: Vec<String>,
    /// Whether all files are of one point in time. Each file is complete in any case.
    pub is_consistent: bool,
}

/// A summary of one line.
impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.files, "task file"))?;
        if self.renamed > 0 {
            let are = if self.renamed == 1 { "is" } else { "are" };
            let names = count(self.renamed, "name");
            write!(f, "; {names} {are} changed, names.json maps them back")?;
        }
        if !self.is_consistent {
            f.write_str(
                "; a write was in progress: each file is complete, but they may be of different versions",
            )?;
        }
        Ok(())
    }
}

/// Reads and packs everything of a user: the task files, and what lies below `state/{user}/`. Tombstones count
/// as absent, and the artifact is left out, as it is derived from the files.
///
/// Changes nothing in storage. The zip's entries are dated `now`.
///
/// # Errors
/// [`AdminError`].
pub async fn export(
    store: &dyn BlobStore,
    user: &UserId,
    now: DateTime<Utc>,
) -> Result<Export, AdminError> {
    let state = BlobKey::state(user);
    let mut files = UserFiles::default();
    let mut is_consistent = false;
    for _ in 0..MAX_PASSES {
        let before = store.read(&state).await?;
        let as_listed = files.refresh(store, user).await?;
        let after = store.read(&state).await?;
        is_consistent = as_listed && is_unchanged(before.as_ref(), after.as_ref());
        if is_consistent {
            break;
        }
    }
    if files.is_empty() {
        return Err(AdminError::Nothing(user.clone()));
    }
    let archive = archive::pack(files.tasks(), &files.state, &files.records, now)?;
    Ok(Export {
        zip: archive.zip,
        files: archive.tasks,
        renamed: archive.renamed,
        left_out: files.left_out,
        is_consistent,
    })
}

/// Whether nothing was written in between, and no write was pending.
fn is_unchanged(before: Option<&Blob>, after: Option<&Blob>) -> bool {
    let state = after.and_then(|blob| State::parse(&blob.bytes).ok().flatten());
    let is_writing = state.is_some_and(|state| !state.pending.is_empty());
    before.map(|it| &it.etag) == after.map(|it| &it.etag) && !is_writing
}
