//! Export of everything that is stored for a user, as one zip.

mod names;
mod pack;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::admin::ask;
use crate::admin::words::count;
use crate::codex::State;
use crate::store::{
    Blob, BlobKey, BlobStore, ETag, GetIf, GetOutcome, ListedBlob, Prefix, StoreError,
};
use crate::task::{FileName, MAX_FILE_BYTES, Parsed, parse};
use crate::user::UserId;

/// Files that are read concurrently.
const CONCURRENT_READS: usize = 32;

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
        write!(f, "{}", count(self.files, "task file", "task files"))?;
        if self.renamed > 0 {
            write!(
                f,
                "; {} changed, names.json maps them back",
                count(self.renamed, "name is", "names are")
            )?;
        }
        if !self.is_consistent {
            f.write_str(
                "; a write was in progress: each file is complete, but they may be of different versions",
            )?;
        }
        Ok(())
    }
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A storage request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The zip writer failed.
    #[error("the zip can't be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// Nothing is stored for the user.
    #[error("nothing is stored for {0}; logins are written as GitHub spells them")]
    Nothing(UserId),
}

/// What was read so far.
#[derive(Default)]
struct UserData {
    /// The task folder's files by name, each with its ETag.
    files: BTreeMap<String, (ETag, Bytes)>,
    /// The blobs below `state/{user}/`, by name.
    state_files: BTreeMap<String, Bytes>,
    /// The older service's idempotency records, by name.
    records: BTreeMap<String, Bytes>,
    left_out: Vec<String>,
}

/// Reads and packs everything of a user: the task files, and what lies below `state/{user}/`. Tombstones count
/// as absent, and the artifact is left out, as it is derived from the files.
///
/// Changes nothing in storage. The zip's entries are dated `now`.
///
/// # Errors
/// [`ExportError`].
pub async fn export(
    store: &dyn BlobStore,
    user: &UserId,
    now: DateTime<Utc>,
) -> Result<Export, ExportError> {
    let mut data = UserData::default();
    let mut is_consistent = false;
    for _ in 0..MAX_PASSES {
        let before = state(store, user).await?;
        let unchanged = data.refresh(store, user).await?;
        let after = state(store, user).await?;
        is_consistent = unchanged && is_unchanged(before.as_ref(), after.as_ref());
        if is_consistent {
            break;
        }
    }
    if data.is_empty() {
        return Err(ExportError::Nothing(user.clone()));
    }
    let packed = pack::pack(&data, now)?;
    Ok(Export {
        zip: packed.zip,
        files: packed.files,
        renamed: packed.renamed,
        left_out: data.left_out,
        is_consistent,
    })
}

async fn state(store: &dyn BlobStore, user: &UserId) -> Result<Option<Blob>, StoreError> {
    Ok(ask::get(store, &BlobKey::state(user)).await?.value)
}

/// Whether nothing was written in between, and no write was pending.
fn is_unchanged(before: Option<&Blob>, after: Option<&Blob>) -> bool {
    let version = |blob: Option<&Blob>| blob.map(|it| it.etag.clone());
    let writing = after.is_some_and(|blob| match State::parse(&blob.bytes) {
        Ok(Some(state)) => !state.pending.is_empty(),
        Ok(None) | Err(_) => false,
    });
    version(before) == version(after) && !writing
}

impl UserData {
    /// Reads every file that is new or changed. Returns whether all were still in the version that was listed.
    async fn refresh(&mut self, store: &dyn BlobStore, user: &UserId) -> Result<bool, StoreError> {
        let listed = ask::list(store, &Prefix::raw(user)).await?.value.blobs;
        let previous = std::mem::take(&mut self.files);
        self.left_out.clear();
        let fetched = stream::iter(listed)
            .map(|file| fetch(store, user, file, &previous))
            .buffer_unordered(CONCURRENT_READS);
        let fetched: Vec<ExportFetch> = fetched.try_collect().await?;
        let mut unchanged = true;
        for file in fetched {
            match file {
                ExportFetch::File(name, etag, bytes) => {
                    drop(self.files.insert(name, (etag, bytes)))
                }
                ExportFetch::Replaced(newer) => {
                    unchanged = false;
                    self.files.extend(newer);
                }
                ExportFetch::Unreadable(name) => self.left_out.push(name),
            }
        }
        self.read_state_and_records(store, user).await?;
        self.left_out.sort();
        Ok(unchanged)
    }

