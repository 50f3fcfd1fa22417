//! The storage clock, estimated from the `Date` of responses.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// The storage clock: the last response's `Date` plus the monotonic time since. Wall clocks of two instances are never
/// compared.
#[derive(Debug, Default)]
pub struct StorageClock {
    last: Mutex<Option<(DateTime<Utc>, Instant)>>,
}

/// `Date` has whole seconds. An estimate is up to a second late rather than early, so that a write intent dated by it
/// never looks overdue too soon when compared with a response's own `Date`.
const WHOLE_SECOND: TimeDelta = TimeDelta::seconds(1);

impl StorageClock {
    /// Records the `Date` of a response that arrived at `moment`. A response that arrived before the one recorded last is
    /// ignored; the `Date` itself may go back.
    pub fn observe(&self, date: DateTime<Utc>, moment: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|(_, then)| then <= moment) {
            *last = Some((date, moment));
        }
    }

    /// The storage time at `moment`; `None` before the first response.
    pub fn at(&self, moment: Instant) -> Option<DateTime<Utc>> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|(date, then)| date + moment.saturating_duration_since(then) + WHOLE_SECOND)
    }
}
