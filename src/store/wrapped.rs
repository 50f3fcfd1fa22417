//! Stores that do something around each call of another one.

use std::sync::Arc;

use async_trait::async_trait;

use super::blob_store::{
    BlobStore, DeleteOutcome, GetIf, GetOutcome, Listing, Put, PutIf, PutOutcome, StoreAnswer,
};
use super::error::StoreError;
use super::ids::ETag;
use super::key::{BlobKey, Prefix};
use crate::metrics::{CallMetrics, CallOutcome};

/// What to do around each call.
pub trait AroundCall: Send + Sync + 'static {
    /// Runs `call`, a `get`, `put`, `delete` or `list` of `path`.
    fn run<T: Send>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = StoreAnswer<T>> + Send,
    ) -> impl Future<Output = StoreAnswer<T>> + Send;
}

/// A store whose calls run inside of something.
pub struct WrappedStore<A> {
    inner: Arc<dyn BlobStore>,
    around: A,
}

impl<A> WrappedStore<A> {
    /// `inner` with `around` each call.
    pub fn new(inner: Arc<dyn BlobStore>, around: A) -> Self {
        Self { inner, around }
    }
}

#[async_trait]
impl<A: AroundCall> BlobStore for WrappedStore<A> {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        let call = self.inner.get(key, condition);
        self.around.run("get", key.path(), call).await
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        let call = self.inner.put(key, blob, condition);
        self.around.run("put", key.path(), call).await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        let call = self.inner.delete(key, if_match);
        self.around.run("delete", key.path(), call).await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        let call = self.inner.list(prefix);
        self.around.run("list", prefix.as_str(), call).await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        let call = self.inner.contents(prefix);
        self.around.run("list", prefix.as_str(), call).await
    }
}

/// Counts the calls and measures their durations.
impl AroundCall for CallMetrics {
    async fn run<T: Send>(
        &self,
        operation: &'static str,
        _: &str,
        call: impl Future<Output = StoreAnswer<T>> + Send,
    ) -> StoreAnswer<T> {
        let running = self.begin(operation);
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
