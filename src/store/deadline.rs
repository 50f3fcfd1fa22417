//! A deadline for each store call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::blob_store::{
    BlobStore, Contents, DeleteOutcome, GetIf, GetOutcome, Listing, Put, PutIf, PutOutcome,
    StoreResponse,
};
use super::error::StoreError;
use super::ids::ETag;
use super::key::{BlobKey, Prefix};

/// The deadline of a call under which a user's writes wait, so that a silent store can't block them.
pub const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// A decorator that gives up each call after a time limit, with [`StoreError::Unavailable`]. A write that was given up
/// may still land.
pub struct DeadlineStore {
    inner: Arc<dyn BlobStore>,
    limit: Duration,
}

impl DeadlineStore {
    /// `inner` with at most `limit` for each call.
    pub fn wrap(inner: &Arc<dyn BlobStore>, limit: Duration) -> Arc<dyn BlobStore> {
        let inner = Arc::clone(inner);
        Arc::new(Self { inner, limit })
    }

    async fn limited<T>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.limit, call).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                operation,
                key: path.to_owned(),
                reason: "no answer in time".to_owned(),
            })
        })
    }
}

#[async_trait]
impl BlobStore for DeadlineStore {
    async fn get(
        &self,
        key: &BlobKey,
        condition: GetIf,
    ) -> Result<StoreResponse<GetOutcome>, StoreError> {
        let call = self.inner.get(key, condition);
        self.limited("get", key.path(), call).await
    }

    async fn put(
        &self,
        key: &BlobKey,
        blob: Put,
        condition: PutIf,
    ) -> Result<StoreResponse<PutOutcome>, StoreError> {
        let call = self.inner.put(key, blob, condition);
        self.limited("put", key.path(), call).await
    }

    async fn delete(
        &self,
        key: &BlobKey,
        if_match: &ETag,
    ) -> Result<StoreResponse<DeleteOutcome>, StoreError> {
        let call = self.inner.delete(key, if_match);
        self.limited("delete", key.path(), call).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<StoreResponse<Listing>, StoreError> {
        let call = self.inner.list(prefix);
        self.limited("list", prefix.as_str(), call).await
    }

    async fn contents(&self, prefix: &Prefix) -> Result<StoreResponse<Contents>, StoreError> {
        let call = self.inner.contents(prefix);
        self.limited("list", prefix.as_str(), call).await
    }
}
