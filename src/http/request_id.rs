//! The outermost service: assigns request ids, normalizes paths, logs, counts and traces responses, renders errors, and
//! expires the legacy service's cookie.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tower::Service;

use super::auth::CookieNames;
use super::error::{ApiError, render_error};
use super::error_code::Code;
use super::extract::arrival_or_now;
use super::header_names::{NOSNIFF, X_CODEX_CACHE, X_CONTENT_TYPE_OPTIONS, X_REQUEST_ID};
use super::route_table::RouteTable;
use crate::context::{CURRENT, RequestContext, ShowPath};
use crate::metrics::{Metrics, ResponseKind, ResponseTimes};
use crate::spans::{self, ActiveSpan};

/// A slower request is logged at `info`.
const SLOW: Duration = Duration::from_millis(250);

/// The service around the router. Neither a layer inside it nor `middleware::from_fn`, which cost every request two or
/// three allocations and a clone of the inner service.
#[derive(Clone)]
pub struct RequestIdService<S> {
    pub(super) inner: S,
    pub(super) shared: Arc<Outermost>,
}

/// What the service needs besides the router. One allocation, because the service is cloned for every request.
pub(super) struct Outermost {
    pub(super) metrics: Arc<Metrics>,
    /// By the positions in `routes`.
    pub(super) times: ResponseTimes,
    pub(super) routes: RouteTable,
    pub(super) show_path: ShowPath,
    /// Whether requests get spans.
    pub(super) traced: bool,
    /// The cookies by which to expire the legacy service's, in every response to a request that has it; `None` if it isn't
    /// expired. A request without cookies costs one header lookup.
    pub(super) legacy_cookies: Option<CookieNames>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for RequestIdService<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Outermost {
            times,
            routes,
            show_path,
            traced,
            legacy_cookies,
            ..
        } = &*self.shared;
        let request = routes.normalize(request);
        let arrived = arrival_or_now(request.extensions());
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let request_context = RequestContext::new(arrived, method, uri, headers, *show_path);
        let route = routes.position(uri.path());
        let span = match *traced {
            true => spans::request(method, routes.pattern(route), headers).map(Box::new),
            false => None,
        };
        let expire = |headers: &HeaderMap| (*legacy_cookies)?.expire_legacy(headers);
        RequestIdFuture {
            kind: times.kind(method, route),
            expired_cookie: expire(headers),
            inner: CURRENT.scope(Arc::new(request_context), self.inner.call(request)),
            shared: Arc::clone(&self.shared),
            span,
        }
    }
}

pin_project! {
    /// The future of a response.
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: TaskLocalFuture<Arc<RequestContext>, F>,
        shared: Arc<Outermost>,
        kind: ResponseKind,
        expired_cookie: Option<HeaderValue>,
        // In a box, so that an untraced request, whose future is moved several times, has one word more.
        span: Option<Box<ActiveSpan>>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for RequestIdFuture<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut inner = this.inner.as_mut();
        // Unwind safe: after a panic the handler isn't polled again, so its broken state is never observed.
        let entered = this.span.as_ref().map(|span| span.enter());
        let polled = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context)));
        drop(entered);
        let response = match polled {
            Ok(polled) => {
                let mut response = ready!(polled)?;
                if let Some(expired) = this.expired_cookie.take() {
                    response.headers_mut().append(SET_COOKIE, expired);
                }
                response
            }
            Err(_) => ApiError::from(Code::Internal).into_response(),
        };
        let layer = response.headers().get(X_CODEX_CACHE);
        let layer = layer.and_then(|layer| layer.to_str().ok());
        let status = response.status().as_u16();
        this.shared.metrics.record_response(status, layer);
        Poll::Ready(Ok(match inner.take_value() {
            Some(request) => {
                let took = request.arrived.elapsed();
                this.shared.times.record(*this.kind, status, took);
                if let Some(span) = this.span.take() {
                    describe(&span, &request, status, layer);
                }
                finish(response, &request, took)
            }
            None => response,
        }))
    }
}

/// Adds to a request's span what is known once it is answered. The path isn't in it, as in the log only in part.
fn describe(span: &ActiveSpan, request: &RequestContext, status: u16, layer: Option<&str>) {
    span.set("http.response.status_code", i64::from(status));
    span.set("codex.request_id", request.id().to_owned());
    if let Some(layer) = layer {
        span.set("codex.cache", layer.to_owned());
    }
    if let Some(user) = request.user() {
        span.set("user.id", user.to_string());
    }
    if let Some(id) = request.invocation_id() {
        span.set("faas.invocation_id", id.to_owned());
    }
    // A refusal is the client's error, not one of this service (OpenTelemetry's semantic conventions for HTTP spans).
    if status >= 500 {
        span.fail(status.to_string());
    }
}

/// Logs the response, renders its error and adds the headers that every response has.
fn finish(response: Response, request: &Arc<RequestContext>, took: Duration) -> Response {
    log_response(request, &response, took);
    let mut response = render_error(response, request.id());
    let headers = response.headers_mut();
    // A read from memory comes with both.
    if !headers.contains_key(X_REQUEST_ID) {
        if let Some(id) = request.id_header() {
            headers.insert(X_REQUEST_ID, id);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    }
    response
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
    CURRENT.sync_scope(Arc::clone(request), || match status {
        503 => tracing::warn!(status, took_ms, cause, "request refused"),
        500.. => tracing::error!(status, took_ms, cause, "request failed"),
        _ if took > SLOW => tracing::info!(status, took_ms, "slow request"),
        _ => tracing::debug!(status, took_ms, "request"),
    });
}
