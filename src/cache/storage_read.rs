//! A read that goes to storage: the state document, then the confirmed snapshot, the artifact, or a rebuild
//! (src/cache/README.md, "Read").

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::artifact::Artifact;
use super::rebuild::RebuildInput;
use super::single_flight::{LowerBoundSender, Role};
use super::snapshot::{ListedFiles, Snapshot, VersionBounds};
use super::state::{State, StatePresence, StoredState, Version};
use super::{CacheInner, Consistency, Layer, Mutation, ReadError, ReadRequest, Requests};
use crate::now::Now;
use crate::store::{BlobKey, GetIf, GetOutcome, StoreResponse};
use crate::user::UserId;

/// The result of a storage read, shared by its leader and followers.
#[derive(Debug, Clone)]
pub(super) struct ReadOutcome {
    pub entry: Arc<Snapshot>,
    pub layer: Layer,
    pub requests: Requests,
}

/// A response to a GET of the state document.
pub(super) struct StateResponse {
    /// `None`: not modified (304).
    pub found: Option<StatePresence>,
    /// The storage clock.
    pub date: DateTime<Utc>,
}

/// Whether the artifact was requested, and what was found.
enum ArtifactLookup {
    NotRequested,
    /// `None`: there is no usable artifact.
    Requested(Option<Artifact>),
}

/// One read that goes to storage.
pub(super) struct StorageRead {
    inner: Arc<CacheInner>,
    request: ReadRequest,
    /// The snapshot in memory, current or not.
    base: Option<Arc<Snapshot>>,
    artifact: ArtifactLookup,
    requests: Requests,
    lower_bound: LowerBoundSender,
}

impl StorageRead {
    pub(super) fn new(
        inner: Arc<CacheInner>,
        request: ReadRequest,
        lower_bound: LowerBoundSender,
    ) -> Self {
        let base = inner.memory.get(&request.user);
        Self {
            inner,
            request,
            base,
            artifact: ArtifactLookup::NotRequested,
            requests: Requests::default(),
            lower_bound,
        }
    }

    /// Runs the read. Sends the lower bound of its result as soon as the state document has been read.
    pub(super) async fn run(mut self) -> Result<ReadOutcome, ReadError> {
        tracing::debug!(user = %self.request.user, freshness = ?self.request.consistency, "asking storage");
        let mut seen = self.fetch_state().await?;
        // Sent before recovery, which may take a while: followers only wait for the store's first response.
        self.lower_bound.send(self.lower_bound_of(&seen));
        if let Some(recovered) = self.recover(&seen).await {
            seen = recovered;
        }
        if let Some(entry) = self.confirm(&seen) {
            return Ok(ReadOutcome {
                entry,
                layer: Layer::Memory,
                requests: self.requests,
            });
        }
        if self.needs_artifact(&seen) {
            self.requests.reads += 1;
            self.artifact =
                ArtifactLookup::Requested(self.inner.read_artifact(&self.request.user).await);
        }
        if self.artifact_is_ahead(&seen) {
            // Another instance finished a change between the two requests; the first state is outdated.
            seen = self
                .inner
                .read_state(
                    &self.request.user,
                    GetIf::Any,
                    &self.request.now,
                    &mut self.requests,
                )
                .await?;
        }
        if let Some(entry) = self.take_artifact(&seen) {
            return Ok(ReadOutcome {
                entry,
                layer: Layer::Artifact,
                requests: self.requests,
            });
        }
        self.rebuild_or_join(seen).await
    }

    /// The state after the recovery of its overdue write intents; `None` if none could be recovered now.
    async fn recover(&mut self, seen: &StateResponse) -> Option<StateResponse> {
        let Some(StatePresence::Present(present)) = &seen.found else {
            return None;
        };
        let recovery =
            self.inner
                .recover_overdue(&self.request.user, present, seen.date, &self.request.now);
        let (state, requests) = recovery.await?;
        self.requests += requests;
        Some(StateResponse {
            found: Some(StatePresence::Present(state)),
            date: seen.date,
        })
    }

    /// The snapshot in memory, if an unchanged state document would confirm it as the answer.
    fn confirmable(&self) -> Option<&Arc<Snapshot>> {
        let is_confirmable =
            |entry: &&Arc<Snapshot>| self.inner.is_confirmable(entry, self.request.now);
        self.base
            .as_ref()
            .filter(is_confirmable)
            .filter(|_| self.request.consistency != Consistency::Rebuilt)
    }

