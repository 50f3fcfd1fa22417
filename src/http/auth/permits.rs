//! Limits on the requests that unauthenticated clients can make this service send.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::github::GitHubError;

/// How long a lookup or a code exchange waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// # Errors
/// [`GitHubError::Unavailable`] if none is free in time.
pub(super) async fn acquire(permits: &Semaphore) -> Result<SemaphorePermit<'_>, GitHubError> {
    let permit = timeout(PERMIT_TIMEOUT, permits.acquire()).await;
    permit.ok().and_then(Result::ok).ok_or_else(|| {
        let reason = "too many requests are in progress".to_owned();
        let operation = "verifying a token or a code";
        GitHubError::Unavailable { operation, reason }
    })
}
