//! A read that goes to storage: the state document, then the confirmed snapshot, the artifact, or a rebuild
//! (src/cache/README.md, "Read").

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::artifact::Artifact;
use super::entry::{Entry, Found, Knowledge};
use super::flights::{Began, Promise};
use super::rebuild::Ground;
use super::state::{SeenState, State, StateFound, Version};
use super::{Freshness, Inner, Layer, Mutation, ReadError, Requests, Want};
use crate::now::Now;
use crate::store::{Answer, GetIf, Got, Key};
use crate::user::UserId;

/// What an inquiry brings back.
#[derive(Debug, Clone)]
pub(super) struct Flown {
    pub entry: Arc<Entry>,
    pub layer: Layer,
    pub requests: Requests,
}

/// What a look at the state blob showed.
pub(super) struct StateSeen {
    /// `None`: still the version asked about.
    pub found: Option<StateFound>,
    /// The storage's clock.
    pub date: DateTime<Utc>,
}

/// The artifact blob, as far as it was asked for.
enum ArtifactSeen {
    NotAsked,
    /// `None`: there is none that could be used.
    Asked(Option<Artifact>),
}

/// A read under way.
pub(super) struct Inquiry {
    inner: Arc<Inner>,
    want: Want,
    /// Whatever memory has, current or not.
    base: Option<Arc<Entry>>,
    artifact: ArtifactSeen,
    requests: Requests,
    promise: Promise,
}

impl Inquiry {
    pub(super) fn new(inner: Arc<Inner>, want: Want, promise: Promise) -> Self {
        let base = inner.memory.get(&want.user);
        Self {
            inner,
            want,
            base,
            artifact: ArtifactSeen::NotAsked,
            requests: Requests::default(),
            promise,
        }
    }

    pub(super) async fn answer(mut self) -> Result<Flown, ReadError> {
        tracing::debug!(user = %self.want.user, freshness = ?self.want.freshness, "asking storage");
        let mut seen = self.look().await?;
        // Before anything is settled, which may take a while: the store has answered.
        self.promise.give(self.surely_contained(&seen));
        if let Some(settled) = self.settled(&seen).await {
            seen = settled;
        }
        if let Some(entry) = self.confirmed(&seen) {
            return Ok(Flown {
                entry,
                layer: Layer::Memory,
                requests: self.requests,
            });
        }
        if self.has_use_for_artifact(&seen) {
            self.requests.reads += 1;
            self.artifact = ArtifactSeen::Asked(self.inner.read_artifact(&self.want.user).await);
        }
        if self.artifact_is_ahead(&seen) {
            // Another instance finished a change between the two requests.
            seen = self
                .inner
                .read_state(
                    &self.want.user,
                    GetIf::Any,
                    &self.want.now,
                    &mut self.requests,
                )
                .await?;
        }
        if let Some(entry) = self.taken(&seen) {
            return Ok(Flown {
                entry,
                layer: Layer::Artifact,
                requests: self.requests,
            });
        }
        self.rebuilt(seen).await
    }

    /// The state without the marks that were left too long, if it had some.
    async fn settled(&mut self, seen: &StateSeen) -> Option<StateSeen> {
        let Some(StateFound::Present(present)) = &seen.found else {
            return None;
        };
        let settling = self
            .inner
            .settle(&self.want.user, present, seen.date, &self.want.now);
        let (state, requests) = settling.await?;
        self.requests += requests;
        Some(StateSeen {
            found: Some(StateFound::Present(state)),
            date: seen.date,
        })
    }

    /// The entry that a word from the state blob makes an answer.
    fn current(&self) -> Option<&Arc<Entry>> {
        let counts = |entry: &&Arc<Entry>| self.inner.counts(entry, self.want.now);
        self.base
            .as_ref()
            .filter(counts)
            .filter(|_| self.want.freshness != Freshness::Rebuilt)
    }

    /// Whatever comes of it: an answer contains every change that was finished when the state was read.
    fn surely_contained(&self, seen: &StateSeen) -> Version {
        match &seen.found {
            None => self
                .current()
                .map_or(Version::default(), |entry| entry.knowledge.lo),
            Some(StateFound::Present(seen)) => self.inner.contained_from(&seen.state),
            Some(StateFound::Missing | StateFound::Damaged(_)) => Version::default(),
        }
    }

