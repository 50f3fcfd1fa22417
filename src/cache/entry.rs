//! What an instance knows of one user, and the bytes made from it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::answers::{Answers, Encoding, Packed, PageBytes, PageFormat};
use super::state::{MergedFile, SeenState, Version};
use crate::now::Now;
use crate::store::{ETag, Prefix};
use crate::task::{FileRecord, TaskId, TaskTable, UsedIds};
use crate::timeline::{Timeline, place, stretch};
use crate::user::UserId;
use crate::view::{self, Bodies, Language, MergedRow, Stamps, Week};

/// Version bounds: which changes an entry is known to contain (src/cache/README.md, "Version bounds").
#[derive(Debug, Clone)]
pub struct Knowledge {
    /// Every change up to this one is surely contained.
    pub lo: Version,
    /// No change after this one is.
    pub hi: Version,
    /// `lo == hi`, and nothing was pending but ops of this instance that are in it.
    pub exact: bool,
    /// The newest state blob this instance knows of; it may be ahead of `hi`.
    pub state: Option<Arc<SeenState>>,
    /// The state before the files were listed, where that isn't exact: what was finished then is in it.
    pub before: Option<Arc<SeenState>>,
    /// `hi` was made for an editor's file that is in it.
    pub named: bool,
}

impl Knowledge {
    /// Everything up to this state, and nothing after it.
    pub(super) fn exactly(state: Arc<SeenState>) -> Self {
        let version = state.state.version;
        Self {
            lo: version,
            hi: version,
            exact: true,
            state: Some(state),
            before: None,
            named: false,
        }
    }

    /// An answer that is sure to contain everything up to this one lacks nothing that this has shown.
    pub(super) fn shown(&self) -> Version {
        match self.named {
            true => self.hi,
            false => self.lo,
        }
    }

    /// The version of the state blob that confirms it, as long as it stays that one.
    pub(super) fn confirmed_by(&self) -> Option<&ETag> {
        let state = self.state.as_ref()?;
        (self.exact && state.state.version == self.hi).then_some(&state.etag)
    }

    /// Whether nothing that the state says itself is shown differently.
    fn shows_the_same(&self, other: &Self) -> bool {
        self.next_id() == other.next_id() && self.merged() == other.merged()
    }

    /// What was merged, if anything was.
    fn merged(&self) -> Option<&BTreeMap<String, MergedFile>> {
        let merged = &self.state.as_ref()?.state.merged;
        (!merged.is_empty()).then_some(merged)
    }

    /// The counter for new tasks.
    fn next_id(&self) -> u32 {
        self.state.as_ref().map_or(0, |seen| seen.state.next_id)
    }
}

/// A user's files as last listed, with the answers made from them for one stretch of time in which no slot passes.
///
/// Never changed in place but for what was heard of the store since, and the answers, which are made
/// once, on first demand.
// In one piece, and what every read looks at first comes first: where many users are cached, a read finds nearly
// nothing of one in the processor's caches, and waits for each piece.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    /// From the boundary before the moment it is placed for to the one after it.
    holds: Range<DateTime<Utc>>,
    /// What it contains.
    pub knowledge: Knowledge,
    files: Files,
    answers: Answers,
    /// When the tasks were placed, and shown as such.
    placed: DateTime<Utc>,
    /// Whose.
    pub user: UserId,
}

/// The files, and what was heard of them since.
#[derive(Debug)]
struct Files {
    table: Arc<TaskTable>,
    listed_at: DateTime<Utc>,
    listing_expires: Instant,
    born: Instant,
    /// Nanoseconds after `born`: the moment before the state request that last confirmed them.
    validated: AtomicU64,
    /// Nanoseconds after `born`: when the store was last asked in vain; 0 when it has answered since.
    failed: AtomicU64,
}

/// Files just listed, or taken from an artifact.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) table: Arc<TaskTable>,
    /// When they were listed, by the storage's clock.
    pub(super) listed_at: DateTime<Utc>,
    /// From when on another listing has to prove them.
    pub(super) listing_expires: Instant,
}

/// What one op of this instance changed.
#[derive(Debug)]
pub(super) struct Changed<'a> {
    /// The version it made: the next one.
    pub(super) version: Version,
    /// The files as they are now; one that was removed is [`Parsed::Settled`](crate::task::Parsed).
    pub(super) files: &'a [FileRecord],
    /// The moment before the op's compare-and-swap was sent.
    pub(super) sent: Instant,
    /// As of when the tasks are placed.
    pub(super) placed: DateTime<Utc>,
    /// The newest state blob known.
    pub(super) state: Option<Arc<SeenState>>,
}

