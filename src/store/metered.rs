//! Counts the calls to the store behind it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Answer, BlobStore, Contents, Deleted, ETag, GetIf, Got, Key, Listing, Prefix, Put, PutIf,
    StoreError, Written,
};
use crate::metrics::{Calls, Outcome};

/// A store whose calls are counted, with how long they took.
pub struct MeteredStore {
    inner: Arc<dyn BlobStore>,
    calls: Calls,
}

impl MeteredStore {
    /// In front of `inner`.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self {
            inner,
            calls: Calls::default(),
        }
    }

    /// What it counts.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    async fn count<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let running = self.calls.begin(operation);
        let result = call.await;
        // One blob that can't be read is an answer about that blob.
        let outcome = match &result {
            Ok(_) | Err(StoreError::Unreadable { .. }) => Outcome::Answered,
            Err(_) => Outcome::Failed,
        };
        running.end(outcome);
        result
    }
}

#[async_trait]
impl BlobStore for MeteredStore {
    async fn get(&self, key: &Key, condition: GetIf) -> Result<Answer<Got>, StoreError> {
        self.count("get", self.inner.get(key, condition)).await
    }

    async fn put(
        &self,
        key: &Key,
        blob: Put,
        condition: PutIf,
    ) -> Result<Answer<Written>, StoreError> {
        self.count("put", self.inner.put(key, blob, condition))
            .await
    }

    async fn delete(&self, key: &Key, if_match: &ETag) -> Result<Answer<Deleted>, StoreError> {
        self.count("delete", self.inner.delete(key, if_match)).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Answer<Listing>, StoreError> {
        self.count("list", self.inner.list(prefix)).await
    }
    async fn contents(&self, prefix: &Prefix) -> Result<Answer<Contents>, StoreError> {
        self.count("list", self.inner.contents(prefix)).await
    }
}
