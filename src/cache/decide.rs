//! PURE. The rules of a read: when memory answers, and what follows from the state document (src/cache/README.md, "Read").
//! And the version bounds: which changes a snapshot contains, and how a rebuild determines it ("Version bounds").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::settings::CacheSettings;
use crate::rules::Rules;
use crate::store::{ETag, PutIf};
use crate::user_state::{
    LegacyNextId, MergedFile, Mutation, State, StatePresence, StoredState, Version,
};

/// The consistency level of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Bounded staleness: contains every change acknowledged at least [`CacheSettings::revalidate`] ago.
    Bounded,
    /// Strong: contains every change acknowledged before the request arrived.
    Strict,
    /// Strong, from a listing taken after the request arrived, so foreign files (editors, synced folders) are in it.
    Rebuilt,
}

/// What the rules need to know of a snapshot, at the time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotAge {
    /// Lower version bound.
    pub lo: Version,
    /// Upper version bound.
    pub hi: Version,
    /// Whether the bounds are exact.
    pub exact: bool,
    /// The version that another instance has announced; the files are outdated if it is above `lo`.
    pub floor: Version,
    /// How long ago the state document last confirmed the files.
    pub confirmed: Duration,
    /// How long ago this instance listed or loaded the files.
    pub loaded: Duration,
    /// Whether the listing has expired.
    pub listing_expired: bool,
}

impl SnapshotAge {
    /// Whether memory answers without storage: bounded consistency, confirmed within `revalidate`, contains the version
    /// the client has seen and the one that another instance has announced, and still confirmable.
    pub fn satisfies(
        &self,
        consistency: Consistency,
        seen: Option<Version>,
        settings: &CacheSettings,
    ) -> bool {
        consistency == Consistency::Bounded
            && self.confirmed < settings.revalidate
            && self.contains(seen.max(Some(self.floor)))
            && self.is_confirmable(settings)
    }

    /// Whether an unchanged state document suffices to confirm the snapshot: it is exact, and neither its memory TTL
    /// nor its listing has expired.
    pub fn is_confirmable(&self, settings: &CacheSettings) -> bool {
        self.exact && self.is_within_memory_ttl(settings) && !self.listing_expired
    }

    /// Whether an unchanged state document would make it the answer: it can be confirmed, and the reader needs no new
    /// listing.
    pub fn is_answer_if_unchanged(
        &self,
        consistency: Consistency,
        settings: &CacheSettings,
    ) -> bool {
        consistency != Consistency::Rebuilt && self.is_confirmable(settings)
    }

    /// Past `memory_ttl` a snapshot is only the base of a rebuild, or a stale answer.
    pub fn is_within_memory_ttl(&self, settings: &CacheSettings) -> bool {
        self.loaded < settings.memory_ttl
    }

    /// Whether it may be served stale in an outage (P9): bounded consistency, confirmed within `stale_if_error`, and
    /// containing both the version the client has seen and the highest one `acknowledged` here.
    pub fn may_be_stale_answer(
        &self,
        consistency: Consistency,
        seen: Option<Version>,
        acknowledged: Option<Version>,
        settings: &CacheSettings,
    ) -> bool {
        consistency == Consistency::Bounded
            && self.confirmed < settings.stale_if_error
            && self.contains(seen.max(acknowledged))
    }

    fn contains(&self, version: Option<Version>) -> bool {
        version.is_none_or(|version| version <= self.lo)
    }
}

/// The state document as a read has found it.
#[derive(Debug, Clone, Copy)]
pub enum SeenState<'a> {
    /// Not modified (304) since the snapshot in memory.
    NotModified,
    /// There is none, or a damaged one.
    Missing,
    /// The document.
    Present(&'a State),
}

/// What a read knows of the artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenArtifact {
    /// It wasn't requested.
    NotRequested,
    /// There is none, or an unusable one.
    Unusable,
    /// Built from this version.
    Found {
        /// The version at which its files were known exactly.
        built_from: Version,
        /// Its listing hasn't expired.
        is_current: bool,
    },
}

/// All that a read knows when it decides.
#[derive(Debug, Clone, Copy)]
pub struct ReadView<'a> {
    /// How current the answer must be.
    pub consistency: Consistency,
    /// The snapshot in memory.
    pub snapshot: Option<SnapshotAge>,
    /// The state document.
    pub state: SeenState<'a>,
    /// The artifact.
    pub artifact: SeenArtifact,
    /// The state document was read a second time.
    pub is_reread: bool,
}

