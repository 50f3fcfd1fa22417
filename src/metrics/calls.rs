//! Metrics of outgoing requests: count, outcome, duration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the histogram buckets, in seconds: from a file on disk to a timeout.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];

/// Counts the calls to one remote service. Clones share the counts.
#[derive(Clone)]
pub struct CallMetrics(Arc<CallCounters>);

/// `operation` and `outcome`.
type CallLabels = [(&'static str, &'static str); 2];

struct CallCounters {
    times: Family<CallLabels, Histogram, fn() -> Histogram>,
    calls: AtomicU64,
    failed: AtomicU64,
    slowest_micros: AtomicU64,
}

/// Counts of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// All calls.
    pub calls: u64,
    /// Those without a usable response.
    pub failed: u64,
    /// The longest duration since the last summary.
    pub slowest: Duration,
}

impl CallCounts {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            failed: self.failed - before.failed,
            slowest: self.slowest,
        }
    }
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// A response, of whatever status.
    Answered,
    /// No usable response.
    Failed,
}

/// Times a call in flight. Dropping it without [`Self::end`] records a failure, since the call was cancelled.
pub struct CallTimer<'a> {
    calls: &'a CallMetrics,
    operation: &'static str,
    began: Instant,
    outcome: CallOutcome,
}

impl CallTimer<'_> {
    /// Records the outcome and the elapsed time.
    pub fn end(mut self, outcome: CallOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for CallTimer<'_> {
    fn drop(&mut self) {
        let elapsed = self.began.elapsed();
        self.calls.record(self.operation, self.outcome, elapsed);
    }
}

impl CallOutcome {
    /// The outcome of a call of which every `Ok` is a usable response.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Answered,
            Err(_) => Self::Failed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
        }
    }
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self(Arc::new(CallCounters {
            times: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slowest_micros: AtomicU64::new(0),
        }))
    }
}

impl CallMetrics {
    /// Starts timing a call of this operation.
    pub fn begin(&self, operation: &'static str) -> CallTimer<'_> {
        CallTimer {
            calls: self,
            operation,
            began: Instant::now(),
            outcome: CallOutcome::Failed,
        }
    }

    /// Records a call of this operation.
    pub fn record(&self, operation: &'static str, outcome: CallOutcome, elapsed: Duration) {
        let inner = &self.0;
        inner.calls.fetch_add(1, Ordering::Relaxed);
        if outcome == CallOutcome::Failed {
            inner.failed.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        inner.slowest_micros.fetch_max(micros, Ordering::Relaxed);
        let labels = [("operation", operation), ("outcome", outcome.as_str())];
        inner
            .times
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
    }

    /// The counts since the start of the process, with the longest duration since the last call of this method, in whole
    /// microseconds.
    pub(super) fn take_counts(&self) -> CallCounts {
        CallCounts {
            calls: self.0.calls.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            slowest: Duration::from_micros(self.0.slowest_micros.swap(0, Ordering::Relaxed)),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register_with_unit(name, help, Unit::Seconds, self.0.times.clone());
    }
}
