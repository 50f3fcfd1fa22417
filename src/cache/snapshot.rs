//! Snapshots: one user's parsed files with their version bounds, and the responses rendered from them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::decide::{SnapshotAge, VersionBounds};
use super::responses::{Encoding, PackedResponse, PageBytes, PageFormat, RenderedResponses};
use crate::now::Now;
use crate::store::Prefix;
use crate::task::{FileRecord, TaskId, TaskTable, UsedIds};
use crate::timeline::{Timeline, place, slot_interval};
use crate::user::UserId;
use crate::user_state::{RemovedFile, StoredState, Version};
use crate::view::{self, Bodies, Language, MergedRow, Stamps, Week};

/// The cache entry of one user: an immutable snapshot of the parsed files, with the responses rendered from them for
/// one interval between two slot boundaries.
///
/// Only two things change in place: the times of the last confirmation and failure, and responses rendered on demand.
// One allocation, with the fields that every read checks first: with many cached users, a read finds almost nothing of
// a snapshot in the CPU caches, and each separate piece would cost another cache miss.
#[derive(Debug)]
#[repr(C)]
pub struct Snapshot {
    /// From the last slot boundary before `placed` to the next one.
    valid_for: Range<DateTime<Utc>>,
    /// Which changes it contains.
    pub bounds: VersionBounds,
    files: SnapshotFiles,
    responses: RenderedResponses,
    /// The time for which the tasks are placed; shown as `generatedAt`.
    placed: DateTime<Utc>,
    /// The owner of the files.
    pub user: UserId,
}

/// The parsed files, and when they were listed, confirmed and last found unreachable.
#[derive(Debug)]
struct SnapshotFiles {
    listing: ListedFiles,
    /// When this instance listed or loaded them.
    loaded: Instant,
    /// When they were first confirmed, maybe by another instance, before this one loaded them.
    created: Instant,
    /// Nanoseconds after `created`: just before the request that last confirmed them was sent.
    validated: AtomicU64,
    /// Nanoseconds after `created`: the store's last failure; 0 if it has answered since.
    failed: AtomicU64,
    /// Nanoseconds after `created`: when the shared cache last refused them; 0 if it hasn't.
    refused: AtomicU64,
    /// The highest version that another instance has said there is.
    floor: AtomicU64,
}

/// How long a snapshot that the shared cache has refused isn't offered again.
const REFUSAL_LASTS: Duration = Duration::from_secs(60);

/// Files as they were listed, or loaded from an artifact.
#[derive(Debug, Clone)]
pub(super) struct ListedFiles {
    pub table: Arc<TaskTable>,
    /// When they were listed, by the storage clock.
    pub at: DateTime<Utc>,
    /// When the listing expires.
    pub expires: Instant,
}

/// What acknowledged operations of this instance changed in the snapshot.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The version of the last of them.
    pub version: Version,
    /// The changed files; a removed one is a tombstone, [`Parsed::Tombstone`](crate::task::Parsed).
    pub files: Vec<FileRecord>,
    /// Just before the last one's compare-and-swap was sent.
    pub sent: Instant,
    /// When the last one was acknowledged: the time for which the tasks are placed.
    pub acknowledged: DateTime<Utc>,
}

impl Snapshot {
    /// A snapshot of these files, placed for `now`: just before the state document was requested.
    pub(super) fn new(
        user: UserId,
        bounds: VersionBounds,
        listing: ListedFiles,
        now: Now,
        zone: Tz,
    ) -> Self {
        Self::loaded(user, bounds, listing, now.mono, now, zone)
    }

    /// A snapshot that another instance has left, loaded at `now` and confirmed at `confirmed`.
    pub(super) fn loaded(
        user: UserId,
        bounds: VersionBounds,
        listing: ListedFiles,
        confirmed: Instant,
        now: Now,
        zone: Tz,
    ) -> Self {
        let files = SnapshotFiles {
            listing,
            loaded: now.mono,
            created: confirmed,
            validated: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            floor: AtomicU64::new(0),
        };
        Self::from_parts(user, bounds, files, now.utc, zone)
    }

    /// The same files placed for `now`, in another interval between slot boundaries. Reads nothing.
    pub(super) fn placed_at(&self, now: Now, zone: Tz) -> Self {
        let (user, bounds) = (self.user.clone(), self.bounds.clone());
        Self::from_parts(user, bounds, self.files.clone(), now.utc, zone)
    }

    /// The same files with a newer state document. Keeps the rendered responses if that changes none of them.
    pub(super) fn with_state(&self, state: Arc<StoredState>) -> Self {
        let bounds = VersionBounds {
            state: Some(state),
            ..self.bounds.clone()
        };
        let same = bounds.renders_same_as(&self.bounds);
        let mut entry = self.with_bounds(bounds);
        if !same {
            entry.responses = RenderedResponses::default();
        }
        entry
    }

    /// The same snapshot marked inexact, because more than it contains has been shown at its version: the state
    /// document can't confirm it, and the next read takes a current artifact or lists.
    pub(super) fn as_inexact(&self, shown: &VersionBounds) -> Self {
        self.with_bounds(self.bounds.inexact_after(shown))
    }