/// What a read does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStep {
    /// Answer with the snapshot in memory, which the state document confirms.
    ConfirmSnapshot,
    /// Request the artifact: it may be the answer, or name the versions of a lost state document.
    RequestArtifact,
    /// Read the state document again: another instance finished a change between the two requests.
    RereadState,
    /// Answer with the artifact.
    ServeArtifact,
    /// List the files.
    Rebuild,
}

/// Decides what a read does next.
pub fn decide_read(view: &ReadView<'_>, settings: &CacheSettings) -> ReadStep {
    let confirms = match view.state {
        SeenState::NotModified => view.confirmable(settings).is_some(),
        SeenState::Missing => false,
        SeenState::Present(state) => view.confirmable(settings).is_some_and(|snapshot| {
            state.is_quiescent_at(snapshot.hi)
                || settings.rules.breaks(Mutation::SharedDespiteChange)
        }),
    };
    if confirms {
        return ReadStep::ConfirmSnapshot;
    }
    match (view.artifact, view.state) {
        (SeenArtifact::NotRequested, SeenState::Missing) => ReadStep::RequestArtifact,
        (SeenArtifact::NotRequested, SeenState::Present(state))
            if view.allows_artifact(state, settings) =>
        {
            ReadStep::RequestArtifact
        }
        (SeenArtifact::Found { built_from, .. }, SeenState::Present(state))
            if built_from > state.version && !view.is_reread =>
        {
            ReadStep::RereadState
        }
        (
            SeenArtifact::Found {
                built_from,
                is_current: true,
            },
            SeenState::Present(state),
        ) if view.allows_artifact(state, settings)
            && (built_from == state.version
                || settings.rules.breaks(Mutation::ArtifactOfAnyVersion)) =>
        {
            ReadStep::ServeArtifact
        }
        _ => ReadStep::Rebuild,
    }
}

impl ReadView<'_> {
    /// The snapshot in memory, if an unchanged state document would confirm it as the answer.
    pub fn confirmable(&self, settings: &CacheSettings) -> Option<SnapshotAge> {
        let snapshot = self.snapshot;
        snapshot.filter(|it| it.is_answer_if_unchanged(self.consistency, settings))
    }

    /// Lower bound of the answer, however it is obtained: it contains every change that was finished when the state was
    /// read.
    pub fn lower_bound(&self, settings: &CacheSettings) -> Version {
        match self.state {
            SeenState::NotModified => self.confirmable(settings).map_or(Version(0), |it| it.lo),
            SeenState::Present(state) => listing_floor(state, settings),
            SeenState::Missing => Version(0),
        }
    }

    /// Whether an artifact of this state's version would be an answer. Not if the state is behind what this instance
    /// has shown: then it was lost and recreated, and a rebuild must raise its version first.
    fn allows_artifact(&self, state: &State, settings: &CacheSettings) -> bool {
        let is_behind = self.snapshot.is_some_and(|it| state.version < it.hi);
        let is_quiescent =
            state.pending.is_empty() || settings.rules.breaks(Mutation::ArtifactWhilePending);
        !is_behind && is_quiescent && self.consistency != Consistency::Rebuilt
    }
}

/// Every change up to this version is in a listing that is requested after this state was read.
pub fn listing_floor(state: &State, settings: &CacheSettings) -> Version {
    match settings.rules.breaks(Mutation::LoDespiteMarks) {
        true => state.version,
        false => state.finished(),
    }
}

/// Which changes a snapshot contains (src/cache/README.md, "Version bounds").
#[derive(Debug, Clone, Default)]
pub struct VersionBounds {
    /// Lower bound: every change up to this version is contained.
    pub lo: Version,
    /// Upper bound: no change after this version is contained.
    pub hi: Version,
    /// `lo == hi`, and nothing was pending but operations of this instance that are contained.
    pub exact: bool,
    /// The newest state document that this instance knows; may be ahead of `hi`.
    pub state: Option<Arc<StoredState>>,
    /// For an inexact listing, the state document read before it: what was finished then is contained.
    pub before: Option<Arc<StoredState>>,
    /// `hi` was assigned to a foreign file that is contained, or was shown by this instance.
    pub covers_foreign: bool,
}

