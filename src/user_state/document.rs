//! PURE. The per-user state document, on which all instances agree (src/user_state/README.md, "The state document"), and
//! why it can't be read or changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use derive_more::Display;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::{BlobFormat, ETag, StoreError, WriteId, WriteIds};
use crate::task::GitSha;

/// Version of a user's data. Grows by one with each change; a new document starts at the storage clock in milliseconds.
#[derive(
    Debug,
    Display,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The next version.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// JSON members that this version of the service doesn't know; they are kept when the document is rewritten.
pub type UnknownMembers = Map<String, Value>;

/// The state document, `state/{user}/state.json`. Changed only by compare-and-swap on its ETag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Format of the document.
    pub format: BlobFormat,
    /// Version of the newest change, pending or finished.
    pub version: Version,
    /// Number of the next task; from 10,000 on the counter is used up.
    pub next_id: u32,
    /// Write intents by operation id.
    #[serde(default)]
    pub pending: BTreeMap<String, PendingOp>,
    /// Idempotency records by the SHA-256 of the key in hex.
    #[serde(default)]
    pub idempotency: BTreeMap<String, IdempotencyRecord>,
    /// The older service's counter, if it exists. It is kept at or above `next_id`, so that going back to that service
    /// stays possible.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub legacy_next_id: Option<LegacyNextId>,
    /// Files in whose Git merge the service's own value won in some field, by name, until their next change.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub merged: BTreeMap<String, MergedFile>,
    /// Files that were removed through the service, by name, until Git lacks them, too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub removed: BTreeMap<String, RemovedFile>,
    /// The files that one version was made for; says nothing about later versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub files: Option<FilesDigest>,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

/// Digest of the files that a version was made for. An instance without earlier knowledge tells by it whether the
/// version already accounts for a foreign file that it finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesDigest {
    /// The version made for them.
    pub version: Version,
    /// Digest of their names and ETags, 32 hex digits.
    pub digest: String,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

/// A file some of whose fields were changed both in the service and in Git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedFile {
    /// Git blob hash of the merged content; the entry doesn't apply to any other content.
    pub sha: GitSha,
    /// Fields in which the service's own value won.
    pub fields: Vec<String>,
    /// Version of the operation that wrote the merge.
    pub version: Version,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

/// A file that was, or is about to be, removed through the service, and may still be in Git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedFile {
    /// Version of the newest operation that removes it.
    pub version: Version,
    /// When that was recorded, by the storage clock.
    pub at: DateTime<Utc>,
    /// Git blob SHA of the removed content, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha: Option<GitSha>,
    /// Whether earlier removals of the file were recorded by then: they may have had an effect even if this one hasn't.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub repeated: bool,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

/// `state/{user}/nextId.txt` as last read or written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegacyNextId {
    /// The number in it.
    pub number: u32,
    /// Its ETag.
    pub etag: ETag,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

/// Write intent of an operation: its files may or may not have been written yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingOp {
    /// Version of the operation.
    pub version: Version,
    /// When the intent was recorded, by the storage clock.
    pub at: DateTime<Utc>,
    /// Files that the operation writes.
    pub files: Vec<PendingFile>,
    /// The store denied the write, and may deny its recovery. The intent is left only because an earlier attempt of the
    /// write may still be on its way.
    #[serde(
        rename = "refused",
        skip_serializing_if = "std::ops::Not::not",
        default
    )]
    pub denied: bool,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

impl PendingOp {
    /// Whether both are the same intent, not a later one under the same operation id. Unknown members are ignored: a
    /// newer version of the service may have added some.
    pub fn is_same(&self, other: &Self) -> bool {
        fn writes(intent: &PendingOp) -> impl Iterator<Item = (&str, &str, ChangeKind)> {
            let files = intent.files.iter();
            files.map(|file| (&*file.name, &*file.write_id, file.kind))
        }
        self.version == other.version && writes(self).eq(writes(other))
    }

    /// Whether the intent is `expiry` old at the storage time `date`. That decides only when recovery is tried, not
    /// whether it is safe.
    pub fn is_overdue(&self, date: DateTime<Utc>, expiry: Duration) -> bool {
        (date - self.at).to_std().is_ok_and(|age| age >= expiry)
    }
}

/// One file of a write intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingFile {
    /// File name in the user's tasks folder.
    pub name: String,
    /// Write id that its PUT carries, as 16 hex digits. A DELETE carries none.
    pub write_id: String,
    /// The kind of change.
    pub kind: ChangeKind,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

impl PendingFile {
    /// Whether a file with these write ids contains the operation's write.
    pub fn has_landed_in(&self, writes: &WriteIds) -> bool {
        let id = self.write_id.parse::<WriteId>();
        id.is_ok_and(|id| writes.contains(id))
    }
}

/// What an operation does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Creates it.
    Create,
    /// Replaces it.
    Update,
    /// Removes it.
    Delete,
}

