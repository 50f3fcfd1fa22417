//! PURE. The rules of a read: when memory answers, and what follows from the state document
//! (src/cache/README.md, "Read").

use std::time::Duration;

use super::settings::CacheSettings;
use crate::user_state::{Mutation, State, Version};

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
    /// How long ago the state document last confirmed the files.
    pub confirmed: Duration,
    /// How long ago this instance listed or loaded the files.
    pub loaded: Duration,
    /// Whether the listing has expired.
    pub listing_expired: bool,
}

impl SnapshotAge {
    /// Whether memory answers without storage: bounded consistency, confirmed within `revalidate`, contains the version
    /// the client has seen, and still confirmable.
    pub fn satisfies(
        &self,
        consistency: Consistency,
        seen: Option<Version>,
        settings: &CacheSettings,
    ) -> bool {
        consistency == Consistency::Bounded
            && self.confirmed < settings.revalidate
            && self.contains(seen)
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

    /// Whether every change up to `version` is in it.
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
        SeenState::Present(state) => view
            .confirmable(settings)
            .is_some_and(|snapshot| state.is_quiescent_at(snapshot.hi)),
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
