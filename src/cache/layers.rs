//! What reads of one instance share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::memory::{AcknowledgedVersions, SnapshotMemory};
use super::request::Read;
use super::settings::CacheSettings;
use super::single_flight::SingleFlight;
use crate::store::BlobStore;
use crate::user_state::UserStates;

/// The layers of the cache of one instance, from memory to the store.
pub(super) struct Layers {
    pub memory: Arc<SnapshotMemory>,
    pub flights: Arc<SingleFlight<Read>>,
    pub acknowledged: AcknowledgedVersions,
    pub states: UserStates,
    pub rebuilds: AtomicU64,
    pub settings: CacheSettings,
}

impl Layers {
    pub(super) fn new(
        memory: Arc<SnapshotMemory>,
        states: UserStates,
        settings: CacheSettings,
    ) -> Self {
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
        self.states.documents.store()
    }
}
