//! `preview`: POST `/api/preview` (SPEC.md 1).

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::answer::json;
use super::body::{self, Members};
use super::extract::Caller;
use super::{ApiError, App};

#[derive(Serialize)]
struct Preview<'a> {
    ok: bool,
    html: &'a str,
}

/// Renders `{body}` as a task's body is rendered, and stores nothing.
///
/// Answers 200. 400 `invalid_json`, `invalid_field`, `unknown_field`. 401, 403 as
/// [`Caller`] says. 413 `body_too_large`. 415 `unsupported_media_type`.
pub(super) async fn preview(
    State(app): State<App>,
    Caller(_): Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body).await?;
    let mut members = Members::of(&bytes)?;
    let markdown = members.text("body")?.unwrap_or_default();
    members.none_left()?;
    let html = app.codex().preview(&markdown);
    Ok(json(
        StatusCode::OK,
        &Preview {
            ok: true,
            html: &html,
        },
    ))
}
