//! What every answer does about cookies: a session in use is renewed, the older service's is expired.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::SET_COOKIE;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::cookies::{CookieNames, OLDER_SESSION, named};

/// Where whoever opens a session's cookie leaves the renewed one for the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Renewed(Arc<OnceLock<HeaderValue>>);

impl Renewed {
    pub(super) fn put(&self, cookie: HeaderValue) {
        let _ = self.0.set(cookie);
    }
}

/// The layer around every route. It costs a request without cookies one look.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct CookieUpkeep(CookieNames);

impl CookieUpkeep {
    pub(super) fn new(names: CookieNames) -> Self {
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
pub(in crate::http) struct WithUpkeep<S> {
    inner: S,
    names: CookieNames,
}

impl<S: Service<Request, Response = Response>> Service<Request> for WithUpkeep<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let has = |name| named(request.headers(), name).next().is_some();
        let older = has(OLDER_SESSION).then(|| self.names.expire_older());
        let renewed = has(self.names.session).then(Renewed::default);
        if let Some(renewed) = &renewed {
            request.extensions_mut().insert(renewed.clone());
        }
        Answering {
            inner: self.inner.call(request),
            renewed,
            older: older.flatten(),
        }
    }
}

pin_project! {
    /// The answer under way.
    pub(in crate::http) struct Answering<F> {
        #[pin]
        inner: F,
        renewed: Option<Renewed>,
        older: Option<HeaderValue>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for Answering<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(context))?;
        let headers = response.headers_mut();
        let renewed = this.renewed.take();
        if let Some(cookie) = renewed.and_then(|it| it.0.get().cloned()) {
            headers.append(SET_COOKIE, cookie);
        }
        if let Some(cookie) = this.older.take() {
            headers.append(SET_COOKIE, cookie);
        }
        Poll::Ready(Ok(response))
    }
}
