//! `web`: GET `/openapi.json`, and GET `/docs`, the same as a page.

use std::sync::LazyLock;

use axum::response::Response;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderMap, HeaderValue};
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::page::{self, STYLESHEET};
use super::parameters::IfNoneMatchParam;
use crate::http::response::page_policy;
use crate::http::static_response::StaticResponse;

/// Five minutes: the document changes only with the service's version.
const MAX_AGE: &str = "public, max-age=300";

static DOCUMENT: LazyLock<StaticResponse> = LazyLock::new(|| {
    // Only strings, numbers and lists of them: serialization can't fail.
    let bytes = serde_json::to_vec(&crate::http::openapi()).unwrap_or_default();
    StaticResponse::new("application/json; charset=utf-8", bytes)
});

static PAGE: LazyLock<StaticResponse> = LazyLock::new(|| {
    let document = serde_json::to_value(crate::http::openapi()).unwrap_or_default();
    StaticResponse::new(
        "text/html; charset=utf-8",
        page::html(&document).into_bytes(),
    )
});

static PAGE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| page_policy(STYLESHEET));

/// An OpenAPI document.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[schema(as = OpenApi)]
struct OpenApiDocument {
    openapi: String,
    info: Object,
    servers: Vec<Object>,
    paths: Object,
    components: Object,
    security: Vec<Object>,
}

/// This document.
///
/// 200, or 304 when `If-None-Match` matches.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    params(IfNoneMatchParam),
    responses(
        (status = 200, description = "The document.", body = OpenApiDocument, content_type = "application/json", example = json!({
            "openapi": "3.1.0", "info": {"title": "CodexMiroir", "version": "0.1.0"}, "servers": [{"url": "/"}],
            "paths": {}, "components": {}, "security": [],
        })),
        (status = 304, description = "Not modified."),
    ),
    security(()),
)]
pub(in crate::http) async fn openapi_json(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers, MAX_AGE)
}

/// This document as a page.
///
/// 200, or 304 when `If-None-Match` matches.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "service",
    params(IfNoneMatchParam),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "Not modified."),
    ),
    security(()),
)]
pub(in crate::http) async fn docs(headers: HeaderMap) -> Response {
    let mut response = PAGE.answer(&headers, MAX_AGE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY.clone());
    response
}
