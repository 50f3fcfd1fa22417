//! The trait [`BlobStore`] and what its calls take and return.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::error::StoreError;
use super::ids::{ETag, WriteIds};
use super::key::{BlobKey, Prefix};

/// A blob store. Implementations: [`AzureStore`](super::azure::AzureStore) and
/// [`DirectoryStore`](super::directory::DirectoryStore). Both pass the same conformance suite.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Reads a whole blob.
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome>;

    /// Writes a whole blob, atomically and durably: readers see either the old or the new bytes.
    /// [`PutOutcome::Refused`] may be the result of this call's own success, if its first response was lost and the
    /// request retried; a caller that must know looks for its [`WriteId`](super::ids::WriteId) in the blob.
    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome>;

    /// Deletes the blob if it still has this ETag.
    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome>;

    /// All blobs directly below `prefix`, without those in deeper folders, in no particular order.
    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing>;

    /// The blobs and folders directly below `prefix`, in no particular order. The cost doesn't depend on what is
    /// deeper. Only an account with a hierarchical namespace lists folders that contain no blob.
    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing>;
}

/// The result of a call of a [`BlobStore`].
pub type StoreAnswer<T> = Result<StoreResponse<T>, StoreError>;

/// A result with the store's time of the response (`Date`), the only clock that instances may compare.
#[derive(Debug, Clone)]
pub struct StoreResponse<T> {
    /// The result.
    pub value: T,
    /// The store's clock; whole seconds on Azure.
    pub date: DateTime<Utc>,
}

/// The condition of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GetIf {
    /// Unconditional.
    Any,
    /// Only if the ETag differs (`If-None-Match`), else [`GetOutcome::Unchanged`].
    Changed(ETag),
    /// Only if the ETag is equal (`If-Match`), else [`GetOutcome::Changed`].
    Same(ETag),
}

/// The outcome of a read.
#[derive(Debug, Clone)]
pub enum GetOutcome {
    /// The blob.
    Blob(Blob),
    /// Still the version given in [`GetIf::Changed`].
    Unchanged,
    /// No longer the version given in [`GetIf::Same`]. On Azure also if the blob is missing (412 in both cases).
    Changed,
    /// No such blob.
    Absent,
}

/// A blob's bytes and metadata.
#[derive(Debug, Clone)]
pub struct Blob {
    /// The whole content.
    pub bytes: Bytes,
    /// Identifies the PUT that wrote this version; each PUT gets a new one, even with the same bytes.
    pub etag: ETag,
    /// The ids of the latest PUTs, newest first; empty if another program wrote the blob.
    pub writes: WriteIds,
}

/// The content of a write.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// The new bytes.
    pub bytes: Bytes,
    /// Stored beside the bytes, never in them.
    pub writes: WriteIds,
}

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIf {
    /// Unconditional.
    Any,
    /// Only if there is no such blob (`If-None-Match: *`).
    Absent,
    /// Only if the ETag is equal (`If-Match`).
    Same(ETag),
}

/// The outcome of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// Stored with this ETag.
    Done(ETag),
    /// Precondition failed: nothing was written by the request that got this response. A first try of the same call,
    /// whose response was lost, may have succeeded.
    Refused,
}

/// The outcome of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// Deleted.
    Done,
    /// Precondition failed: the ETag differs and nothing was deleted. On Azure also if the blob is missing (412 in both
    /// cases); a caller that must know reads the blob.
    Refused,
    /// No such blob.
    Absent,
}

/// A complete listing of the entries directly below a prefix.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// All blobs, in no particular order.
    pub blobs: Vec<ListedBlob>,
    /// Only of [`BlobStore::contents`]: folder names relative to the prefix, without a slash, escaped as in
    /// [`ListedBlob::name`].
    pub folders: BTreeSet<String>,
    /// The names of entries that aren't files ([`StoreError::NotAFile`]), escaped as in [`ListedBlob::name`]. A folder
    /// that exists only as part of blob names may be left out.
    pub others: Vec<String>,
    /// The number of storage requests (Azure returns 5,000 entries per page).
    pub requests: u32,
}

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlob {
    /// The name relative to the prefix. Bytes that aren't UTF-8 (possible on disk) are escaped as `\xNN`, which no task
    /// file name may contain.
    pub name: String,
    /// Equal to the ETag that a read or write of this version returns.
    pub etag: ETag,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last write by the store's clock; `None` if unknown.
    pub modified: Option<DateTime<Utc>>,
}

impl ListedBlob {
    /// Whether the last write was more than `age` before `date`, both by the store's clock. False if unknown.
    pub fn is_older_than(&self, age: TimeDelta, date: DateTime<Utc>) -> bool {
        self.modified.is_some_and(|modified| date - modified > age)
    }

    /// The time between the last write and `date`, both by the store's clock; zero if unknown.
    pub fn age(&self, date: DateTime<Utc>) -> Duration {
        let age = self.modified.map(|modified| date - modified);
        age.and_then(|age| age.to_std().ok()).unwrap_or_default()
    }
}

/// Storage requests that an operation sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// GET and LIST.
    pub reads: u32,
    /// PUT and DELETE.
    pub writes: u32,
}

impl std::ops::AddAssign for Requests {
    fn add_assign(&mut self, more: Self) {
        self.reads += more.reads;
        self.writes += more.writes;
    }
}
