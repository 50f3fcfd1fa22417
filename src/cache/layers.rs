//! What reads of one instance share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::memory::{AcknowledgedVersions, SnapshotMemory};
use super::settings::CacheSettings;
use super::single_flight::SingleFlight;
use crate::store::BlobStore;
use crate::user_state::UserStates;

/// The cache of one instance, from memory to the store.
pub struct Cache {
    pub(super) memory: Arc<SnapshotMemory>,
    pub(super) flights: Arc<SingleFlight>,
    pub(super) acknowledged: AcknowledgedVersions,
    pub(super) states: UserStates,
    pub(super) rebuilds: AtomicU64,
    /// Its settings.
    pub settings: CacheSettings,
}

impl Cache {
    /// A cache in front of the store of `states`, with the snapshots in `memory`.
    pub fn new(memory: Arc<SnapshotMemory>, states: UserStates, settings: CacheSettings) -> Self {
        Self {
            memory,
            flights: Arc::new(SingleFlight::new(settings.deadline)),
            acknowledged: AcknowledgedVersions::new(settings.stale_if_error),
            states,
            rebuilds: AtomicU64::new(0),
            settings,
        }
    }

    /// The store. A read has a deadline as a whole, so that its requests need none.
    pub(super) fn store(&self) -> &Arc<dyn BlobStore> {
        &self.states.documents.store
    }
}
