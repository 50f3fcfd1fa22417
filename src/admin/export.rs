//! Export of everything that is stored for a user, as one zip.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Cursor, Write};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::error::AdminError;
use super::storage::{CONCURRENT_READS, UserFolder, readable};
use super::words::count;
use crate::codex::State;
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt, ETag, ListedBlob, Prefix, StoreError};
use crate::task::{FileName, MAX_FILE_BYTES, Parsed, parse};
use crate::user::UserId;

/// Passes that are made while the data changes during the export.
const MAX_PASSES: u32 = 5;

/// A user's data, as a zip.
#[derive(Debug, Clone)]
pub struct Export {
    /// The zip.
    pub zip: Vec<u8>,
    /// Task files in the zip.
    pub files: usize,
    /// Files that couldn't be read, and aren't in the zip.
    pub left_out: Vec<String>,
    /// Whether all files are of one point in time. Each file is complete in any case.
    pub is_consistent: bool,
}

/// A summary of one line.
impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.files, "task file"))?;
        if !self.is_consistent {
            f.write_str(
                "; a write was in progress: each file is complete, but they may be of different versions",
            )?;
        }
        Ok(())
    }
}

/// Reads and packs everything of a user: the task files below `tasks/`, and what lies below `state/{user}/`, all under
/// their stored names. Tombstones count as absent, and the artifact is left out, as it is derived from the files.
///
/// Changes nothing in storage. The zip's entries are dated `now`.
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
    let mut tasks = files.raw;
    tasks.retain(|name, (_, bytes)| !is_tombstone(name, bytes));
    let others = files.others.iter();
    let others = others.map(|(path, bytes)| (path.clone(), bytes));
    let entries = tasks.iter();
    let entries = entries.map(|(name, (_, bytes))| (format!("tasks/{name}"), bytes));
    Ok(Export {
        zip: pack(entries.chain(others), now)?,
        files: tasks.len(),
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

fn is_tombstone(name: &str, bytes: &[u8]) -> bool {
    let task = name.parse::<FileName>();
    bytes.len() <= MAX_FILE_BYTES && task.is_ok_and(|name| parse(&name, bytes) == Parsed::Tombstone)
}

type StoredFile = (ETag, Bytes);

/// What was read so far.
#[derive(Default)]
struct UserFiles {
    /// The task folder's files by name.
    raw: BTreeMap<String, StoredFile>,
    /// The blobs below `state/{user}/`, by their path there.
    others: BTreeMap<String, Bytes>,
    /// Files that can't be read.
    left_out: Vec<String>,
}

impl UserFiles {
    /// Reads every file that is new or changed. Returns whether all were still in the version that was listed.
    async fn refresh(&mut self, store: &dyn BlobStore, user: &UserId) -> Result<bool, StoreError> {
        let listed = store.list(&Prefix::raw(user)).await?.value.blobs;
        let previous = std::mem::take(self).raw;
        let fetched = stream::iter(listed)
            .map(|file| fetch(store, user, file, &previous))
            .buffer_unordered(CONCURRENT_READS);
        let fetched: Vec<_> = fetched.try_collect().await?;
        let mut as_listed = true;
        for (ListedBlob { name, etag, .. }, found) in fetched {
            let Some(file) = found else {
                self.left_out.push(name);
                continue;
            };
            as_listed &= file.as_ref().is_some_and(|(now, _)| *now == etag);
            self.raw.extend(file.map(|file| (name, file)));
        }
        let records = format!("{}/", Prefix::IDEMPOTENCY);
        for (folder, path) in [(UserFolder::State, ""), (UserFolder::Records, &records)] {
            for ListedBlob { name, .. } in store.list(&folder.prefix(user)).await?.value.blobs {
                let read = match folder.key(user, &name) {
                    Some(key) => readable(store.read(&key).await)?,
                    None => None,
                };
                let name = format!("{path}{name}");
                match read {
                    Some(blob) => self.others.extend(blob.map(|blob| (name, blob.bytes))),
                    None => self.left_out.push(name),
                }
            }
        }
        self.left_out.sort();
        Ok(as_listed)
    }

    fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.others.is_empty() && self.left_out.is_empty()
    }
}

/// A listed file and its present version, which is `Some(None)` if it is gone, and `None` if it can't be read or its name
/// is no valid key.
async fn fetch(
    store: &dyn BlobStore,
    user: &UserId,
    listed: ListedBlob,
    previous: &BTreeMap<String, StoredFile>,
) -> Result<(ListedBlob, Option<Option<StoredFile>>), StoreError> {
    let known = previous.get(&listed.name);
    let known = known.filter(|(before, _)| *before == listed.etag);
    let found = match (known, BlobKey::raw(user, &listed.name)) {
        (Some(known), _) => Some(Some(known.clone())),
        (None, None) => None,
        (None, Some(key)) => {
            let read = readable(store.read(&key).await)?;
            read.map(|blob| blob.map(|blob| (blob.etag, blob.bytes)))
        }
    };
    Ok((listed, found))
}

fn pack<'a>(
    entries: impl Iterator<Item = (String, &'a Bytes)>,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let mut options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(0o600);
    // The zip format has no dates before 1980.
    if let Ok(at) = now.naive_utc().try_into() {
        options = options.last_modified_time(at);
    }
    for (name, bytes) in entries {
        zip.start_file(name, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}
