//! Whether the process lives, and whether it can do its work.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::{ApiError, App, Code};
use crate::now::Now;

fn json(body: &'static str) -> Response {
    (
        [(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        )],
        body,
    )
        .into_response()
}

/// `GET /`: the Functions host asks it until the process answers, and as a health ping later, so it
/// is cheap and never a redirect.
pub(super) async fn root() -> Response {
    json(r#"{"ok":true,"service":"codex-miroir","week":"/codex?format=html"}"#)
}

/// `GET /healthz`: 200 as long as the process answers.
pub(super) async fn healthz() -> Response {
    json(r#"{"ok":true}"#)
}

/// `GET /readyz`: 200 when the store answers, else 503 `storage_unavailable`; remembered for 5 s.
pub(super) async fn readyz(State(app): State<App>, now: Now) -> Result<Response, ApiError> {
    let unreachable = ApiError::new(Code::StorageUnavailable, "The storage can't be reached.");
    app.codex()
        .is_ready(now)
        .await
        .map_err(|error| unreachable.caused_by(&error))?;
    Ok(json(r#"{"ok":true}"#))
}
