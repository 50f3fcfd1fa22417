//! What time it is, as far as the protocol cares: how long a request has been under way, and what the
//! storage's clock says.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant as Started;

use crate::now::Now;

/// A request's own time: its arrival, and what has passed since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    arrived: Now,
    started: Started,
}

impl Watch {
    /// Runs from now on.
    pub(super) fn starting(arrived: Now) -> Self {
        Self {
            arrived,
            started: Started::now(),
        }
    }

    /// The moment it is.
    pub(super) fn now(&self) -> Instant {
        self.arrived.mono + self.passed()
    }

    /// The time since the request arrived.
    pub(super) fn passed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The request, as if it had arrived now.
    pub(super) fn later(&self) -> Now {
        Now {
            utc: self.arrived.utc + self.passed(),
            mono: self.now(),
        }
    }
}

/// The storage's clock, from the last answer and what has passed since. Wall clocks of two instances
/// are never compared.
#[derive(Debug, Default)]
pub(super) struct StorageClock {
    heard: Mutex<Option<(DateTime<Utc>, Instant)>>,
}

/// Answers give whole seconds: a time made from one is this much late at most, and never early, so
/// that no mark looks older than it is.
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
