//! The read rules that need no storage: when memory answers, when a reader joins a read in flight, and when a stale
//! snapshot is served in an outage (src/cache/README.md, "Read").

use std::sync::Arc;
use std::time::Duration;

use super::single_flight::{ReadFlight, Role};
use super::snapshot::Snapshot;
use super::storage_read::{ReadOutcome, StorageRead};
use super::{CacheInner, Consistency, Layer, Read, ReadError, ReadRequest, Requests};
use crate::now::Now;

/// How long the store may stay silent about the small state document before a reader with a stale fallback treats it
/// as unreachable. The read itself continues for the others.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);

impl CacheInner {
    pub(super) async fn read(self: &Arc<Self>, request: &ReadRequest) -> Result<Read, ReadError> {
        let known = self.memory.get(&request.user);
        self.read_from(request, known).await
    }

    /// `known` is the snapshot in memory, looked up after the request arrived.
    pub(super) async fn read_from(
        self: &Arc<Self>,
        request: &ReadRequest,
        known: Option<Arc<Snapshot>>,
    ) -> Result<Read, ReadError> {
        if let Some(entry) = known.filter(|entry| self.satisfies(entry, request)) {
            return Ok(self.read_result(entry, Layer::Memory, Requests::default(), request.now));
        }
        // Boxed, so that the future of a memory hit doesn't reserve room for the slow path.
        Box::pin(self.read_slow(request)).await
    }

