//! Good credentials by their bytes, so that a cookie isn't decrypted, a principal not decoded and a token not hashed for
//! every request.

use std::sync::Arc;

use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

/// What a credential takes beside its bytes, with what it proves, rounded up.
const OVERHEAD: usize = 512;

/// The cache's shards have room for at least 32 credentials of this size.
const LONG: u64 = 4096;

/// What credentials prove, if that follows from their bytes alone and for good, or else the record by which they are
/// judged. What may change, such as whether a session has expired or was ended, is judged at each request. So none has a
/// time to live, and a look-up reads no clock.
pub(super) struct Remembered<T>(Cache<Box<[u8]>, Arc<T>, BySize, RandomState>);

#[derive(Clone)]
struct BySize;

impl<T> Weighter<Box<[u8]>, Arc<T>> for BySize {
    fn weight(&self, credential: &Box<[u8]>, _: &Arc<T>) -> u64 {
        (credential.len() + OVERHEAD) as u64
    }
}

impl<T> Remembered<T> {
    /// Keeps up to `max_bytes` of credentials.
    pub(super) fn new(max_bytes: u64) -> Self {
        let estimated = (max_bytes / LONG) as usize;
        let hasher = RandomState::default();
        let lifecycle = DefaultLifecycle::default();
        Self(Cache::with(estimated, max_bytes, BySize, hasher, lifecycle))
    }

    /// What exactly these bytes prove, else `prove`'s result, which is kept if it proves anything: invented credentials
    /// push out nobody's.
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
