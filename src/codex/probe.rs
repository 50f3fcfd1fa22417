//! The readiness probe: whether the store answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::now::Now;
use crate::store::deadline::Deadline;
use crate::store::{BlobKey, BlobStore, GetIf, StoreError};

/// How long a result is cached, so that frequent probes cost the store almost nothing.
const CACHED_FOR: Duration = Duration::from_secs(5);

/// How long the store may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A store, and whether it answered last.
pub(super) struct ReadinessProbe {
    store: Arc<dyn BlobStore>,
    /// The lock is held during the request: concurrent callers wait and share the result.
    last: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl ReadinessProbe {
    pub(super) fn new(store: &Arc<dyn BlobStore>) -> Self {
        Self {
            store: Deadline::wrap(store, TIMEOUT),
            last: Mutex::default(),
        }
    }

    pub(super) async fn check(&self, now: Now) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && now.mono.saturating_duration_since(*at) < CACHED_FOR
        {
            return result.clone();
        }
        let answer = self.store.get(&BlobKey::probe(), GetIf::Any).await;
        let result = answer.map(|_| ());
        *last = Some((now.mono, result.clone()));
        result
    }
}
