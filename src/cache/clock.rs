//! What the storage's clock says, as far as this instance has heard.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// The storage's clock, from the last answer and what has passed since. Wall clocks of two instances
/// are never compared.
#[derive(Debug, Default)]
pub(super) struct StorageClock {
    heard: Mutex<Option<(DateTime<Utc>, Instant)>>,
}

/// Answers give whole seconds. A time made from one is a second late rather than early, so that no mark
/// looks old too soon to who holds it against an answer's own time.
const WHOLE_SECOND: TimeDelta = TimeDelta::seconds(1);

impl StorageClock {
    /// An answer that came at `moment` said it was `date`.
    pub(super) fn heard(&self, date: DateTime<Utc>, moment: Instant) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.is_none_or(|(_, last)| last <= moment) {
            *heard = Some((date, moment));
        }
    }

    /// What it says at `moment`; `None` before the first answer.
    pub(super) fn at(&self, moment: Instant) -> Option<DateTime<Utc>> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|(date, then)| date + moment.saturating_duration_since(then) + WHOLE_SECOND)
    }
}
