//! The calls that only the Functions host makes, for its timers (`src/functions/README.md`, "Who may call a trigger").

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;

use super::answer::json;
use super::auth::X_FORWARDED_HOST;
use super::body;
use super::error::not_found;
use super::{ApiError, App};
use crate::functions::{TriggerAnswer, triggered};

/// Lets the host through, when it calls for `function`.
///
/// 404 `not_found` for whoever isn't the host: a proxied request, of which nothing is read, or one that
/// doesn't name the function, whatever else it brings.
pub(super) async fn only_the_host(
    app: &App,
    function: &str,
    request: Request,
) -> Result<(), ApiError> {
    match is_for(app, function, request).await {
        true => Ok(()),
        false => Err(not_found()),
    }
}

async fn is_for(app: &App, function: &str, request: Request) -> bool {
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(X_FORWARDED_HOST) {
        return false;
    }
    match body::read(&parts.headers, body, app.body_span()).await {
        Ok(bytes) => triggered(&bytes).as_deref() == Ok(function),
        Err(_) => false,
    }
}

/// 200 with one line for the host's log of the invocation: it would only count a failure.
pub(super) fn said(line: String) -> Response {
    json(StatusCode::OK, &TriggerAnswer::saying(line))
}
