//! The root path, liveness (`/healthz`) and readiness (`/readyz`).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::app::App;
use super::error::ApiError;
use super::error_code::Code;
use super::negotiate::wants_page;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{AcceptLanguageParam, IfNoneMatchParam};
use super::web;
use crate::now::Now;

/// A small constant JSON response.
fn json(document: &impl Serialize) -> Response {
    // Only flags and constant strings: serialization can't fail.
    let body = serde_json::to_vec(document).unwrap_or_default();
    (
        [(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        )],
        body,
    )
        .into_response()
}

#[derive(Serialize, ToSchema)]
#[schema(as = Greeting)]
struct RootResponse {
    #[schema(inline)]
    ok: Always<true>,
    service: &'static str,
    /// The path of the week.
    week: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Fine)]
struct HealthResponse {
    #[schema(inline)]
    ok: Always<true>,
}

refusals!(Refusals:; StorageUnavailable = unreachable());

/// The web app for a browser, a JSON greeting for programs.
///
/// 200, or 304 when `If-None-Match` matches the page. The Functions host polls it until the process has started, and
/// later as a health probe, so it is cheap and never a redirect.
#[utoipa::path(
    get,
    path = "/",
    tag = "service",
    params(("Accept" = Option<String>, Header, description = "With `text/html`: the page."), AcceptLanguageParam, IfNoneMatchParam),
    responses(
        (status = 200, description = "The page, or the name of the service.", content(
            (RootResponse = "application/json", example = json!({"ok": true, "service": "codex-miroir", "week": "/codex"})),
            (String = "text/html"),
        )),
        (status = 304, description = "Not modified."),
    ),
    security(()),
)]
pub(super) async fn root(headers: HeaderMap) -> Response {
    if wants_page(&headers) {
        return web::page(&headers);
    }
    let greeting = RootResponse {
        ok: Always,
        service: "codex-miroir",
        week: "/codex",
    };
    let mut response = json(&greeting);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// Liveness: 200 as long as the process responds.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "service",
    responses((status = 200, description = "The process is alive.", body = HealthResponse, example = json!({"ok": true}))),
    security(()),
)]
pub(super) async fn healthz() -> Response {
    json(&HealthResponse { ok: Always })
}

/// Readiness: 200 when the storage responds, else 503. The result is cached for 5 s.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "service",
    responses(
        (status = 200, description = "The storage responds.", body = HealthResponse, example = json!({"ok": true})),
        Refusals,
    ),
    security(()),
)]
pub(super) async fn readyz(State(app): State<App>, now: Now) -> Result<Response, ApiError> {
    app.codex()
        .is_ready(now)
        .await
        .map_err(|error| unreachable().caused_by(&error))?;
    Ok(json(&HealthResponse { ok: Always }))
}

fn unreachable() -> ApiError {
    ApiError::new(Code::StorageUnavailable, "The storage can't be reached.")
}
