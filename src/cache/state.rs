//! The per-user state document, on which all instances agree (src/cache/README.md, "The state document").

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::format::Format;
use crate::store::{ETag, WriteId, WriteIds};
use crate::task::GitSha;

/// The version of a user's data: grows by one with every change, starts at the storage's clock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Members this version doesn't know; they survive a rewrite.
pub(super) type Unknown = Map<String, Value>;

/// `state/{user}/state.json`, changed only by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Of the whole blob.
    pub format: Format,
    /// The newest change, finished or not.
    pub version: Version,
    /// The number the next task gets; from 10,000 on, the counter is used up.
    pub next_id: u32,
    /// What is being written, by op id.
    #[serde(default)]
    pub pending: BTreeMap<String, PendingOp>,
    /// What was created under an `Idempotency-Key`, by the key's SHA-256 in hex.
    #[serde(default)]
    pub idempotency: BTreeMap<String, Idempotent>,
    /// The older service's counter, where there is one: it is kept at or above `next_id`, so that going
    /// back is possible.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub legacy_next_id: Option<LegacyNextId>,
    /// Files that were merged with what Git had, by name, until their next change.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub merged: BTreeMap<String, MergedFile>,
    /// The files as they were when a version was made for them, which says nothing of later versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub files: Option<NamedFiles>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The files that a version was made for: by it an instance that knows no earlier files can tell that the version
/// stands for an editor's file that it finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFiles {
    /// The version.
    pub version: Version,
    /// Of their names and versions.
    pub digest: String,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A file whose fields were changed both here and in Git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedFile {
    /// The content that came of it: of another one this says nothing.
    pub sha: GitSha,
    /// The fields in which the change made here stands.
    pub fields: Vec<String>,
    /// The version of the op that merged it.
    pub version: Version,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// `state/{user}/nextId.txt` as last read or written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegacyNextId {
    /// What it says.
    pub number: u32,
    /// Its version.
    pub etag: ETag,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The mark of an op whose files may or may not have changed yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingOp {
    /// The version the op was given.
    pub version: Version,
    /// When the mark was set, by the storage's clock.
    pub at: DateTime<Utc>,
    /// What it writes.
    pub files: Vec<PendingFile>,
    /// The store refused its write, and may refuse to have it settled, too. It stands only because an earlier try of
    /// that write may be on its way.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub refused: bool,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl PendingOp {
    /// Whether it is this very mark, and not a later one of its name. A newer version may have added members
    /// since.
    pub(super) fn is(&self, other: &Self) -> bool {
        fn writes(mark: &PendingOp) -> impl Iterator<Item = (&str, &str, ChangeKind)> {
            let files = mark.files.iter();
            files.map(|file| (&*file.name, &*file.write_id, file.kind))
        }
        self.version == other.version && writes(self).eq(writes(other))
    }

    /// Whether its time is over at `date`, by the storage's clock, which decides only when to try to
    /// settle it.
    pub fn is_overdue(&self, date: DateTime<Utc>, expiry: Duration) -> bool {
        (date - self.at).to_std().is_ok_and(|age| age >= expiry)
    }
}

/// One file of a pending op.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingFile {
    /// The file's name in the user's tasks folder.
    pub name: String,
    /// The id its PUT carries, as sixteen hexadecimal digits.
    pub write_id: String,
    /// What is done to it.
    pub kind: ChangeKind,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl PendingFile {
    /// Whether a file with these write ids has the op's write in it.
    pub fn is_in(&self, writes: &WriteIds) -> bool {
        let id = self.write_id.parse::<WriteId>();
        id.is_ok_and(|id| writes.contains(id))
    }
}

/// What an op does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It wasn't there.
    Create,
    /// It is replaced.
    Update,
    /// It is removed.
    Delete,
}

/// What was created under an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Idempotent {
    /// SHA-256 of the request's body, in hex.
    pub body: String,
    /// The op that creates it.
    pub op: String,
    /// The task's number.
    pub id: u32,
    /// The file's name.
    pub file: String,
    /// The version the op was given.
    pub version: Version,
    /// When, by the storage's clock.
    pub at: DateTime<Utc>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What a read of the state blob found.
#[derive(Debug, Clone)]
pub enum StateFound {
    /// Nothing there.
    Missing,
    /// Something that isn't a state blob: it is made again, in place of exactly this version.
    Damaged(ETag),
    /// A state.
    Present(Arc<SeenState>),
}

/// A state blob as it was read or written.
#[derive(Debug, Clone)]
pub struct SeenState {
    /// What it says.
    pub state: State,
    /// Its version.
    pub etag: ETag,
}

impl SeenState {
    /// Whether it surely is the later of the two: at one version marks are only ever taken away.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        let progress = |it: &Self| (it.state.version, std::cmp::Reverse(it.state.pending.len()));
        progress(self) > progress(other)
    }

    /// What it occupies, in bytes, more or less: the records are what can be many.
    pub(super) fn weight(&self) -> usize {
        const RECORD: usize = size_of::<Idempotent>() + 4 * 64;
        size_of::<Self>() + 128 + self.state.idempotency.len() * RECORD
    }
}

/// The blob was written by a newer major version of the service and means something this one can't
/// know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state blob has a newer format")]
pub struct NewerFormat;

impl State {
    /// A new user's state, or one that was lost: `floor` is every version that may have been handed
    /// out before.
    pub fn new(floor: Version, next_id: u32) -> Self {
        Self {
            format: Format::CURRENT,
            version: floor.next(),
            next_id,
            pending: BTreeMap::new(),
            idempotency: BTreeMap::new(),
            legacy_next_id: None,
            merged: BTreeMap::new(),
            files: None,
            unknown: Unknown::new(),
        }
    }

    /// Reads a blob. `Ok(None)` for one that is damaged. What a newer version wrote is never damaged, only
    /// not understood: to make it again would lose what it says.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NewerFormat> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(state) => Ok(Some(state)),
            Err(_) if Format::is_of_newer(bytes) => Err(NewerFormat),
            Err(_) => Ok(None),
        }
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys, strings and numbers: nothing in it can fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Written by a newer major version: may be read, never rewritten.
    pub fn is_read_only(&self) -> bool {
        self.format.is_read_only()
    }

    /// Every change up to this one is finished: in the files for whoever lists them from now on.
    pub fn finished(&self) -> Version {
        let lowest = self.pending.values().map(|op| op.version).min();
        lowest.map_or(self.version, |lowest| Version(lowest.0.saturating_sub(1)))
    }

    /// Nothing has changed since `version`, and nothing is being changed.
    pub fn is_settled_at(&self, version: Version) -> bool {
        self.version == version && self.pending.is_empty()
    }

    /// The same state, whose version was made for these files.
    pub(super) fn naming(self, digest: String) -> Self {
        let named = NamedFiles {
            version: self.version,
            digest,
            unknown: Unknown::new(),
        };
        Self {
            files: Some(named),
            ..self
        }
    }

    /// The state after a change that something else made to the files: a new version, and a counter
    /// above every number in them.
    pub fn after_foreign_write(&self, floor: Version, next_id: u32) -> Self {
        Self {
            version: self.version.max(floor).next(),
            next_id: self.next_id.max(next_id),
            ..self.clone()
        }
    }
}
