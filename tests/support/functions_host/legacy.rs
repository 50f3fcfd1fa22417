//! A request rebuilt from the received one, as older hosts without a reverse proxy do.

use axum::body::Body;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;

use super::headers::{mark, strip};
use super::wire;

/// Sends a copy of the request, and buffers the whole answer before passing it on.
pub(super) async fn call(port: u16, request: Request<Body>) -> Response<Body> {
    let answer = match copy(port, request).await {
        Some(copy) => wire::send(port, copy).await.ok(),
        None => None,
    };
    match answer {
        Some(answer) => buffered(answer).await,
        None => failed(),
    }
}

async fn buffered(answer: Response<Body>) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    strip(&mut parts.headers);
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, body.to_bytes().into()),
        Err(_) => failed(),
    }
}

/// `None` if the client disconnects before its body has arrived.
async fn copy(port: u16, request: Request<Body>) -> Option<Request<Body>> {
    let (mut parts, body) = request.into_parts();
    parts.uri = target(&parts);
    let mut body = body.collect().await.ok()?.to_bytes();
    if !parts.headers.contains_key(CONTENT_LENGTH) {
        // Only a body of known length is copied.
        body.clear();
    }
    strip(&mut parts.headers);
    mark(&mut parts.headers, port);
    Some(Request::from_parts(parts, body.into()))
}

/// The path, and a query in which each name occurs once.
fn target(parts: &Parts) -> http::Uri {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()) {
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => joined.push((name.into_owned(), value.into_owned())),
        }
    }
    if joined.is_empty() {
        return parts.uri.path().parse().unwrap();
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(joined)
        .finish();
    format!("{}?{query}", parts.uri.path()).parse().unwrap()
}

fn failed() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}