    /// Asks for the state; together with the artifact where memory has nothing to go on with.
    async fn look(&mut self) -> Result<StateSeen, ReadError> {
        let known = self
            .current()
            .and_then(|entry| entry.knowledge.confirmed_by().cloned());
        let condition = known.map_or(GetIf::Any, GetIf::Changed);
        let in_time = |entry: &Arc<Entry>| self.inner.in_memory_time(entry, self.want.now);
        let (user, now) = (&self.want.user, &self.want.now);
        if self.base.as_ref().is_some_and(in_time) {
            return self
                .inner
                .read_state(user, condition, now, &mut self.requests)
                .await;
        }
        self.requests.reads += 1;
        let state = self
            .inner
            .read_state(user, condition, now, &mut self.requests);
        let (seen, artifact) = tokio::join!(state, self.inner.read_artifact(user));
        self.artifact = ArtifactSeen::Asked(artifact);
        seen
    }

    fn artifact_is_ahead(&self, seen: &StateSeen) -> bool {
        match (&self.artifact, &seen.found) {
            (ArtifactSeen::Asked(Some(artifact)), Some(StateFound::Present(seen))) => {
                artifact.built_from > seen.state.version
            }
            _ => false,
        }
    }

    /// Memory, when the state blob says that no change has come.
    fn confirmed(&self, seen: &StateSeen) -> Option<Arc<Entry>> {
        let entry = self.current()?;
        let now = self.want.now.mono;
        match &seen.found {
            None => {
                entry.validated_at(now);
                Some(Arc::clone(entry))
            }
            Some(StateFound::Present(seen)) if seen.state.is_settled_at(entry.knowledge.hi) => {
                entry.validated_at(now);
                let zone = self.inner.settings.zone;
                let entry = Arc::new(entry.beside(Arc::clone(seen), zone));
                self.inner.memory.publish(&entry);
                Some(entry)
            }
            Some(_) => None,
        }
    }

    /// Not asked for yet, and it may be the answer, or know the versions of a state that was lost.
    fn has_use_for_artifact(&self, seen: &StateSeen) -> bool {
        let open = matches!(self.artifact, ArtifactSeen::NotAsked);
        open && match &seen.found {
            None => false,
            Some(StateFound::Present(seen)) => self.may_be_taken(&seen.state),
            Some(StateFound::Missing | StateFound::Damaged(_)) => true,
        }
    }

    /// Whether an artifact of this state's version would be an answer. A state behind what this
    /// instance has shown was made again; it is raised by a rebuild.
    fn may_be_taken(&self, state: &State) -> bool {
        let behind = self
            .base
            .as_ref()
            .is_some_and(|entry| state.version < entry.knowledge.hi);
        let settled = state.pending.is_empty() || self.inner.breaks(Mutation::ArtifactWhilePending);
        !behind && settled && self.want.freshness != Freshness::Rebuilt
    }

    /// The artifact, when it was built from the very version the state is at, with nothing pending.
    fn taken(&mut self, seen: &StateSeen) -> Option<Arc<Entry>> {
        let Some(StateFound::Present(present)) = &seen.found else {
            return None;
        };
        if !self.may_be_taken(&present.state) {
            return None;
        }
        let ArtifactSeen::Asked(found) = &mut self.artifact else {
            return None;
        };
        let state = &present.state;
        let artifact = found.take_if(|it| self.inner.is_current(it, state, seen.date))?;
        Some(self.take(artifact, Arc::clone(present), seen.date))
    }

    fn take(&self, artifact: Artifact, state: Arc<SeenState>, date: DateTime<Utc>) -> Arc<Entry> {
        let knowledge = Knowledge::exactly(state);
        let settings = &self.inner.settings;
        let left = settings
            .artifact_ttl
            .saturating_sub(artifact.age(date).unwrap_or_default());
        let found = Found {
            table: Arc::new(artifact.table),
            listed_at: artifact.listed_at,
            listing_expires: self.want.now.mono + left,
        };
        let user = self.want.user.clone();
        let entry = Entry::new(user, knowledge, found, self.want.now, settings.zone);
        let entry = Arc::new(entry);
        self.inner.memory.publish(&entry);
        entry
    }

