//! The outermost layer: assigns request ids, normalizes paths, logs and counts responses, and renders errors.

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
use super::error::render_error;
use super::extract::arrival_or_now;
use super::path_normalizer::PathNormalizer;
use super::response::X_CODEX_CACHE;
use crate::context::{self, RequestContext, RequestScope, request_scope};
use crate::metrics::Metrics;
use crate::web;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const X_CONTENT_TYPE_OPTIONS: HeaderName =
    HeaderName::from_static("x-content-type-options");
pub(super) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// A slower request is logged at `info`.
const SLOW: Duration = Duration::from_millis(250);

/// The layer around the router. Not `middleware::from_fn`, which costs three allocations and a clone of the inner
/// service per request.
#[derive(Clone)]
pub(super) struct RequestIdLayer {
    pub(super) metrics: Arc<Metrics>,
    pub(super) normalizer: Arc<PathNormalizer>,
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIdService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestIdService {
            inner,
            metrics: Arc::clone(&self.metrics),
            normalizer: Arc::clone(&self.normalizer),
        }
    }
}

/// The service of [`RequestIdLayer`].
#[derive(Clone)]
pub struct RequestIdService<S> {
    inner: S,
    metrics: Arc<Metrics>,
    normalizer: Arc<PathNormalizer>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for RequestIdService<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let request = self.normalizer.normalize(request);
        let arrived = arrival_or_now(request.extensions());
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let request_context =
            RequestContext::new(arrived, method, uri, headers, write_loggable_path);
        RequestIdFuture {
            inner: request_scope(Arc::new(request_context), self.inner.call(request)),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

pin_project! {
    /// The future of a response.
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: RequestScope<F>,
        metrics: Arc<Metrics>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for RequestIdFuture<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut inner = this.inner.as_mut();
        // Unwind safe: after a panic the handler isn't polled again, so its broken state is never observed.
        let polled = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context)));
        let response = match polled {
            Ok(polled) => ready!(polled)?,
            Err(_) => ApiError::internal_error().into_response(),
        };
        let layer = response.headers().get(X_CODEX_CACHE);
        let layer = layer.and_then(|layer| layer.to_str().ok());
        this.metrics
            .record_response(response.status().as_u16(), layer);
        Poll::Ready(Ok(match inner.take_value() {
            Some(request) => finish(response, &request),
            None => response,
        }))
    }
}

/// Logs the response, renders its error and adds the headers that every response has.
fn finish(response: Response, request: &Arc<RequestContext>) -> Response {
    log_response(request, &response, request.arrived().elapsed());
    let mut response = render_error(response, request.id());
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

fn write_loggable_path(path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    fmt::Display::fmt(&LoggablePath(path), f)
}

/// A path without personal data, for the log. A path that isn't a route can hold anything and becomes `…`; of a task's
/// stem only the number is kept, as the rest is the task's title.
struct LoggablePath<'a>(&'a str);

impl fmt::Display for LoggablePath<'_> {
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

impl LoggablePath<'_> {
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

/// Logs a failed request with its cause, and a slow one. 503 is only a warning: an outage passes without a fix here.
/// Others are logged at `debug`, so that a read from memory costs no line.
fn log_response(request: &Arc<RequestContext>, response: &Response, took: Duration) {
    let (status, took_ms) = (response.status().as_u16(), took.as_millis() as u64);
    let cause = response
        .extensions()
        .get::<ApiError>()
        .and_then(ApiError::cause);
    if status < 500 && took <= SLOW && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    context::in_scope_of(request, || match status {
        503 => tracing::warn!(status, took_ms, cause, "request refused"),
        500.. => tracing::error!(status, took_ms, cause, "request failed"),
        _ if took > SLOW => tracing::info!(status, took_ms, "slow request"),
        _ => tracing::debug!(status, took_ms, "request"),
    });
}
