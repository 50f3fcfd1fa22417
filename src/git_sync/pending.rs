//! PURE. Operations of unknown outcome, by file: the part of `git.json` by which any instance, also after a crash,
//! recognises what came from here (`src/git_sync/README.md`, "Several instances and crashes").

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::{WriteId, WriteIds};
use crate::task::{FileName, GitSha};

const MAX_PENDING: usize = 8;

/// Age at which an inbound write counts as no longer running: write intents and requests both end before.
const INBOUND_WRITE_MAX_AGE: TimeDelta = TimeDelta::minutes(5);

/// Operations of unknown outcome, by file; the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pending<T>(BTreeMap<String, Vec<T>>);

/// Contents whose push has an unknown outcome.
pub(super) type PendingPushes = Pending<GitSha>;

/// Contents of Git whose write to the store has an unknown outcome.
pub(super) type InboundWrites = Pending<InboundWrite>;

/// The write of a content of Git to the store, alone or merged with ours, whose outcome isn't recorded yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundWrite {
    /// The content that Git had.
    pub(super) sha: GitSha,
    /// The base at that time. If it has moved since, the written content was derived from another base.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) base: Option<GitSha>,
    /// The id of the write. A file has come from it if its write ids contain this one.
    pub(super) write: String,
    /// When it was recorded.
    pub(super) at: DateTime<Utc>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl InboundWrite {
    fn is_among(&self, writes: &WriteIds) -> bool {
        self.write.parse().is_ok_and(|id| writes.contains(id))
    }
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Pending<T> {
    /// The operations on one file.
    pub(super) fn of(&self, name: &FileName) -> &[T] {
        self.0.get(name.as_str()).map_or(&[], Vec::as_slice)
    }

    /// The files with such an operation.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub(super) fn contains_file(&self, name: &FileName) -> bool {
        self.0.contains_key(name.as_str())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes all operations on a file: their outcomes are known.
    pub(super) fn end_all(&mut self, name: &FileName) {
        self.0.remove(name.as_str());
    }

    /// Adds the newest operation. Beyond [`MAX_PENDING`] the oldest one is forgotten.
    fn add(&mut self, name: &FileName, newest: T) {
        let pending = self.0.entry(name.to_string()).or_default();
        pending.push(newest);
        if pending.len() > MAX_PENDING {
            pending.remove(0);
        }
    }

    fn end_where(&mut self, name: &FileName, ends: impl Fn(&T) -> bool) {
        if let Some(pending) = self.0.get_mut(name.as_str()) {
            pending.retain(|it| !ends(it));
            if pending.is_empty() {
                self.0.remove(name.as_str());
            }
        }
    }
}

impl PendingPushes {
    /// Records that a push of this content starts.
    pub(super) fn begin(&mut self, name: &FileName, sha: GitSha) {
        if !self.of(name).contains(&sha) {
            self.add(name, sha);
        }
    }

    pub(super) fn end(&mut self, name: &FileName, sha: GitSha) {
        self.end_where(name, |it| *it == sha);
    }

    pub(super) fn extend_from(&mut self, other: &Self) {
        for (name, contents) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            for sha in contents {
                if !mine.contains(sha) {
                    mine.push(*sha);
                }
            }
        }
    }
}

impl InboundWrites {
    /// Records that a write starts.
    pub(super) fn begin(&mut self, name: &FileName, write: InboundWrite) {
        self.end_where(name, |it| it.write == write.write);
        self.add(name, write);
    }

    /// The newest write of the file that these write ids contain.
    pub(super) fn newest_in(&self, name: &FileName, writes: &WriteIds) -> Option<&InboundWrite> {
        self.of(name).iter().rev().find(|it| it.is_among(writes))
    }

    /// The newest write of this content to the file.
    pub(super) fn newest_of(&self, name: &FileName, sha: GitSha) -> Option<&InboundWrite> {
        self.of(name).iter().rev().find(|it| it.sha == sha)
    }

    /// Whether a write of the file was recorded that isn't in the `earlier` state.
    pub(super) fn has_since(&self, earlier: &Self, name: &FileName) -> bool {
        let before = earlier.of(name);
        self.of(name).iter().any(|it| !before.contains(it))
    }

    /// Ends an answered write, and the writes that are contained in the file it `replaced`. Others stay: a write that
    /// creates the file on condition that it is absent may still land after the file is removed.
    pub(super) fn end(&mut self, name: &FileName, write: WriteId, replaced: &WriteIds) {
        let write = write.to_string();
        self.end_where(name, |it| it.write == write || it.is_among(replaced));
    }

    pub(super) fn end_in(&mut self, name: &FileName, writes: &WriteIds) {
        self.end_where(name, |it| it.is_among(writes));
    }

    /// Drops those that are too old to be still running.
    pub(super) fn drop_expired(&mut self, now: DateTime<Utc>) {
        self.0.retain(|_, writes| {
            writes.retain(|it| now - it.at <= INBOUND_WRITE_MAX_AGE);
            !writes.is_empty()
        });
    }
}
