//! Timer triggers, which only the Functions host may call (`src/functions/README.md`, "Who may call a trigger").

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;

use super::auth::X_FORWARDED_HOST;
use super::body;
use super::error::not_found;
use super::response::json;
use super::{ApiError, App};
use crate::functions::{TriggerResponse, triggered_function};

/// Checks that the request is the host's call of `function`.
///
/// Else 404 `not_found`: for a proxied request, whose body isn't read, and for one that doesn't name the function,
/// whatever else it contains.
pub(super) async fn require_host(
    app: &App,
    function: &str,
    request: Request,
) -> Result<(), ApiError> {
    match is_host_call(app, function, request).await {
        true => Ok(()),
        false => Err(not_found()),
    }
}

async fn is_host_call(app: &App, function: &str, request: Request) -> bool {
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(X_FORWARDED_HOST) {
        return false;
    }
    match body::read(&parts.headers, body, app.body_timeout()).await {
        Ok(bytes) => triggered_function(&bytes).as_deref() == Ok(function),
        Err(_) => false,
    }
}

/// 200 with one line for the host's invocation log; the host would only count a failure.
pub(super) fn trigger_response(line: String) -> Response {
    json(StatusCode::OK, &TriggerResponse::with_log_line(line))
}
