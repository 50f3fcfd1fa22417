//! The time of a request, and clocks that include suspended time.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::time::Instant as RuntimeInstant;

/// A point in time on each relevant clock. Read once at the system boundary and passed down: no code below it reads a
/// wall clock, so every time-dependent rule can be tested at any time.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Calendar time, which decides which slots have passed.
    pub utc: DateTime<Utc>,
    /// For ages and staleness; never goes back. Includes the time that the machine was suspended where the system
    /// reports it, so what was fresh before a suspension isn't after it.
    pub mono: Instant,
    /// The same moment on the runtime's clock, which measures the duration of a request, and which a test may pause.
    pub started: RuntimeInstant,
    /// How long the machine had been suspended by then, since the process first read its clocks.
    pub suspended: Duration,
}

/// An upper bound for the difference between two clocks read one after the other without a suspension between them.
const CLOCK_READ_GAP: Duration = Duration::from_secs(1);

/// The first reading of two clocks: [`Instant`], which stops while the machine is suspended, and the boot-time clock,
/// which doesn't. Converts later boot times to [`Instant`]s.
#[derive(Debug, Clone, Copy)]
pub struct ClockPair {
    base: Instant,
    /// The boot time at `base`.
    boot_time: Duration,
}

impl ClockPair {
    /// Pairs the two readings, which must be of the same moment.
    pub fn new(base: Instant, boot_time: Duration) -> Self {
        Self { base, boot_time }
    }

    /// The moment with these readings of the wall clock, of [`Instant`] (`awake`) and of the boot-time clock.
    pub fn at(&self, utc: DateTime<Utc>, awake: Instant, boot_time: Duration) -> Now {
        let elapsed = boot_time.saturating_sub(self.boot_time);
        let mono = self.base + elapsed;
        Now {
            utc,
            mono,
            started: RuntimeInstant::from_std(awake),
            suspended: mono.saturating_duration_since(awake),
        }
    }
}

/// `CLOCK_BOOTTIME`, which includes suspended time; `None` on systems other than Linux, where that time isn't counted.
fn boot_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::Boottime).try_into().ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

impl Now {
    /// Reads the clocks.
    pub fn read() -> Self {
        static CLOCKS: LazyLock<Option<ClockPair>> =
            LazyLock::new(|| Some(ClockPair::new(Instant::now(), boot_time()?)));
        let clocks = &*CLOCKS;
        let (utc, awake) = (Utc::now(), Instant::now());
        match (clocks, boot_time()) {
            (Some(clocks), Some(boot_time)) => clocks.at(utc, awake, boot_time),
            _ => Self::from_clocks(utc, awake),
        }
    }

    /// The moment with these readings, without suspended time.
    pub fn from_clocks(utc: DateTime<Utc>, mono: Instant) -> Self {
        Self {
            utc,
            mono,
            started: RuntimeInstant::from_std(mono),
            suspended: Duration::ZERO,
        }
    }

    /// The time since this moment, excluding suspended time.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The current time, derived from this moment by the runtime's clock and the suspended time since.
    pub fn later(&self) -> Self {
        self.advanced_by(self.elapsed(), Self::read().suspended)
    }

    /// This moment plus `awake`, and plus the suspended time since it; `suspended` is the total since the process
    /// started.
    pub fn advanced_by(&self, awake: Duration, suspended: Duration) -> Self {
        let asleep = suspended.saturating_sub(self.suspended);
        let asleep = Some(asleep).filter(|it| *it >= CLOCK_READ_GAP);
        let elapsed = awake + asleep.unwrap_or_default();
        Self {
            utc: self.utc + elapsed,
            mono: self.mono + elapsed,
            started: self.started + awake,
            suspended: self.suspended + asleep.unwrap_or_default(),
        }
    }
}