impl VersionBounds {
    /// Exact bounds at this state's version.
    pub fn exact_at(state: Arc<StoredState>) -> Self {
        Self::exact(state.state.version, Some(state))
    }

    /// Exact bounds at `version`; `state` is the newest document known.
    pub(super) fn exact(version: Version, state: Option<Arc<StoredState>>) -> Self {
        Self {
            lo: version,
            hi: version,
            exact: true,
            state,
            ..Self::default()
        }
    }

    /// The bounds of a snapshot that is kept as inexact, after one with the bounds `shown` was shown as well. The upper
    /// bound is that of what was shown: otherwise a late snapshot of an earlier version would count as exact again and
    /// take back a foreign file.
    pub fn inexact_after(&self, shown: &Self) -> Self {
        Self {
            hi: self.hi.max(shown.hi),
            exact: false,
            covers_foreign: self.covers_foreign || shown.covers_foreign,
            ..self.clone()
        }
    }

    /// The lower bound that another result needs so as to lack nothing that this snapshot has shown.
    pub fn shown_floor(&self) -> Version {
        match self.covers_foreign {
            true => self.hi,
            false => self.lo,
        }
    }

    /// The ETag for `If-None-Match`: a 304 confirms the snapshot. `None` if it isn't exact at that state document.
    pub fn validator(&self) -> Option<&ETag> {
        let state = self.state.as_ref()?;
        (self.exact && state.state.version == self.hi).then_some(&state.etag)
    }

    /// Whether responses show the same of the state document: next number and merged files.
    pub(super) fn renders_same_as(&self, other: &Self) -> bool {
        self.next_id() == other.next_id() && self.merged() == other.merged()
    }

    pub(super) fn merged(&self) -> Option<&BTreeMap<String, MergedFile>> {
        let merged = &self.state.as_ref()?.state.merged;
        (!merged.is_empty()).then_some(merged)
    }

    pub(super) fn next_id(&self) -> u32 {
        self.state.as_ref().map_or(0, |seen| seen.state.next_id)
    }
}

/// What to keep of the present and a new snapshot of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishStep {
    /// The present one, as it is.
    KeepPresent,
    /// The present one, as inexact: the state document can't confirm it, and the next read takes a current artifact or
    /// lists.
    MarkPresentInexact,
    /// The new one.
    Store,
    /// The new one, as inexact.
    StoreInexact,
}

/// Decides which of two snapshots is kept: the present one if it contains more (it has the higher `lo`, or the same and
/// only it is exact), else the new one. If the present one has a higher `hi`, what it has shown must not vanish again, so
/// the new one becomes inexact.
pub fn decide_publish(present: &VersionBounds, new: &VersionBounds) -> PublishStep {
    let contains_more =
        present.lo > new.lo || (present.lo == new.lo && present.exact && !new.exact);
    match (contains_more, present.hi > new.hi) {
        (true, _) => PublishStep::KeepPresent,
        (false, true) => PublishStep::StoreInexact,
        (false, false) => PublishStep::Store,
    }
}

/// The same for a new snapshot whose version was assigned to a foreign file. A present one of an earlier version lacks
/// that file: it is replaced even if it is exact, or, if it contains more of other changes, marked inexact.
pub fn decide_publish_foreign(present: &VersionBounds, new: &VersionBounds) -> PublishStep {
    match (present.hi < new.hi, present.lo > new.lo) {
        (true, true) => PublishStep::MarkPresentInexact,
        (true, false) => PublishStep::Store,
        (false, _) => decide_publish(present, new),
    }
}

/// What a rebuild has found out about the files, beside the state document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingFacts {
    /// Some are foreign and not in what is known, so the current version may not cover them: another instance may be
    /// exact at that version without them.
    pub foreign: bool,
    /// The highest version that this instance has found in memory or in the artifact.
    pub floor: Version,
    /// Lowest number above those of all files.
    pub min_next_id: u32,
}

/// How a rebuild determines the version bounds of what it has listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundsStep {
    /// Create the state document, under this condition.
    CreateState(PutIf),
    /// Raise the document's version to cover the files, for this reason; nothing is pending.
    RaiseVersion(&'static str),
    /// Raise the version beside the intents that are pending.
    VersionForeignFiles,
    /// Read the document a second time.
    RereadState,
    /// Assume that the document hasn't changed since: a broken rule.
    AssumeUnchanged,
}