impl Entry {
    /// An entry for what was found, placed as of `now`, the moment before the state request.
    pub(super) fn new(
        user: UserId,
        knowledge: Knowledge,
        found: Found,
        now: Now,
        zone: Tz,
    ) -> Self {
        let files = Files {
            table: found.table,
            listed_at: found.listed_at,
            listing_expires: found.listing_expires,
            born: now.mono,
            validated: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Self::with(user, knowledge, files, now.utc, zone)
    }

    /// The same files for another stretch of time: nothing is read, they are only placed anew.
    pub(super) fn placed_at(&self, now: Now, zone: Tz) -> Self {
        let (user, knowledge) = (self.user.clone(), self.knowledge.clone());
        Self::with(user, knowledge, self.files.clone(), now.utc, zone)
    }

    /// The same files beside a newer state blob. Where it changes no answer, the answers stay.
    pub(super) fn beside(&self, state: Arc<SeenState>, zone: Tz) -> Self {
        let knowledge = Knowledge {
            state: Some(state),
            ..self.knowledge.clone()
        };
        let same = knowledge.shows_the_same(&self.knowledge);
        let (user, files) = (self.user.clone(), self.files.clone());
        let mut beside = Self::with(user, knowledge, files, self.placed, zone);
        if same {
            beside.answers = self.answers.clone();
        }
        beside
    }

    /// The same files, which aren't all there is to show at their version any more: others must be looked for.
    pub(super) fn doubted(&self) -> Self {
        Self {
            holds: self.holds.clone(),
            knowledge: Knowledge {
                exact: false,
                ..self.knowledge.clone()
            },
            files: self.files.clone(),
            answers: self.answers.clone(),
            placed: self.placed,
            user: self.user.clone(),
        }
    }

    /// After a change to exactly these files. When they were listed, and how long that counts, stays.
    pub(super) fn after(&self, change: Changed<'_>, zone: Tz) -> Self {
        let knowledge = Knowledge {
            lo: change.version,
            hi: change.version,
            exact: true,
            state: change.state.or_else(|| self.knowledge.state.clone()),
            before: None,
            named: false,
        };
        let table = match change.files {
            [] => Arc::clone(&self.files.table),
            files => Arc::new(self.files.table.with(files)),
        };
        let files = Files {
            table,
            listed_at: self.files.listed_at,
            listing_expires: self.files.listing_expires,
            born: self.files.born,
            validated: AtomicU64::new(self.since_born(change.sent)),
            failed: AtomicU64::new(0),
        };
        let placed = change.placed.max(self.placed);
        Self::with(self.user.clone(), knowledge, files, placed, zone)
    }

    fn with(
        user: UserId,
        knowledge: Knowledge,
        files: Files,
        placed: DateTime<Utc>,
        zone: Tz,
    ) -> Self {
        Self {
            holds: stretch(placed, zone),
            knowledge,
            files,
            answers: Answers::default(),
            placed,
            user,
        }
    }

    /// The folder of the files in storage.
    pub fn folder(&self) -> Prefix {
        Prefix::raw(&self.user)
    }

    /// The files.
    pub fn table(&self) -> &Arc<TaskTable> {
        &self.files.table
    }

    /// When the files were last listed, by the storage's clock.
    pub(super) fn listed_at(&self) -> DateTime<Utc> {
        self.files.listed_at
    }

    /// From when on another listing has to prove the files.
    pub(super) fn listing_expires(&self) -> Instant {
        self.files.listing_expires
    }

    /// How long ago this instance took the files in.
    pub(super) fn in_memory(&self, now: Now) -> Duration {
        now.mono.saturating_duration_since(self.files.born)
    }

    /// How long ago the state blob last confirmed the files.
    pub(super) fn age(&self, now: Now) -> Duration {
        self.in_memory(now)
            .saturating_sub(nanoseconds(&self.files.validated))
    }

    /// The state blob confirmed the files by a request sent after `moment`: the store is there.
    pub(super) fn validated_at(&self, moment: Instant) {
        self.files
            .validated
            .fetch_max(self.since_born(moment), Ordering::Relaxed);
        self.files.failed.store(0, Ordering::Relaxed);
    }

    /// How long ago the store was last asked in vain; `None` when it has answered since.
    pub(super) fn failed_ago(&self, now: Now) -> Option<Duration> {
        let failed = nanoseconds(&self.files.failed);
        (!failed.is_zero()).then(|| self.in_memory(now).saturating_sub(failed))
    }

    /// The store was given up at `moment`.
    pub(super) fn failed_at(&self, moment: Instant) {
        self.files
            .failed
            .fetch_max(self.since_born(moment), Ordering::Relaxed);
    }

    fn since_born(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.files.born).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// Whether its answers are true at `now`: no boundary lies between, in either direction.
    pub(super) fn shows(&self, now: Now) -> bool {
        self.holds.contains(&now.utc)
    }

    /// What it occupies, in bytes, answers included.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.files.table.weight()
            + self
                .knowledge
                .state
                .as_ref()
                .map_or(0, |seen| seen.weight())
            + self.answers.weight()
    }