    /// Lower bound of the result, however it is obtained: it contains every change that was finished when the state
    /// was read.
    fn lower_bound_of(&self, seen: &StateResponse) -> Version {
        match &seen.found {
            None => self
                .confirmable()
                .map_or(Version::default(), |entry| entry.bounds.lo),
            Some(StatePresence::Present(seen)) => self.inner.listing_floor(&seen.state),
            Some(StatePresence::Missing | StatePresence::Damaged(_)) => Version::default(),
        }
    }

    /// Reads the state document (conditionally, if a snapshot is confirmable), and concurrently the artifact, if
    /// memory has no snapshot within its TTL.
    async fn fetch_state(&mut self) -> Result<StateResponse, ReadError> {
        let validator = self
            .confirmable()
            .and_then(|entry| entry.bounds.validator().cloned());
        let condition = validator.map_or(GetIf::Any, GetIf::Changed);
        let in_time = |entry: &Arc<Snapshot>| self.inner.within_memory_ttl(entry, self.request.now);
        let (user, now) = (&self.request.user, &self.request.now);
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
        self.artifact = ArtifactLookup::Requested(artifact);
        seen
    }

    fn artifact_is_ahead(&self, seen: &StateResponse) -> bool {
        match (&self.artifact, &seen.found) {
            (ArtifactLookup::Requested(Some(artifact)), Some(StatePresence::Present(seen))) => {
                artifact.built_from > seen.state.version
            }
            _ => false,
        }
    }

    /// The snapshot in memory, if the state document shows that nothing has changed since.
    fn confirm(&self, seen: &StateResponse) -> Option<Arc<Snapshot>> {
        let entry = self.confirmable()?;
        let now = self.request.now.mono;
        match &seen.found {
            None => {
                entry.mark_validated(now);
                Some(Arc::clone(entry))
            }
            Some(StatePresence::Present(seen)) if seen.state.is_quiescent_at(entry.bounds.hi) => {
                entry.mark_validated(now);
                let zone = self.inner.settings.zone;
                let entry = Arc::new(entry.with_state(Arc::clone(seen), zone));
                self.inner.memory.publish(&entry);
                Some(entry)
            }
            Some(_) => None,
        }
    }

    /// Whether to request the artifact now: it may be the answer, or name the versions of a lost state document.
    fn needs_artifact(&self, seen: &StateResponse) -> bool {
        let is_open = matches!(self.artifact, ArtifactLookup::NotRequested);
        is_open
            && match &seen.found {
                None => false,
                Some(StatePresence::Present(seen)) => self.allows_artifact(&seen.state),
                Some(StatePresence::Missing | StatePresence::Damaged(_)) => true,
            }
    }

    /// Whether an artifact of this state's version would be an answer. Not if the state is behind what this instance
    /// has shown: then it was lost and recreated, and a rebuild must raise its version first.
    fn allows_artifact(&self, state: &State) -> bool {
        let behind = self
            .base
            .as_ref()
            .is_some_and(|entry| state.version < entry.bounds.hi);
        let is_quiescent =
            state.pending.is_empty() || self.inner.breaks(Mutation::ArtifactWhilePending);
        !behind && is_quiescent && self.request.consistency != Consistency::Rebuilt
    }

    /// A snapshot from the artifact, if that was built from exactly the state's version and nothing is pending.
    fn take_artifact(&mut self, seen: &StateResponse) -> Option<Arc<Snapshot>> {
        let Some(StatePresence::Present(present)) = &seen.found else {
            return None;
        };
        if !self.allows_artifact(&present.state) {
            return None;
        }
        let ArtifactLookup::Requested(found) = &mut self.artifact else {
            return None;
        };
        let state = &present.state;
        let artifact = found.take_if(|it| self.inner.is_current(it, state, seen.date))?;
        Some(self.publish_artifact(artifact, Arc::clone(present), seen.date))
    }

