//! Where the blobs are: one small trait, two stores behind it.
//!
#![doc = include_str!("README.md")]

pub mod azure;
pub mod directory;
mod key;
mod leftover;
pub mod metered;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use key::{BadBlobName, Key, Prefix};

/// What the service needs of a blob store. Implementations: [`azure::AzureStore`],
/// [`directory::DirectoryStore`]. All of them pass the same conformance suite.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Reads a blob whole.
    async fn get(&self, key: &Key, condition: GetIf) -> Result<Answer<Got>, StoreError>;

    /// Writes a blob whole, atomically and durably: a reader sees the old bytes or the new ones.
    /// A [`Written::Refused`] may be the answer to this call's own success when a first answer was
    /// lost on the way: whoever must know looks for its [`WriteId`] in the blob.
    async fn put(
        &self,
        key: &Key,
        blob: Put,
        condition: PutIf,
    ) -> Result<Answer<Written>, StoreError>;

    /// Removes the blob if it is still the one with this ETag.
    async fn delete(&self, key: &Key, if_match: &ETag) -> Result<Answer<Deleted>, StoreError>;

    /// Every blob directly below `prefix` (nothing from deeper folders), in no particular order.
    async fn list(&self, prefix: &Prefix) -> Result<Answer<Listing>, StoreError>;

    /// What is directly below `prefix`, blobs and folders, in no particular order: what is deeper costs
    /// nothing. A folder without a blob is named only by an account with a hierarchical namespace.
    async fn contents(&self, prefix: &Prefix) -> Result<Answer<Contents>, StoreError>;
}

/// An answer with the time at the store when it was given (`Date`), the only clock that instances
/// compare.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// The store's clock; whole seconds on Azure.
    pub date: DateTime<Utc>,
}

/// Which bytes a read wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GetIf {
    /// Whatever is there.
    Any,
    /// Only if it is no longer this (`If-None-Match`), else [`Got::Unchanged`].
    Changed(ETag),
    /// Only if it is still this (`If-Match`), else [`Got::Changed`].
    Same(ETag),
}

/// The outcome of a read.
#[derive(Debug, Clone)]
pub enum Got {
    /// Here it is.
    Blob(Blob),
    /// Still the version named in [`GetIf::Changed`].
    Unchanged,
    /// Not the version named in [`GetIf::Same`] any more; on Azure it may also be gone, which gets
    /// the same answer (412).
    Changed,
    /// No such blob.
    Absent,
}

/// A blob's bytes and what the store says of them.
#[derive(Debug, Clone)]
pub struct Blob {
    /// All of it.
    pub bytes: Bytes,
    /// Identifies this PUT; writing the same bytes again gives another.
    pub etag: ETag,
    /// The PUTs that led here, newest first; empty for a file that something else wrote.
    pub writes: WriteIds,
}

/// What a write stores.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// The new bytes.
    pub bytes: Bytes,
    /// Kept beside the bytes, never in them.
    pub writes: WriteIds,
}

/// When a write may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIf {
    /// Always.
    Any,
    /// Only if there is no such blob (`If-None-Match: *`).
    Absent,
    /// Only if it is still this one (`If-Match`).
    Same(ETag),
}

/// The outcome of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Stored, under this ETag.
    Done(ETag),
    /// The condition doesn't hold (any more), or holds no longer because this very write succeeded
    /// at a first try whose answer was lost.
    Refused,
}

/// The outcome of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Removed.
    Done,
    /// It is another version now and nothing was removed; on Azure it may also be gone, which gets
    /// the same answer (412). Whoever must know reads.
    Refused,
    /// There is no such blob (any more).
    Absent,
}

/// One whole listing.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Every blob found, in no particular order.
    pub blobs: Vec<Listed>,
    /// The names of what else is there and is no file ([`StoreError::NotAFile`]), as in [`Listed::name`]. A folder
    /// that is only a part of other blobs' names isn't a thing of its own, and may be missing.
    pub others: Vec<String>,
    /// How many storage requests it took (Azure gives 5,000 a page).
    pub requests: u32,
}

/// What is directly below a prefix.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The folders' names below the prefix, each once, without a slash. Odd bytes come as in
    /// [`Listed::name`].
    pub folders: BTreeSet<String>,
    /// The blobs.
    pub blobs: Vec<Listed>,
    /// How many storage requests it took.
    pub requests: u32,
}

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name below the prefix. A name that isn't UTF-8 (possible on disk) comes with its odd
    /// bytes escaped as `\xNN`, which no task file may contain.
    pub name: String,
    /// Equal to the ETag a read or write of this version gives.
    pub etag: ETag,
    /// In bytes.
    pub size: u64,
    /// When it was last written, by the store's clock; none where that can't be told.
    pub modified: Option<DateTime<Utc>>,
}

