//! Metrics of the cache that instances share.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::calls::CallMetrics;

/// Upper bounds of the histogram buckets of a hint's lag, in seconds.
const LAGS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0];

/// Counts what the shared cache is asked, and what came of it. Clones share the counts.
#[derive(Clone)]
pub struct SharedCacheMetrics(Arc<SharedCacheCounters>);

struct SharedCacheCounters {
    calls: CallMetrics,
    lookups: Family<[(&'static str, &'static str); 1], Counter>,
    hints: Counter,
    lag: Histogram,
    reconnections: Counter,
}

impl Default for SharedCacheMetrics {
    fn default() -> Self {
        Self(Arc::new(SharedCacheCounters {
            calls: CallMetrics::default(),
            lookups: Family::default(),
            hints: Counter::default(),
            lag: Histogram::new(LAGS),
            reconnections: Counter::default(),
        }))
    }
}

impl SharedCacheMetrics {
    /// The commands: `get`, `publish`, `hint`, `check`.
    pub fn calls(&self) -> &CallMetrics {
        &self.0.calls
    }

    /// Counts what came of a look-up: `hit`, `stale`, `miss`, `rejected`.
    pub fn record_lookup(&self, outcome: &'static str) {
        self.0.lookups.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts a hint, and for how long it was on its way, if that is known.
    pub fn record_hint(&self, lag: Option<Duration>) {
        self.0.hints.inc();
        if let Some(lag) = lag {
            self.0.lag.observe(lag.as_secs_f64());
        }
    }

    /// Counts a connection that was made in place of an earlier one.
    pub fn record_reconnection(&self) {
        self.0.reconnections.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self(counters) = self;
        counters
            .calls
            .register(registry, "redis_call", "Commands to Redis");
        registry.register(
            "shared_cache_lookups",
            "Look-ups in the cache that instances share, by what came of them",
            counters.lookups.clone(),
        );
        registry.register(
            "hints_heard",
            "Messages of instances that a user's data have changed",
            counters.hints.clone(),
        );
        registry.register_with_unit(
            "hint_lag",
            "For how long such a message was on its way",
            Unit::Seconds,
            counters.lag.clone(),
        );
        registry.register(
            "redis_reconnections",
            "Connections to Redis made in place of an earlier one",
            counters.reconnections.clone(),
        );
    }
}