    /// The path of a memory miss: joins or starts a storage read; serves a stale snapshot if the store is unreachable.
    async fn read_slow(self: &Arc<Self>, request: &ReadRequest) -> Result<Read, ReadError> {
        let fallback = self.stale_fallback(request);
        if let Some(entry) = fallback
            .as_ref()
            .filter(|entry| self.failed_recently(entry, request))
        {
            return Ok(self.read_result(
                Arc::clone(entry),
                Layer::Stale,
                Requests::default(),
                request.now,
            ));
        }
        match self.fetch_or_join(request, fallback.is_some()).await {
            Ok((outcome, role)) => {
                let requests = if role == Role::Leader {
                    outcome.requests
                } else {
                    Requests::default()
                };
                Ok(self.read_result(outcome.entry, outcome.layer, requests, request.now))
            }
            Err(error) if error.is_outage() => {
                let entry = self.stale_fallback(request).ok_or(error)?;
                if self.satisfies(&entry, request) {
                    // A concurrent reader has refreshed the snapshot since.
                    return Ok(self.read_result(
                        entry,
                        Layer::Memory,
                        Requests::default(),
                        request.now,
                    ));
                }
                entry.mark_failed(request.now.later().mono);
                Ok(self.read_result(entry, Layer::Stale, Requests::default(), request.now))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether memory answers without storage: bounded consistency, confirmed within `revalidate`, contains the version
    /// the client has seen, and still confirmable.
    fn satisfies(&self, entry: &Snapshot, request: &ReadRequest) -> bool {
        request.consistency == Consistency::Bounded
            && entry.age(request.now) < self.settings.revalidate
            && request.seen.is_none_or(|seen| seen <= entry.bounds.lo)
            && self.is_confirmable(entry, request.now)
    }

    /// Whether an unchanged state document suffices to confirm the snapshot: it is exact, and neither its memory TTL
    /// nor its listing has expired.
    pub(super) fn is_confirmable(&self, entry: &Snapshot, now: Now) -> bool {
        entry.bounds.exact
            && self.within_memory_ttl(entry, now)
            && now.mono < entry.listing_expires()
    }

    /// Past `memory_ttl` a snapshot is only the base of a rebuild, or a stale answer.
    pub(super) fn within_memory_ttl(&self, entry: &Snapshot, now: Now) -> bool {
        entry.memory_age(now) < self.settings.memory_ttl
    }

    /// The result for `entry`; its tasks are placed again if a slot boundary has passed since.
    fn read_result(
        &self,
        entry: Arc<Snapshot>,
        layer: Layer,
        requests: Requests,
        now: Now,
    ) -> Read {
        let entry = if entry.is_valid_at(now) {
            entry
        } else {
            self.re_place(entry, now.later())
        };
        Read {
            entry,
            layer,
            requests,
        }
    }

    /// A joined read may already be placed for a later slot boundary than this request's: it is re-placed only if it is
    /// invalid at the current time, so that time doesn't run backwards for later readers.
    fn re_place(&self, entry: Arc<Snapshot>, now: Now) -> Arc<Snapshot> {
        if entry.is_valid_at(now) {
            return entry;
        }
        let placed = Arc::new(entry.placed_at(now, self.settings.zone));
        self.memory.replace(&entry, &placed);
        placed
    }

    /// Joins a storage read in flight that is current enough, else starts one.
    ///
    /// A flight older than this request is joined only if the lower bound from its first read of the state document
    /// suffices; one that starts later contains everything acknowledged before, by construction.
    /// With a stale fallback (`has_fallback`) a silent store counts as unreachable after [`SILENCE_LIMIT`].
    async fn fetch_or_join(
        self: &Arc<Self>,
        request: &ReadRequest,
        has_fallback: bool,
    ) -> Result<(ReadOutcome, Role), ReadError> {
        let arrived = self.flights.watermark();
        let in_flight = self
            .flights
            .current_read(&request.user)
            .filter(|flight| self.is_recent(flight, request));
        if let Some(flight) = in_flight {
            self.await_state(&flight, request, has_fallback).await?;
            // A change that this instance has shown since the flight started must not vanish again.
            let cached = self.memory.get(&request.user);
            let shown = cached.map(|entry| entry.bounds.shown_floor());
            if flight.will_contain(request.seen.max(shown)).await {
                return Ok((flight.result.await?, Role::Follower));
            }
        }
        let may_join = |flight: &ReadFlight<ReadOutcome>| {
            flight.id >= arrived && request.consistency != Consistency::Rebuilt
        };
        let begin =
            |lower_bound| StorageRead::new(Arc::clone(self), request.clone(), lower_bound).run();
        let (flight, role) = self
            .flights
            .read(&request.user, request.now.mono, may_join, begin);
        let result = match self.await_state(&flight, request, has_fallback).await {
            Ok(()) => flight.result.await,
            Err(silent) => Err(silent),
        };
        if let (Err(error), Role::Leader) = (&result, role) {
            // Logged once, by the leader; each reader may still get a stale snapshot.
            tracing::warn!(user = %request.user, %error, "the user's files can't be read");
        }
        Ok((result?, role))
    }

    /// With a fallback, waits for the state document until [`SILENCE_LIMIT`] after the flight started.
    ///
    /// # Errors
    /// [`ReadError::TimedOut`], if it hasn't arrived by then.
    async fn await_state(
        &self,
        flight: &ReadFlight<ReadOutcome>,
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
    fn is_recent(&self, flight: &ReadFlight<ReadOutcome>, request: &ReadRequest) -> bool {
        let age = request.now.mono.saturating_duration_since(flight.started);
        request.consistency == Consistency::Bounded && age < self.settings.revalidate
    }

    /// The snapshot that may be served stale in an outage (P9): confirmed within `stale_if_error`, and containing both
    /// the version the client has seen and every version acknowledged here. `None` for a strong read.
    fn stale_fallback(&self, request: &ReadRequest) -> Option<Arc<Snapshot>> {
        let entry = self.memory.get(&request.user)?;
        let is_allowed = request.consistency == Consistency::Bounded
            && entry.age(request.now) < self.settings.stale_if_error
            && request.seen.is_none_or(|seen| seen <= entry.bounds.lo)
            && self.acknowledged.covered_by(&request.user, entry.bounds.lo);
        is_allowed.then_some(entry)
    }

    /// Whether the store failed within `revalidate`: trying again for each reader would only make them all wait.
    fn failed_recently(&self, entry: &Snapshot, request: &ReadRequest) -> bool {
        entry
            .since_failure(request.now)
            .is_some_and(|ago| ago < self.settings.revalidate)
    }
}
