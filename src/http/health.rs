//! Whether the process lives, and whether it can do its work.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Always;
use super::extract::wants_page;
use super::openapi::refusals;
use super::openapi::requests::{Cached, Spoken};
use super::{ApiError, App, Code, web};
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
    #[schema(inline)]
    ok: Always<true>,
    service: &'static str,
    /// Where the week is.
    week: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Fine {
    #[schema(inline)]
    ok: Always<true>,
}

refusals!(Refusals:; StorageUnavailable = unreachable());

/// The web app for a browser, a greeting for programs.
///
/// 200, or 304 when `If-None-Match` names the page. The Functions host asks it until the process answers, and
/// as a health ping later, so it is cheap and never a redirect.
#[utoipa::path(
    get,
    path = "/",
    tag = "service",
    params(("Accept" = Option<String>, Header, description = "With `text/html` in it: the page."), Spoken, Cached),
    responses(
        (status = 200, description = "The page, or who answers.", content(
            (Greeting = "application/json", example = json!({"ok": true, "service": "codex-miroir", "week": "/codex"})),
            (String = "text/html"),
        )),
        (status = 304, description = "The client has the page already."),
    ),
    security(()),
)]
pub(super) async fn root(headers: HeaderMap) -> Response {
    if wants_page(&headers) {
        return web::page(&headers);
    }
    let greeting = Greeting {
        ok: Always,
        service: "codex-miroir",
        week: "/codex",
    };
    let mut response = json(&greeting);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// `GET /healthz`: 200 as long as the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "service",
    responses((status = 200, description = "It lives.", body = Fine, example = json!({"ok": true}))),
    security(()),
)]
pub(super) async fn healthz() -> Response {
    json(&Fine { ok: Always })
}

/// `GET /readyz`: 200 when the store answers, else 503; remembered for 5 s.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "service",
    responses(
        (status = 200, description = "The store answers.", body = Fine, example = json!({"ok": true})),
        Refusals,
    ),
    security(()),
)]
pub(super) async fn readyz(State(app): State<App>, now: Now) -> Result<Response, ApiError> {
    app.codex()
        .is_ready(now)
        .await
        .map_err(|error| unreachable().caused_by(&error))?;
    Ok(json(&Fine { ok: Always }))
}

fn unreachable() -> ApiError {
    ApiError::new(Code::StorageUnavailable, "The storage can't be reached.")
}
