//! GET `/metrics`: this instance's metrics, for Prometheus.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};

use super::app::App;
use super::error::ApiError;
use super::error_code::Code;
use super::hash::sha256;
use super::negotiate::text;
use super::openapi::error_responses::refusals;
use crate::config::Secret;
use crate::now::Now;

refusals!(Refusals:; TokenInvalid = invalid_token(), NotFound = metrics_disabled());

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
        (status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text"),
        Refusals,
    ),
    security(("metrics" = [])),
)]
pub(super) async fn metrics(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let token = app.metrics_token().ok_or_else(metrics_disabled)?;
    if !has_token(request.headers(), token) {
        return Err(invalid_token());
    }
    let text = app.metrics().render(&app.codex().runtime_stats(now));
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
