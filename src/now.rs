//! The moment a request arrived, and the time since.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::time::Instant as Started;

/// Read once at the edge and handed down: below it nothing looks at a wall clock, so every rule about
/// time can be tested at any time.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For the calendar: which slots have passed.
    pub utc: DateTime<Utc>,
    /// For ages and freshness; never goes back. Where the system tells it, the time that the machine was suspended
    /// counts: what was fresh before isn't after.
    pub mono: Instant,
    /// The same moment by the runtime's clock, which measures how long a request has been under way, and
    /// which a test may stop.
    pub started: Started,
    /// How long the machine had been suspended by then, since the process's first look at its clocks.
    pub suspended: Duration,
}

/// Two clocks that are read one after the other differ by less without any suspension.
const READ_APART: Duration = Duration::from_secs(1);

/// The process's first look at two clocks: the one that [`Instant`] is of, which stands still while the machine is
/// suspended, and one that goes on. So what the second one shows can be told as a moment of the first.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    began: Instant,
    /// What the other one showed then.
    awake_or_not: Duration,
}

impl Clocks {
    /// Looked at just now.
    pub fn new(began: Instant, awake_or_not: Duration) -> Self {
        Self {
            began,
            awake_or_not,
        }
    }

    /// The moment at which they and the wall clock show this.
    pub fn at(&self, utc: DateTime<Utc>, awake: Instant, awake_or_not: Duration) -> Now {
        let passed = awake_or_not.saturating_sub(self.awake_or_not);
        let mono = self.began + passed;
        Now {
            utc,
            mono,
            started: Started::from_std(awake),
            suspended: mono.saturating_duration_since(awake),
        }
    }
}

/// Linux has a clock that counts suspended time. Elsewhere such time is passed over.
fn awake_or_not() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::Boottime).try_into().ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

impl Now {
    /// What the clocks show.
    pub fn read() -> Self {
        static CLOCKS: LazyLock<Option<Clocks>> =
            LazyLock::new(|| Some(Clocks::new(Instant::now(), awake_or_not()?)));
        let clocks = &*CLOCKS;
        let (utc, awake) = (Utc::now(), Instant::now());
        match (clocks, awake_or_not()) {
            (Some(clocks), Some(awake_or_not)) => clocks.at(utc, awake, awake_or_not),
            _ => Self::of_clocks(utc, awake),
        }
    }

    /// The moment that two clocks show just now.
    pub fn of_clocks(utc: DateTime<Utc>, mono: Instant) -> Self {
        Self {
            utc,
            mono,
            started: Started::from_std(mono),
            suspended: Duration::ZERO,
        }
    }

    /// The time since that the machine was awake.
    pub fn passed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The moment it has become since.
    pub fn later(&self) -> Self {
        self.after(self.passed(), Self::read().suspended)
    }

    /// The moment when the machine has been awake for so long since, and been suspended for so long in all.
    pub fn after(&self, awake: Duration, suspended: Duration) -> Self {
        let asleep = suspended.saturating_sub(self.suspended);
        let asleep = Some(asleep).filter(|it| *it >= READ_APART);
        let passed = awake + asleep.unwrap_or_default();
        Self {
            utc: self.utc + passed,
            mono: self.mono + passed,
            started: self.started + awake,
            suspended: self.suspended + asleep.unwrap_or_default(),
        }
    }
}
