//! The memory layer: one snapshot per user, bounded by total size in bytes.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::decide::{PublishStep, decide_publish, decide_publish_foreign};
use super::settings::CacheSettings;
use super::snapshot::Snapshot;
use crate::user::UserId;
use crate::user_state::{KnownStates, StoredState, Version};

/// One snapshot per user. Nothing is invalidated: a read judges a snapshot by its version bounds and the request's time,
/// and a snapshot is replaced only by one that contains at least as much (P4).
pub struct SnapshotMemory {
    users: Cache<UserId, Arc<Snapshot>, RandomState>,
    max_bytes: u64,
}

/// Size of a record beside the snapshot, in bytes: the key, the cache's nodes and the allocator's overhead, rounded up.
const OVERHEAD: usize = 2 * size_of::<UserId>() + 256;

/// A returning user's snapshot is kept at least as long: it saves the next rebuild its GETs.
const MIN_TTL: Duration = Duration::from_secs(3 * 3600);

fn weight(snapshot: &Snapshot) -> usize {
    OVERHEAD + snapshot.weight()
}

impl SnapshotMemory {
    /// A memory within the limits of `settings`. A snapshot can be confirmed for `memory_ttl` after it was last replaced,
    /// and from then on be served stale for `stale_if_error`.
    pub fn new(settings: &CacheSettings) -> Self {
        let max_bytes = settings.memory_max_bytes;
        let ttl = settings.memory_ttl.saturating_add(settings.stale_if_error);
        let weigh =
            |_: &UserId, entry: &Arc<Snapshot>| weight(entry).try_into().unwrap_or(u32::MAX);
        let users = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weigh)
            // LRU always admits a new record. The default policy admits by past frequency and would keep newcomers out.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(ttl.max(MIN_TTL))
            .build_with_hasher(RandomState::default());
        Self { users, max_bytes }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Snapshot>> {
        self.users.get(user)
    }

    /// Stores `entry`, unless the present snapshot contains more. `foreign`: its version was assigned to a foreign file.
    pub(super) fn publish(&self, entry: &Arc<Snapshot>, foreign: bool) {
        let decide = match foreign {
            true => decide_publish_foreign,
            false => decide_publish,
        };
        self.update(&entry.user, |present| {
            let Some(present) = present else {
                return Some(Arc::clone(entry));
            };
            match decide(&present.bounds, &entry.bounds) {
                PublishStep::KeepPresent => None,
                PublishStep::MarkPresentInexact => {
                    Some(Arc::new(present.as_inexact(&entry.bounds)))
                }
                PublishStep::Store => Some(Arc::clone(entry)),
                PublishStep::StoreInexact => Some(Arc::new(entry.as_inexact(&present.bounds))),
            }
        });
    }

    /// Replaces `old` by `new` if `old` is still stored. With `old` and `new` the same, it is weighed again.
    pub(super) fn replace(&self, old: &Arc<Snapshot>, new: &Arc<Snapshot>) {
        self.update(&old.user, |present| {
            let is_stored = present.is_some_and(|present| Arc::ptr_eq(present, old));
            is_stored.then(|| Arc::clone(new))
        });
    }

    /// Replaces the user's snapshot atomically; does nothing if `next` returns `None`. A snapshot larger than the whole
    /// layer isn't stored, and evicts no other user's.
    fn update(
        &self,
        user: &UserId,
        next: impl FnOnce(Option<&Arc<Snapshot>>) -> Option<Arc<Snapshot>>,
    ) {
        self.users.entry_by_ref(user).and_compute_with(|present| {
            let present = present.as_ref().map(moka::Entry::value);
            match next(present) {
                Some(next) if weight(&next) as u64 > self.max_bytes => Op::Remove,
                Some(next) => {
                    if let Some(present) = present {
                        next.raise_floor(present.floor());
                    }
                    Op::Put(next)
                }
                None => Op::Nop,
            }
        });
    }

    /// From now on the user's snapshot answers only if it contains this version.
    pub(super) fn raise_floor(&self, user: &UserId, version: Version) {
        self.update(user, |present| {
            present?.raise_floor(version);
            None
        });
    }

    /// Lowers the floor that a hint has raised to `floor`, unless another has raised it since: the version that was just
    /// read is lower, so that it can't be genuine.
    pub(super) fn cap_floor(&self, user: &UserId, floor: Version, version: Version) {
        self.update(user, |present| {
            present?.cap_floor(floor, version);
            None
        });
    }

    /// Number of snapshots, and their size in bytes, after pending evictions and expiries.
    pub(super) fn size(&self) -> (u64, u64) {
        self.users.run_pending_tasks();
        (self.users.entry_count(), self.users.weighted_size())
    }
}

impl KnownStates for SnapshotMemory {
    fn newest(&self, user: &UserId) -> Option<Arc<StoredState>> {
        self.get(user)?.bounds.state.clone()
    }

    fn attach(&self, user: &UserId, stored: &Arc<StoredState>) {
        self.update(user, |present| {
            let present = present?;
            let known = present.bounds.state.as_ref();
            let is_newer = known.is_none_or(|known| stored.is_newer_than(known));
            is_newer.then(|| Arc::new(present.with_state(Arc::clone(stored))))
        });
    }
}

/// The highest version that this instance has acknowledged to each user, for as long as an older snapshot could be
/// served stale (P9). Kept apart from the snapshots, because those may be evicted.
#[derive(Debug, Clone)]
pub(super) struct AcknowledgedVersions {
    versions: Cache<UserId, Version>,
}

impl AcknowledgedVersions {
    /// Keeps each for `ttl` after it was last raised.
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            versions: Cache::builder().time_to_live(ttl).build(),
        }
    }

    /// Records a version, before it is acknowledged.
    pub(super) fn raise(&self, user: &UserId, version: Version) {
        self.versions
            .entry(user.clone())
            .and_compute_with(|present| match present {
                Some(present) if *present.value() >= version => Op::Nop,
                _ => Op::Put(version),
            });
    }

    /// The highest version acknowledged to the user; `None` if none was.
    pub(super) fn get(&self, user: &UserId) -> Option<Version> {
        self.versions.get(user)
    }
}
