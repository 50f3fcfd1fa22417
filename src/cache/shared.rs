//! The layer between memory and the store, where a deployment has one: what another instance has just learnt
//! (src/cache/README.md, "The shared cache").

use std::borrow::Cow;
use std::sync::Arc;

use futures::FutureExt;

use super::decide::{Consistency, VersionBounds};
use super::layers::Cache;
use super::request::ReadRequest;
use super::shared_entry::{EntryAge, FORMAT, entry_age, is_publishable, pack, unpack};
use super::snapshot::{ListedFiles, Snapshot};
use crate::context::in_request_context;
use crate::now::Now;
use crate::shared_cache::{LookupOutcome, Published, SharedCache, SharedEntry, Stamp};
use crate::user::UserId;
use crate::user_state::{Mutation, Version};

/// Looks for a snapshot that another instance has left, and puts it into memory, where the rules of a read judge it by
/// its age. `None`: there is none, or none is wanted. Concurrent readers share one round trip.
pub(super) async fn look_up(cache: &Arc<Cache>, request: &ReadRequest) -> Option<Arc<Snapshot>> {
    let layer = cache.shared.as_ref()?;
    if request.consistency != Consistency::Bounded {
        return None;
    }
    let in_flight = layer.lookups.open(&request.user);
    let lookup = {
        let mut current = in_flight.lock();
        match current.as_ref().filter(|it| it.peek().is_none()) {
            Some(lookup) => lookup.clone(),
            None => {
                let (cache, user, now) = (Arc::clone(cache), request.user.clone(), request.now);
                let lookup = async move { fetch(&cache, &user, now).await };
                current.insert(lookup.boxed().shared()).clone()
            }
        }
    };
    lookup.await
}

async fn fetch(cache: &Cache, user: &UserId, now: Now) -> Option<Arc<Snapshot>> {
    let server = &cache.shared.as_ref()?.server;
    let sent = now.later();
    let reply = server.get(user).await.ok()?;
    let Some(entry) = &reply.entry else {
        server.record(LookupOutcome::Miss);
        return None;
    };
    let age = entry_age(&entry.stamp, reply.time, reply.suspect, &cache.settings);
    let found = age.and_then(|age| adopt(cache, user, entry, age, sent));
    if found.is_none() {
        server.record(LookupOutcome::Rejected);
    }
    found
}

/// The entry as a snapshot in memory, or the one that memory has of the same state document, which it confirms as well.
fn adopt(
    cache: &Cache,
    user: &UserId,
    entry: &SharedEntry,
    age: EntryAge,
    sent: Now,
) -> Option<Arc<Snapshot>> {
    let settings = &cache.settings;
    // Counted from before the request was sent: the answer may have taken long.
    let from = match settings.rules.breaks(Mutation::SharedAgeFromReceipt) {
        true => sent.later().mono,
        false => sent.mono,
    };
    let confirmed = from.checked_sub(age.confirmed)?;
    let present = cache.memory.get(user).filter(|present| {
        let is_same = present.bounds.validator() == Some(&entry.stamp.etag);
        is_same && !present.age(sent).listing_expired
    });
    if let Some(present) = present {
        present.mark_confirmed(confirmed);
        return Some(present);
    }
    // Exactly as long after the listing as everywhere, even if that is over: what is left here must never make it younger.
    let listed = sent.mono.checked_sub(age.listed)?;
    let (stored, artifact) = unpack(entry, user, settings.rules)?;
    let listing = ListedFiles {
        table: Arc::new(artifact.table),
        at: artifact.listed_at,
        expires: listed + settings.artifact_ttl,
    };
    let bounds = VersionBounds::exact(entry.stamp.version, Some(Arc::new(stored)));
    let found = Snapshot::loaded(
        user.clone(),
        bounds,
        listing,
        confirmed,
        sent,
        settings.zone,
    );
    let found = Arc::new(found);
    cache.memory.publish(&found, false);
    Some(found)
}

/// Leaves a snapshot that the state document has just confirmed for the other instances, after the answer. They are told
/// of the version `announced`, or of its own if it is new to the server.
pub(super) fn publish(cache: &Cache, entry: &Arc<Snapshot>, announced: Option<Version>, now: Now) {
    let Some(layer) = &cache.shared else { return };
    if !is_publishable(&entry.bounds, cache.settings.rules) {
        return;
    }
    let Some(stamp) = stamp(cache, &*layer.server, entry, now) else {
        return;
    };
    let (server, entry) = (Arc::clone(&layer.server), Arc::clone(entry));
    tokio::spawn(in_request_context(async move {
        let taken = offer(&*server, &entry, &stamp, now).await;
        if let Some(version) = announced.or(taken.then_some(stamp.version)) {
            server.hint(&entry.user, version).await;
        }
    }));
}

/// By what the server compares it; `None` while the server's clock isn't known.
fn stamp(cache: &Cache, server: &dyn SharedCache, entry: &Snapshot, now: Now) -> Option<Stamp> {
    let settings = &cache.settings;
    let confirmed_at = match settings.rules.breaks(Mutation::SharedStampedLate) {
        true => now.later().mono,
        false => entry.confirmed_at(),
    };
    let confirmed = server.time_at(confirmed_at)?;
    Some(Stamp {
        format: Cow::Borrowed(&**FORMAT),
        version: entry.bounds.hi,
        etag: entry.bounds.state.as_ref()?.etag.clone(),
        listed: server.time_at(entry.listed_instant(settings.artifact_ttl)?)?,
        confirmed: match settings.rules.breaks(Mutation::SharedByWritersBound) {
            true => confirmed.plus(settings.revalidate),
            false => confirmed,
        },
    })
}

/// Whether the server takes the snapshot. One that it has just refused, because it is full or the snapshot too large,
/// isn't packed anew for each confirmation.
async fn offer(server: &dyn SharedCache, entry: &Snapshot, stamp: &Stamp, now: Now) -> bool {
    let wanted = server.publish(&entry.user, stamp, None).await;
    if wanted != Ok(Published::Wanted) || entry.was_refused_lately(now) {
        return false;
    }
    let Some(body) = pack(entry) else {
        return false;
    };
    let taken = server.publish(&entry.user, stamp, Some(body)).await;
    let is_taken = taken == Ok(Published::Stored);
    if !is_taken {
        entry.mark_refused(now.later().mono);
    }
    is_taken
}

/// Tells the other instances of a change of the user's whose snapshot isn't known here.
pub(super) fn tell(cache: &Cache, user: &UserId, version: Version) {
    if let Some(layer) = &cache.shared {
        let (server, user) = (Arc::clone(&layer.server), user.clone());
        tokio::spawn(async move { server.hint(&user, version).await });
    }
}
