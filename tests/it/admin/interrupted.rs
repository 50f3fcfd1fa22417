//! A store that becomes unreachable after a given number of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Listing, Prefix, Put, PutIf,
    PutOutcome, StoreAnswer, StoreError,
};

use crate::support::memory_store::MemoryStore;

/// The outcome of the last request before the interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// It is answered; no later request reaches the store.
    Answered,
    /// It takes effect, but its response is lost.
    Unanswered,
}

/// Counts the remaining requests down. Clones share the count.
#[derive(Clone)]
pub(super) struct Interrupted {
    inner: MemoryStore,
    left: Arc<AtomicI64>,
    last: Last,
}

impl Interrupted {
    pub(super) fn after(requests: i64, last: Last, inner: MemoryStore) -> Self {
        Self {
            inner,
            left: Arc::new(AtomicI64::new(requests)),
            last,
        }
    }

    async fn send<T>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = StoreAnswer<T>>,
    ) -> StoreAnswer<T> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        let gone = || StoreError::Unavailable {
            operation,
            key: path.to_owned(),
            reason: "interrupted".to_owned(),
        };
        if left <= 0 {
            return Err(gone());
        }
        let answer = call.await;
        match (left, self.last) {
            (1, Last::Unanswered) => Err(gone()),
            _ => answer,
        }
    }
}

#[async_trait]
impl BlobStore for Interrupted {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        self.send("get", key.path(), self.inner.get(key, condition))
            .await
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        self.send("put", key.path(), self.inner.put(key, blob, condition))
            .await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        self.send("delete", key.path(), self.inner.delete(key, if_match))
            .await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.send("list", prefix.as_str(), self.inner.list(prefix))
            .await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.send("list", prefix.as_str(), self.inner.contents(prefix))
            .await
    }
}
