//! The driver of a read: memory, else a storage read that is joined or started, else a stale snapshot in an outage. And
//! the storage read: the state document, then the confirmed snapshot, the artifact, or a rebuild (src/cache/README.md,
//! "Read").

use std::sync::Arc;
use std::time::Duration;

use super::artifact::{Artifact, read_artifact};
use super::decide::{
    Consistency, ReadStep, ReadView, SeenArtifact, SeenState, VersionBounds, decide_read, join_key,
};
use super::layers::Cache;
use super::listing::KnownFiles;
use super::rebuild::Rebuild;
use super::request::{Layer, Read, ReadRequest};
use super::shared::{look_up, publish};
use super::single_flight::{LowerBoundSender, ReadFlight, Role};
use super::snapshot::{ListedFiles, Snapshot};
use crate::now::Now;
use crate::shared_cache::LookupOutcome;
use crate::store::{GetIf, Requests};
use crate::user_state::{Mutation, ReadError, StatePresence, StateResponse};

/// How long the store may stay silent about the small state document before a reader with a stale fallback treats it
/// as unreachable. The read itself continues for the others.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);

pub(super) async fn read(cache: &Arc<Cache>, request: &ReadRequest) -> Result<Read, ReadError> {
    let known = cache.memory.get(&request.user);
    if let Some(entry) = known.filter(|entry| satisfies(cache, entry, request)) {
        return Ok(from_memory(cache, entry, Layer::Memory, request.now));
    }
    // Boxed, so that the future of a memory hit doesn't reserve room for the slow path.
    Box::pin(read_slow(cache, request)).await
}

/// The path of a memory miss: joins or starts a storage read; serves a stale snapshot if the store is unreachable.
async fn read_slow(cache: &Arc<Cache>, request: &ReadRequest) -> Result<Read, ReadError> {
    let found = look_up(cache, request).await;
    if let Some(entry) = answer_from_shared(cache, request, found.as_ref()) {
        return Ok(from_memory(cache, entry, Layer::Shared, request.now));
    }
    let fallback = stale_fallback(cache, request);
    let has_fallback = fallback.is_some();
    if let Some(entry) = fallback.filter(|entry| failed_recently(cache, entry, request)) {
        return Ok(from_memory(cache, entry, Layer::Stale, request.now));
    }
    let announced = cache.memory.get(&request.user).map(|entry| entry.floor());
    match fetch_or_join(cache, request, found, has_fallback).await {
        Ok((mut read, role)) => {
            if role == Role::Follower {
                read.requests = Requests::default();
            }
            let hi = read.entry.bounds.hi;
            if let Some(floor) = announced.filter(|floor| *floor > hi) {
                cache.memory.cap_floor(&request.user, floor, hi);
            }
            read.entry = placed_at(cache, read.entry, request.now);
            Ok(read)
        }
        Err(error) if error.is_outage() => {
            let entry = stale_fallback(cache, request).ok_or(error)?;
            let layer = match satisfies(cache, &entry, request) {
                // A concurrent reader has refreshed the snapshot since.
                true => Layer::Memory,
                false => {
                    entry.mark_failed(request.now.later().mono);
                    Layer::Stale
                }
            };
            Ok(from_memory(cache, entry, layer, request.now))
        }
        Err(error) => Err(error),
    }
}

/// The snapshot in memory, or the one `found` if memory has kept none, if it answers since the look-up: it must also
/// contain what this instance has acknowledged, which is in memory unless that was evicted.
fn answer_from_shared(
    cache: &Cache,
    request: &ReadRequest,
    found: Option<&Arc<Snapshot>>,
) -> Option<Arc<Snapshot>> {
    let found = found?;
    let settings = &cache.settings;
    let (entry, wanted) = match settings.rules.breaks(Mutation::SharedIgnoresSeen) {
        true => (Arc::clone(found), None),
        false => {
            let known = cache.memory.get(&request.user);
            let acknowledged = cache.acknowledged.get(&request.user);
            let entry = known.unwrap_or_else(|| Arc::clone(found));
            (entry, request.seen.max(acknowledged))
        }
    };
    let age = entry.age(request.now);
    let answers = age.satisfies(request.consistency, wanted, settings);
    if let Some(layer) = &cache.shared {
        layer.server.record(match answers {
            true => LookupOutcome::Hit,
            false => LookupOutcome::Stale,
        });
    }
    answers.then_some(entry)
}

