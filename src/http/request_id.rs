//! What every request gets: an id, a look at how long it took, and its error's body.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method};

use super::error::replace_error;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// A request that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_millis(250);

/// A counter behind a prefix of this process: unique, and nearly free.
fn next_id() -> String {
    static PREFIX: LazyLock<String> = LazyLock::new(|| {
        use std::hash::{BuildHasher, RandomState};
        format!(
            "{:08x}",
            RandomState::new().hash_one(std::process::id()) as u32
        )
    });
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("{}-{:x}", *PREFIX, COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Runs the request. A read from memory logs nothing above `debug`.
pub(super) async fn wrap(request: Request, next: Next) -> Response {
    let id = next_id();
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().clone();
    let mut response = replace_error(next.run(request).await, &id);
    report(&id, &method, path.path(), &response, began.elapsed());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn report(id: &str, method: &Method, path: &str, response: &Response, took: Duration) {
    let (status, took_ms) = (response.status().as_u16(), took.as_millis() as u64);
    if response.status().is_server_error() {
        tracing::error!(request_id = id, %method, path, status, took_ms, "request failed");
    } else if took > SLOW {
        tracing::info!(request_id = id, %method, path, status, took_ms, "slow request");
    } else {
        tracing::debug!(request_id = id, %method, path, status, took_ms, "request");
    }
}
