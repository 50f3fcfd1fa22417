//! What reads of one instance share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::memory::{AcknowledgedVersions, SnapshotMemory};
use super::settings::CacheSettings;
use super::single_flight::SingleFlight;
use super::snapshot::Snapshot;
use crate::per_user::PerUser;
use crate::shared_cache::SharedCache;
use crate::store::BlobStore;
use crate::user_state::UserStates;

/// The cache that instances share, and the look-ups in flight.
pub(super) struct SharedLayer {
    pub(super) server: Arc<dyn SharedCache>,
    pub(super) lookups: PerUser<LookupInFlight>,
}

/// One user's look-up, which concurrent readers share.
type LookupInFlight = Mutex<Option<Shared<BoxFuture<'static, Option<Arc<Snapshot>>>>>>;

/// The cache of one instance, from memory to the store.
pub struct Cache {
    pub(super) memory: Arc<SnapshotMemory>,
    pub(super) flights: Arc<SingleFlight>,
    pub(super) acknowledged: AcknowledgedVersions,
    pub(super) states: UserStates,
    pub(super) rebuilds: AtomicU64,
    pub(super) shared: Option<SharedLayer>,
    /// Its settings.
    pub settings: CacheSettings,
}

impl Cache {
    /// A cache in front of the store of `states`, with the snapshots in `memory` and in the cache that instances share.
    pub fn new(
        memory: Arc<SnapshotMemory>,
        shared: Option<Arc<dyn SharedCache>>,
        states: UserStates,
        settings: CacheSettings,
    ) -> Self {
        Self {
            memory,
            flights: Arc::new(SingleFlight::new(settings.deadline)),
            acknowledged: AcknowledgedVersions::new(settings.stale_if_error),
            states,
            rebuilds: AtomicU64::new(0),
            shared: shared.map(|server| SharedLayer {
                server,
                lookups: PerUser::default(),
            }),
            settings,
        }
    }

    /// The store. A read has a deadline as a whole, so that its requests need none.
    pub(super) fn store(&self) -> &Arc<dyn BlobStore> {
        &self.states.documents.store
    }
}