    fn with_bounds(&self, bounds: VersionBounds) -> Self {
        Self {
            valid_for: self.valid_for.clone(),
            bounds,
            files: self.files.clone(),
            responses: self.responses.clone(),
            placed: self.placed,
            user: self.user.clone(),
        }
    }

    /// The snapshot after a change to exactly these files; `state` is the newest document known. Time and expiry of the
    /// listing stay.
    pub(super) fn with_change(
        &self,
        change: &Changed,
        state: Option<Arc<StoredState>>,
        zone: Tz,
    ) -> Self {
        let state = state.or_else(|| self.bounds.state.clone());
        let bounds = VersionBounds::exact(change.version, state);
        let mut listing = self.files.listing.clone();
        if !change.files.is_empty() {
            listing.table = Arc::new(listing.table.with(&change.files));
        }
        let files = SnapshotFiles {
            listing,
            validated: AtomicU64::new(self.nanos_since_created(change.sent)),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ..self.files.clone()
        };
        let placed = change.acknowledged.max(self.placed);
        Self::from_parts(self.user.clone(), bounds, files, placed, zone)
    }

    fn from_parts(
        user: UserId,
        bounds: VersionBounds,
        files: SnapshotFiles,
        placed: DateTime<Utc>,
        zone: Tz,
    ) -> Self {
        Self {
            valid_for: slot_interval(placed, zone),
            bounds,
            files,
            responses: RenderedResponses::default(),
            placed,
            user,
        }
    }

    /// The storage prefix of the files.
    pub fn folder(&self) -> Prefix {
        Prefix::raw(&self.user)
    }

    /// The parsed files.
    pub fn table(&self) -> &Arc<TaskTable> {
        &self.files.listing.table
    }

    pub(super) fn listed_at(&self) -> DateTime<Utc> {
        self.files.listing.at
    }

    /// What the rules of a read need to know of it at `now`.
    pub(super) fn age(&self, now: Now) -> SnapshotAge {
        let created = self.created_ago(now);
        SnapshotAge {
            lo: self.bounds.lo,
            hi: self.bounds.hi,
            exact: self.bounds.exact,
            floor: self.floor(),
            confirmed: created.saturating_sub(nanoseconds(&self.files.validated)),
            loaded: now.mono.saturating_duration_since(self.files.loaded),
            listing_expired: now.mono >= self.files.listing.expires,
        }
    }

    fn created_ago(&self, now: Now) -> Duration {
        now.mono.saturating_duration_since(self.files.created)
    }

    /// Just before the request that last confirmed the files was sent.
    pub(super) fn confirmed_at(&self) -> Instant {
        self.files.created + nanoseconds(&self.files.validated)
    }

    /// When the files were listed, as a listing lasts for `ttl`; `None` before the machine's clock began.
    pub(super) fn listed_instant(&self, ttl: Duration) -> Option<Instant> {
        self.files.listing.expires.checked_sub(ttl)
    }

    /// The highest version that another instance has said there is.
    pub(super) fn floor(&self) -> Version {
        Version(self.files.floor.load(Ordering::Relaxed))
    }

    pub(super) fn raise_floor(&self, version: Version) {
        self.files.floor.fetch_max(version.0, Ordering::Relaxed);
    }

    pub(super) fn cap_floor(&self, floor: Version, version: Version) {
        let order = Ordering::Relaxed;
        // If it isn't this floor any more, there is nothing to lower.
        let _ = self
            .files
            .floor
            .compare_exchange(floor.0, version.0, order, order);
    }

    /// What a result has to contain so as to lack nothing that this snapshot has shown or another instance has announced.
    pub(super) fn needed(&self) -> Version {
        self.bounds.shown_floor().max(self.floor())
    }

    /// Records that a request sent after `moment` confirmed the files; clears the last failure.
    pub(super) fn mark_validated(&self, moment: Instant) {
        self.mark_confirmed(moment);
        self.files.failed.store(0, Ordering::Relaxed);
    }

    /// Records that another instance's request, sent after `moment`, confirmed the files.
    pub(super) fn mark_confirmed(&self, moment: Instant) {
        self.files
            .validated
            .fetch_max(self.nanos_since_created(moment), Ordering::Relaxed);
    }

    /// How long ago the store last failed; `None` if it has answered since.
    pub(super) fn since_failure(&self, now: Now) -> Option<Duration> {
        let failed = nanoseconds(&self.files.failed);
        (!failed.is_zero()).then(|| self.created_ago(now).saturating_sub(failed))
    }

    pub(super) fn mark_failed(&self, moment: Instant) {
        self.files
            .failed
            .fetch_max(self.nanos_since_created(moment), Ordering::Relaxed);
    }

    /// Whether the shared cache has refused them in the last minute.
    pub(super) fn was_refused_lately(&self, now: Now) -> bool {
        let refused = nanoseconds(&self.files.refused);
        let ago = self.created_ago(now).saturating_sub(refused);
        !refused.is_zero() && ago < REFUSAL_LASTS
    }