    fn publish_artifact(
        &self,
        artifact: Artifact,
        state: Arc<StoredState>,
        date: DateTime<Utc>,
    ) -> Arc<Snapshot> {
        let bounds = VersionBounds::exact_at(state);
        let settings = &self.inner.settings;
        let left = settings
            .artifact_ttl
            .saturating_sub(artifact.age(date).unwrap_or_default());
        let found = ListedFiles {
            table: Arc::new(artifact.table),
            listed_at: artifact.listed_at,
            listing_expires: self.request.now.mono + left,
        };
        let user = self.request.user.clone();
        let entry = Snapshot::new(user, bounds, found, self.request.now, settings.zone);
        let entry = Arc::new(entry);
        self.inner.memory.publish(&entry);
        entry
    }

    /// Starts a rebuild from what was found, or joins one in flight whose LIST is late enough.
    async fn rebuild_or_join(self, seen: StateResponse) -> Result<ReadOutcome, ReadError> {
        let (inner, user) = (Arc::clone(&self.inner), self.request.user.clone());
        let mut requests = self.requests;
        let may_share_listing = self.request.consistency != Consistency::Rebuilt;
        let input = self.rebuild_input(seen);
        let key = match () {
            () if inner.breaks(Mutation::JoinWhilePending) => input.etag_key(),
            () if inner.breaks(Mutation::JoinByVersion) => input.version_key(),
            () => input.quiescent_key(),
        };
        let begin = |listed| Arc::clone(&inner).rebuild(input, listed);
        let (result, role) = inner.flights.rebuild(&user, key, may_share_listing, begin);
        let rebuilt = result.await?;
        if role == Role::Leader {
            requests += rebuilt.requests;
        }
        Ok(ReadOutcome {
            entry: rebuilt.entry,
            layer: Layer::Rebuild,
            requests,
        })
    }

    /// The base is the newest table known, from memory or the artifact; a base that is *exact* at the state's version
    /// lets the rebuild detect foreign changes.
    fn rebuild_input(self, seen: StateResponse) -> RebuildInput {
        let artifact = match self.artifact {
            ArtifactLookup::Requested(found) => found,
            ArtifactLookup::NotRequested => None,
        };
        let of_memory = self.base.map(|entry| {
            let VersionBounds { lo, hi, exact, .. } = entry.bounds;
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
        RebuildInput {
            user: self.request.user,
            now: self.request.now,
            // `None` (304) can't occur: it is only returned for a confirmable snapshot, which was then confirmed.
            state: seen.found.unwrap_or(StatePresence::Missing),
            date: seen.date,
            base,
            base_exact_at,
            base_lo,
            floor,
        }
    }
}

impl CacheInner {
    pub(super) async fn read_state(
        &self,
        user: &UserId,
        condition: GetIf,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<StateResponse, ReadError> {
        requests.reads += 1;
        let StoreResponse { value, date } =
            self.store.get(&BlobKey::state(user), condition).await?;
        self.clock.observe(date, now.later().mono);
        let found = match value {
            GetOutcome::Unchanged => None,
            GetOutcome::Absent | GetOutcome::Changed => Some(StatePresence::Missing),
            GetOutcome::Blob(blob) => Some(match State::parse(&blob.bytes)? {
                Some(state) => StatePresence::Present(Arc::new(StoredState {
                    state,
                    etag: blob.etag,
                })),
                None => {
                    tracing::warn!(%user, "the state document is damaged and will be recreated");
                    StatePresence::Damaged(blob.etag)
                }
            }),
        };
        Ok(StateResponse { found, date })
    }

    /// Reads the artifact. A failure is logged and treated as no artifact: it costs a listing.
    async fn read_artifact(&self, user: &UserId) -> Option<Artifact> {
        match self.store.get(&BlobKey::artifact(user), GetIf::Any).await {
            Ok(StoreResponse {
                value: GetOutcome::Blob(blob),
                ..
            }) => Artifact::parse(&blob.bytes, user),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%user, %error, "the artifact can't be read; reads cost a listing");
                None
            }
        }
    }

    /// Every change up to this version is in a listing that is requested after this state was read.
    pub(super) fn listing_floor(&self, state: &State) -> Version {
        match self.breaks(Mutation::LoDespiteMarks) {
            true => state.version,
            false => state.finished(),
        }
    }

    /// Whether the artifact was built from the state's version and its listing is within the TTL by the storage clock.
    fn is_current(&self, artifact: &Artifact, state: &State, date: DateTime<Utc>) -> bool {
        let same = artifact.is_built_from(state) || self.breaks(Mutation::ArtifactOfAnyVersion);
        same && artifact.is_within_ttl(date, self.settings.artifact_ttl)
    }
}