fn satisfies(cache: &Cache, entry: &Snapshot, request: &ReadRequest) -> bool {
    let age = entry.age(request.now);
    age.satisfies(request.consistency, request.seen, &cache.settings)
}

/// The snapshot that may be served stale in an outage (P9); `None` for a strong read.
fn stale_fallback(cache: &Cache, request: &ReadRequest) -> Option<Arc<Snapshot>> {
    let entry = cache.memory.get(&request.user)?;
    let acknowledged = cache.acknowledged.get(&request.user);
    let (age, settings) = (entry.age(request.now), &cache.settings);
    age.may_be_stale_answer(request.consistency, request.seen, acknowledged, settings)
        .then_some(entry)
}

/// Whether the store failed within `revalidate`: trying again for each reader would only make them all wait.
fn failed_recently(cache: &Cache, entry: &Snapshot, request: &ReadRequest) -> bool {
    let failed = entry.since_failure(request.now);
    failed.is_some_and(|ago| ago < cache.settings.revalidate)
}

fn from_memory(cache: &Cache, entry: Arc<Snapshot>, layer: Layer, now: Now) -> Read {
    Read::new(placed_at(cache, entry, now), layer, Requests::default())
}

/// The snapshot with its tasks placed again if a slot boundary has passed since. A joined read may already be placed for
/// a later boundary than this request's: it is placed again only if it is invalid at the current time, so that time
/// doesn't run backwards for later readers.
fn placed_at(cache: &Cache, entry: Arc<Snapshot>, now: Now) -> Arc<Snapshot> {
    if entry.is_valid_at(now) {
        return entry;
    }
    let now = now.later();
    if entry.is_valid_at(now) {
        return entry;
    }
    let placed = Arc::new(entry.placed_at(now, cache.settings.zone));
    cache.memory.replace(&entry, &placed);
    placed
}

/// Joins a storage read in flight that is current enough, else starts one.
///
/// A flight older than this request is joined only if the lower bound from its first read of the state document
/// suffices; one that starts later contains everything acknowledged before, by construction.
/// `found` is the shared cache's snapshot, for an instance whose memory hasn't kept it.
/// With a stale fallback (`has_fallback`) a silent store counts as unreachable after [`SILENCE_LIMIT`].
async fn fetch_or_join(
    cache: &Arc<Cache>,
    request: &ReadRequest,
    found: Option<Arc<Snapshot>>,
    has_fallback: bool,
) -> Result<(Read, Role), ReadError> {
    let arrived = cache.flights.watermark();
    let in_flight = cache.flights.current_read(&request.user);
    if let Some(flight) = in_flight.filter(|flight| is_recent(cache, flight, request)) {
        await_state(&flight, request, has_fallback).await?;
        // A change that this instance has shown since the flight started must not vanish again.
        let cached = cache.memory.get(&request.user);
        let needed = cached.map(|entry| entry.needed());
        if flight.will_contain(request.seen.max(needed)).await {
            return Ok((flight.result.await?, Role::Follower));
        }
    }
    let may_join =
        |flight: &ReadFlight| flight.id >= arrived && request.consistency != Consistency::Rebuilt;
    let begin = |lower_bound| {
        StorageRead::new(Arc::clone(cache), request.clone(), found, lower_bound).run()
    };
    let (flight, role) = cache
        .flights
        .read(&request.user, request.now.mono, may_join, begin);
    let result = match await_state(&flight, request, has_fallback).await {
        Ok(()) => flight.result.await,
        Err(silent) => Err(silent),
    };
    if let (Err(error), Role::Leader) = (&result, role) {
        // Logged once, by the leader; each reader may still get a stale snapshot.
        tracing::warn!(user = %request.user, %error, "the user's files can't be read");
    }
    Ok((result?, role))
}

/// With a fallback, waits for the state document until [`SILENCE_LIMIT`] after the flight started, then times out.
async fn await_state(
    flight: &ReadFlight,
    request: &ReadRequest,
    has_fallback: bool,
) -> Result<(), ReadError> {
    let waited = request.now.mono.saturating_duration_since(flight.started);
    let left = SILENCE_LIMIT.saturating_sub(waited);
    match has_fallback && !flight.has_state_within(left).await {
        true => Err(ReadError::TimedOut),
        false => Ok(()),
    }
}

