//! Whether the process lives, and whether it can do its work.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::refusals;
use super::{ApiError, App, Code};
use crate::now::Now;

/// Of the same bytes each time, as small as can be.
fn json(document: &impl Serialize) -> Response {
    // Flags and constant texts: nothing in it can fail to serialise.
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
struct Greeting {
    ok: bool,
    service: &'static str,
    /// Where the week is.
    week: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Fine {
    ok: bool,
}

refusals!(Refusals:; StorageUnavailable);

/// `GET /`: the Functions host asks it until the process answers, and as a health ping later, so it
/// is cheap and never a redirect.
#[utoipa::path(
    get,
    path = "/",
    tag = "service",
    responses((status = 200, description = "Who answers.", body = Greeting)),
    security(()),
)]
pub(super) async fn root() -> Response {
    json(&Greeting {
        ok: true,
        service: "codex-miroir",
        week: "/codex?format=html",
    })
}

/// `GET /healthz`: 200 as long as the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "service",
    responses((status = 200, description = "It lives.", body = Fine)),
    security(()),
)]
pub(super) async fn healthz() -> Response {
    json(&Fine { ok: true })
}

/// `GET /readyz`: 200 when the store answers, else 503; remembered for 5 s.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "service",
    responses((status = 200, description = "The store answers.", body = Fine), Refusals),
    security(()),
)]
pub(super) async fn readyz(State(app): State<App>, now: Now) -> Result<Response, ApiError> {
    let unreachable = ApiError::new(Code::StorageUnavailable, "The storage can't be reached.");
    app.codex()
        .is_ready(now)
        .await
        .map_err(|error| unreachable.caused_by(&error))?;
    Ok(json(&Fine { ok: true }))
}