    async fn read_state_and_records(
        &mut self,
        store: &dyn BlobStore,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let state = Prefix::state(user);
        let key = |name: &str| BlobKey::in_state(user, name).ok();
        let (state_files, unreadable) = read_all(store, &state, key).await?;
        self.state_files = state_files;
        self.left_out.extend(unreadable);
        let records = Prefix::legacy_idempotency(user);
        let key = |name: &str| BlobKey::leftover(&records, name);
        let (found, unreadable) = read_all(store, &records, key).await?;
        self.records = found;
        let below = |name| format!("{}/{name}", Prefix::IDEMPOTENCY);
        self.left_out.extend(unreadable.into_iter().map(below));
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let read = self.files.len() + self.state_files.len() + self.records.len();
        read == 0 && self.left_out.is_empty()
    }

    /// The task files without tombstones.
    fn present(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        let files = self
            .files
            .iter()
            .map(|(name, (_, bytes))| (name.as_str(), bytes));
        files.filter(|(name, bytes)| !is_tombstone(name, bytes))
    }
}

fn is_tombstone(name: &str, bytes: &[u8]) -> bool {
    let task = name.parse::<FileName>();
    bytes.len() <= MAX_FILE_BYTES && task.is_ok_and(|name| parse(&name, bytes) == Parsed::Tombstone)
}

/// The blobs directly below a prefix by name, and the names of those that can't be read.
async fn read_all(
    store: &dyn BlobStore,
    prefix: &Prefix,
    key: impl Fn(&str) -> Option<BlobKey>,
) -> Result<(BTreeMap<String, Bytes>, Vec<String>), StoreError> {
    let (mut found, mut unreadable) = (BTreeMap::new(), vec![]);
    for ListedBlob { name, .. } in ask::list(store, prefix).await?.value.blobs {
        let Some(key) = key(&name) else {
            unreadable.push(name);
            continue;
        };
        match ask::get(store, &key).await {
            Ok(answer) => found.extend(answer.value.map(|blob| (name, blob.bytes))),
            Err(StoreError::Unreadable { .. } | StoreError::NotAFile { .. }) => {
                unreadable.push(name)
            }
            Err(error) => return Err(error),
        }
    }
    Ok((found, unreadable))
}

/// The outcome of reading one file.
enum ExportFetch {
    File(String, ETag, Bytes),
    /// It has changed since the listing: its present version, `None` if it is gone.
    Replaced(Option<(String, (ETag, Bytes))>),
    /// It can't be read, or its name is no valid key.
    Unreadable(String),
}

async fn fetch(
    store: &dyn BlobStore,
    user: &UserId,
    listed: ListedBlob,
    previous: &BTreeMap<String, (ETag, Bytes)>,
) -> Result<ExportFetch, StoreError> {
    let ListedBlob { name, etag, .. } = listed;
    if let Some((before, bytes)) = previous.get(&name)
        && *before == etag
    {
        return Ok(ExportFetch::File(name, etag, bytes.clone()));
    }
    let Ok(key) = BlobKey::raw(user, &name) else {
        return Ok(ExportFetch::Unreadable(name));
    };
    let call = store.get(&key, GetIf::Same(etag));
    let current = match ask::with_timeout("get", key.path(), call).await {
        Ok(answer) => match answer.value {
            GetOutcome::Blob(blob) => return Ok(ExportFetch::File(name, blob.etag, blob.bytes)),
            GetOutcome::Absent | GetOutcome::Changed | GetOutcome::Unchanged => {
                ask::get(store, &key).await
            }
        },
        Err(error) => Err(error),
    };
    match current {
        Ok(answer) => {
            let newer = answer.value.map(|blob| (name, (blob.etag, blob.bytes)));
            Ok(ExportFetch::Replaced(newer))
        }
        Err(StoreError::Unreadable { .. } | StoreError::NotAFile { .. }) => {
            Ok(ExportFetch::Unreadable(name))
        }
        Err(error) => Err(error),
    }
}
