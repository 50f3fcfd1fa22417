//! The readiness probe: whether the store answers.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::now::Now;
use crate::store::{BlobKey, BlobStore, GetIf, StoreError};

/// How long a result is cached, so that frequent probes cost the store almost nothing.
const CACHED_FOR: Duration = Duration::from_secs(5);

/// How long the store may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The last result. The lock is held during the request: concurrent callers wait and share the result.
#[derive(Debug, Default)]
pub(super) struct ReadinessProbe {
    last: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl ReadinessProbe {
    pub(super) async fn check(&self, store: &dyn BlobStore, now: Now) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && now.mono.saturating_duration_since(*at) < CACHED_FOR
        {
            return result.clone();
        }
        let key = BlobKey::probe();
        let asked = tokio::time::timeout(TIMEOUT, store.get(&key, GetIf::Any)).await;
        let result = match asked {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(StoreError::Unavailable {
                operation: "get",
                key: key.path().to_owned(),
                reason: "no answer in time".to_owned(),
            }),
        };
        *last = Some((now.mono, result.clone()));
        result
    }
}
