//! PURE. Version bounds: which changes a snapshot contains, and how a rebuild determines it (src/cache/README.md,
//! "Version bounds").

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::decide::listing_floor;
use super::settings::CacheSettings;
use crate::rules::Rules;
use crate::store::{ETag, PutIf};
use crate::user_state::{
    LegacyNextId, MergedFile, Mutation, State, StatePresence, StoredState, Version,
};

/// Which changes a snapshot contains (src/cache/README.md, "Version bounds").
#[derive(Debug, Clone)]
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
        let version = state.state.version;
        Self {
            lo: version,
            hi: version,
            exact: true,
            state: Some(state),
            before: None,
            covers_foreign: false,
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

    /// The merged files, if any.
    pub(super) fn merged(&self) -> Option<&BTreeMap<String, MergedFile>> {
        let merged = &self.state.as_ref()?.state.merged;
        (!merged.is_empty()).then_some(merged)
    }

    /// The counter for new tasks.
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
    let state = match last {
        StatePresence::Present(stored) => Some(Arc::clone(stored)),
        StatePresence::Missing | StatePresence::Damaged(_) => None,
    };
    VersionBounds {
        lo,
        hi: state
            .as_ref()
            .map_or(lo, |stored| stored.state.version.max(lo)),
        exact: false,
        state,
        before: None,
        covers_foreign: false,
    }
}

/// Every change up to this version is in a listing that is requested after this state was read.
pub fn finished_version(state: &StatePresence) -> Version {
    match state {
        StatePresence::Present(stored) => stored.state.finished(),
        StatePresence::Missing | StatePresence::Damaged(_) => Version::default(),
    }
}

/// The key under which readers may join a rebuild that starts from `state`: its ETag if nothing is pending.
pub fn join_key(state: &StatePresence, rules: Rules<Mutation>) -> Option<ETag> {
    let StatePresence::Present(stored) = state else {
        return None;
    };
    let is_quiescent = stored.state.pending.is_empty();
    match () {
        () if rules.breaks(Mutation::JoinByVersion) => {
            Some(ETag::new(&stored.state.version.to_string()))
        }
        () if is_quiescent || rules.breaks(Mutation::JoinWhilePending) => Some(stored.etag.clone()),
        () => None,
    }
}
