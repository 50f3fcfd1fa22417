//! What every request gets: an id, a look at how long it took, and its error's body.

use std::fmt;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Uri};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::ApiError;
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

/// The layer around every route. A service of its own rather than a function, because a function
/// would cost three allocations and a copy of the inner service for each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestIds;

impl<S> Layer<S> for RequestIds {
    type Service = WithRequestId<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithRequestId { inner }
    }
}

/// A service whose answers carry an id.
#[derive(Debug, Clone)]
pub(super) struct WithRequestId<S> {
    inner: S,
}

impl<S: Service<Request, Response = Response>> Service<Request> for WithRequestId<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let began = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Answering {
            inner: self.inner.call(request),
            began,
            method,
            uri,
        }
    }
}

pin_project! {
    /// The answer under way.
    pub(super) struct Answering<F> {
        #[pin]
        inner: F,
        began: Instant,
        method: Method,
        uri: Uri,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for Answering<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(context))?;
        Poll::Ready(Ok(finish(
            response,
            this.method,
            this.uri.path(),
            this.began.elapsed(),
        )))
    }
}

/// A read from memory logs nothing above `debug`.
fn finish(response: Response, method: &Method, path: &str, took: Duration) -> Response {
    let id = next_id();
    report(&id, method, path, &response, took);
    let mut response = replace_error(response, &id);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A path as it may be logged. Whatever isn't a route may be anything, and of a task's stem only the number
/// may be told: the rest is the task's title.
struct Known<'a>(&'a str);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "/"
            | "/healthz"
            | "/readyz"
            | "/codex"
            | "/api/tasks"
            | "/api/preview"
            | "/sync"
            | "/github/webhook"
            | "/gitPush"
            | "/auth/github"
            | "/auth/github/callback"
            | "/auth/me"
            | "/auth/logout" => f.write_str(self.0),
            path => match path.strip_prefix("/api/tasks/") {
                Some(task) => self.task(task, f),
                None => f.write_str("…"),
            },
        }
    }
}

impl Known<'_> {
    fn task(&self, path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stem, complete) = match path.strip_suffix("/complete") {
            Some(stem) => (stem, "/complete"),
            None => (path, ""),
        };
        let numbered = stem.split_at_checked(4).filter(|(number, title)| {
            number.bytes().all(|b| b.is_ascii_digit())
                && (title.is_empty() || title.starts_with('-'))
                && !title.contains('/')
        });
        match numbered {
            Some((number, "")) => write!(f, "/api/tasks/{number}{complete}"),
            Some((number, _)) => write!(f, "/api/tasks/{number}…{complete}"),
            None => f.write_str("…"),
        }
    }
}

/// One line for a request that failed, with its cause, or that was slow. An outage is a warning: it
/// passes without anybody mending the service.
fn report(id: &str, method: &Method, path: &str, response: &Response, took: Duration) {
    let (status, took_ms) = (response.status().as_u16(), took.as_millis() as u64);
    let path = Known(path);
    let cause = response
        .extensions()
        .get::<ApiError>()
        .and_then(ApiError::cause);
    if status == 503 {
        tracing::warn!(request_id = id, %method, %path, status, took_ms, cause, "request refused");
    } else if status >= 500 {
        tracing::error!(request_id = id, %method, %path, status, took_ms, cause, "request failed");
    } else if took > SLOW {
        tracing::info!(request_id = id, %method, %path, status, took_ms, "slow request");
    } else {
        tracing::debug!(request_id = id, %method, %path, status, took_ms, "request");
    }
}
