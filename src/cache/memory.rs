//! The memory layer: what this instance knows of each person, bounded by bytes.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;
use papaya::{HashMap, HashMapRef, LocalGuard, ResizeMode};
use seize::Collector;

use super::entry::Entry;
use super::owner::Owner;
use super::state::Version;
use crate::now::Now;
use crate::user::UserId;

/// One record for each person. There is no invalidation: an entry is judged by its versions when it is read,
/// and replaced only by one that contains at least as much (P4).
///
/// Reading takes no lock and writes next to nothing: with many people cached, what a read finds nowhere in the
/// processor's caches is what it costs, and a list by last use alone would be six such places for each look-up. So a
/// record is never changed but replaced, and who must go is found by a clock (Corbató 1968, "A paging experiment
/// with the Multics system"): a ring of all people and a bit that says who was read since the hand last came by.
pub(super) struct Memory {
    people: HashMap<UserId, Known>,
    /// Whoever replaces a record holds it. Never for long, and never on the way of a read from memory.
    ring: Mutex<Ring>,
    max_bytes: u64,
}

/// What is known of one person.
#[derive(Debug, Default)]
pub(super) struct Known {
    entry: Option<Arc<Entry>>,
    pub(super) owner: Owner,
    /// As it was last weighed.
    weight: usize,
    /// Read since the hand last came by.
    used: AtomicBool,
}

/// Everybody there is a record of, in the order in which the hand finds them.
#[derive(Debug, Default)]
struct Ring {
    /// The hand is at the front.
    people: VecDeque<UserId>,
    entries: u64,
    bytes: u64,
}

type People<'map> = HashMapRef<'map, UserId, Known, RandomState, LocalGuard<'map>>;

/// What a record occupies beside what it points to: the map's node and place, the ring's, and what the allocator
/// keeps of them. Rounded up.
const OVERHEAD: usize = size_of::<Known>() + 2 * size_of::<UserId>() + 128;

/// After so many who were used, the next one goes all the same: nobody waits for a turn of the whole ring.
const CHANCES: u32 = 64;

impl Known {
    fn weigh(&self) -> usize {
        OVERHEAD + self.owner.weight() + self.entry.as_ref().map_or(0, |entry| entry.weight())
    }
}

impl Clone for Known {
    fn clone(&self) -> Self {
        Self {
            entry: self.entry.clone(),
            owner: self.owner.clone(),
            weight: self.weight,
            used: AtomicBool::new(self.used.load(Ordering::Relaxed)),
        }
    }
}

impl Memory {
    /// Keeps records up to `max_bytes` together.
    pub(super) fn new(max_bytes: u64) -> Self {
        // What was replaced may be large, and is to go soon: not in batches, and not when a table that grows by and by
        // has grown.
        let people = HashMap::builder()
            .collector(Collector::new().batch_size(1))
            .resize_mode(ResizeMode::Blocking)
            .build();
        Self {
            people,
            ring: Mutex::default(),
            max_bytes,
        }
    }

    /// Looks at what is known of the user; `None` when nothing is.
    pub(super) fn look<T>(&self, user: &UserId, look: impl FnOnce(&Known) -> T) -> Option<T> {
        self.people.pin().get(user).map(look)
    }

    /// The user's entry, whatever its age.
    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Entry>> {
        let people = self.people.pin();
        let known = people.get(user)?;
        let entry = known.entry.clone()?;
        if !known.used.load(Ordering::Relaxed) {
            known.used.store(true, Ordering::Relaxed);
        }
        Some(entry)
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

    /// Changes what is known of the user, weighs it, and makes room for it. Nothing is touched where the change comes
    /// to nothing. An entry that all of memory couldn't hold isn't kept, nor is anybody sent away for it.
    pub(super) fn change<T>(
        &self,
        user: &UserId,
        change: impl FnOnce(&mut Known) -> Option<T>,
    ) -> Option<T> {
        let mut ring = self.ring();
        let people = self.people.pin();
        let present = people.get(user);
        let mut known = present.cloned().unwrap_or_default();
        let changed = change(&mut known)?;
        if known.weigh() as u64 > self.max_bytes {
            known.entry = None;
        }
        if present.is_none() {
            // Much fuller, the map would look into several places for each name.
            if people.len().is_power_of_two() {
                people.reserve(people.len());
            }
            ring.people.push_back(user.clone());
        }
        ring.replace(&people, user.clone(), known);
        self.make_room(&mut ring, &people);
        // Before the guard: what was replaced is dropped when others may get at the ring again.
        drop(ring);
        Some(changed)
    }

    fn make_room(&self, ring: &mut Ring, people: &People<'_>) {
        let mut chances = CHANCES;
        while ring.bytes > self.max_bytes {
            let Some(next) = ring.people.pop_front() else {
                break;
            };
            let used = people
                .get(&next)
                .is_some_and(|known| known.used.swap(false, Ordering::Relaxed));
            if used && chances > 0 {
                chances -= 1;
                ring.people.push_back(next);
            } else {
                ring.remove(people, &next);
                chances = CHANCES;
            }
        }
    }

    /// Lets go of entries that weren't confirmed for `keep`, and of people of whom nothing is left then but an owner
    /// who was last confirmed `owners` ago. Looks at the next `some` people in the ring, so that others get at it
    /// between.
    pub(super) fn forget_old(&self, now: Now, keep: Duration, owners: Duration, some: usize) {
        let mut ring = self.ring();
        let people = self.people.pin();
        for _ in 0..some {
            let Some(next) = ring.people.pop_front() else {
                break;
            };
            let Some(known) = people.get(&next) else {
                continue;
            };
            let entry = known
                .entry
                .as_ref()
                .is_some_and(|entry| entry.age(now) < keep);
            if !entry && known.owner.is_over(now.mono, owners) {
                ring.remove(&people, &next);
                continue;
            }
            if !entry && known.entry.is_some() {
                let mut known = known.clone();
                known.entry = None;
                ring.replace(&people, next.clone(), known);
            }
            ring.people.push_back(next);
        }
        drop(ring);
    }

    /// How many people there is a record of.
    pub(super) fn people(&self) -> usize {
        self.people.len()
    }

    /// How many users' entries are held, and what all records occupy together in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        let ring = self.ring();
        (ring.entries, ring.bytes)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn replace(&mut self, people: &People<'_>, user: UserId, mut known: Known) {
        known.weight = known.weigh();
        self.bytes += known.weight as u64;
        self.entries += u64::from(known.entry.is_some());
        if let Some(former) = people.insert(user, known) {
            self.uncount(former);
        }
    }

    fn remove(&mut self, people: &People<'_>, user: &UserId) {
        if let Some(former) = people.remove(user) {
            self.uncount(former);
        }
    }

    fn uncount(&mut self, former: &Known) {
        self.bytes -= former.weight as u64;
        self.entries -= u64::from(former.entry.is_some());
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