    /// A rebuild from what was found, or one under way that lists late enough.
    async fn rebuilt(self, seen: StateSeen) -> Result<Flown, ReadError> {
        let (inner, user) = (Arc::clone(&self.inner), self.want.user.clone());
        let mut requests = self.requests;
        let same_key = self.want.freshness != Freshness::Rebuilt;
        let ground = self.ground(seen);
        let key = match () {
            () if inner.breaks(Mutation::JoinWhilePending) => ground.any_key(),
            () if inner.breaks(Mutation::JoinByVersion) => ground.version_key(),
            () => ground.settled_key(),
        };
        let begin = |listed| Arc::clone(&inner).rebuild(ground, listed);
        let (waiting, began) = inner.flights.rebuild(&user, key, same_key, begin);
        let rebuilt = waiting.await?;
        if began == Began::Here {
            requests += rebuilt.requests;
        }
        Ok(Flown {
            entry: rebuilt.entry,
            layer: Layer::Rebuild,
            requests,
        })
    }

    /// The newest files known of are the base; what is known *exactly* shows foreign changes.
    fn ground(self, seen: StateSeen) -> Ground {
        let artifact = match self.artifact {
            ArtifactSeen::Asked(found) => found,
            ArtifactSeen::NotAsked => None,
        };
        let of_memory = self.base.map(|entry| {
            let Knowledge { lo, hi, exact, .. } = entry.knowledge;
            (hi, Arc::clone(entry.table()), exact.then_some(hi), lo)
        });
        let of_artifact = artifact.map(|it| {
            let from = it.built_from;
            (from, Arc::new(it.table), Some(from), from)
        });
        let newest = of_memory
            .into_iter()
            .chain(of_artifact)
            .max_by_key(|(version, ..)| *version);
        let (floor, base, base_exact_at, base_lo) = match newest {
            Some((version, table, exact_at, lo)) => (version, Some(table), exact_at, lo),
            None => (Version::default(), None, None, Version::default()),
        };
        Ground {
            user: self.want.user,
            now: self.want.now,
            // A rebuild is begun with the state in hand: a current entry would have been confirmed.
            state: seen.found.unwrap_or(StateFound::Missing),
            date: seen.date,
            base,
            base_exact_at,
            base_lo,
            floor,
        }
    }
}

impl Inner {
    pub(super) async fn read_state(
        &self,
        user: &UserId,
        condition: GetIf,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<StateSeen, ReadError> {
        requests.reads += 1;
        let Answer { value, date } = self.store.get(&Key::state(user), condition).await?;
        self.clock.heard(date, now.later().mono);
        let found = match value {
            Got::Unchanged => None,
            Got::Absent | Got::Changed => Some(StateFound::Missing),
            Got::Blob(blob) => Some(match State::parse(&blob.bytes)? {
                Some(state) => StateFound::Present(Arc::new(SeenState {
                    state,
                    etag: blob.etag,
                })),
                None => {
                    tracing::warn!(%user, "the state blob is damaged and is made again");
                    StateFound::Damaged(blob.etag)
                }
            }),
        };
        Ok(StateSeen { found, date })
    }

    /// An artifact that can't be had is as if there were none: it is only a short cut.
    async fn read_artifact(&self, user: &UserId) -> Option<Artifact> {
        match self.store.get(&Key::artifact(user), GetIf::Any).await {
            Ok(Answer {
                value: Got::Blob(blob),
                ..
            }) => Artifact::parse(&blob.bytes, user),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%user, %error, "the artifact can't be read; reads cost a listing");
                None
            }
        }
    }

    /// Every change up to this one is in a listing that is sent after this state was read.
    pub(super) fn contained_from(&self, state: &State) -> Version {
        match self.breaks(Mutation::LoDespiteMarks) {
            true => state.version,
            false => state.finished(),
        }
    }

    /// Built from this version, and its files listed not too long ago by the storage's own clock.
    fn is_current(&self, artifact: &Artifact, state: &State, date: DateTime<Utc>) -> bool {
        let same = artifact.is_of(state) || self.breaks(Mutation::ArtifactOfAnyVersion);
        same && artifact.is_in_time(date, self.settings.artifact_ttl)
    }
}
