//! `web`: GET `/openapi.json`, and GET `/docs`, the same for people.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use super::page::{self, STYLESHEET};
use super::requests::Cached;
use crate::http::answer::page_policy;
use crate::http::extract::has_already;

/// Bytes that are the same as long as the process lives.
struct Fixed {
    bytes: Bytes,
    etag: String,
}

impl Fixed {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes);
        let hex: String = digest[..16].iter().map(|it| format!("{it:02x}")).collect();
        Self {
            bytes: bytes.into(),
            etag: format!("\"{hex}\""),
        }
    }
}

static DOCUMENT: LazyLock<Fixed> = LazyLock::new(|| {
    // Texts, numbers and lists of them: nothing in it can fail to serialise.
    Fixed::new(serde_json::to_vec(&crate::http::openapi()).unwrap_or_default())
});

static PAGE: LazyLock<Fixed> = LazyLock::new(|| {
    let document = serde_json::to_value(crate::http::openapi()).unwrap_or_default();
    Fixed::new(page::html(&document).into_bytes())
});

static PAGE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| page_policy(STYLESHEET));

/// This document.
///
/// 200, or 304 when `If-None-Match` names it.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    params(Cached),
    responses(
        (status = 200, description = "The document.", body = Object, content_type = "application/json"),
        (status = 304, description = "The client has it already."),
    ),
    security(()),
)]
pub(in crate::http) async fn openapi_json(headers: HeaderMap) -> Response {
    answer(&headers, &DOCUMENT, "application/json; charset=utf-8")
}

/// This document as a page.
///
/// 200, or 304 when `If-None-Match` names it.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "service",
    params(Cached),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The client has it already."),
    ),
    security(()),
)]
pub(in crate::http) async fn docs(headers: HeaderMap) -> Response {
    let mut response = answer(&headers, &PAGE, "text/html; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY.clone());
    response
}

/// Anybody may keep it for a while: it changes only with the service's version.
fn answer(request: &HeaderMap, fixed: &Fixed, kind: &'static str) -> Response {
    let unchanged = has_already(request, &fixed.etag);
    let mut response = Response::new(match unchanged {
        true => Body::empty(),
        false => Body::from(fixed.bytes.clone()),
    });
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(fixed.etag.as_str()) {
        headers.insert(ETAG, etag);
    }
    let cache = HeaderValue::from_static("public, max-age=300");
    headers.insert(CACHE_CONTROL, cache);
    if !unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    } else {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}
