//! What every request gets: an id, a look at how long it took, and its error's body.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::ApiError;
use super::answer::X_CODEX_CACHE;
use super::error::replace_error;
use super::extract::moment;
use super::spelling::Spelling;
use crate::context::{self, OfRequest, RequestContext, of_request};
use crate::metrics::Metrics;
use crate::web;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const X_CONTENT_TYPE_OPTIONS: HeaderName =
    HeaderName::from_static("x-content-type-options");
pub(super) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// A request that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_millis(250);

/// The layer around the router. A service of its own rather than a function, because a function
/// would cost three allocations and a copy of the inner service for each request.
#[derive(Clone)]
pub(super) struct RequestIds {
    pub(super) metrics: Arc<Metrics>,
    pub(super) spelling: Arc<Spelling>,
}

impl<S> Layer<S> for RequestIds {
    type Service = WithRequestId<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithRequestId {
            inner,
            metrics: Arc::clone(&self.metrics),
            spelling: Arc::clone(&self.spelling),
        }
    }
}

/// A service whose answers carry an id.
#[derive(Clone)]
pub struct WithRequestId<S> {
    inner: S,
    metrics: Arc<Metrics>,
    spelling: Arc<Spelling>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for WithRequestId<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let request = self.spelling.correct(request);
        let arrived = moment(request.extensions());
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let known = RequestContext::new(arrived, method, uri, headers, show_path);
        Answering {
            inner: of_request(Arc::new(known), self.inner.call(request)),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

pin_project! {
    /// The answer under way.
    pub struct Answering<F> {
        #[pin]
        inner: OfRequest<F>,
        metrics: Arc<Metrics>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for Answering<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut inner = this.inner.as_mut();
        // A handler that panics is polled no more, so nothing of it is seen half done.
        let polled = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context)));
        let response = match polled {
            Ok(polled) => ready!(polled)?,
            Err(_) => ApiError::defect().into_response(),
        };
        let layer = response.headers().get(X_CODEX_CACHE);
        let layer = layer.and_then(|layer| layer.to_str().ok());
        this.metrics.answered(response.status().as_u16(), layer);
        Poll::Ready(Ok(match inner.take_value() {
            Some(request) => finish(response, &request),
            None => response,
        }))
    }
}

/// A read from memory logs nothing above `debug`.
fn finish(response: Response, request: &Arc<RequestContext>) -> Response {
    report(request, &response, request.arrived().passed());
    let mut response = replace_error(response, request.id());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request.id()) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if let Some(cookie) = request.cookie() {
        headers.append(SET_COOKIE, cookie.clone());
    }
    response
}

fn show_path(path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    fmt::Display::fmt(&Known(path), f)
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
            | "/openapi.json"
            | "/docs"
            | "/sw.js"
            | "/login"
            | "/codex"
            | "/api/tasks"
            | "/api/preview"
            | "/sync"
            | "/github/webhook"
            | "/gitPush"
            | "/metrics"
            | "/janitor"
            | "/auth/github"
            | "/auth/github/callback"
            | "/auth/me"
            | "/auth/logout" => f.write_str(self.0),
            path if web::at(path).is_some() => f.write_str(path),
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
fn report(request: &Arc<RequestContext>, response: &Response, took: Duration) {
    let (status, took_ms) = (response.status().as_u16(), took.as_millis() as u64);
    let cause = response
        .extensions()
        .get::<ApiError>()
        .and_then(ApiError::cause);
    if status < 500 && took <= SLOW && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    context::about(request, || match status {
        503 => tracing::warn!(status, took_ms, cause, "request refused"),
        500.. => tracing::error!(status, took_ms, cause, "request failed"),
        _ if took > SLOW => tracing::info!(status, took_ms, "slow request"),
        _ => tracing::debug!(status, took_ms, "request"),
    });
}
