//! Good credentials by their bytes, so that a cookie isn't decrypted, a principal not decoded and a token not hashed for
//! every request.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// The size of all credentials of one kind that are kept, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// What a credential takes beside its bytes and those of what it proves, rounded up.
const OVERHEAD: usize = 512;

/// How long one is used without being proved again.
const TTL: Duration = Duration::from_secs(3600);

/// What credentials prove, if that follows from their bytes alone and for good. What may change, such as whether a
/// session has expired or was ended, is judged at each request.
pub(super) struct Remembered<T>(Cache<Arc<[u8]>, Arc<T>, RandomState>);

impl<T: Send + Sync + 'static> Remembered<T> {
    pub(super) fn new() -> Self {
        let weigh = |credential: &Arc<[u8]>, _: &Arc<T>| {
            (2 * credential.len() + OVERHEAD)
                .try_into()
                .unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(weigh)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(TTL);
        Self(cache.build_with_hasher(RandomState::default()))
    }

    /// What exactly these bytes prove, else `prove`'s result. Only good credentials are kept: invented ones push out
    /// nobody's.
    pub(super) fn get(
        &self,
        credential: &[u8],
        prove: impl FnOnce() -> Option<Arc<T>>,
    ) -> Option<Arc<T>> {
        if let Some(known) = self.0.get(credential) {
            return Some(known);
        }
        let proved = prove()?;
        self.0.insert(credential.into(), Arc::clone(&proved));
        Some(proved)
    }
}
