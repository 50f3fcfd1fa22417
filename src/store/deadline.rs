//! A deadline for each store call.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::blob_store::{BlobStore, StoreAnswer};
use super::error::StoreError;
use super::wrapped::{AroundCall, WrappedStore};

/// The deadline of a call under which a user's writes wait, so that a silent store can't block them.
pub const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// Gives up each call after this time, with [`StoreError::Unavailable`]. A write that was given up may still land.
pub struct Deadline(Duration);

impl Deadline {
    /// `inner` with at most `limit` for each call.
    pub fn wrap(inner: &Arc<dyn BlobStore>, limit: Duration) -> Arc<dyn BlobStore> {
        Arc::new(WrappedStore::new(Arc::clone(inner), Self(limit)))
    }
}

impl AroundCall for Deadline {
    async fn run<T: Send>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = StoreAnswer<T>> + Send,
    ) -> StoreAnswer<T> {
        let ended = timeout(self.0, call).await;
        ended.unwrap_or_else(|_| {
            Err(StoreError::unavailable(
                operation,
                path,
                "no answer in time",
            ))
        })
    }
}
