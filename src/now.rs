//! The moment a request arrived, and the time since.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::time::Instant as Started;

/// Read once at the edge and handed down: below it nothing looks at a wall clock, so every rule about
/// time can be tested at any time.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For the calendar: which slots have passed.
    pub utc: DateTime<Utc>,
    /// For ages and freshness; never jumps.
    pub mono: Instant,
    /// The same moment by the runtime's clock, which measures how long a request has been under way, and
    /// which a test may stop.
    pub started: Started,
}

impl Now {
    /// The moment that two clocks show just now.
    pub fn of_clocks(utc: DateTime<Utc>, mono: Instant) -> Self {
        Self {
            utc,
            mono,
            started: Started::from_std(mono),
        }
    }

    /// The time since.
    pub fn passed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The moment it has become since.
    pub fn later(&self) -> Self {
        let passed = self.passed();
        Self {
            utc: self.utc + passed,
            mono: self.mono + passed,
            started: self.started + passed,
        }
    }
}
