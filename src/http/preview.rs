//! `preview`: POST `/api/preview`.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::body::Members;
use super::error::ApiError;
use super::extract::{Admitted, Asked};
use super::openapi::error_responses::refusals;
use super::response::json;
use crate::codex;

#[derive(Serialize, ToSchema)]
struct Preview<'a> {
    #[schema(inline)]
    ok: Always<true>,
    html: &'a str,
}

/// Markdown to render; any text is allowed.
#[expect(
    dead_code,
    reason = "only for the OpenAPI document; members are parsed one by one"
)]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ToPreview)]
struct PreviewBody {
    #[schema(value_type = String, required = false)]
    body: Option<String>,
}

refusals!(Refusals: CALLER, BODY; CrossOrigin);

/// Renders `{body}` as a task's body is rendered, and stores nothing.
///
/// Returns 200.
#[utoipa::path(
    post,
    path = "/api/preview",
    tag = "tasks",
    request_body(content = PreviewBody, example = json!({"body": "Belege *sammeln*."})),
    responses(
        (status = 200, description = "The sanitized HTML.", body = Preview, example = json!({
            "ok": true, "html": "<p>Belege <em>sammeln</em>.</p>\n",
        })),
        Refusals,
    ),
)]
pub(super) async fn preview(admitted: Admitted) -> Response {
    admitted.answer(render).await
}

async fn render(mut asked: Asked) -> Result<Response, ApiError> {
    let mut members = Members::of(&asked.body().await?)?;
    let markdown = members.text("body")?.unwrap_or_default();
    members.reject_unknown()?;
    let html = codex::render(&markdown).await;
    let (ok, html) = (Always, html.as_str());
    Ok(json(StatusCode::OK, &Preview { ok, html }))
}
