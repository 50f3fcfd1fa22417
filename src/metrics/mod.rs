//! What a process counts, as Prometheus reads it and as the log sums it up once a minute. No label says
//! whose request it was.

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
pub use calls::{Calls, Outcome};

/// The layers that answer for a week, as `x-codex-cache` names them.
const LAYERS: [&str; 4] = ["memory", "artifact", "rebuild", "stale"];

/// Of a status its first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counts of one process.
pub struct Metrics {
    registry: Registry,
    layers: [Counter; 4],
    classes: [Counter; 5],
    standing: Gauges,
    storage: Calls,
    github: Calls,
    told: Mutex<Counted>,
}

/// How things stand at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Rebuilds from the task files since the start.
    pub rebuilds: u64,
    /// Users in memory.
    pub cached_users: u64,
    /// What they occupy.
    pub cached_bytes: u64,
    /// Asynchronous tasks that haven't ended: connections, reads and writes under way, and what goes on by itself.
    pub tasks: u64,
    /// Users for whom this instance is just writing: their marks aren't all taken away yet.
    pub pending: u64,
    /// Users with something that Git or the store doesn't have, as far as this instance knows.
    pub unpushed: u64,
    /// For how long it has known so of the first of them.
    pub oldest_unpushed: Option<Duration>,
}

/// What happened since the last summary, and how things stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Answers by layer: memory, artifact, rebuild, stale.
    pub layers: [u64; 4],
    /// Answers of any kind.
    pub requests: u64,
    /// Answers with 5xx.
    pub failed: u64,
    /// Rebuilds from the task files.
    pub rebuilds: u64,
    /// Storage requests.
    pub storage_calls: u64,
    /// Those without a usable answer.
    pub storage_failed: u64,
    /// The longest of them.
    pub storage_slowest: Duration,
    /// Requests to GitHub.
    pub github_calls: u64,
    /// Those without a usable answer.
    pub github_failed: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    layers: [u64; 4],
    requests: u64,
    failed: u64,
    rebuilds: u64,
    storage: Totals,
    github: Totals,
}

/// What is set when somebody looks.
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
    /// Of a process whose calls nobody counts.
    fn default() -> Self {
        Self::new(Calls::default(), Calls::default())
    }
}

impl Metrics {
    /// Counts from zero; `storage` and `github` are counted by who makes the calls.
    pub fn new(storage: Calls, github: Calls) -> Self {
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
        let standing = Gauges::default();
        standing.register(&mut registry);
        storage.register(&mut registry, "storage_call", "Storage requests");
        github.register(&mut registry, "github_call", "Requests to GitHub");
        Self {
            registry,
            layers,
            classes,
            standing,
            storage,
            github,
            told: Mutex::default(),
        }
    }

    /// A request was answered with this status, by this layer if it was about a user's data.
    pub fn answered(&self, status: u16, layer: Option<&str>) {
        if let Some(class) = self.classes.get(usize::from(status / 100).wrapping_sub(1)) {
            class.inc();
        }
        let layer = layer.and_then(|layer| LAYERS.iter().position(|it| *it == layer));
        if let Some(layer) = layer {
            self.layers[layer].inc();
        }
    }

    /// All of it in the OpenMetrics text format, which Prometheus reads.
    ///
    /// # Errors
    /// None that a string as a writer could cause.
    pub fn render(&self, standing: &Standing) -> Result<String, std::fmt::Error> {
        {
            // What two who ask at once would add twice.
            let _alone = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            self.standing.set(standing);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// What happened since this was last asked.
    pub fn summary(&self, standing: &Standing) -> Summary {
        let now = Counted {
            layers: self.layers.each_ref().map(Counter::get),
            requests: self.classes.iter().map(Counter::get).sum(),
            failed: self.classes[4].get(),
            rebuilds: standing.rebuilds,
            storage: self.storage.totals(),
            github: self.github.totals(),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *told, now);
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

    fn set(&self, standing: &Standing) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let before = self.rebuilds.get();
        self.rebuilds
            .inc_by(standing.rebuilds.saturating_sub(before));
        self.cached_users.set(signed(standing.cached_users));
        self.cached_bytes.set(signed(standing.cached_bytes));
        self.tasks.set(signed(standing.tasks));
        self.pending.set(signed(standing.pending));
        self.unpushed.set(signed(standing.unpushed));
        let oldest = standing.oldest_unpushed.unwrap_or_default();
        self.oldest_unpushed.set(oldest.as_secs_f64());
    }
}

/// A counter for each value of a label, made at once: none is looked up when something is counted.
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
