//! `web`: GET `/openapi.json`, and GET `/docs`, the same for people.

use std::sync::LazyLock;

use axum::response::Response;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderMap, HeaderValue};
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::page::{self, STYLESHEET};
use super::requests::Cached;
use crate::http::answer::page_policy;
use crate::http::fixed::Fixed;

/// It changes only with the service's version.
const FOR_A_WHILE: &str = "public, max-age=300";

static DOCUMENT: LazyLock<Fixed> = LazyLock::new(|| {
    // Texts, numbers and lists of them: nothing in it can fail to serialise.
    let bytes = serde_json::to_vec(&crate::http::openapi()).unwrap_or_default();
    Fixed::new("application/json; charset=utf-8", bytes)
});

static PAGE: LazyLock<Fixed> = LazyLock::new(|| {
    let document = serde_json::to_value(crate::http::openapi()).unwrap_or_default();
    Fixed::new(
        "text/html; charset=utf-8",
        page::html(&document).into_bytes(),
    )
});

static PAGE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| page_policy(STYLESHEET));

/// An OpenAPI document.
#[expect(dead_code, reason = "for the API's document")]
#[derive(ToSchema)]
#[schema(as = OpenApi)]
struct Described {
    openapi: String,
    info: Object,
    servers: Vec<Object>,
    paths: Object,
    components: Object,
    security: Vec<Object>,
}

/// This document.
///
/// 200, or 304 when `If-None-Match` names it.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    params(Cached),
    responses(
        (status = 200, description = "The document.", body = Described, content_type = "application/json", example = json!({
            "openapi": "3.1.0", "info": {"title": "CodexMiroir", "version": "0.1.0"}, "servers": [{"url": "/"}],
            "paths": {}, "components": {}, "security": [],
        })),
        (status = 304, description = "The client has it already."),
    ),
    security(()),
)]
pub(in crate::http) async fn openapi_json(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers, FOR_A_WHILE)
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
    let mut response = PAGE.answer(&headers, FOR_A_WHILE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY.clone());
    response
}
