//! Requests to another side: how many, how they ended, how long they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the histograms, in seconds: from a file on disk to what is given up.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];

/// Counts the calls to one other side. Cloning shares the counts.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    times: Family<Labels, Histogram, fn() -> Histogram>,
    calls: AtomicU64,
    failed: AtomicU64,
    slowest_micros: AtomicU64,
}

/// How many there were since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) calls: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
    outcome: Outcome,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// With an answer, whatever it said.
    Answered,
    /// Without one that could be used.
    Failed,
}

/// A call under way. One that is dropped before its end was given up, which is a failure.
pub struct Running<'a> {
    calls: &'a Calls,
    operation: &'static str,
    began: Instant,
    ended: bool,
}

impl Running<'_> {
    /// It has come to its end.
    pub fn end(mut self, outcome: Outcome) {
        self.ended = true;
        self.calls
            .note(self.operation, outcome, self.began.elapsed());
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let took = self.began.elapsed();
            self.calls.note(self.operation, Outcome::Failed, took);
        }
    }
}

impl Outcome {
    /// Of a call that is answered whenever there is no error.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Answered,
            Err(_) => Self::Failed,
        }
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self(Arc::new(Inner {
            times: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slowest_micros: AtomicU64::new(0),
        }))
    }
}

impl Calls {
    /// A call of this kind begins.
    pub fn begin(&self, operation: &'static str) -> Running<'_> {
        Running {
            calls: self,
            operation,
            began: Instant::now(),
            ended: false,
        }
    }

    /// A call of this kind has ended so, after this time.
    pub fn note(&self, operation: &'static str, outcome: Outcome, took: Duration) {
        let inner = &self.0;
        inner.calls.fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Failed {
            inner.failed.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        inner.slowest_micros.fetch_max(micros, Ordering::Relaxed);
        let labels = Labels { operation, outcome };
        inner
            .times
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            calls: self.0.calls.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
        }
    }

    /// The longest call since this was last asked.
    pub(super) fn take_slowest(&self) -> Duration {
        Duration::from_micros(self.0.slowest_micros.swap(0, Ordering::Relaxed))
    }

    pub(super) fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register_with_unit(name, help, Unit::Seconds, self.0.times.clone());
    }
}
