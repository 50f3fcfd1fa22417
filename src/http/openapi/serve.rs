//! `web`: GET `/openapi.json`, and GET `/docs`, the same as a page.

use std::sync::{LazyLock, OnceLock};

use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderMap, HeaderValue};
use utoipa::ToSchema;
use utoipa::openapi::{Object, OpenApi};

use super::page::{self, STYLESHEET};
use super::parameters::IfNoneMatchParam;
use crate::http::header_names::{HTML, JSON};
use crate::http::static_response::{StaticResponse, page_policy};

/// Five minutes: the document changes only with the service's version.
const MAX_AGE: &str = "public, max-age=300";

/// Makes the whole document, which only the router knows.
#[derive(Clone, Copy)]
pub(in crate::http) struct DocumentSource(pub(in crate::http) fn() -> OpenApi);

static DOCUMENT: OnceLock<StaticResponse> = OnceLock::new();
static PAGE: OnceLock<StaticResponse> = OnceLock::new();

static PAGE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| page_policy(STYLESHEET));

/// An OpenAPI document.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[schema(as = OpenApi)]
struct OpenApiDocument {
    openapi: String,
    info: Object,
    servers: Vec<Object>,
    tags: Vec<Object>,
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
            "tags": [{"name": "week"}], "paths": {}, "components": {}, "security": [],
        })),
        (status = 304, description = "Not modified."),
    ),
    security(()),
)]
pub(in crate::http) async fn openapi_json(
    State(document): State<DocumentSource>,
    headers: HeaderMap,
) -> Response {
    let response = DOCUMENT.get_or_init(|| {
        // Only strings, numbers and lists of them: serialization can't fail.
        let bytes = serde_json::to_vec(&document.0()).unwrap_or_default();
        StaticResponse::new(JSON, bytes)
    });
    response.answer(&headers, MAX_AGE)
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
        (status = 200, description = "The page.", body = String, content_type = "text/html", example = "<!DOCTYPE html>…"),
        (status = 304, description = "Not modified."),
    ),
    security(()),
)]
pub(in crate::http) async fn docs(
    State(document): State<DocumentSource>,
    headers: HeaderMap,
) -> Response {
    let page = PAGE.get_or_init(|| {
        let document = serde_json::to_value(document.0()).unwrap_or_default();
        let page = page::html(&document).into_bytes();
        StaticResponse::new(HTML, page)
    });
    let mut response = page.answer(&headers, MAX_AGE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY.clone());
    response
}
