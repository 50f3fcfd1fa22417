//! A read request and its result.

use std::sync::Arc;

use super::decide::Consistency;
use super::snapshot::Snapshot;
use crate::now::Now;
use crate::store::Requests;
use crate::user::UserId;
use crate::user_state::Version;

/// A read request: whose files, and how current the answer must be.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The user whose files are read.
    pub user: UserId,
    /// The highest version that the client has seen; the answer must contain it (P1, P3).
    pub seen: Option<Version>,
    /// How current the answer must be.
    pub consistency: Consistency,
    /// When the request arrived.
    pub now: Now,
}

/// The result of a read.
#[derive(Debug, Clone)]
pub struct Read {
    /// The user's snapshot, with the tasks placed for the time of the request.
    pub entry: Arc<Snapshot>,
    /// Which layer supplied it.
    pub layer: Layer,
    /// The storage requests made for this reader; 0 for a follower, they count for its leader.
    pub requests: Requests,
}

/// The layer that supplied an answer, reported in `x-codex-cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// This instance's memory.
    Memory,
    /// The cache that instances share.
    Shared,
    /// The artifact blob.
    Artifact,
    /// A new listing of the task files.
    Rebuild,
    /// Memory, while the store is unreachable.
    Stale,
}

impl ReadRequest {
    /// A request by a client that has seen nothing yet.
    pub fn new(user: UserId, consistency: Consistency, now: Now) -> Self {
        Self {
            user,
            seen: None,
            consistency,
            now,
        }
    }

    /// The same request at another consistency.
    pub fn at(&self, consistency: Consistency) -> Self {
        Self {
            consistency,
            ..self.clone()
        }
    }
}

impl Read {
    pub(super) fn new(entry: Arc<Snapshot>, layer: Layer, requests: Requests) -> Self {
        Self {
            entry,
            layer,
            requests,
        }
    }
}

impl Layer {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "redis",
            Self::Artifact => "artifact",
            Self::Rebuild => "rebuild",
            Self::Stale => "stale",
        }
    }
}