/// Decides how a rebuild that found `state` before its LIST determines the bounds of what was listed.
pub fn decide_bounds(
    state: &StatePresence,
    facts: &ListingFacts,
    rules: Rules<Mutation>,
) -> BoundsStep {
    let state = match state {
        StatePresence::Missing => return BoundsStep::CreateState(PutIf::Absent),
        StatePresence::Damaged(etag) => return BoundsStep::CreateState(PutIf::Same(etag.clone())),
        StatePresence::Present(stored) => &stored.state,
    };
    let is_behind = state.version < facts.floor || state.next_id < facts.min_next_id;
    let has_pending = !state.pending.is_empty();
    let reread = match !has_pending && rules.breaks(Mutation::NoSecondLook) {
        true => BoundsStep::AssumeUnchanged,
        false => BoundsStep::RereadState,
    };
    match (facts.foreign, is_behind) {
        (false, false) => reread,
        _ if state.is_read_only() => reread,
        _ if has_pending && rules.breaks(Mutation::ForeignUnderMark) => reread,
        _ if has_pending => BoundsStep::VersionForeignFiles,
        (true, _) => BoundsStep::RaiseVersion("files changed by others"),
        (false, true) => BoundsStep::RaiseVersion("state behind"),
    }
}

/// The document of a new user, or in place of a lost one, after a listing at the storage time `date`. Its version is
/// above every version that may have been handed out before.
pub fn new_state(
    date: DateTime<Utc>,
    facts: &ListingFacts,
    legacy: Option<LegacyNextId>,
    rules: Rules<Mutation>,
) -> State {
    let clock = Version(u64::try_from(date.timestamp_millis()).unwrap_or(0));
    let floor = match rules.breaks(Mutation::StateFromZero) {
        true => Version::default(),
        false => clock.max(facts.floor),
    };
    let next_id = legacy.as_ref().map_or(0, |legacy| legacy.number);
    State {
        legacy_next_id: legacy,
        ..State::new(floor, facts.min_next_id.max(next_id))
    }
}

/// The bounds of files that were listed after the document `first` was read and before it was read again, with the
/// result `second` (`None`: not modified). They are exact if the document hasn't changed and nothing is pending.
///
/// # Errors
/// What there is in place of the document, if it is gone: the rebuild has to start from that.
pub fn bounds_after_reread(
    first: &Arc<StoredState>,
    second: Option<StatePresence>,
    settings: &CacheSettings,
) -> Result<VersionBounds, StatePresence> {
    let lo = listing_floor(&first.state, settings);
    let (state, is_unchanged) = match second {
        None => (Arc::clone(first), true),
        Some(StatePresence::Present(second)) => (second, false),
        Some(gone) => return Err(gone),
    };
    Ok(VersionBounds {
        lo: lo.min(state.state.version),
        hi: state.state.version,
        exact: is_unchanged && first.state.pending.is_empty(),
        state: Some(state),
        before: Some(Arc::clone(first)),
        covers_foreign: false,
    })
}

/// The bounds of the last listing when concurrent writers changed the state around each: it was taken after `first` was
/// read and before `last` was.
pub fn inexact_bounds(first: &StatePresence, last: &StatePresence) -> VersionBounds {
    let lo = finished_version(first);
    let state = last.stored();
    VersionBounds {
        lo,
        hi: state.map_or(lo, |stored| stored.state.version.max(lo)),
        state: state.cloned(),
        ..VersionBounds::default()
    }
}

/// Every change up to this version is in a listing that is requested after this state was read.
pub fn finished_version(state: &StatePresence) -> Version {
    let finished = state.stored().map(|stored| stored.state.finished());
    finished.unwrap_or_default()
}

/// The key under which readers may join a rebuild that starts from `state`: its ETag if nothing is pending.
pub fn join_key(state: &StatePresence, rules: Rules<Mutation>) -> Option<ETag> {
    let stored = state.stored()?;
    let is_quiescent = stored.state.pending.is_empty();
    match () {
        () if rules.breaks(Mutation::JoinByVersion) => {
            Some(ETag::new(&stored.state.version.to_string()))
        }
        () if is_quiescent || rules.breaks(Mutation::JoinWhilePending) => Some(stored.etag.clone()),
        () => None,
    }
}
