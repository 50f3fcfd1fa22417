//! Single storage requests with a timeout.

use std::time::Duration;

use crate::store::{
    Blob, BlobKey, BlobStore, GetIf, GetOutcome, Listing, Prefix, StoreError, StoreResponse,
};

/// A storage call that takes longer fails as `Unavailable`.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A blob, `None` if absent, with the storage's `Date`.
pub(super) async fn get(
    store: &dyn BlobStore,
    key: &BlobKey,
) -> Result<StoreResponse<Option<Blob>>, StoreError> {
    let call = store.get(key, GetIf::Any);
    let StoreResponse { value, date } = with_timeout("get", key.path(), call).await?;
    let value = match value {
        GetOutcome::Blob(blob) => Some(blob),
        GetOutcome::Absent | GetOutcome::Changed | GetOutcome::Unchanged => None,
    };
    Ok(StoreResponse { value, date })
}

/// The blobs and folders directly below a prefix.
pub(super) async fn list(
    store: &dyn BlobStore,
    prefix: &Prefix,
) -> Result<StoreResponse<Listing>, StoreError> {
    with_timeout("list", prefix.as_str(), store.list(prefix)).await
}

/// The call's result; [`StoreError::Unavailable`] after [`CALL_TIMEOUT`].
pub(super) async fn with_timeout<T>(
    operation: &'static str,
    key: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let timed_out = || StoreError::Unavailable {
        operation,
        key: key.to_owned(),
        reason: "no answer in time".to_owned(),
    };
    tokio::time::timeout(CALL_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}
