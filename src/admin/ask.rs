//! Single storage requests that end in any case.

use std::time::Duration;

use crate::store::{Answer, Blob, BlobStore, GetIf, Got, Key, Listing, Prefix, StoreError};

/// A store that keeps silent for longer counts as away.
const PATIENCE: Duration = Duration::from_secs(20);

/// A blob, if it is there, and the storage's clock.
pub(super) async fn get(
    store: &dyn BlobStore,
    key: &Key,
) -> Result<Answer<Option<Blob>>, StoreError> {
    let call = store.get(key, GetIf::Any);
    let Answer { value, date } = in_time("get", key.path(), call).await?;
    let value = match value {
        Got::Blob(blob) => Some(blob),
        Got::Absent | Got::Changed | Got::Unchanged => None,
    };
    Ok(Answer { value, date })
}

/// What is directly below a prefix.
pub(super) async fn list(
    store: &dyn BlobStore,
    prefix: &Prefix,
) -> Result<Answer<Listing>, StoreError> {
    in_time("list", prefix.as_str(), store.list(prefix)).await
}

/// The call's answer, unless the store keeps silent.
pub(super) async fn in_time<T>(
    operation: &'static str,
    key: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let silent = || StoreError::Unavailable {
        operation,
        key: key.to_owned(),
        reason: "no answer in time".to_owned(),
    };
    tokio::time::timeout(PATIENCE, call)
        .await
        .unwrap_or_else(|_| Err(silent()))
}
