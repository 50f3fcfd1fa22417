//! The driver of a read: memory, else a storage read that is joined or started, else a stale snapshot in an outage
//! (src/cache/README.md, "Read").

use std::sync::Arc;
use std::time::Duration;

use super::decide::Consistency;
use super::layers::Layers;
use super::request::{Layer, Read, ReadRequest};
use super::single_flight::{ReadFlight, Role};
use super::snapshot::Snapshot;
use super::storage_read::StorageRead;
use crate::now::Now;
use crate::store::Requests;
use crate::user_state::ReadError;

/// How long the store may stay silent about the small state document before a reader with a stale fallback treats it
/// as unreachable. The read itself continues for the others.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);

/// Reads the user's snapshot.
pub(super) async fn read(layers: &Arc<Layers>, request: &ReadRequest) -> Result<Read, ReadError> {
    let known = layers.memory.get(&request.user);
    if let Some(entry) = known.filter(|entry| satisfies(layers, entry, request)) {
        return Ok(from_memory(layers, entry, Layer::Memory, request.now));
    }
    // Boxed, so that the future of a memory hit doesn't reserve room for the slow path.
    Box::pin(read_slow(layers, request)).await
}

/// The path of a memory miss: joins or starts a storage read; serves a stale snapshot if the store is unreachable.
async fn read_slow(layers: &Arc<Layers>, request: &ReadRequest) -> Result<Read, ReadError> {
    let fallback = stale_fallback(layers, request);
    let has_fallback = fallback.is_some();
    if let Some(entry) = fallback.filter(|entry| failed_recently(layers, entry, request)) {
        return Ok(from_memory(layers, entry, Layer::Stale, request.now));
    }
    match fetch_or_join(layers, request, has_fallback).await {
        Ok((mut read, role)) => {
            if role == Role::Follower {
                read.requests = Requests::default();
            }
            read.entry = placed_at(layers, read.entry, request.now);
            Ok(read)
        }
        Err(error) if error.is_outage() => {
            let entry = stale_fallback(layers, request).ok_or(error)?;
            let layer = match satisfies(layers, &entry, request) {
                // A concurrent reader has refreshed the snapshot since.
                true => Layer::Memory,
                false => {
                    entry.mark_failed(request.now.later().mono);
                    Layer::Stale
                }
            };
            Ok(from_memory(layers, entry, layer, request.now))
        }
        Err(error) => Err(error),
    }
}

fn satisfies(layers: &Layers, entry: &Snapshot, request: &ReadRequest) -> bool {
    let age = entry.age(request.now);
    age.satisfies(request.consistency, request.seen, &layers.settings)
}

/// The snapshot that may be served stale in an outage (P9); `None` for a strong read.
fn stale_fallback(layers: &Layers, request: &ReadRequest) -> Option<Arc<Snapshot>> {
    let entry = layers.memory.get(&request.user)?;
    let acknowledged = layers.acknowledged.get(&request.user);
    let (age, settings) = (entry.age(request.now), &layers.settings);
    age.may_be_stale_answer(request.consistency, request.seen, acknowledged, settings)
        .then_some(entry)
}

/// Whether the store failed within `revalidate`: trying again for each reader would only make them all wait.
fn failed_recently(layers: &Layers, entry: &Snapshot, request: &ReadRequest) -> bool {
    let failed = entry.since_failure(request.now);
    failed.is_some_and(|ago| ago < layers.settings.revalidate)
}

fn from_memory(layers: &Layers, entry: Arc<Snapshot>, layer: Layer, now: Now) -> Read {
    Read {
        entry: placed_at(layers, entry, now),
        layer,
        requests: Requests::default(),
    }
}

/// The snapshot with its tasks placed again if a slot boundary has passed since. A joined read may already be placed for
/// a later boundary than this request's: it is placed again only if it is invalid at the current time, so that time
/// doesn't run backwards for later readers.
fn placed_at(layers: &Layers, entry: Arc<Snapshot>, now: Now) -> Arc<Snapshot> {
    if entry.is_valid_at(now) {
        return entry;
    }
    let now = now.later();
    if entry.is_valid_at(now) {
        return entry;
    }
    let placed = Arc::new(entry.placed_at(now, layers.settings.zone));
    layers.memory.replace(&entry, &placed);
    placed
}

/// Joins a storage read in flight that is current enough, else starts one.
///
/// A flight older than this request is joined only if the lower bound from its first read of the state document
/// suffices; one that starts later contains everything acknowledged before, by construction.
/// With a stale fallback (`has_fallback`) a silent store counts as unreachable after [`SILENCE_LIMIT`].
async fn fetch_or_join(
    layers: &Arc<Layers>,
    request: &ReadRequest,
    has_fallback: bool,
) -> Result<(Read, Role), ReadError> {
    let arrived = layers.flights.watermark();
    let in_flight = layers.flights.current_read(&request.user);
    if let Some(flight) = in_flight.filter(|flight| is_recent(layers, flight, request)) {
        await_state(&flight, request, has_fallback).await?;
        // A change that this instance has shown since the flight started must not vanish again.
        let cached = layers.memory.get(&request.user);
        let shown = cached.map(|entry| entry.bounds.shown_floor());
        if flight.will_contain(request.seen.max(shown)).await {
            return Ok((flight.result.await?, Role::Follower));
        }
    }
    let may_join = |flight: &ReadFlight<Read>| {
        flight.id >= arrived && request.consistency != Consistency::Rebuilt
    };
    let begin =
        |lower_bound| StorageRead::new(Arc::clone(layers), request.clone(), lower_bound).run();
    let (flight, role) = layers
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

/// With a fallback, waits for the state document until [`SILENCE_LIMIT`] after the flight started.
///
/// # Errors
/// [`ReadError::TimedOut`], if it hasn't arrived by then.
async fn await_state(
    flight: &ReadFlight<Read>,
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
fn is_recent(layers: &Layers, flight: &ReadFlight<Read>, request: &ReadRequest) -> bool {
    let age = request.now.mono.saturating_duration_since(flight.started);
    request.consistency == Consistency::Bounded && age < layers.settings.revalidate
}
