//! The memory layer: what this instance knows of each person, bounded by bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;
use papaya::HashMap;

use super::entry::Entry;
use super::owner::Owner;
use super::state::Version;
use crate::now::Now;
use crate::user::UserId;

/// One record for each person. There is no invalidation: an entry is judged by its versions when it is read,
/// and replaced only by one that contains at least as much (P4).
///
/// Reading takes no lock that people share, and writes nothing but in the person's own record: with many cached,
/// what a read finds nowhere in the processor's caches is what it costs, and a list by last use alone would be six
/// such places for each look-up. So who must go is found by a clock (Corbató 1968, "A paging experiment with the
/// Multics system"): a ring of all people and a bit that says who was read since the hand last came by.
pub(super) struct Memory {
    people: HashMap<UserId, Person>,
    /// Whoever changes a record holds it. Never for long, and never on the way of a read from memory.
    ring: Mutex<Ring>,
    max_bytes: u64,
}

#[derive(Debug, Default)]
struct Person {
    /// Read since the hand last came by.
    used: AtomicBool,
    known: RwLock<Known>,
}

/// What is known of one person.
#[derive(Debug, Default)]
pub(super) struct Known {
    entry: Option<Arc<Entry>>,
    pub(super) owner: Owner,
    /// As it was last weighed.
    weight: usize,
}

/// Everybody there is a record of, in the order in which the hand finds them.
#[derive(Debug, Default)]
struct Ring {
    /// The hand is at the front.
    people: VecDeque<UserId>,
    entries: u64,
    bytes: u64,
}

/// What a record occupies beside what it points to: the map's node and place, the ring's, and what the allocator
/// keeps of them. Rounded up.
const OVERHEAD: usize = size_of::<Person>() + 2 * size_of::<UserId>() + 128;

/// After so many who were used, the next one goes all the same: nobody waits for a turn of the whole ring.
const CHANCES: u32 = 64;

/// So many records are looked at before others get at the ring again.
const STRIDE: usize = 256;

impl Known {
    fn weigh(&self) -> usize {
        OVERHEAD + self.owner.weight() + self.entry.as_ref().map_or(0, |entry| entry.weight())
    }
}

impl Memory {
    /// Keeps records up to `max_bytes` together.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            people: HashMap::new(),
            ring: Mutex::default(),
            max_bytes,
        }
    }

    /// Looks at what is known of the user; `None` when nothing is.
    pub(super) fn look<T>(&self, user: &UserId, look: impl FnOnce(&Known) -> T) -> Option<T> {
        let people = self.people.pin();
        let person = people.get(user)?;
        Some(look(
            &person.known.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// The user's entry, whatever its age.
    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Entry>> {
        let people = self.people.pin();
        let person = people.get(user)?;
        let known = person.known.read().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry.clone()?;
        if !person.used.load(Ordering::Relaxed) {
            person.used.store(true, Ordering::Relaxed);
        }
        Some(entry)
    }

    /// Puts `entry` in, unless the present one contains more.
    pub(super) fn publish(&self, entry: &Arc<Entry>) {
        self.put(&entry.user, entry, |present| {
            present.is_none_or(|present| !contains_more(present, entry))
        });
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
        // What was there is dropped when others may get at the ring again.
        let _former = self.change(user, |known| {
            may(known.entry.as_ref()).then(|| known.entry.replace(Arc::clone(entry)))
        });
    }

    /// Changes what is known of the user, weighs it, and makes room for it.
    pub(super) fn change<T>(&self, user: &UserId, change: impl FnOnce(&mut Known) -> T) -> T {
        // Dropped last, when others may get at the ring again.
        let mut gone = Vec::new();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let people = self.people.pin();
        let person = people.get(user).unwrap_or_else(|| {
            ring.people.push_back(user.clone());
            people.get_or_insert_with(user.clone(), Person::default)
        });
        let changed = ring.change(person, change);
        let mut chances = CHANCES;
        while ring.bytes > self.max_bytes {
            let Some(next) = ring.people.pop_front() else {
                break;
            };
            let Some(person) = people.get(&next) else {
                continue;
            };
            if chances > 0 && person.used.swap(false, Ordering::Relaxed) {
                chances -= 1;
                ring.people.push_back(next);
            } else {
                gone.push(ring.clear(person));
                people.remove(&next);
                chances = CHANCES;
            }
        }
        changed
    }

    /// Lets go of entries that weren't confirmed for `keep`, and of people of whom nothing is left then but an owner
    /// who was last confirmed before `owners`.
    pub(super) fn forget_old(&self, now: Now, keep: Duration, owners: Duration) {
        let all = self.people.len();
        for _ in 0..all.div_ceil(STRIDE) {
            let mut gone = Vec::new();
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            let people = self.people.pin();
            for _ in 0..STRIDE.min(ring.people.len()) {
                let Some(next) = ring.people.pop_front() else {
                    break;
                };
                let Some(person) = people.get(&next) else {
                    continue;
                };
                let (entry, owner) = {
                    let known = person.known.read().unwrap_or_else(PoisonError::into_inner);
                    let entry = known.entry.as_ref();
                    (
                        entry.is_some_and(|entry| entry.age(now) < keep),
                        !known.owner.is_over(now.mono, owners),
                    )
                };
                if !entry {
                    gone.push(ring.change(person, |known| known.entry.take()));
                }
                if entry || owner {
                    ring.people.push_back(next);
                } else {
                    ring.clear(person);
                    people.remove(&next);
                }
            }
        }
    }

    /// How many users' entries are held, and what all records occupy together in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        (ring.entries, ring.bytes)
    }
}

impl Ring {
    /// Changes what is known of somebody, and keeps count.
    fn change<T>(&mut self, person: &Person, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = person.known.write().unwrap_or_else(PoisonError::into_inner);
        self.uncount(&known);
        let changed = change(&mut known);
        known.weight = known.weigh();
        self.bytes += known.weight as u64;
        self.entries += u64::from(known.entry.is_some());
        changed
    }

    /// Forgets all that is known of somebody whose record goes.
    fn clear(&mut self, person: &Person) -> Known {
        let mut known = person.known.write().unwrap_or_else(PoisonError::into_inner);
        self.uncount(&known);
        std::mem::take(&mut known)
    }

    fn uncount(&mut self, known: &Known) {
        self.bytes -= known.weight as u64;
        self.entries -= u64::from(known.entry.is_some());
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
