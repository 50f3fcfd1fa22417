//! Requests to the router itself, and their answers, read to the end.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use codex_miroir::config::Config;
use codex_miroir::http::{App, Authenticator, Routes, router};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::contract;
use super::scene::{Instance, anna, settle};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The JSON document of a successful answer.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        let document = self.json();
        assert_eq!(document["ok"], true, "{document}");
        document
    }

    /// Status and body of a refusal, without the parts that differ between runs.
    pub(crate) fn refusal(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/json; charset=utf-8"
        );
        let id = self.header("x-request-id");
        assert!(!id.is_empty());
        format!(
            "{} {}",
            self.status.as_u16(),
            self.text().replace(id, "(id)")
        )
    }
}

/// Sends a request unchanged, without a body.
pub(crate) async fn send(instance: &Instance, request: http::request::Builder) -> Reply {
    send_body(instance, request, Body::empty()).await
}

/// Sends a request unchanged, and lets the work after the answer finish.
pub(crate) async fn send_body(
    instance: &Instance,
    request: http::request::Builder,
    body: impl Into<Body>,
) -> Reply {
    let reply = answer(instance, request, body).await;
    settle().await;
    reply
}

/// The default settings.
fn config() -> Config {
    Config::from_lookup(|_| None).unwrap()
}

/// The answer of these routes, which must conform to the API's document.
pub(crate) async fn exchange(routes: Routes, request: Request<Body>) -> Reply {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let (parts, body) = routes.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let (status, headers) = (parts.status, parts.headers);
    contract::check(
        method.as_str(),
        uri.path(),
        status.as_u16(),
        &headers,
        &body,
    );
    Reply {
        status,
        headers,
        body,
    }
}

/// Sends a request unchanged, and returns the answer as soon as it is there.
pub(crate) async fn answer(
    instance: &Instance,
    request: http::request::Builder,
    body: impl Into<Body>,
) -> Reply {
    let routes = instance.routes.get_or_init(|| {
        let (codex, authenticator) = (instance.codex.clone(), Authenticator::dev(anna()));
        router(App::new(codex, authenticator, &config(), Arc::default()))
    });
    exchange(routes.clone(), request.body(body.into()).unwrap()).await
}

/// A request with this method to a loopback host name.
pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:7071")
}

pub(crate) fn get(path: &str) -> http::request::Builder {
    request("GET", path)
}

/// Sends a JSON body.
pub(crate) async fn send_json(
    instance: &Instance,
    method: &str,
    path: &str,
    body: impl ToString,
) -> Reply {
    let request = request(method, path).header("content-type", "application/json");
    send_body(instance, request, body.to_string()).await
}

/// Serves a router until this process ends, on a thread of its own: a test may block or stop the clock.
pub(crate) fn serve_on_thread(listener: std::net::TcpListener, app: Router) {
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
}
