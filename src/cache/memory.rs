//! The memory layer: one record per user, bounded by total size in bytes.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::owner::OwnerState;
use super::snapshot::Snapshot;
use super::state::Version;
use crate::user::UserId;

/// One record per user. Nothing is invalidated: a read judges a snapshot by its version bounds and the request's time,
/// and a snapshot is replaced only by one that contains at least as much (P4).
pub(super) struct MemoryCache {
    users: Cache<UserId, Arc<UserRecord>, RandomState>,
    max_bytes: u64,
}

/// One user's snapshot and owner. Immutable; replaced as a whole.
#[derive(Debug, Default, Clone)]
pub(super) struct UserRecord {
    pub(super) entry: Option<Arc<Snapshot>>,
    pub(super) owner: OwnerState,
}

/// Size of a record without what it points to, in bytes: the cache's nodes and the allocator's overhead, rounded up.
const OVERHEAD: usize = size_of::<UserRecord>() + 2 * size_of::<UserId>() + 256;

impl UserRecord {
    /// Its size, in bytes.
    fn weight(&self) -> usize {
        OVERHEAD + self.owner.weight() + self.entry.as_ref().map_or(0, |entry| entry.weight())
    }
}

impl MemoryCache {
    /// Holds records of up to `max_bytes` in total, each for at most `ttl` after it was last replaced.
    pub(super) fn new(max_bytes: u64, ttl: Duration) -> Self {
        let weigh =
            |_: &UserId, known: &Arc<UserRecord>| known.weight().try_into().unwrap_or(u32::MAX);
        let users = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weigh)
            // LRU always admits a new record. The default policy admits by past frequency and would keep newcomers out.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(ttl)
            .build_with_hasher(RandomState::default());
        Self { users, max_bytes }
    }

    /// The user's record, of any age.
    pub(super) fn known(&self, user: &UserId) -> Option<Arc<UserRecord>> {
        self.users.get(user)
    }

    /// The user's snapshot, of any age.
    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Snapshot>> {
        self.known(user)?.entry.clone()
    }

    /// Stores `entry`, unless the present snapshot contains more. If the present one has a higher `hi`, what it has
    /// shown must not vanish again: `entry` is then stored as inexact, which the state document can't confirm: the next
    /// read takes a current artifact or lists.
    pub(super) fn publish(&self, entry: &Arc<Snapshot>) {
        self.update(&entry.user, |known| {
            let next = match &known.entry {
                Some(present) if contains_more(present, entry) => return None,
                Some(present) if is_older(entry, present) => Arc::new(entry.as_inexact()),
                _ => Arc::clone(entry),
            };
            known.entry = Some(next);
            Some(())
        });
    }

    /// Stores a snapshot whose version was assigned to a foreign file. A present snapshot of an earlier version lacks
    /// that file: it is replaced even if it is exact, or, if it contains more of other changes, marked inexact.
    pub(super) fn publish_foreign(&self, entry: &Arc<Snapshot>) {
        let is_stored = self.update(&entry.user, |known| {
            let present = known.entry.as_ref();
            let present = present.filter(|present| is_older(present, entry))?;
            let next = match present.bounds.lo > entry.bounds.lo {
                true => Arc::new(present.as_inexact()),
                false => Arc::clone(entry),
            };
            known.entry = Some(next);
            Some(())
        });
        if is_stored.is_none() {
            self.publish(entry);
        }
    }

    /// Replaces `old` by `new` if `old` is still stored. With `old` and `new` the same, it is weighed again.
    pub(super) fn replace(&self, old: &Arc<Snapshot>, new: &Arc<Snapshot>) {
        self.put(&old.user, new, |present| {
            present.is_some_and(|present| Arc::ptr_eq(present, old))
        });
    }

    fn put(
        &self,
        user: &UserId,
        entry: &Arc<Snapshot>,
        may_replace: impl FnOnce(Option<&Arc<Snapshot>>) -> bool,
    ) {
        self.update(user, |known| {
            may_replace(known.entry.as_ref()).then(|| known.entry = Some(Arc::clone(entry)))
        });
    }

    /// Updates the user's record atomically; does nothing if `update` returns `None`. A snapshot larger than the whole
    /// layer isn't stored, and evicts nothing.
    pub(super) fn update<T>(
        &self,
        user: &UserId,
        update: impl FnOnce(&mut UserRecord) -> Option<T>,
    ) -> Option<T> {
        let mut updated = None;
        let record = self.users.entry_by_ref(user);
        record.and_compute_with(|present| {
            let mut known =
                present.map_or_else(UserRecord::default, |it| UserRecord::clone(it.value()));
            updated = update(&mut known);
            if updated.is_none() {
                return Op::Nop;
            }
            if known.weight() as u64 > self.max_bytes {
                known.entry = None;
            }
            Op::Put(Arc::new(known))
        });
        updated
    }

    /// Number of snapshots, and the size of all records in bytes, after pending evictions and expiries.
    pub(super) fn size(&self) -> (u64, u64) {
        self.users.run_pending_tasks();
        let entries = self.users.iter().filter(|(_, it)| it.entry.is_some());
        (entries.count() as u64, self.users.weighted_size())
    }
}

/// Whether `other` may contain changes later than any in `entry`.
fn is_older(entry: &Snapshot, other: &Snapshot) -> bool {
    entry.bounds.hi < other.bounds.hi
}

/// Whether `present` must not be replaced by `new`: it has the higher `lo`, or the same and only it is exact.
fn contains_more(present: &Snapshot, new: &Snapshot) -> bool {
    let (present, new) = (&present.bounds, &new.bounds);
    present.lo > new.lo || (present.lo == new.lo && present.exact && !new.exact)
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

    /// Whether a snapshot with the lower bound `lo` contains every acknowledged change.
    pub(super) fn covered_by(&self, user: &UserId, lo: Version) -> bool {
        self.versions.get(user).is_none_or(|version| version <= lo)
    }
}
