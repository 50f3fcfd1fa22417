//! Metrics of a process, for Prometheus and for the summary line that the log gets once a minute. No label identifies a
//! user.

mod calls;
mod responses;
mod shared_cache;

use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use responses::{CLASSES, ResponseFamily};

pub use calls::{CallCounts, CallMetrics, CallOutcome};
pub use responses::{ResponseKind, ResponseTimes};
pub use shared_cache::SharedCacheMetrics;

/// The cache layers, by their names in `x-codex-cache`.
const LAYERS: [&str; 5] = ["memory", "redis", "artifact", "rebuild", "stale"];

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    layers: [Counter; 5],
    classes: [Counter; 5],
    responses: ResponseFamily,
    storage: CallMetrics,
    github: CallMetrics,
    last_summary: Mutex<Counts>,
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

/// Counts since the start of the process, or since the last summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses by cache layer: memory, Redis, artifact, rebuild, stale.
    pub layers: [u64; 5],
    /// All responses.
    pub requests: u64,
    /// Responses with status 5xx.
    pub failed: u64,
    /// Rebuilds from the task files.
    pub rebuilds: u64,
    /// Storage requests.
    pub storage: CallCounts,
    /// Requests to GitHub.
    pub github: CallCounts,
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
        let responses = responses::family();
        let help = "Time from a request's arrival to the head of its answer";
        registry.register_with_unit("response", help, Unit::Seconds, responses.clone());
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The running program", Info::new(build));
        storage.register(&mut registry, "storage_call", "Storage requests");
        github.register(&mut registry, "github_call", "Requests to GitHub");
        Self {
            registry,
            layers,
            classes,
            responses,
            storage,
            github,
            last_summary: Mutex::default(),
        }
    }

    /// Also registers those of the cache that instances share.
    pub fn with_shared_cache(mut self, shared_cache: &SharedCacheMetrics) -> Self {
        shared_cache.register(&mut self.registry);
        self
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

    /// The times of the responses of a router of these routes, as in `/api/tasks/{id}`.
    pub fn response_times(&self, routes: Vec<String>) -> ResponseTimes {
        ResponseTimes::new(self.responses.clone(), routes)
    }

    /// Encodes all metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: writing to a string can't fail.
    pub fn render(&self, stats: &RuntimeStats) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &stats.registry())?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// The counts since the last call of this method, with the longest duration of a call in this time.
    pub fn summary(&self, stats: &RuntimeStats) -> Counts {
        let now = Counts {
            layers: self.layers.each_ref().map(Counter::get),
            requests: self.classes.iter().map(Counter::get).sum(),
            failed: self.classes[4].get(),
            rebuilds: stats.rebuilds,
            storage: self.storage.take_counts(),
            github: self.github.take_counts(),
        };
        let before = std::mem::replace(&mut *self.last_summary.lock(), now);
        Counts {
            layers: std::array::from_fn(|at| now.layers[at] - before.layers[at]),
            requests: now.requests - before.requests,
            failed: now.failed - before.failed,
            rebuilds: now.rebuilds.saturating_sub(before.rebuilds),
            storage: now.storage.since(before.storage),
            github: now.github.since(before.github),
        }
    }
}

impl RuntimeStats {
    /// The values as metrics, for one scrape.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("codex");
        let rebuilds = ConstCounter::new(self.rebuilds);
        registry.register("rebuilds", "Rebuilds from the task files", rebuilds);
        let pending_help = "Users for whom this instance is just writing";
        let unpushed_help = "Users with something that Git or the store doesn't have yet";
        for (name, help, value) in [
            ("cached_users", "Users in memory", self.cached_users),
            (
                "alive_tasks",
                "Asynchronous tasks that haven't ended",
                self.tasks,
            ),
            ("pending_users", pending_help, self.pending),
            ("unpushed_users", unpushed_help, self.unpushed),
        ] {
            registry.register(name, help, ConstGauge::new(value));
        }
        let cached = ConstGauge::new(self.cached_bytes);
        registry.register_with_unit("cached", "What memory holds", Unit::Bytes, cached);
        let oldest = self.oldest_unpushed.unwrap_or_default().as_secs_f64();
        let help = "For how long the first of them has waited";
        registry.register_with_unit(
            "oldest_unpushed",
            help,
            Unit::Seconds,
            ConstGauge::new(oldest),
        );
        registry
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