impl Listed {
    /// Whether it hasn't been written for this long at `date`, by the store's clock.
    pub fn is_older_than(&self, age: TimeDelta, date: DateTime<Utc>) -> bool {
        self.modified.is_some_and(|modified| date - modified > age)
    }

    /// For how long it hasn't been written at `date`, by the store's clock; nothing where that isn't known.
    pub fn age(&self, date: DateTime<Utc>) -> Duration {
        let age = self.modified.map(|modified| date - modified);
        age.and_then(|age| age.to_std().ok()).unwrap_or_default()
    }
}

/// A version of a blob, without quotes: LIST gives it bare, headers quoted.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ETag(Arc<str>);

impl ETag {
    /// Takes an ETag with or without quotes.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        Self(
            text.strip_prefix('"')
                .and_then(|t| t.strip_suffix('"'))
                .unwrap_or(text)
                .into(),
        )
    }

    /// Without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With quotes, as a header wants it.
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

/// Names one PUT of a raw file, so that it can be recognised when its answer was lost.
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

/// The write ids a blob carries: its own and up to fifteen before it, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteIds(Vec<WriteId>);

impl WriteIds {
    /// How many a blob carries at most. A write is recognised while fewer than this many later ones
    /// have followed it.
    pub const MAX: usize = 16;

    /// The ids for a PUT `id` that replaces the blob carrying `self`.
    pub fn followed_by(&self, id: WriteId) -> Self {
        Self(
            std::iter::once(id)
                .chain(self.0.iter().copied())
                .take(Self::MAX)
                .collect(),
        )
    }

    /// Whether this write, or one that replaced it, is what the blob holds.
    pub fn contains(&self, id: WriteId) -> bool {
        self.0.contains(&id)
    }

    /// The write that made this version; none if something else did.
    pub fn newest(&self) -> Option<WriteId> {
        self.0.first().copied()
    }

    /// None: written by something else.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Separated by spaces, as kept in blob metadata and sidecars.
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
    /// Reads what [`fmt::Display`] writes. What isn't an id is left out: it only means that a write
    /// isn't recognised.
    pub fn parse(text: &str) -> Self {
        Self(
            text.split(' ')
                .filter_map(|id| id.parse().ok())
                .take(Self::MAX)
                .collect(),
        )
    }
}

/// A path as it may be logged: of a task file's name the number, the rest is the task's title.
fn untitled(key: &str) -> String {
    match key.split_once("/tasks/") {
        Some((folder, name)) if key.starts_with("raw/") => {
            let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{folder}/tasks/{}…", &name[..name.len() - rest.len()])
        }
        _ => key.to_owned(),
    }
}

/// Why a storage call has no outcome. Holds no account key, no signature and no URL with one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No usable answer: refused, reset, timed out, 5xx. A write may or may not have happened.
    #[error("storage can't be reached for {operation} {}: {reason}", untitled(key))]
    Unavailable {
        /// `get`, `put`, `delete`, `list`; `open` for a directory.
        operation: &'static str,
        /// The path that was asked for.
        key: String,
        /// What went wrong, for the log.
        reason: String,
    },
    /// The store answers and won't do it for us, until somebody changes something there: wrong key,
    /// missing role, read-only or full disk.
    #[error("storage refuses {operation} {}: {reason}", untitled(key))]
    Denied {
        /// `get`, `put`, `delete`, `list`; `open` for a directory.
        operation: &'static str,
        /// The path that was asked for.
        key: String,
        /// What went wrong, for the log.
        reason: String,
    },
    /// Something is there that is no file: a folder, a link that leads nowhere or in a circle, a socket; on Azure a
    /// folder of a hierarchical namespace. So the blob isn't there, its name isn't free either, and that stays until
    /// somebody moves the thing away: [`PutIf::Absent`] and [`PutIf::Same`] are refused, as is a removal.
    #[error("{} is no file", untitled(key))]
    NotAFile {
        /// The path that was asked for.
        key: String,
    },
    /// This one blob can't be read, and the others can: a file without permission, a blob in the archive tier.
    #[error("{} can't be read: {reason}", untitled(key))]
    Unreadable {
        /// The path that was asked for.
        key: String,
        /// What went wrong, for the log.
        reason: String,
    },
}
