//! The root path, liveness (`/healthz`), readiness (`/readyz`), and this instance's metrics (`/metrics`).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::app::App;
use super::error::{Answer, ApiError};
use super::error_code::Code;
use super::hash::sha256;
use super::header_names::JSON;
use super::negotiate::{text, wants_page};
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{AcceptLanguageParam, IfNoneMatchParam};
use super::web;
use crate::config::Secret;
use crate::now::Now;

/// A small constant JSON response.
fn json(document: &impl Serialize) -> Response {
    // Only flags and constant strings: serialization can't fail.
    let body = serde_json::to_vec(document).unwrap_or_default();
    ([(CONTENT_TYPE, JSON)], body).into_response()
}

#[derive(Serialize, ToSchema)]
struct Greeting {
    #[schema(inline)]
    ok: Always<true>,
    service: &'static str,
    /// The path of the week.
    week: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Fine {
    #[schema(inline)]
    ok: Always<true>,
}

refusals!(ReadyRefusals:; StorageUnavailable = unreachable());

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
            (Greeting = "application/json", example = json!({"ok": true, "service": "codex-miroir", "week": "/codex"})),
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
    let mut response = json(&Greeting {
        ok: Always,
        service: "codex-miroir",
        week: "/codex",
    });
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// Liveness: 200 as long as the process responds.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "service",
    responses((status = 200, description = "The process is alive.", body = Fine, example = json!({"ok": true}))),
    security(()),
)]
pub(super) async fn healthz() -> Response {
    json(&Fine { ok: Always })
}

/// Readiness: 200 when the storage responds, else 503. The result is cached for 5 s.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "service",
    responses(
        (status = 200, description = "The storage responds.", body = Fine, example = json!({"ok": true})),
        ReadyRefusals,
    ),
    security(()),
)]
pub(super) async fn readyz(State(app): State<App>, now: Now) -> Answer {
    let ready = app.codex.is_ready(now).await;
    ready.map_err(|error| unreachable().caused_by(&error))?;
    Ok(json(&Fine { ok: Always }))
}

fn unreachable() -> ApiError {
    ApiError::new(Code::StorageUnavailable, "The storage can't be reached.")
}

refusals!(MetricsRefusals:; TokenInvalid = invalid_token(), NotFound = metrics_disabled());

/// The content type that Prometheus requests.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// This instance's metrics in the OpenMetrics text format. No label names a user.
///
/// 200 with `CODEX_METRICS_TOKEN` as the bearer token, else 401 `token_invalid`. 404 `not_found` while no token is
/// configured.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "service",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text", example = "codex_responses_total{class=\"2xx\"} 3\n"),
        MetricsRefusals,
    ),
    security(("metrics" = [])),
)]
pub(super) async fn metrics(State(app): State<App>, now: Now, request: Request) -> Answer {
    let token = app.config.metrics_token.as_ref();
    let token = token.ok_or_else(metrics_disabled)?;
    if !has_token(request.headers(), token) {
        return Err(invalid_token());
    }
    let text = app.metrics.render(&app.codex.runtime_stats(now));
    let text = text.map_err(|error| ApiError::from(Code::Internal).caused_by(&error))?;
    let headers = [(CONTENT_TYPE, OPENMETRICS), (CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

fn metrics_disabled() -> ApiError {
    let message = "Metrics are off: set CODEX_METRICS_TOKEN to have them.";
    ApiError::new(Code::NotFound, message)
}

fn invalid_token() -> ApiError {
    let message = "Send the token of CODEX_METRICS_TOKEN as Authorization: Bearer.";
    ApiError::new(Code::TokenInvalid, message)
}

/// Compares hashes, so that the timing reveals nothing about the token.
fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let sent = text(headers, AUTHORIZATION).and_then(|sent| sent.strip_prefix("Bearer "));
    sent.is_some_and(|sent| sha256(sent) == sha256(token.reveal()))
}
