//! Metrics of a process, for Prometheus and for the summary line that the log gets once a minute. No label identifies a
//! user.

mod calls;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use calls::Totals;
pub use calls::{CallMetrics, CallOutcome};

/// The cache layers, by their names in `x-codex-cache`.
const LAYERS: [&str; 4] = ["memory", "artifact", "rebuild", "stale"];

/// Classes of HTTP status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    layers: [Counter; 4],
    classes: [Counter; 5],
    gauges: Gauges,
    storage: CallMetrics,
    github: CallMetrics,
    last_summary: Mutex<CounterSnapshot>,
}

/// A snapshot of the values that the cache and the Git sync provide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuntimeStats {
    /// Rebuilds from the task files since the start of the process.
    pub rebuilds: u64,
    /// Users in the memory layer.
    pub cached_users: u64,
    /// Their size in bytes.
    pub cached_bytes: u64,
    /// Live asynchronous tasks: connections, reads and writes in flight, background work.
    pub tasks: u64,
    /// Users for whom this instance has write intents that aren't removed yet.
    pub pending: u64,
    /// Users with changes that Git or the store doesn't have yet, as far as this instance knows.
    pub unpushed: u64,
    /// For how long this instance has known of the oldest of them.
    pub oldest_unpushed: Option<Duration>,
}

/// Counts since the last summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Responses by cache layer: memory, artifact, rebuild, stale.
    pub layers: [u64; 4],
    /// All responses.
    pub requests: u64,
    /// Responses with status 5xx.
    pub failed: u64,
    /// Rebuilds from the task files.
    pub rebuilds: u64,
    /// Storage requests.
    pub storage_calls: u64,
    /// Those without a usable response.
    pub storage_failed: u64,
    /// The longest duration of one.
    pub storage_slowest: Duration,
    /// Requests to GitHub.
    pub github_calls: u64,
    /// Those without a usable response.
    pub github_failed: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct CounterSnapshot {
    layers: [u64; 4],
    requests: u64,
    failed: u64,
    rebuilds: u64,
    storage: Totals,
    github: Totals,
}

/// The metrics that are set from [`RuntimeStats`] at each scrape.
#[derive(Default)]
struct Gauges {
    rebuilds: Counter,
    cached_users: Gauge,
    cached_bytes: Gauge,
    tasks: Gauge,
    pending: Gauge,
    unpushed: Gauge,
    oldest_unpushed: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    /// Metrics without any outgoing calls.
    fn default() -> Self {
        Self::new(CallMetrics::default(), CallMetrics::default())
    }
}

impl Metrics {
    /// Registers all metrics, from zero. `storage` and `github` are shared with the clients that record the calls.
    pub fn new(storage: CallMetrics, github: CallMetrics) -> Self {
        let mut registry = Registry::with_prefix("codex");
        let layers = counters(
            &mut registry,
            "timeline_answers",
            "Answers from a user's data, by the layer they came from",
            "layer",
            LAYERS,
        );
        let classes = counters(
            &mut registry,
            "responses",
            "Answers, by the class of their status",
            "class",
            CLASSES,
        );
        let gauges = Gauges::default();
        gauges.register(&mut registry);
        storage.register(&mut registry, "storage_call", "Storage requests");
        github.register(&mut registry, "github_call", "Requests to GitHub");
        Self {
            registry,
            layers,
            classes,
            gauges,
            storage,
            github,
            last_summary: Mutex::default(),
        }
    }

    /// Counts a response by its status and, if it is about a user's data, by the cache layer.
    pub fn record_response(&self, status: u16, layer: Option<&str>) {
        if let Some(class) = self.classes.get(usize::from(status / 100).wrapping_sub(1)) {
            class.inc();
        }
        let layer = layer.and_then(|layer| LAYERS.iter().position(|it| *it == layer));
        if let Some(layer) = layer {
            self.layers[layer].inc();
        }
    }

    /// Encodes all metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: writing to a string can't fail.
    pub fn render(&self, stats: &RuntimeStats) -> Result<String, std::fmt::Error> {
        {
            // Serializes concurrent scrapes: `Gauges::set` reads a counter and adds the difference.
            let _guard = self
                .last_summary
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.gauges.set(stats);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The counts since the last call of this method.
    pub fn summary(&self, stats: &RuntimeStats) -> Summary {
        let now = CounterSnapshot {
            layers: self.layers.each_ref().map(Counter::get),
            requests: self.classes.iter().map(Counter::get).sum(),
            failed: self.classes[4].get(),
            rebuilds: stats.rebuilds,
            storage: self.storage.totals(),
            github: self.github.totals(),
        };
        let last = self.last_summary.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *last, now);
        Summary {
            layers: std::array::from_fn(|at| now.layers[at] - before.layers[at]),
            requests: now.requests - before.requests,
            failed: now.failed - before.failed,
            rebuilds: now.rebuilds.saturating_sub(before.rebuilds),
            storage_calls: now.storage.calls - before.storage.calls,
            storage_failed: now.storage.failed - before.storage.failed,
            storage_slowest: self.storage.take_slowest(),
            github_calls: now.github.calls - before.github.calls,
            github_failed: now.github.failed - before.github.failed,
        }
    }
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "rebuilds",
            "Rebuilds from the task files",
            self.rebuilds.clone(),
        );
        registry.register("cached_users", "Users in memory", self.cached_users.clone());
        registry.register_with_unit(
            "cached",
            "What memory holds",
            Unit::Bytes,
            self.cached_bytes.clone(),
        );
        registry.register(
            "alive_tasks",
            "Asynchronous tasks that haven't ended",
            self.tasks.clone(),
        );
        registry.register(
            "pending_users",
            "Users for whom this instance is just writing",
            self.pending.clone(),
        );
        registry.register(
            "unpushed_users",
            "Users with something that Git or the store doesn't have yet",
            self.unpushed.clone(),
        );
        registry.register_with_unit(
            "oldest_unpushed",
            "For how long the first of them has waited",
            Unit::Seconds,
            self.oldest_unpushed.clone(),
        );
    }

    fn set(&self, stats: &RuntimeStats) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let before = self.rebuilds.get();
        self.rebuilds.inc_by(stats.rebuilds.saturating_sub(before));
        self.cached_users.set(signed(stats.cached_users));
        self.cached_bytes.set(signed(stats.cached_bytes));
        self.tasks.set(signed(stats.tasks));
        self.pending.set(signed(stats.pending));
        self.unpushed.set(signed(stats.unpushed));
        let oldest = stats.oldest_unpushed.unwrap_or_default();
        self.oldest_unpushed.set(oldest.as_secs_f64());
    }
}

/// Creates the counter for each value of a label up front, so that counting needs no lookup.
fn counters<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: [&'static str; N],
) -> [Counter; N] {
    let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
    registry.register(name, help, family.clone());
    values.map(|value| family.get_or_create_owned(&[(label, value)]))
}