/// Record of a create under an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyRecord {
    /// SHA-256 of the request's body, in hex.
    pub body: String,
    /// Id of the operation that creates the task.
    pub op: String,
    /// The task's number.
    pub id: u32,
    /// Name of the task file.
    pub file: String,
    /// Version of the operation.
    pub version: Version,
    /// When the create was recorded, by the storage clock.
    pub at: DateTime<Utc>,
    /// Members that this version of the service doesn't know; kept when the document is rewritten.
    #[serde(flatten)]
    pub unknown: UnknownMembers,
}

/// Result of reading the state document.
#[derive(Debug, Clone)]
pub enum StatePresence {
    /// There is none.
    Missing,
    /// The blob isn't a state document; a new one replaces exactly this ETag.
    Damaged(ETag),
    /// The document.
    Present(Arc<StoredState>),
}

impl StatePresence {
    /// The document, if there is a usable one.
    pub fn stored(&self) -> Option<&Arc<StoredState>> {
        match self {
            Self::Present(stored) => Some(stored),
            Self::Missing | Self::Damaged(_) => None,
        }
    }
}

/// The state document as it was read or written, with its ETag.
#[derive(Debug, Clone)]
pub struct StoredState {
    /// The document.
    pub state: State,
    /// Its ETag.
    pub etag: ETag,
}

impl StoredState {
    /// Whether this is certainly the later of the two. Within one version intents are only removed, never added.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let progress = |it: &Self| (it.state.version, std::cmp::Reverse(it.state.pending.len()));
        progress(self) > progress(other)
    }

    /// Approximate size in memory in bytes; only the records can be many.
    pub fn weight(&self) -> usize {
        const RECORD: usize = size_of::<IdempotencyRecord>() + 4 * 64;
        let records = self.state.idempotency.len() + self.state.removed.len();
        size_of::<Self>() + 128 + records * RECORD
    }
}

/// The blob was written by a newer major version of the service, whose format this one can't interpret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state blob has a newer format")]
pub struct NewerFormat;

impl State {
    /// A new document, for a new user or in place of a lost one. `floor` is the highest version that may have been
    /// handed out before.
    pub fn new(floor: Version, next_id: u32) -> Self {
        Self {
            format: BlobFormat::CURRENT,
            version: floor.next(),
            next_id,
            pending: BTreeMap::new(),
            idempotency: BTreeMap::new(),
            legacy_next_id: None,
            merged: BTreeMap::new(),
            removed: BTreeMap::new(),
            files: None,
            unknown: UnknownMembers::new(),
        }
    }

    /// Parses the document; `Ok(None)` if it is damaged.
    ///
    /// # Errors
    /// [`NewerFormat`] if it can't be parsed and names a newer format. That isn't damage: replacing it would lose its
    /// content.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NewerFormat> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(state) => Ok(Some(state)),
            Err(_) if BlobFormat::is_from_newer(bytes) => Err(NewerFormat),
            Err(_) => Ok(None),
        }
    }

    /// The stored form, JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys, strings and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether a newer major version wrote the document: it may be read but never rewritten.
    pub fn is_read_only(&self) -> bool {
        self.format.is_read_only()
    }

    /// Highest version up to which nothing is pending. A listing sent from now on contains every change up to it.
    pub fn finished(&self) -> Version {
        let lowest = self.pending.values().map(|op| op.version).min();
        lowest.map_or(self.version, |lowest| Version(lowest.0.saturating_sub(1)))
    }

    /// Whether the document is at `version` with nothing pending.
    pub fn is_quiescent_at(&self, version: Version) -> bool {
        self.version == version && self.pending.is_empty()
    }

    /// The same document, noting that its version was made for the files of this digest.
    pub fn with_files_digest(self, digest: String) -> Self {
        let files = FilesDigest {
            version: self.version,
            digest,
            unknown: UnknownMembers::new(),
        };
        Self {
            files: Some(files),
            ..self
        }
    }

    /// The document after a change of the files by another program: a new version above `floor`, and a counter of at
    /// least `next_id`.
    pub fn after_foreign_write(&self, floor: Version, next_id: u32) -> Self {
        Self {
            version: self.version.max(floor).next(),
            next_id: self.next_id.max(next_id),
            ..self.clone()
        }
    }
}

/// Why a user's data, or a document about it, can't be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The deadline of a whole read passed, or, where a stale snapshot may be served, a shorter one of the store's first
    /// answer.
    #[error("the storage took too long")]
    TimedOut,
    /// Concurrent writers won every compare-and-swap.
    #[error("other writers kept changing the user's data")]
    Contended,
    /// A newer version of the service wrote a blob that this one can't read, or must not write.
    #[error(transparent)]
    NewerFormat(#[from] NewerFormat),
    /// The background task panicked or returned an impossible result: a defect.
    #[error("the background task ended without a result")]
    Broken,
}

/// Why a command wasn't applied to the state document.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The document can't be read or written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user has no state document, or a damaged one: a read creates it.
    #[error("the user has no state")]
    NoState,
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

impl ReadError {
    /// Whether the store was unreachable, so a snapshot may be served stale.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_) | Self::TimedOut)
    }
}
