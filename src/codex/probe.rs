//! Whether the store answers.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::now::Now;
use crate::store::{BlobStore, GetIf, Key, StoreError};

/// How long an answer is remembered, so that probes cost the store next to nothing.
const REMEMBERED: Duration = Duration::from_secs(5);

/// How long the store may take before it counts as away.
const PATIENCE: Duration = Duration::from_secs(3);

/// The last answer. Askers wait for the one who asks the store.
#[derive(Debug, Default)]
pub(super) struct Probe {
    last: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl Probe {
    pub(super) async fn ask(&self, store: &dyn BlobStore, now: Now) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && now.mono.saturating_duration_since(*at) < REMEMBERED
        {
            return result.clone();
        }
        let key = Key::probe();
        let asked = tokio::time::timeout(PATIENCE, store.get(&key, GetIf::Any)).await;
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
