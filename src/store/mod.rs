//! Blob storage: the trait [`BlobStore`] and its two implementations.
//!
#![doc = include_str!("README.md")]

pub mod azure;
mod blob_format;
pub mod deadline;
pub mod directory;
mod ext;
mod key;
mod legacy;
pub mod metered;
mod requests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use blob_format::BlobFormat;
pub use ext::{BlobStoreExt, BlobUpdate};
pub use key::{BadBlobName, BlobKey, Prefix};
pub use requests::Requests;

/// A blob store. Implementations: [`azure::AzureStore`] and [`directory::DirectoryStore`]. Both pass the same
/// conformance suite.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Reads a whole blob.
    async fn get(
        &self,
        key: &BlobKey,
        condition: GetIf,
    ) -> Result<StoreResponse<GetOutcome>, StoreError>;

    /// Writes a whole blob, atomically and durably: readers see either the old or the new bytes.
    /// [`PutOutcome::Refused`] may be the result of this call's own success, if its first response was lost and the
    /// request retried; a caller that must know looks for its [`WriteId`] in the blob.
    async fn put(
        &self,
        key: &BlobKey,
        blob: Put,
        condition: PutIf,
    ) -> Result<StoreResponse<PutOutcome>, StoreError>;

    /// Deletes the blob if it still has this ETag.
    async fn delete(
        &self,
        key: &BlobKey,
        if_match: &ETag,
    ) -> Result<StoreResponse<DeleteOutcome>, StoreError>;

    /// All blobs directly below `prefix`, without those in deeper folders, in no particular order.
    async fn list(&self, prefix: &Prefix) -> Result<StoreResponse<Listing>, StoreError>;

    /// The blobs and folders directly below `prefix`, in no particular order. The cost doesn't depend on what is
    /// deeper. Only an account with a hierarchical namespace lists folders that contain no blob.
    async fn contents(&self, prefix: &Prefix) -> Result<StoreResponse<Contents>, StoreError>;
}

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

/// A complete listing.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// All blobs, in no particular order.
    pub blobs: Vec<ListedBlob>,
    /// The names of entries that aren't files ([`StoreError::NotAFile`]), escaped as in [`ListedBlob::name`]. A folder
    /// that exists only as part of blob names may be left out.
    pub others: Vec<String>,
    /// The number of storage requests (Azure returns 5,000 blobs per page).
    pub requests: u32,
}

/// The entries directly below a prefix.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Folder names relative to the prefix, without a slash, escaped as in [`ListedBlob::name`].
    pub folders: BTreeSet<String>,
    /// The blobs, as in [`Listing::blobs`].
    pub blobs: Vec<ListedBlob>,
    /// The number of storage requests.
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

/// A version of a blob, without quotes: listings return ETags bare, headers quoted.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ETag(Arc<str>);

impl ETag {
    /// Parses an ETag with or without quotes.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        Self(
            text.strip_prefix('"')
                .and_then(|t| t.strip_suffix('"'))
                .unwrap_or(text)
                .into(),
        )
    }

    /// The ETag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ETag in quotes, as used in headers.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl From<String> for ETag {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<ETag> for String {
    fn from(etag: ETag) -> Self {
        etag.as_str().to_owned()
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies one PUT of a task file, so that it can be recognised after its response was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteId(pub u64);

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for WriteId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// The write ids of a blob: that of its latest PUT and of up to fifteen before it, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteIds(Vec<WriteId>);

impl WriteIds {
    /// The maximum number of ids per blob. A write is recognised until this many others have followed it.
    pub const MAX: usize = 16;

    /// The ids for a PUT with `id` that replaces the blob carrying `self`.
    pub fn with_newest(&self, id: WriteId) -> Self {
        Self(
            std::iter::once(id)
                .chain(self.0.iter().copied())
                .take(Self::MAX)
                .collect(),
        )
    }

    /// Whether the blob's content is the result of this write or of a later one that replaced it.
    pub fn contains(&self, id: WriteId) -> bool {
        self.0.contains(&id)
    }

    /// The write that made this version; `None` if another program wrote it.
    pub fn newest(&self) -> Option<WriteId> {
        self.0.first().copied()
    }

    /// Whether another program wrote this version.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Separated by spaces, as stored in blob metadata and sidecars.
impl fmt::Display for WriteIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, id) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{id}")?;
        }
        Ok(())
    }
}

impl WriteIds {
    /// Parses the [`fmt::Display`] form. Skips invalid ids; such a write just isn't recognised.
    pub fn parse(text: &str) -> Self {
        Self(
            text.split(' ')
                .filter_map(|id| id.parse().ok())
                .take(Self::MAX)
                .collect(),
        )
    }
}

/// A path for the log. Of a task file's name only the number is shown, because the rest is the task's title.
fn redact_title(key: &str) -> String {
    match key.split_once("/tasks/") {
        Some((folder, name)) if key.starts_with("raw/") => {
            let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{folder}/tasks/{}…", &name[..name.len() - rest.len()])
        }
        _ => key.to_owned(),
    }
}

/// Why a storage call has no outcome. Contains no account key, no signature and no URL with one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No usable response: connection refused or reset, timeout, 5xx. A write may or may not have happened.
    #[error(
        "storage can't be reached for {operation} {}: {reason}",
        redact_title(key)
    )]
    Unavailable {
        /// `get`, `put`, `delete`, `list`; `open` for a directory.
        operation: &'static str,
        /// The requested path.
        key: String,
        /// The cause, for the log.
        reason: String,
    },
    /// The store refuses the operation until an operator changes something: wrong key, missing role, read-only or full
    /// disk.
    #[error("storage refuses {operation} {}: {reason}", redact_title(key))]
    Denied {
        /// `get`, `put`, `delete`, `list`; `open` for a directory.
        operation: &'static str,
        /// The requested path.
        key: String,
        /// The cause, for the log.
        reason: String,
    },
    /// The entry isn't a file: a folder, a dangling or circular link, a socket; on Azure a folder of a hierarchical
    /// namespace. The blob doesn't exist, but its name isn't free: [`PutIf::Absent`], [`PutIf::Same`] and deletions are
    /// refused until the entry is moved away.
    #[error("{} is no file", redact_title(key))]
    NotAFile {
        /// The requested path.
        key: String,
    },
    /// This blob can't be read, although others can: a file without permission, a blob in the archive tier.
    #[error("{} can't be read: {reason}", redact_title(key))]
    Unreadable {
        /// The requested path.
        key: String,
        /// The cause, for the log.
        reason: String,
    },
}
