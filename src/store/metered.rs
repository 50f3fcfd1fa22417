//! Metrics for store calls.

use std::sync::Arc;

use async_trait::async_trait;

use super::blob_store::{
    BlobStore, Contents, DeleteOutcome, GetIf, GetOutcome, Listing, Put, PutIf, PutOutcome,
    StoreResponse,
};
use super::error::StoreError;
use super::ids::ETag;
use super::key::{BlobKey, Prefix};
use crate::metrics::{CallMetrics, CallOutcome};

/// A decorator that counts the calls to a store and measures their durations.
pub struct MeteredStore {
    inner: Arc<dyn BlobStore>,
    calls: CallMetrics,
}

impl MeteredStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self {
            inner,
            calls: CallMetrics::default(),
        }
    }

    /// The call metrics.
    pub fn calls(&self) -> &CallMetrics {
        &self.calls
    }

    async fn count<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let running = self.calls.begin(operation);
        let result = call.await;
        // The store answered; only this one blob is unreadable.
        let outcome = match &result {
            Ok(_) | Err(StoreError::Unreadable { .. }) => CallOutcome::Answered,
            Err(_) => CallOutcome::Failed,
        };
        running.end(outcome);
        result
    }
}

#[async_trait]
impl BlobStore for MeteredStore {
    async fn get(
        &self,
        key: &BlobKey,
        condition: GetIf,
    ) -> Result<StoreResponse<GetOutcome>, StoreError> {
        self.count("get", self.inner.get(key, condition)).await
    }

    async fn put(
        &self,
        key: &BlobKey,
        blob: Put,
        condition: PutIf,
    ) -> Result<StoreResponse<PutOutcome>, StoreError> {
        self.count("put", self.inner.put(key, blob, condition))
            .await
    }

    async fn delete(
        &self,
        key: &BlobKey,
        if_match: &ETag,
    ) -> Result<StoreResponse<DeleteOutcome>, StoreError> {
        self.count("delete", self.inner.delete(key, if_match)).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<StoreResponse<Listing>, StoreError> {
        self.count("list", self.inner.list(prefix)).await
    }
    async fn contents(&self, prefix: &Prefix) -> Result<StoreResponse<Contents>, StoreError> {
        self.count("list", self.inner.contents(prefix)).await
    }
}
