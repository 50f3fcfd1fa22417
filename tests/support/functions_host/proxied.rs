//! The request unchanged, through a reverse proxy.

use std::net::SocketAddr;

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};

use super::headers::{mark, set, strip};
use super::wire;

/// Streams a request and its answer, buffering neither.
pub(super) async fn call(port: u16, from: SocketAddr, request: Request<Body>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    headers(&mut parts.headers, from, port);
    match wire::send(port, Request::from_parts(parts, body)).await {
        Ok(mut answer) => {
            strip(answer.headers_mut());
            answer
        }
        Err(_) => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    }
}

fn headers(headers: &mut HeaderMap, from: SocketAddr, port: u16) {
    strip(headers);
    headers.remove("forwarded");
    match headers.remove("host") {
        Some(host) => headers.insert("x-forwarded-host", host),
        None => headers.remove("x-forwarded-host"),
    };
    set(headers, "x-forwarded-for", &from.ip().to_string());
    set(headers, "x-forwarded-proto", "http");
    mark(headers, port);
}
