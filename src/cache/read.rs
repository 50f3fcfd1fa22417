//! The read rules that need no storage: when memory answers, when a reader joins another read, and what stands
//! in during an outage (src/cache/README.md, "Read").

use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::flights::{Began, Flight};
use super::inquiry::{Flown, Inquiry};
use super::{Freshness, Inner, Layer, Read, ReadError, Requests, Want};
use crate::now::Now;

/// A store that takes longer for the small state blob is as good as away: what is known is shown. The
/// read itself goes on.
const PATIENCE: Duration = Duration::from_secs(3);

impl Inner {
    pub(super) async fn read(self: &Arc<Self>, want: &Want) -> Result<Read, ReadError> {
        let known = self.memory.get(&want.user);
        self.read_from(want, known).await
    }

    /// `known` is what memory has, looked up since the request arrived.
    pub(super) async fn read_from(
        self: &Arc<Self>,
        want: &Want,
        known: Option<Arc<Entry>>,
    ) -> Result<Read, ReadError> {
        if let Some(entry) = known.filter(|entry| self.answers(entry, want)) {
            return Ok(self.shown(entry, Layer::Memory, Requests::default(), want.now));
        }
        // Boxed, so that what memory answers doesn't carry the state of what it needn't do.
        Box::pin(self.read_further(want)).await
    }

    /// The same where memory doesn't answer.
    async fn read_further(self: &Arc<Self>, want: &Want) -> Result<Read, ReadError> {
        let known = self.stand_in(want);
        if let Some(entry) = known
            .as_ref()
            .filter(|entry| self.failed_recently(entry, want))
        {
            return Ok(self.shown(
                Arc::clone(entry),
                Layer::Stale,
                Requests::default(),
                want.now,
            ));
        }
        match self.fetch_or_join(want, known.is_some()).await {
            Ok((flown, began)) => {
                let requests = if began == Began::Here {
                    flown.requests
                } else {
                    Requests::default()
                };
                Ok(self.shown(flown.entry, flown.layer, requests, want.now))
            }
            Err(error) if error.is_outage() => {
                let entry = self.stand_in(want).ok_or(error)?;
                if self.answers(&entry, want) {
                    // Another reader was luckier meanwhile.
                    return Ok(self.shown(entry, Layer::Memory, Requests::default(), want.now));
                }
                entry.failed_at(want.now.later().mono);
                Ok(self.shown(entry, Layer::Stale, Requests::default(), want.now))
            }
            Err(error) => Err(error),
        }
    }

    /// Rule 1: known exactly, confirmed a moment ago, and nothing newer was seen.
    fn answers(&self, entry: &Entry, want: &Want) -> bool {
        want.freshness == Freshness::Bounded
            && entry.age(want.now) < self.settings.revalidate
            && want.seen.is_none_or(|seen| seen <= entry.knowledge.lo)
            && self.counts(entry, want.now)
    }

    /// Neither memory's nor the listing's time is over, so a word from the state blob is enough.
    pub(super) fn counts(&self, entry: &Entry, now: Now) -> bool {
        entry.knowledge.exact
            && self.in_memory_time(entry, now)
            && now.mono < entry.listing_expires()
    }

    /// Past it, the entry is only the base of a rebuild, or a stale answer.
    pub(super) fn in_memory_time(&self, entry: &Entry, now: Now) -> bool {
        entry.in_memory(now) < self.settings.memory_ttl
    }

    /// The entry with answers that are true now: when a slot has passed, the same files placed anew.
    fn shown(&self, entry: Arc<Entry>, layer: Layer, requests: Requests, now: Now) -> Read {
        let entry = if entry.shows(now) {
            entry
        } else {
            self.placed(entry, now.later())
        };
        Read {
            entry,
            layer,
            requests,
        }
    }

    /// What was fetched meanwhile may be of a later stretch already: only what isn't true any more by now is
    /// placed anew, so that time doesn't run backwards for those who came later.
    fn placed(&self, entry: Arc<Entry>, now: Now) -> Arc<Entry> {
        if entry.shows(now) {
            return entry;
        }
        let placed = Arc::new(entry.placed_at(now, self.settings.zone));
        self.memory.replace(&entry, &placed);
        placed
    }

    /// Joins what is on its way if that is new enough, else begins a read of its own.
    ///
    /// A read that began before this reader came is joined for what its first look at the state
    /// promises; one that began later contains whatever was acknowledged before, by construction.
    /// Where something else may be shown (`replaceable`), a silent store counts as away after a while.
    async fn fetch_or_join(
        self: &Arc<Self>,
        want: &Want,
        replaceable: bool,
    ) -> Result<(Flown, Began), ReadError> {
        let arrived = self.flights.mark();
        let running = self
            .flights
            .running(&want.user)
            .filter(|flight| self.is_recent(flight, want));
        if let Some(flight) = running {
            self.is_answered(&flight, want, replaceable).await?;
            // What this instance has shown since the flight began must not vanish again.
            let known = self.memory.get(&want.user);
            let shown = known.map(|entry| entry.knowledge.shown());
            if flight.will_contain(want.seen.max(shown)).await {
                return Ok((flight.result.await?, Began::Earlier));
            }
        }
        let may_join =
            |flight: &Flight<Flown>| flight.id >= arrived && want.freshness != Freshness::Rebuilt;
        let begin = |promise| Inquiry::new(Arc::clone(self), want.clone(), promise).answer();
        let (flight, began) = self
            .flights
            .read(&want.user, want.now.mono, may_join, begin);
        let result = match self.is_answered(&flight, want, replaceable).await {
            Ok(()) => flight.result.await,
            Err(silent) => Err(silent),
        };
        if let (Err(error), Began::Here) = (&result, began) {
            // Once for all who waited; each of them may still get what was known before.
            tracing::warn!(user = %want.user, %error, "the user's files can't be read");
        }
        Ok((result?, began))
    }

    /// Gives the store until [`PATIENCE`] after the read began, where something else may be shown.
    async fn is_answered(
        &self,
        flight: &Flight<Flown>,
        want: &Want,
        replaceable: bool,
    ) -> Result<(), ReadError> {
        let waited = want.now.mono.saturating_duration_since(flight.started);
        let patience = PATIENCE.saturating_sub(waited);
        match replaceable && !flight.is_answered_within(patience).await {
            true => Err(ReadError::TimedOut),
            false => Ok(()),
        }
    }

    fn is_recent(&self, flight: &Flight<Flown>, want: &Want) -> bool {
        let age = want.now.mono.saturating_duration_since(flight.started);
        want.freshness == Freshness::Bounded && age < self.settings.revalidate
    }

    /// What may stand in while the store is away (P9): known and not too old, containing all that the
    /// client has seen. `None` where an answer must be new.
    fn stand_in(&self, want: &Want) -> Option<Arc<Entry>> {
        let entry = self.memory.get(&want.user)?;
        let fit = want.freshness == Freshness::Bounded
            && entry.age(want.now) < self.settings.stale_if_error
            && want.seen.is_none_or(|seen| seen <= entry.knowledge.lo)
            && self.acknowledged.is_in(&want.user, entry.knowledge.lo);
        fit.then_some(entry)
    }

    /// The store was away a moment ago; asking it again for every reader would only make them wait.
    fn failed_recently(&self, entry: &Entry, want: &Want) -> bool {
        entry
            .failed_ago(want.now)
            .is_some_and(|ago| ago < self.settings.revalidate)
    }
}
