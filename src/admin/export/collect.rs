//! Reading a user's files.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::admin::storage::{CONCURRENT_READS, readable};
use crate::store::{BlobKey, BlobStore, BlobStoreExt, ETag, ListedBlob, Prefix, StoreError};
use crate::task::{FileName, MAX_FILE_BYTES, Parsed, parse};
use crate::user::UserId;

/// What was read so far.
#[derive(Default)]
pub(super) struct UserFiles {
    /// The task folder's files by name, each with its ETag.
    raw: BTreeMap<String, (ETag, Bytes)>,
    /// The blobs below `state/{user}/`, by name.
    pub state: BTreeMap<String, Bytes>,
    /// The older service's idempotency records, by name.
    pub records: BTreeMap<String, Bytes>,
    /// Files that can't be read.
    pub left_out: Vec<String>,
}

impl UserFiles {
    /// Reads every file that is new or changed. Returns whether all were still in the version that was listed.
    pub(super) async fn refresh(
        &mut self,
        store: &dyn BlobStore,
        user: &UserId,
    ) -> Result<bool, StoreError> {
        let listed = store.list(&Prefix::raw(user)).await?.value.blobs;
        let previous = std::mem::take(&mut self.raw);
        let fetched = stream::iter(listed)
            .map(|file| fetch(store, user, file, &previous))
            .buffer_unordered(CONCURRENT_READS);
        let fetched: Vec<ExportFetch> = fetched.try_collect().await?;
        self.left_out.clear();
        let mut as_listed = true;
        for file in fetched {
            match file {
                ExportFetch::AsListed(name, file) => drop(self.raw.insert(name, file)),
                ExportFetch::Replaced(name, file) => {
                    as_listed = false;
                    self.raw.extend(file.map(|file| (name, file)));
                }
                ExportFetch::Unreadable(name) => self.left_out.push(name),
            }
        }
        let key = |name: &str| BlobKey::in_state(user, name).ok();
        let (state, unreadable) = read_all(store, &Prefix::state(user), key).await?;
        self.state = state;
        self.left_out.extend(unreadable);
        let prefix = Prefix::legacy_idempotency(user);
        let key = |name: &str| BlobKey::leftover(&prefix, name);
        let (records, unreadable) = read_all(store, &prefix, key).await?;
        self.records = records;
        let unreadable = unreadable.into_iter();
        let unreadable = unreadable.map(|name| format!("{}/{name}", Prefix::IDEMPOTENCY));
        self.left_out.extend(unreadable);
        self.left_out.sort();
        Ok(as_listed)
    }

    pub(super) fn is_empty(&self) -> bool {
        let read = self.raw.len() + self.state.len() + self.records.len();
        read == 0 && self.left_out.is_empty()
    }

    /// The task folder's files by name, without tombstones.
    pub(super) fn tasks(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        let files = self.raw.iter().map(|(name, (_, bytes))| (name, bytes));
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
    for ListedBlob { name, .. } in store.list(prefix).await?.value.blobs {
        let read = match key(&name) {
            Some(key) => readable(store.read(&key).await)?,
            None => None,
        };
        match read {
            Some(blob) => found.extend(blob.map(|blob| (name, blob.bytes))),
            None => unreadable.push(name),
        }
    }
    Ok((found, unreadable))
}

/// The outcome of reading one file.
enum ExportFetch {
    AsListed(String, (ETag, Bytes)),
    /// It has changed since the listing: its present version, `None` if it is gone.
    Replaced(String, Option<(ETag, Bytes)>),
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
    if let Some(known) = previous.get(&name).filter(|(before, _)| *before == etag) {
        return Ok(ExportFetch::AsListed(name, known.clone()));
    }
    let Ok(key) = BlobKey::raw(user, &name) else {
        return Ok(ExportFetch::Unreadable(name));
    };
    let fetched = match readable(store.read_version(&key, &etag).await)? {
        Some(Some(blob)) => return Ok(ExportFetch::AsListed(name, (blob.etag, blob.bytes))),
        Some(None) => readable(store.read(&key).await)?,
        None => None,
    };
    Ok(match fetched {
        Some(now) => ExportFetch::Replaced(name, now.map(|blob| (blob.etag, blob.bytes))),
        None => ExportFetch::Unreadable(name),
    })
}
