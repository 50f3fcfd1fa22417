//! What becomes of a process that has ended. PURE.

use std::time::{Duration, Instant};

/// Errors further apart count from the beginning.
const APART: Duration = Duration::from_secs(30 * 60);

/// With so many errors the host gives up.
const TOO_MANY: usize = 3;

/// What follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It isn't started again, and calls fail.
    Rest,
    Restart,
    /// The host itself ends.
    Stop,
}

/// The errors so far.
#[derive(Debug, Default)]
pub(crate) struct Restarts(Vec<Instant>);

impl Restarts {
    /// After an end with this exit code, none when it was killed.
    pub(crate) fn after(&mut self, code: Option<i32>, now: Instant) -> Fate {
        match code {
            Some(0) => return Fate::Rest,
            Some(200) => return Fate::Restart,
            _ => {}
        }
        if self
            .0
            .last()
            .is_some_and(|last| now.duration_since(*last) > APART)
        {
            self.0.clear();
        }
        self.0.push(now);
        match self.0.len() < TOO_MANY {
            true => Fate::Restart,
            false => Fate::Stop,
        }
    }
}
