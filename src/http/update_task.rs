//! `updateTask`: PUT and PATCH `/api/tasks/{id}`.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::body::{Members, SlotBody};
use super::create_task::{TypValue, accept_typ};
use super::error::ApiError;
use super::extract::{Admitted, Asked};
use super::negotiate::if_match;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{
    ConsistencyParams, IfMatchParam, Markdown, SingleLine, TaskIdParam, WaitParams,
};
use super::response::{GitFields, write_response};
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
pub(super) async fn update_task(admitted: Admitted) -> Response {
    admitted.answer(update).await
}

async fn update(mut asked: Asked) -> Result<Response, ApiError> {
    let task = asked.task().await?;
    let fields = fields(Members::of(&asked.body().await?)?)?;
    let if_match = if_match(asked.headers());
    let (codex, reader) = (asked.app.codex(), &asked.reader);
    let updated = codex
        .writer()
        .update(reader, &task, fields, if_match)
        .await?;
    let wait = asked.waits_for_git();
    let git = GitFields::after(
        codex,
        reader,
        &updated.name,
        updated.etag,
        updated.written,
        wait,
    )
    .await;
    let document = UpdateResponse {
        ok: Always,
        id: updated.name.id(),
        etag: updated.etag,
        version: updated.version.0,
        git,
    };
    Ok(write_response(&asked, &updated, &document))
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
