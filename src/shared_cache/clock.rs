//! PURE. The clock of the server that instances share. Ages are judged by it alone: wall clocks of instances are never
//! compared.

use std::time::{Duration, Instant};

/// How far apart the clocks of the server's nodes may be: after a failover another one answers.
pub const CLOCK_SKEW: Duration = Duration::from_secs(1);

/// So long after the clock has gone back another instance may not have noticed, and stamp by the clock as it was: longer
/// than the interval of its checks.
const NOTICE: Duration = Duration::from_secs(10);

/// The least time between two answers that are kept for moments before the last one.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// A time by the server's clock, in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ServerTime(pub u64);

impl ServerTime {
    /// The time since `earlier`; `None` if that is later.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_micros)
    }

    /// This time and `by` more.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// This time less `by`.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What one instance knows of the server's clock, from the times that it has heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerClock {
    last: Option<HeardTime>,
    /// Earlier ones, latest first: going on from one that was heard before a moment is right even if this machine's own
    /// clock has stood still since, as that of a paused virtual machine does.
    checkpoints: [Option<HeardTime>; 2],
    /// The one that shows the latest time today: the clock may go back in steps, each of which is too small to tell.
    latest: Option<HeardTime>,
    suspect: ServerTime,
}

/// A time that the server read after `sent` and before `received`.
#[derive(Debug, Clone, Copy)]
struct HeardTime {
    time: ServerTime,
    sent: Instant,
    received: Instant,
}

impl HeardTime {
    /// The earliest that the clock can have shown at `moment`: it read the time before the answer arrived.
    fn earliest_at(&self, moment: Instant) -> ServerTime {
        match moment.checked_duration_since(self.received) {
            Some(after) => self.time.plus(after),
            None => {
                let before = self.received.saturating_duration_since(moment);
                self.time.minus(before)
            }
        }
    }

    /// The latest that it can have shown at `moment`, after the request was sent.
    fn latest_at(&self, moment: Instant) -> ServerTime {
        self.time.plus(moment.saturating_duration_since(self.sent))
    }
}

impl ServerClock {
    /// Takes note of the `time` in an answer, which was received at `received` to a request sent at `sent`. If the clock
    /// has gone back by more than [`CLOCK_SKEW`], what was stamped before looks younger than it is: see
    /// [`Self::suspect`].
    pub fn observe(&mut self, time: ServerTime, sent: Instant, received: Instant) {
        let heard = HeardTime {
            time,
            sent,
            received,
        };
        match self.latest {
            Some(latest) if time.plus(CLOCK_SKEW) < latest.earliest_at(sent) => {
                let until = latest.latest_at(received).plus(CLOCK_SKEW).plus(NOTICE);
                self.suspect = self.suspect.max(until);
                self.checkpoints = [None; 2];
                self.latest = Some(heard);
            }
            Some(latest) if time < latest.earliest_at(received) => {}
            _ => self.latest = Some(heard),
        }
        if self.last.is_some_and(|last| received < last.received) {
            // Overtaken by a later answer.
            return;
        }
        let [checkpoint, _] = self.checkpoints;
        let is_due =
            |it: HeardTime| received.saturating_duration_since(it.received) >= CHECKPOINT_INTERVAL;
        if checkpoint.is_none_or(is_due) {
            self.checkpoints = [Some(heard), checkpoint];
        }
        self.last = Some(heard);
    }

    /// The earliest that the server's clock can have shown at `moment`. `None` before the first answer.
    pub fn at(&self, moment: Instant) -> Option<ServerTime> {
        let [checkpoint, earlier] = self.checkpoints;
        let mut heard = [self.last, checkpoint, earlier].into_iter().flatten();
        let before = heard.find(|it| it.received <= moment).or(self.last)?;
        Some(before.earliest_at(moment))
    }

    /// Nothing that was stamped up to this time may be judged by its age: the clock has gone back since.
    pub fn suspect(&self) -> ServerTime {
        self.suspect
    }
}
