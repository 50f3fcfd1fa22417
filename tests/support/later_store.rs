//! A store whose clock is ahead, so that a blob written just now is old; it can also be slow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Listing, Prefix, Put, PutIf,
    PutOutcome, StoreAnswer, StoreResponse,
};

/// Any store, with its clock moved ahead. Clones share the offset.
#[derive(Clone)]
pub(crate) struct LaterStore {
    inner: Arc<dyn BlobStore>,
    ahead: Arc<Mutex<TimeDelta>>,
    /// The delay of each call.
    pause: Duration,
}

impl LaterStore {
    pub(crate) fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self {
            inner,
            ahead: Arc::default(),
            pause: Duration::ZERO,
        }
    }

    pub(crate) fn slow(inner: Arc<dyn BlobStore>, pause: Duration) -> Self {
        Self {
            pause,
            ..Self::new(inner)
        }
    }

    /// Moves its clock ahead.
    pub(crate) fn pass(&self, by: TimeDelta) {
        *self.ahead.lock().unwrap() += by;
    }

    async fn later<T>(&self, call: impl Future<Output = StoreAnswer<T>> + Send) -> StoreAnswer<T> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        let StoreResponse { value, date } = call.await?;
        let date = date + *self.ahead.lock().unwrap();
        Ok(StoreResponse { value, date })
    }
}

#[async_trait]
impl BlobStore for LaterStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        self.later(self.inner.get(key, condition)).await
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        self.later(self.inner.put(key, blob, condition)).await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        self.later(self.inner.delete(key, if_match)).await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.later(self.inner.list(prefix)).await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.later(self.inner.contents(prefix)).await
    }
}