/// Whether a bounded read may join this flight by its age.
fn is_recent(cache: &Cache, flight: &ReadFlight, request: &ReadRequest) -> bool {
    let age = request.now.mono.saturating_duration_since(flight.started);
    request.consistency == Consistency::Bounded && age < cache.settings.revalidate
}

struct StorageRead {
    cache: Arc<Cache>,
    request: ReadRequest,
    /// The snapshot in memory, current or not.
    base: Option<Arc<Snapshot>>,
    artifact_requested: bool,
    /// The artifact that was found, if it is usable.
    artifact: Option<Artifact>,
    requests: Requests,
    readers: Option<LowerBoundSender>,
}

impl StorageRead {
    fn new(
        cache: Arc<Cache>,
        request: ReadRequest,
        found: Option<Arc<Snapshot>>,
        readers: LowerBoundSender,
    ) -> Self {
        Self {
            base: cache.memory.get(&request.user).or(found),
            cache,
            request,
            artifact_requested: false,
            artifact: None,
            requests: Requests::default(),
            readers: Some(readers),
        }
    }

    /// Runs the read. Sends the lower bound of its result as soon as the state document has been read.
    async fn run(mut self) -> Result<Read, ReadError> {
        tracing::debug!(user = %self.request.user, freshness = ?self.request.consistency, "asking storage");
        let mut seen = self.fetch_state().await?;
        // Sent before recovery, which may take a while: followers only wait for the store's first response.
        let lower_bound = self.view(&seen, false).lower_bound(&self.cache.settings);
        if let Some(readers) = self.readers.take() {
            // They may have been dropped; nothing to notify.
            let _ = readers.send(lower_bound);
        }
        self.recover(&mut seen).await;
        let mut is_reread = false;
        loop {
            match decide_read(&self.view(&seen, is_reread), &self.cache.settings) {
                ReadStep::ConfirmSnapshot => return self.confirm(seen),
                ReadStep::RequestArtifact => {
                    self.requests.reads += 1;
                    self.artifact_requested = true;
                    self.artifact = read_artifact(&**self.cache.store(), &self.request.user).await;
                }
                ReadStep::RereadState => {
                    is_reread = true;
                    seen = self.read_state(GetIf::Any).await?;
                }
                ReadStep::ServeArtifact => return self.serve_artifact(seen),
                ReadStep::Rebuild => return self.rebuild_or_join(seen).await,
            }
        }
    }