    pub(super) fn mark_refused(&self, moment: Instant) {
        self.files
            .refused
            .fetch_max(self.nanos_since_created(moment), Ordering::Relaxed);
    }

    fn nanos_since_created(&self, moment: Instant) -> u64 {
        let since = moment
            .saturating_duration_since(self.files.created)
            .as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// Whether its responses are valid at `now`: no slot boundary lies between `placed` and `now`, in either direction.
    pub(super) fn is_valid_at(&self, now: Now) -> bool {
        self.valid_for.contains(&now.utc)
    }

    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.table().weight()
            + self.bounds.state.as_ref().map_or(0, |seen| seen.weight())
            + self.responses.weight()
    }

    /// The number of the next new task; `None` if all are in use.
    pub fn next_available_id(&self) -> Option<TaskId> {
        let used = UsedIds::of(self.table());
        used.next_available(self.bounds.next_id())
    }

    /// The week, placed for the snapshot's time.
    pub fn timeline(&self, zone: Tz) -> Timeline {
        place(self.table(), self.placed, zone)
    }

    /// The response in this format and encoding, rendered on first demand. Valid while [`Self::is_valid_at`] holds.
    pub(super) fn page(&self, format: PageFormat, encoding: Encoding, zone: Tz) -> PageBytes {
        self.responses.get_or_render(format, encoding, || {
            let (etag, plain) = self.render(format, None, zone);
            PackedResponse::new(&etag, self.bounds.hi, &plain, encoding)
        })
    }

    /// The HTML page with rendered bodies, and its entity tag. Not kept: bodies aren't cached.
    pub fn page_with_bodies(
        &self,
        bodies: &Bodies,
        language: Language,
        zone: Tz,
    ) -> (Box<str>, Vec<u8>) {
        self.render(PageFormat::Html(language), Some(bodies), zone)
    }

    fn render(&self, format: PageFormat, bodies: Option<&Bodies>, zone: Tz) -> (Box<str>, Vec<u8>) {
        let (folder, timeline) = (self.folder(), self.timeline(zone));
        let used = UsedIds::of(self.table());
        let week = Week {
            user: &self.user,
            folder: folder.as_str(),
            table: self.table(),
            timeline: &timeline,
            zone,
            next_available_id: used.next_available(self.bounds.next_id()),
            free_ids: used.free(),
            merged: &self.merged_rows(),
        };
        let stamps = Stamps {
            cache_created_at: self.listed_at(),
            generated_at: self.placed,
            version: self.bounds.hi.0,
        };
        let document = view::json(&week, &stamps);
        let mut hash = Sha256::new_with_prefix(document.stable());
        for (row, body) in bodies.into_iter().flatten() {
            hash.update(row.to_le_bytes());
            hash.update([u8::from(body.is_some())]);
            hash.update(body.as_deref().unwrap_or_default());
        }
        let page = |language| view::html(&week, &stamps, bodies, language).into_bytes();
        match (format, bodies) {
            (PageFormat::Json, _) => (etag_of(hash, "j"), document.into_bytes()),
            (PageFormat::Html(language), None) => (etag_of(hash, language.tag()), page(language)),
            (PageFormat::Html(language), Some(_)) => {
                let tag = format!("b{}", language.tag());
                (etag_of(hash, &tag), page(language))
            }
        }
    }

    /// Files that were removed through the service and may still be in Git, as of the newest state document known.
    pub fn removed(&self) -> &BTreeMap<String, RemovedFile> {
        static NONE: BTreeMap<String, RemovedFile> = BTreeMap::new();
        let state = self.bounds.state.as_ref();
        state.map_or(&NONE, |stored| &stored.state.removed)
    }

    /// The merged files that haven't changed since their merge.
    fn merged_rows(&self) -> Vec<MergedRow<'_>> {
        let table = self.table();
        let merged = self.bounds.merged().into_iter().flatten();
        let merged = merged.filter_map(|(name, merged)| {
            let row = table.row(name)?;
            let fields = &*merged.fields;
            (table.file(row).sha == Some(merged.sha)).then_some(MergedRow { row, fields })
        });
        merged.collect()
    }
}

impl Clone for SnapshotFiles {
    /// Later confirmations and failures of one copy don't reach the other, which costs at most one more request.
    fn clone(&self) -> Self {
        let copy = |counter: &AtomicU64| AtomicU64::new(counter.load(Ordering::Relaxed));
        Self {
            listing: self.listing.clone(),
            loaded: self.loaded,
            created: self.created,
            validated: copy(&self.validated),
            failed: copy(&self.failed),
            refused: copy(&self.refused),
            floor: copy(&self.floor),
        }
    }
}

fn nanoseconds(counter: &AtomicU64) -> Duration {
    Duration::from_nanos(counter.load(Ordering::Relaxed))
}

/// A weak entity tag: 128 bits of the hash in hex, and a suffix for the format.
fn etag_of(hash: Sha256, format: &str) -> Box<str> {
    let hex = format!("{:x}", hash.finalize());
    format!("W/\"{}{format}\"", &hex[..32]).into()
}
