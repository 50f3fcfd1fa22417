//! What the host does after a process has ended. PURE.

use std::time::{Duration, Instant};

/// Errors further apart than this start the count anew.
const ERROR_WINDOW: Duration = Duration::from_secs(30 * 60);

/// The number of errors at which the host gives up.
const TOO_MANY: usize = 3;

/// The consequence of a process's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It isn't restarted, and calls fail.
    Rest,
    Restart,
    /// The host itself stops.
    Stop,
}

/// The times of the errors so far.
#[derive(Debug, Default)]
pub(crate) struct Restarts(Vec<Instant>);

impl Restarts {
    /// The consequence of an end with this exit code, `None` if it was killed.
    pub(crate) fn after(&mut self, code: Option<i32>, now: Instant) -> Fate {
        match code {
            Some(0) => return Fate::Rest,
            Some(200) => return Fate::Restart,
            _ => {}
        }
        if self
            .0
            .last()
            .is_some_and(|last| now.duration_since(*last) > ERROR_WINDOW)
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
