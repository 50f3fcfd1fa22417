//! The memory layer: what this instance knows of each person, bounded by bytes.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::entry::Entry;
use super::owner::Owner;
use super::state::Version;
use crate::user::UserId;

/// One record for each person. There is no invalidation: an entry is judged by its versions and by the time of the
/// request when it is read, and replaced only by one that contains at least as much (P4).
pub(super) struct Memory {
    people: Cache<UserId, Arc<Known>, RandomState>,
    max_bytes: u64,
}

/// What is known of one person. Never changed, but replaced.
#[derive(Debug, Default, Clone)]
pub(super) struct Known {
    pub(super) entry: Option<Arc<Entry>>,
    pub(super) owner: Owner,
}

/// What a record occupies beside what it points to: the cache's nodes for it, and what the allocator keeps of them.
/// Rounded up.
const OVERHEAD: usize = size_of::<Known>() + 2 * size_of::<UserId>() + 256;

impl Known {
    /// In bytes.
    fn weigh(&self) -> usize {
        OVERHEAD + self.owner.weight() + self.entry.as_ref().map_or(0, |entry| entry.weight())
    }
}

impl Memory {
    /// Keeps records up to `max_bytes` together, each for `keep` after it was last replaced at most.
    pub(super) fn new(max_bytes: u64, keep: Duration) -> Self {
        let weigh = |_: &UserId, known: &Arc<Known>| known.weigh().try_into().unwrap_or(u32::MAX);
        let people = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weigh)
            // Whoever comes is taken in. By the default policy, those who came often in the past would keep others out.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(keep)
            .build_with_hasher(RandomState::default());
        Self { people, max_bytes }
    }

    /// What is known of the user, whatever its age; `None` when nothing is.
    pub(super) fn known(&self, user: &UserId) -> Option<Arc<Known>> {
        self.people.get(user)
    }

    /// The user's entry, whatever its age.
    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Entry>> {
        self.known(user)?.entry.clone()
    }

    /// Puts `entry` in, unless the present one contains more. Where the present one is of a later version, what it has
    /// shown of that must not vanish again, so `entry` is confirmed by nothing but another look.
    pub(super) fn publish(&self, entry: &Arc<Entry>) {
        self.change(&entry.user, |known| {
            let next = match &known.entry {
                Some(present) if contains_more(present, entry) => return None,
                Some(present) if is_older(entry, present) => Arc::new(entry.doubted()),
                _ => Arc::clone(entry),
            };
            known.entry = Some(next);
            Some(())
        });
    }

    /// The same for an entry whose version was made for an editor's file that is shown now. An entry of an earlier
    /// version lacks it: that one goes, however exact it is, or where it contains more of other changes is at least
    /// confirmed by nothing but another look.
    pub(super) fn publish_named(&self, entry: &Arc<Entry>) {
        let is_named = self.change(&entry.user, |known| {
            let present = known.entry.as_ref();
            let present = present.filter(|present| is_older(present, entry))?;
            let next = match present.knowledge.lo > entry.knowledge.lo {
                true => Arc::new(present.doubted()),
                false => Arc::clone(entry),
            };
            known.entry = Some(next);
            Some(())
        });
        if is_named.is_none() {
            self.publish(entry);
        }
    }

    /// Replaces `old` by `new`, if it is still there. With both the same it is weighed again.
    pub(super) fn replace(&self, old: &Arc<Entry>, new: &Arc<Entry>) {
        self.put(&old.user, new, |present| {
            present.is_some_and(|present| Arc::ptr_eq(present, old))
        });
    }

    fn put(
        &self,
        user: &UserId,
        entry: &Arc<Entry>,
        may: impl FnOnce(Option<&Arc<Entry>>) -> bool,
    ) {
        self.change(user, |known| {
            may(known.entry.as_ref()).then(|| known.entry = Some(Arc::clone(entry)))
        });
    }

    /// Changes what is known of the user. Nothing is touched where the change comes to nothing. An entry that all of
    /// memory couldn't hold isn't kept, nor is anybody sent away for it.
    pub(super) fn change<T>(
        &self,
        user: &UserId,
        change: impl FnOnce(&mut Known) -> Option<T>,
    ) -> Option<T> {
        let mut changed = None;
        let record = self.people.entry_by_ref(user);
        record.and_compute_with(|present| {
            let mut known = present.map_or_else(Known::default, |it| Known::clone(it.value()));
            changed = change(&mut known);
            if changed.is_none() {
                return Op::Nop;
            }
            if known.weigh() as u64 > self.max_bytes {
                known.entry = None;
            }
            Op::Put(Arc::new(known))
        });
        changed
    }

    /// How many users' entries are held, and what all records occupy together in bytes, once those have gone for which
    /// there is no room, or which are too old.
    pub(super) fn size(&self) -> (u64, u64) {
        self.people.run_pending_tasks();
        let entries = self.people.iter().filter(|(_, it)| it.entry.is_some());
        (entries.count() as u64, self.people.weighted_size())
    }
}

/// Whether no change is in `entry` that comes after `other`'s last, but the other way round there may be.
fn is_older(entry: &Entry, other: &Entry) -> bool {
    entry.knowledge.hi < other.knowledge.hi
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
