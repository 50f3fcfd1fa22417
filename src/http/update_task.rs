//! `updateTask`: PUT and PATCH `/api/tasks/{id}`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use http::header::IF_MATCH;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Always, GitFields, changed};
use super::body::{self, Members, SlotBody};
use super::create_task::{TaskWord, accept_typ};
use super::extract::{Caller, TaskPath, waits_for_git, want};
use super::openapi::refusals;
use super::openapi::requests::{Guarded, Known, Line, Markdown, OfTask, Waiting};
use super::{ApiError, App};
use crate::codex::IfMatch;
use crate::now::Now;
use crate::task::{Datum, Edit, GitSha, Kategorie, Status, TaskId};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Updated {
    #[schema(inline)]
    ok: Always<true>,
    id: TaskId,
    etag: GitSha,
    version: u64,
    #[serde(flatten)]
    git: GitFields,
}

/// Changes of a task; `null` clears.
#[expect(
    dead_code,
    reason = "for the API's document; members are taken out one by one"
)]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskChanges, rename_all = "camelCase")]
struct ChangesBody {
    #[schema(value_type = TaskWord, required = false)]
    typ: Option<TaskWord>,
    #[schema(value_type = Kategorie, required = false)]
    kategorie: Option<Kategorie>,
    /// `abgeschlossen` says when, as completing does; the others remove that.
    #[schema(value_type = Status, required = false)]
    status: Option<Status>,
    /// Blank ones are dropped.
    #[schema(value_type = Vec<Line>, required = false)]
    tags: Option<Vec<Line>>,
    deadline: Option<Datum>,
    fixed_slot: Option<SlotBody>,
    #[schema(value_type = Markdown, required = false)]
    body: Option<Markdown>,
}

refusals!(Refusals: CALLER, READ, BODY, WRITE, TASK, EDIT;
    TooManyRequests = refusals::too_many_writes(), PreconditionFailed);

/// Changes the fields given, leaves the rest; PUT means the same as PATCH. `null` clears `deadline` and
/// `fixedSlot`. Lines that say something else stay as they are, byte by byte.
///
/// 200, also when there was nothing to change. A refusal means that nothing was written, but for
/// `outcome_unknown`.
#[utoipa::path(
    method(patch, put),
    path = "/api/tasks/{id}",
    tag = "tasks",
    params(
        OfTask,
        Guarded,
        Waiting,
        Known,
    ),
    request_body(content = ChangesBody, example = json!({
        "tags": ["geld"], "deadline": null, "fixedSlot": {"datum": "23.12.2026", "zeit": "abends"},
    })),
    responses(
        (status = 200, description = "Changed.", body = Updated, example = json!({
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
    let bytes = body::read(&parts.headers, body, app.body_span()).await?;
    let fields = fields(Members::of(&bytes)?)?;
    let want = want(&parts.headers, caller, now);
    let if_match = if_match(&parts.headers);
    let updated = app.codex().update(&want, &task, fields, if_match).await?;
    let wait = waits_for_git(&parts.headers, parts.uri.query());
    let git = app.codex().git_after(&want, &updated, wait).await;
    let document = Updated {
        ok: Always,
        id: updated.name.id(),
        etag: updated.etag,
        version: updated.version.0,
        git: git.into(),
    };
    Ok(changed(&app, &want.user, &updated, &document))
}

fn fields(mut members: Members) -> Result<Edit, ApiError> {
    accept_typ(&mut members)?;
    let edit = Edit {
        kategorie: members.parsed("kategorie")?,
        status: members.parsed("status")?,
        tags: members.texts("tags")?,
        deadline: members.clearable("deadline")?,
        fixed_slot: members.clearable_slot("fixedSlot")?,
        abgeschlossen_am: None,
        body: members.text("body")?,
    };
    members.none_left()?;
    Ok(edit)
}

/// What isn't one of this service's entity tags is one that matches nothing (RFC 9110, 13.1.1).
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
