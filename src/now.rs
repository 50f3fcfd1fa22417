//! The moment a request arrived.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// Read once at the edge and handed down: below it nothing looks at a clock, so every rule about
/// time can be tested at any time.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For the calendar: which slots have passed.
    pub utc: DateTime<Utc>,
    /// For ages and freshness; never jumps.
    pub mono: Instant,
}
