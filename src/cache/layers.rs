//! What reads of one instance share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::memory::{AcknowledgedVersions, MemoryCache};
use super::request::Read;
use super::settings::CacheSettings;
use super::single_flight::SingleFlight;
use crate::store::BlobStore;
use crate::user::UserId;
use crate::user_state::{StoredState, UserStates};

/// A returning user's snapshot is kept at least as long: it saves the next rebuild its GETs.
const MIN_RECORD_TTL: Duration = Duration::from_secs(3 * 3600);

/// The layers of the cache of one instance, from memory to the store.
pub(super) struct Layers {
    pub memory: MemoryCache,
    pub flights: Arc<SingleFlight<Read>>,
    pub acknowledged: AcknowledgedVersions,
    pub states: UserStates,
    pub rebuilds: AtomicU64,
    pub settings: CacheSettings,
}

impl Layers {
    pub(super) fn new(states: UserStates, settings: CacheSettings) -> Self {
        // It can be confirmed for `memory_ttl`, and from then on be served stale for `stale_if_error`.
        let record_ttl = settings.memory_ttl.saturating_add(settings.stale_if_error);
        let record_ttl = record_ttl.max(MIN_RECORD_TTL);
        Self {
            memory: MemoryCache::new(settings.memory_max_bytes, record_ttl),
            flights: Arc::new(SingleFlight::new(settings.deadline)),
            acknowledged: AcknowledgedVersions::new(settings.stale_if_error),
            states,
            rebuilds: AtomicU64::new(0),
            settings,
        }
    }

    /// Attaches a newer state document to the user's snapshot, so that the next write starts from it.
    pub(super) fn attach_state(&self, user: &UserId, stored: &Arc<StoredState>) {
        let Some(snapshot) = self.memory.get(user) else {
            return;
        };
        let known = snapshot.bounds.state.as_ref();
        if known.is_none_or(|known| stored.is_newer_than(known)) {
            let updated = snapshot.with_state(Arc::clone(stored), self.settings.zone);
            self.memory.replace(&snapshot, &Arc::new(updated));
        }
    }

    /// The store. A read has a deadline as a whole, so that its requests need none.
    pub(super) fn store(&self) -> &Arc<dyn BlobStore> {
        self.states.documents.store()
    }
}