    /// The number the next new task gets; `None` when all are used up.
    pub fn next_available_id(&self) -> Option<TaskId> {
        let used = UsedIds::of(&self.files.table);
        used.next_available(self.knowledge.next_id())
    }

    /// The week as it is at the entry's moment.
    pub fn timeline(&self, zone: Tz) -> Timeline {
        place(&self.files.table, self.placed, zone)
    }

    /// The answer in this form, made on first demand. Holds as long as [`Self::shows`] does.
    pub(super) fn page(&self, format: PageFormat, encoding: Encoding, zone: Tz) -> PageBytes {
        self.answers.get_or_make(format, encoding, || {
            let (etag, plain) = self.render(format, zone);
            Packed::new(&etag, self.knowledge.hi, &plain, encoding)
        })
    }

    /// The page with rendered bodies in it, and its entity tag. Not kept: bodies aren't cached.
    pub fn page_with_bodies(
        &self,
        bodies: &Bodies,
        language: Language,
        zone: Tz,
    ) -> (Box<str>, Vec<u8>) {
        let timeline = self.timeline(zone);
        self.with_week(&timeline, zone, |week, stamps| {
            let mut hash = Sha256::new();
            hash.update(view::json(week, stamps).stable());
            for (row, body) in bodies {
                hash.update(row.to_le_bytes());
                hash.update(body);
            }
            (
                etag_of(hash, &format!("b{}", language.tag())),
                view::html(week, stamps, bodies, language).into_bytes(),
            )
        })
    }

    fn render(&self, format: PageFormat, zone: Tz) -> (Box<str>, Vec<u8>) {
        let timeline = self.timeline(zone);
        self.with_week(&timeline, zone, |week, stamps| {
            let document = view::json(week, stamps);
            let hash = Sha256::new_with_prefix(document.stable());
            match format {
                PageFormat::Json => (etag_of(hash, "j"), document.into_bytes()),
                PageFormat::Html(language) => (
                    etag_of(hash, language.tag()),
                    view::html(week, stamps, &Bodies::new(), language).into_bytes(),
                ),
            }
        })
    }

    /// The files that are still what they were merged to.
    fn merged_rows(&self) -> Vec<MergedRow<'_>> {
        let table = &self.files.table;
        let merged = self.knowledge.merged().into_iter().flatten();
        let merged = merged.filter_map(|(name, merged)| {
            let row = table.row(name)?;
            let fields = &*merged.fields;
            (table.file(row).sha == Some(merged.sha)).then_some(MergedRow { row, fields })
        });
        merged.collect()
    }

    fn with_week<T>(
        &self,
        timeline: &Timeline,
        zone: Tz,
        show: impl FnOnce(&Week<'_>, &Stamps) -> T,
    ) -> T {
        let folder = self.folder();
        let used = UsedIds::of(&self.files.table);
        let merged = self.merged_rows();
        let week = Week {
            user: &self.user,
            folder: folder.as_str(),
            table: &self.files.table,
            timeline,
            zone,
            next_available_id: used.next_available(self.knowledge.next_id()),
            free_ids: used.free(),
            merged: &merged,
        };
        let stamps = Stamps {
            cache_created_at: self.files.listed_at,
            generated_at: self.placed,
            version: self.knowledge.hi.0,
        };
        show(&week, &stamps)
    }
}

impl Clone for Files {
    /// What the store says of the one from now on, the other doesn't hear: it is asked once more.
    fn clone(&self) -> Self {
        let copy = |counter: &AtomicU64| AtomicU64::new(counter.load(Ordering::Relaxed));
        Self {
            table: Arc::clone(&self.table),
            listed_at: self.listed_at,
            listing_expires: self.listing_expires,
            born: self.born,
            validated: copy(&self.validated),
            failed: copy(&self.failed),
        }
    }
}

fn nanoseconds(counter: &AtomicU64) -> Duration {
    Duration::from_nanos(counter.load(Ordering::Relaxed))
}

/// A weak entity tag: 128 bits of the hash, and a letter for the format.
fn etag_of(hash: Sha256, format: &str) -> Box<str> {
    let digest = hash.finalize();
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("W/\"{hex}{format}\"").into()
}
