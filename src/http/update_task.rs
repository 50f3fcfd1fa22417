//! `updateTask`: PUT and PATCH `/api/tasks/{id}`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use http::header::IF_MATCH;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{self, Members, SlotBody};
use super::create_task::{TypValue, accept_typ};
use super::extract::{Caller, TaskPath, read_request, waits_for_git};
use super::openapi::parameters::{
    ConsistencyParams, IfMatchParam, Markdown, SingleLine, TaskIdParam, WaitParams,
};
use super::openapi::refusals;
use super::response::{Always, GitFields, write_response};
use super::{ApiError, App};
use crate::codex::IfMatch;
use crate::now::Now;
use crate::task::{Datum, Edit, GitSha, Kategorie, Status, TaskId};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Updated)]
struct UpdateResponse {
    #[schema(inline)]
    ok: Always<true>,
    id: TaskId,
    etag: GitSha,
    version: u64,
    #[serde(flatten)]
    git: GitFields,
}

/// Changes to a task; `null` clears a field.
#[expect(
    dead_code,
    reason = "only for the OpenAPI document; members are parsed one by one"
)]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskChanges, rename_all = "camelCase")]
struct ChangesBody {
    #[schema(value_type = TypValue, required = false)]
    typ: Option<TypValue>,
    #[schema(value_type = Kategorie, required = false)]
    kategorie: Option<Kategorie>,
    /// `abgeschlossen` records the completion time, as completing does; any other status removes it.
    #[schema(value_type = Status, required = false)]
    status: Option<Status>,
    /// Blank tags are dropped.
    #[schema(value_type = Vec<SingleLine>, required = false)]
    tags: Option<Vec<SingleLine>>,
    deadline: Option<Datum>,
    fixed_slot: Option<SlotBody>,
    #[schema(value_type = Markdown, required = false)]
    body: Option<Markdown>,
}

refusals!(Refusals: CALLER, READ, BODY, WRITE, TASK, EDIT;
    TooManyRequests = error_responses::too_many_writes(), PreconditionFailed);

/// Changes the given fields and leaves the rest; PUT is the same as PATCH. `null` clears `deadline` and `fixedSlot`.
/// All other lines of the file stay unchanged, byte for byte.
///
/// 200, also when nothing had to change. An error means that nothing was written, except for `outcome_unknown`.
#[utoipa::path(
    method(patch, put),
    path = "/api/tasks/{id}",
    tag = "tasks",
    params(
        TaskIdParam,
        IfMatchParam,
        WaitParams,
        ConsistencyParams,
    ),
    request_body(content = ChangesBody, example = json!({
        "tags": ["geld"], "deadline": null, "fixedSlot": {"datum": "23.12.2026", "zeit": "abends"},
    })),
    responses(
        (status = 200, description = "Changed.", body = UpdateResponse, example = json!({
            "ok": true, "id": "0042", "etag": "4f9a6c0d1be23f5a7788990aabbccddeeff00112", "version": 17,
            "gitPushed": false, "gitPending": true,
        })),
        Refusals,
    ),
)]
pub(super) async fn update_task(
    State(app): State<App>,
    caller: Caller,
    TaskPath(task): TaskPath,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, app.body_timeout()).await?;
    let fields = fields(Members::of(&bytes)?)?;
    let read_request = read_request(&parts.headers, caller, now);
    let if_match = if_match(&parts.headers);
    let updated = app
        .codex()
        .writer()
        .update(&read_request, &task, fields, if_match)
        .await?;
    let wait = waits_for_git(&parts.headers, parts.uri.query());
    let file = (&updated.name, updated.etag);
    let git = GitFields::after(&app, &read_request, file, updated.written, wait).await;
    let document = UpdateResponse {
        ok: Always,
        id: updated.name.id(),
        etag: updated.etag,
        version: updated.version.0,
        git,
    };
    Ok(write_response(
        &app,
        &read_request.user,
        &updated,
        &document,
    ))
}

fn fields(mut members: Members) -> Result<Edit, ApiError> {
    accept_typ(&mut members)?;
    let edit = Edit {
        kategorie: members.parsed("kategorie")?,
        status: members.parsed("status")?,
        tags: members.texts("tags")?,
        deadline: members.nullable("deadline")?,
        fixed_slot: members.nullable_slot("fixedSlot")?,
        abgeschlossen_am: None,
        body: members.text("body")?,
    };
    members.reject_unknown()?;
    Ok(edit)
}

/// The precondition in `If-Match` (RFC 9110, 13.1.1). A tag that this service can't have issued matches nothing.
fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    if !headers.contains_key(IF_MATCH) {
        return None;
    }
    let values = headers.get_all(IF_MATCH).iter();
    let tags: Vec<&str> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if tags.contains(&"*") {
        return Some(IfMatch::Any);
    }
    let etags = tags.into_iter().filter_map(|tag| {
        let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
        tag.parse().ok()
    });
    Some(IfMatch::OneOf(etags.collect()))
}