    fn view<'a>(&self, seen: &'a StateResponse, is_reread: bool) -> ReadView<'a> {
        ReadView {
            consistency: self.request.consistency,
            snapshot: self.base.as_ref().map(|base| base.age(self.request.now)),
            state: match &seen.found {
                None => SeenState::NotModified,
                Some(StatePresence::Present(stored)) => SeenState::Present(&stored.state),
                Some(StatePresence::Missing | StatePresence::Damaged(_)) => SeenState::Missing,
            },
            artifact: match &self.artifact {
                None if !self.artifact_requested => SeenArtifact::NotRequested,
                None => SeenArtifact::Unusable,
                Some(it) => SeenArtifact::Found {
                    built_from: it.built_from,
                    is_current: it.is_within_ttl(seen.date, self.cache.settings.artifact_ttl),
                },
            },
            is_reread,
        }
    }

    async fn read_state(&mut self, condition: GetIf) -> Result<StateResponse, ReadError> {
        let (user, now) = (&self.request.user, &self.request.now);
        let documents = &self.cache.states.documents;
        let read = documents.read(user, condition, now, &mut self.requests);
        read.await
    }

    /// Reads the state document (conditionally, if a snapshot is confirmable), and concurrently the artifact, if
    /// memory has no snapshot within its TTL.
    async fn fetch_state(&mut self) -> Result<StateResponse, ReadError> {
        let settings = &self.cache.settings;
        let age = self.base.as_ref().map(|base| base.age(self.request.now));
        let consistency = self.request.consistency;
        let is_confirmable =
            age.is_some_and(|age| age.is_answer_if_unchanged(consistency, settings));
        let base = self.base.as_ref().filter(|_| is_confirmable);
        let validator = base.and_then(|base| base.bounds.validator().cloned());
        let condition = validator.map_or(GetIf::Any, GetIf::Changed);
        if age.is_some_and(|age| age.is_within_memory_ttl(settings)) {
            return self.read_state(condition).await;
        }
        self.requests.reads += 1;
        self.artifact_requested = true;
        let (cache, user) = (Arc::clone(&self.cache), self.request.user.clone());
        let artifact = read_artifact(&**cache.store(), &user);
        let (seen, artifact) = tokio::join!(self.read_state(condition), artifact);
        self.artifact = artifact;
        seen
    }

    /// Recovers the overdue write intents of the state document, as far as that is possible now.
    async fn recover(&mut self, seen: &mut StateResponse) {
        let Some(StatePresence::Present(present)) = &seen.found else {
            return;
        };
        let (user, now) = (&self.request.user, &self.request.now);
        let recovery = &self.cache.states.recovery;
        let recovered = recovery.recover_overdue(user, present, seen.date, now);
        let recovered = recovered.await;
        if let Some(stored) = recovered.stored {
            self.requests += recovered.requests;
            seen.found = Some(StatePresence::Present(stored));
        }
    }

    /// Answers with the snapshot in memory, which the state document has confirmed.
    fn confirm(self, seen: StateResponse) -> Result<Read, ReadError> {
        let mut entry = self.base.ok_or(ReadError::Broken)?;
        entry.mark_validated(self.request.now.mono);
        if let Some(StatePresence::Present(stored)) = seen.found {
            entry = Arc::new(entry.with_state(stored));
            self.cache.memory.publish(&entry, false);
        }
        publish(&self.cache, &entry, None, self.request.now);
        Ok(Read::new(entry, Layer::Memory, self.requests))
    }

    /// Answers with the artifact, whose listing stays valid for the rest of its TTL.
    fn serve_artifact(self, seen: StateResponse) -> Result<Read, ReadError> {
        let (Some(artifact), Some(StatePresence::Present(stored))) = (self.artifact, seen.found)
        else {
            return Err(ReadError::Broken);
        };
        let settings = &self.cache.settings;
        let age = artifact.age(seen.date).unwrap_or_default();
        let left = settings.artifact_ttl.saturating_sub(age);
        let found = ListedFiles {
            table: Arc::new(artifact.table),
            at: artifact.listed_at,
            expires: self.request.now.mono + left,
        };
        let bounds = VersionBounds::exact_at(stored);
        let ReadRequest { user, now, .. } = self.request;
        let entry = Arc::new(Snapshot::new(user, bounds, found, now, settings.zone));
        self.cache.memory.publish(&entry, false);
        publish(&self.cache, &entry, None, now);
        Ok(Read::new(entry, Layer::Artifact, self.requests))
    }

    /// Starts a rebuild from what was found, or joins one in flight whose LIST is late enough.
    async fn rebuild_or_join(self, seen: StateResponse) -> Result<Read, ReadError> {
        let cache = self.cache;
        let may_share_listing = self.request.consistency != Consistency::Rebuilt;
        let ReadRequest { user, now, .. } = self.request;
        // `None` (304) can't occur: it is only returned for a confirmable snapshot, which was then confirmed.
        let state = seen.found.unwrap_or(StatePresence::Missing);
        let key = join_key(&state, cache.settings.rules);
        let rebuild = Rebuild {
            cache: Arc::clone(&cache),
            user: user.clone(),
            now,
            state,
            date: seen.date,
            known: newest_known(self.base.as_deref(), self.artifact),
            requests: Requests::default(),
        };
        let begin = |listed| rebuild.run(listed);
        let (result, role) = cache.flights.rebuild(&user, key, may_share_listing, begin);
        let mut read = result.await?;
        let rebuilding = std::mem::replace(&mut read.requests, self.requests);
        if role == Role::Leader {
            read.requests += rebuilding;
        }
        Ok(read)
    }
}

/// PURE. The newest known files, from memory or the artifact. A table that is *exact* at the state's version lets the
/// rebuild detect foreign changes.
fn newest_known(snapshot: Option<&Snapshot>, artifact: Option<Artifact>) -> KnownFiles {
    let of_memory = snapshot.map(|snapshot| {
        let VersionBounds { lo, hi, exact, .. } = snapshot.bounds;
        KnownFiles {
            table: Some(Arc::clone(snapshot.table())),
            exact_at: exact.then_some(hi),
            lo,
            floor: hi,
        }
    });
    let of_artifact = artifact.map(|it| KnownFiles {
        table: Some(Arc::new(it.table)),
        exact_at: Some(it.built_from),
        lo: it.built_from,
        floor: it.built_from,
    });
    let known = of_memory.into_iter().chain(of_artifact);
    known.max_by_key(|known| known.floor).unwrap_or_default()
}
