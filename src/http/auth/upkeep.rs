//! The older service's cookie is expired by every answer to a request that brings it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::SET_COOKIE;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::cookies::{CookieNames, OLDER_SESSION, named};

/// The layer around the router; without names it does nothing. It costs a request without cookies one look.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct CookieUpkeep(Option<CookieNames>);

impl CookieUpkeep {
    pub(super) fn new(names: Option<CookieNames>) -> Self {
        Self(names)
    }
}

impl<S> Layer<S> for CookieUpkeep {
    type Service = WithUpkeep<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let names = self.0;
        WithUpkeep { inner, names }
    }
}

/// A service whose answers look after cookies.
#[derive(Debug, Clone)]
pub struct WithUpkeep<S> {
    inner: S,
    names: Option<CookieNames>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for WithUpkeep<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let older = self.names.and_then(|names| {
            let sent = named(request.headers(), OLDER_SESSION).next();
            sent.and_then(|_| names.expire_older())
        });
        Answering {
            inner: self.inner.call(request),
            older,
        }
    }
}

pin_project! {
    /// The answer under way.
    pub struct Answering<F> {
        #[pin]
        inner: F,
        older: Option<HeaderValue>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for Answering<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(context))?;
        if let Some(expired) = this.older.take() {
            response.headers_mut().append(SET_COOKIE, expired);
        }
        Poll::Ready(Ok(response))
    }
}
