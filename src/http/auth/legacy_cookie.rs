//! Expires the legacy service's cookie in every response to a request that carries it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::SET_COOKIE;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::cookies::{CookieNames, LEGACY_SESSION, values};

/// The layer around the router; without names it does nothing. A request without cookies costs one header lookup.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct ExpireLegacyCookieLayer(Option<CookieNames>);

impl ExpireLegacyCookieLayer {
    pub(super) fn new(names: Option<CookieNames>) -> Self {
        Self(names)
    }
}

impl<S> Layer<S> for ExpireLegacyCookieLayer {
    type Service = ExpireLegacyCookie<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let names = self.0;
        ExpireLegacyCookie { inner, names }
    }
}

/// A service whose responses expire the legacy cookie.
#[derive(Debug, Clone)]
pub struct ExpireLegacyCookie<S> {
    inner: S,
    names: Option<CookieNames>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for ExpireLegacyCookie<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = ExpireLegacyCookieFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let expired = self.names.and_then(|names| {
            let sent = values(request.headers(), LEGACY_SESSION).next();
            sent.and_then(|_| names.expire_legacy())
        });
        ExpireLegacyCookieFuture {
            inner: self.inner.call(request),
            expired,
        }
    }
}

pin_project! {
    /// The response future.
    pub struct ExpireLegacyCookieFuture<F> {
        #[pin]
        inner: F,
        expired: Option<HeaderValue>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for ExpireLegacyCookieFuture<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(context))?;
        if let Some(expired) = this.expired.take() {
            response.headers_mut().append(SET_COOKIE, expired);
        }
        Poll::Ready(Ok(response))
    }
}
