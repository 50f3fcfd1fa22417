//! Lifetimes, limits and sources of the cache.

use std::time::Duration;

use chrono_tz::Tz;

use crate::rules::Rules;
use crate::user_state::Mutation;

/// Lifetimes, limits and sources of the cache.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Past this age a snapshot serves only as the base of the next rebuild, or as a stale answer in an outage.
    pub memory_ttl: Duration,
    /// How long a listing is valid, in memory and in the artifact; after that the files must be listed again.
    pub artifact_ttl: Duration,
    /// How long a confirmed snapshot is served without reading the state document: the staleness bound (P2).
    pub revalidate: Duration,
    /// How long after its last confirmation a snapshot may be served stale during an outage (P9).
    pub stale_if_error: Duration,
    /// Bound of the memory layer, in bytes.
    pub memory_max_bytes: u64,
    /// Deadline of a whole read; its storage requests are cancelled with it.
    pub deadline: Duration,
    /// Age at which a write intent is overdue and any instance may recover it.
    pub pending_expiry: Duration,
    /// The time zone of the slots in which tasks are placed.
    pub zone: Tz,
    /// Generates operation and write ids; must never return the same id twice, on any instance.
    pub ids: fn() -> u64,
    /// The rules of the protocol, all of them but in a simulation that breaks one.
    pub rules: Rules<Mutation>,
}
