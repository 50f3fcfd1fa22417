//! The memory layer: per instance, bounded by bytes.

use std::sync::Arc;
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::entry::Entry;
use super::state::Version;
use crate::user::UserId;

/// Entries by user. There is no invalidation: an entry is judged by its versions when it is read,
/// and replaced only by one that contains at least as much (P4).
#[derive(Debug, Clone)]
pub(super) struct Memory {
    entries: Cache<UserId, Arc<Entry>>,
}

/// What moka itself keeps for an entry: key, hash, timer and queue nodes. Measured, rounded up.
const OVERHEAD: usize = 512;

impl Memory {
    /// Keeps entries up to `max_bytes` together, each for `keep` after it was put in.
    pub(super) fn new(max_bytes: u64, keep: Duration) -> Self {
        let weigh = |_: &UserId, entry: &Arc<Entry>| {
            u32::try_from(entry.weight() + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self {
            entries: Cache::builder()
                .max_capacity(max_bytes)
                .weigher(weigh)
                .time_to_live(keep)
                .build(),
        }
    }

    /// The user's entry, whatever its age.
    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Entry>> {
        self.entries.get(user)
    }

    /// Puts `entry` in, unless the present one contains more.
    pub(super) fn publish(&self, entry: &Arc<Entry>) {
        self.entries
            .entry(entry.user.clone())
            .and_compute_with(|present| {
                let keep = present.is_some_and(|present| contains_more(present.value(), entry));
                if keep {
                    Op::Nop
                } else {
                    Op::Put(Arc::clone(entry))
                }
            });
    }

    /// Replaces `old` by `new`, if it is still there. With both the same it is weighed again.
    pub(super) fn replace(&self, old: &Arc<Entry>, new: &Arc<Entry>) {
        self.entries
            .entry(old.user.clone())
            .and_compute_with(|present| {
                let current = present.is_some_and(|present| Arc::ptr_eq(present.value(), old));
                if current {
                    Op::Put(Arc::clone(new))
                } else {
                    Op::Nop
                }
            });
    }

    /// How many users are held, and what they occupy together in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

/// Whether `present` must not be replaced by `new`.
fn contains_more(present: &Entry, new: &Entry) -> bool {
    let (present, new) = (&present.knowledge, &new.knowledge);
    present.lo > new.lo || (present.lo == new.lo && present.exact && !new.exact)
}

/// The highest version this instance has acknowledged to each user, for as long as an older entry could
/// stand in (P9). Beside the entries, because they may be evicted.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    versions: Cache<UserId, Version>,
}

impl Acknowledged {
    /// Keeps each for `keep` after it was last raised.
    pub(super) fn new(keep: Duration) -> Self {
        Self {
            versions: Cache::builder().time_to_live(keep).build(),
        }
    }

    /// The change with this version is about to be acknowledged.
    pub(super) fn note(&self, user: &UserId, version: Version) {
        self.versions
            .entry(user.clone())
            .and_compute_with(|present| match present {
                Some(present) if *present.value() >= version => Op::Nop,
                _ => Op::Put(version),
            });
    }

    /// Whether an entry that surely contains everything up to `lo` has all that was acknowledged.
    pub(super) fn is_in(&self, user: &UserId, lo: Version) -> bool {
        self.versions.get(user).is_none_or(|version| version <= lo)
    }
}
