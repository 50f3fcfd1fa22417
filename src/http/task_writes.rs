//! `createTask`: POST `/api/tasks`; `updateTask`: PUT and PATCH `/api/tasks/{id}`; `completeTask`: POST
//! `/api/tasks/{id}/complete`; `deleteTask`: DELETE `/api/tasks/{id}`; `preview`: POST `/api/preview`.

use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::body::{Members, SlotGiven};
use super::error::{Answer, ApiError};
use super::error_code::Code;
use super::extract::{Admitted, Asked};
use super::hash::{hex, sha256};
use super::header_names::IDEMPOTENCY_KEY;
use super::negotiate::if_match;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{
    Completion, ConsistencyParams, IdempotencyKeyParam, IfMatchParam, Line, Markdown, TaskIdParam,
    TaskWord, WaitParams,
};
use super::response::{GitFields, insert_etag, insert_write_headers, json, write_response};
use crate::codex::{self, CompletionResult, KeyHashes};
use crate::task::{Datum, Edit, GitSha, Kategorie, NewTask, Slot, Status, TaskId};

/// The maximum length of an `Idempotency-Key`.
const MAX_KEY_LENGTH: usize = 255;

/// Percent-encoding for a path segment: all but unreserved characters (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    #[schema(inline)]
    ok: Always<true>,
    id: TaskId,
    path: String,
    filename: &'a str,
    version: u64,
    #[serde(flatten)]
    git: GitFields,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reused: bool,
}

/// A new task.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTask, rename_all = "camelCase")]
struct NewTaskBody {
    #[schema(value_type = TaskWord, required = false)]
    typ: Option<TaskWord>,
    kategorie: Kategorie,
    /// Default `offen`.
    #[schema(value_type = Status, required = false)]
    status: Option<Status>,
    /// Written as the first heading unless the body has one.
    #[schema(value_type = Line, required = false)]
    title: Option<Line>,
    /// Blank tags are dropped.
    #[schema(value_type = Vec<Line>, required = false)]
    tags: Option<Vec<Line>>,
    deadline: Option<Datum>,
    fixed_slot: Option<SlotGiven>,
    #[schema(value_type = Markdown, required = false)]
    body: Option<Markdown>,
}

refusals!(CreateRefusals: CALLER, READ, BODY, WRITE;
    TooManyRequests = error_responses::too_many_writes(), InvalidHeader, IdsExhausted, IdempotencyKeyReused);

/// Creates a task and assigns its number.
///
/// 201 with `Location`; 200 with `reused` when the same `Idempotency-Key` was used with the same body before. An error
/// means that nothing was written, except for `outcome_unknown`.
#[utoipa::path(
    post,
    path = "/api/tasks",
    tag = "tasks",
    params(
        IdempotencyKeyParam,
        WaitParams,
        ConsistencyParams,
    ),
    request_body(content = NewTaskBody, example = json!({
        "kategorie": "arbeit", "title": "Steuer", "tags": ["geld"], "deadline": "24.12.2026",
    })),
    responses(
        (status = 201, description = "Created.", body = Created, links(
            ("get" = (operation_id = "getTask", parameters(("id" = "$response.body#/id")))),
            ("update" = (operation_id = "updateTask", parameters(("id" = "$response.body#/id")))),
            ("put" = (operation_id = "putTask", parameters(("id" = "$response.body#/id")))),
            ("complete" = (operation_id = "completeTask", parameters(("id" = "$response.body#/id")))),
            ("delete" = (operation_id = "deleteTask", parameters(("id" = "$response.body#/id")))),
        ), example = json!({
            "ok": true, "id": "0042", "path": "codex-miroir/anna/tasks/0042-Steuer.md",
            "filename": "0042-Steuer.md", "version": 16, "gitPushed": false, "gitPending": true,
        })),
        (status = 200, description = "Created earlier with the same key and body.", body = Created, example = json!({
            "ok": true, "id": "0042", "path": "codex-miroir/anna/tasks/0042-Steuer.md",
            "filename": "0042-Steuer.md", "version": 16, "gitPushed": true, "gitPending": false, "reused": true,
        })),
        CreateRefusals,
    ),
)]
pub(super) async fn create_task(admitted: Admitted) -> Response {
    admitted.answer(create).await
}

async fn create(mut asked: Asked) -> Answer {
    let key = idempotency_key(asked.headers())?.map(|key| hex(&sha256(key)));
    let bytes = asked.body().await?;
    let task = new_task(Members::of(&bytes)?)?;
    let body = || hex(&sha256(&bytes));
    let hashes = key.map(|key| KeyHashes { key, body: body() });
    let (writer, reader) = (asked.app.codex.writer(), &asked.reader);
    let created = writer.create(reader, task, hashes).await?;
    let name = &created.name;
    let git = GitFields::after(&asked, name, created.etag, !created.reused).await;
    let base_path = &asked.app.config.github.base_path;
    let document = Created {
        ok: Always,
        id: name.id(),
        // In the repository, where the file is once it is committed.
        path: format!("{base_path}/{}/tasks/{name}", reader.user),
        filename: name.as_str(),
        version: created.version.0,
        git,
        reused: created.reused,
    };
    let status = match created.reused {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    let mut response = json(status, &document);
    let headers = response.headers_mut();
    insert_write_headers(headers, &asked, created.known, created.requests);
    if !created.reused {
        // A task created earlier may have changed since, so the first `ETag` would be stale.
        insert_etag(headers, created.etag);
    }
    let stem = utf8_percent_encode(name.stem(), SEGMENT);
    if let Ok(location) = HeaderValue::try_from(format!("/api/tasks/{stem}")) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

fn new_task(mut members: Members) -> Answer<NewTask> {
    accept_typ(&mut members)?;
    let missing = "is missing: give arbeit or privat";
    let task = NewTask {
        kategorie: members
            .parsed("kategorie")?
            .ok_or_else(|| members.invalid("kategorie", missing))?,
        status: members.parsed("status")?.unwrap_or(Status::Offen),
        title: members.text("title")?,
        tags: members.texts("tags")?.unwrap_or_default(),
        deadline: members.nullable("deadline")?.flatten(),
        fixed_slot: members.nullable_slot("fixedSlot")?.flatten(),
        abgeschlossen_am: None,
        body: members.text("body")?.unwrap_or_default(),
    };
    members.reject_unknown()?;
    Ok(task)
}

/// Accepts a missing `typ` or `task`, else 400 `invalid_field`.
fn accept_typ(members: &mut Members) -> Answer<()> {
    match members.text("typ")?.as_deref() {
        None | Some("task") => Ok(()),
        Some(_) => Err(members.invalid("typ", "can only be task")),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Answer<Option<&str>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let visible = |key: &&str| {
        (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let key = value.to_str().ok().filter(visible);
    if key.is_none() || values.next().is_some() {
        return Err(ApiError::from(Code::InvalidHeader).field("Idempotency-Key"));
    }
    Ok(key)
}

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

/// Changes to a task; `null` clears a field.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(rename_all = "camelCase")]
struct TaskChanges {
    #[schema(value_type = TaskWord, required = false)]
    typ: Option<TaskWord>,
    #[schema(value_type = Kategorie, required = false)]
    kategorie: Option<Kategorie>,
    /// `abgeschlossen` records the completion time, as completing does; any other status removes it.
    #[schema(value_type = Status, required = false)]
    status: Option<Status>,
    /// Replaces the text of the body's first heading, or becomes a heading above the body. The file keeps its name.
    #[schema(value_type = Line, required = false)]
    title: Option<Line>,
    /// Blank tags are dropped.
    #[schema(value_type = Vec<Line>, required = false)]
    tags: Option<Vec<Line>>,
    deadline: Option<Datum>,
    fixed_slot: Option<SlotGiven>,
    #[schema(value_type = Markdown, required = false)]
    body: Option<Markdown>,
}

refusals!(UpdateRefusals: CALLER, READ, BODY, WRITE, TASK, EDIT;
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
    request_body(content = TaskChanges, example = json!({
        "tags": ["geld"], "deadline": null, "fixedSlot": {"datum": "23.12.2026", "zeit": "abends"},
    })),
    responses(
        (status = 200, description = "Changed.", body = Updated, example = json!({
            "ok": true, "id": "0042", "etag": "4f9a6c0d1be23f5a7788990aabbccddeeff00112", "version": 17,
            "gitPushed": false, "gitPending": true,
        })),
        UpdateRefusals,
    ),
)]
pub(super) async fn update_task(admitted: Admitted) -> Response {
    admitted.answer(update).await
}

async fn update(mut asked: Asked) -> Answer {
    let task = asked.task().await?;
    let fields = fields(Members::of(&asked.body().await?)?)?;
    let if_match = if_match(asked.headers());
    let writer = asked.app.codex.writer();
    let updated = writer
        .update(&asked.reader, &task, fields, if_match)
        .await?;
    let git = GitFields::after(&asked, &updated.name, updated.value, updated.written).await;
    let document = Updated {
        ok: Always,
        id: updated.name.id(),
        etag: updated.value,
        version: updated.version.0,
        git,
    };
    Ok(write_response(&asked, &updated, updated.value, &document))
}

fn fields(mut members: Members) -> Answer<Edit> {
    accept_typ(&mut members)?;
    let edit = Edit {
        kategorie: members.parsed("kategorie")?,
        status: members.parsed("status")?,
        tags: members.texts("tags")?,
        deadline: members.nullable("deadline")?,
        fixed_slot: members.nullable_slot("fixedSlot")?,
        abgeschlossen_am: None,
        title: members.text("title")?,
        body: members.text("body")?,
    };
    members.reject_unknown()?;
    Ok(edit)
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Completed {
    #[schema(inline)]
    ok: Always<true>,
    id: TaskId,
    /// Missing when the file was edited by hand to be done, without a completion time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Slot, required = false)]
    completed_at: Option<Slot>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already_completed: bool,
    etag: GitSha,
    version: u64,
    #[serde(flatten)]
    git: GitFields,
}

refusals!(CompleteRefusals: CALLER, READ, BODY, WRITE, TASK, EDIT;
    TooManyRequests = error_responses::too_many_writes());

/// Marks a task as done, at `{datum, zeit}` or now.
///
/// 200. For a task that is already done nothing is written; the response has its first `completedAt` and
/// `alreadyCompleted`. `datum` without `zeit`, or the reverse, is an error. An error means that nothing was written,
/// except for `outcome_unknown`.
#[utoipa::path(
    post,
    path = "/api/tasks/{id}/complete",
    tag = "tasks",
    params(TaskIdParam, WaitParams, ConsistencyParams),
    request_body(content = Completion, example = json!({"datum": "23.12.2026", "zeit": "abends"})),
    responses(
        (status = 200, description = "Done.", body = Completed, example = json!({
            "ok": true, "id": "0042", "completedAt": {"datum": "23.12.2026", "zeit": "abends"},
            "etag": "4f9a6c0d1be23f5a7788990aabbccddeeff00112", "version": 18, "gitPushed": false, "gitPending": true,
        })),
        CompleteRefusals,
    ),
)]
pub(super) async fn complete_task(admitted: Admitted) -> Response {
    admitted.answer(complete).await
}

async fn complete(mut asked: Asked) -> Answer {
    let task = asked.task().await?;
    let mut members = Members::of(&asked.body().await?)?;
    let slot = members.slot()?;
    members.reject_unknown()?;
    let writer = asked.app.codex.writer();
    let task = writer.complete(&asked.reader, &task, slot).await?;
    let CompletionResult { etag, at, already } = task.value;
    let git = GitFields::after(&asked, &task.name, etag, task.written).await;
    let document = Completed {
        ok: Always,
        id: task.name.id(),
        completed_at: at,
        already_completed: already,
        etag,
        version: task.version.0,
        git,
    };
    Ok(write_response(&asked, &task, etag, &document))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    #[schema(inline)]
    ok: Always<true>,
    id: TaskId,
    version: u64,
    #[serde(flatten)]
    git: GitFields,
}

refusals!(DeleteRefusals: CALLER, READ, TASK;
    TooManyRequests = error_responses::too_many_writes(), CrossOrigin, Conflict, OutcomeUnknown, TaskUnreadable,
    PreconditionFailed);

/// Deletes a task: its file is removed, and in Git by a commit or a pull request. A file that can't be parsed is
/// removed, too. Its number isn't assigned again.
///
/// 200, and 404 from then on. An error means that nothing was removed, except for `outcome_unknown`.
#[utoipa::path(
    delete,
    path = "/api/tasks/{id}",
    tag = "tasks",
    params(TaskIdParam, IfMatchParam, WaitParams, ConsistencyParams),
    responses(
        (status = 200, description = "Deleted.", body = Deleted, example = json!({
            "ok": true, "id": "0042", "version": 19, "gitPushed": false, "gitPending": true,
        })),
        DeleteRefusals,
    ),
)]
pub(super) async fn delete_task(admitted: Admitted) -> Response {
    admitted.answer(delete).await
}

async fn delete(mut asked: Asked) -> Answer {
    let task = asked.task().await?;
    let if_match = if_match(asked.headers());
    let writer = asked.app.codex.writer();
    let deleted = writer.delete(&asked.reader, &task, if_match).await?;
    let git = GitFields::after_deletion(&asked, &deleted.name).await;
    let document = Deleted {
        ok: Always,
        id: deleted.name.id(),
        version: deleted.version.0,
        git,
    };
    let mut response = json(StatusCode::OK, &document);
    let headers = response.headers_mut();
    insert_write_headers(headers, &asked, deleted.version, deleted.requests);
    Ok(response)
}

#[derive(Serialize, ToSchema)]
struct Preview<'a> {
    #[schema(inline)]
    ok: Always<true>,
    html: &'a str,
}

/// Markdown to render; any text is allowed.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct ToPreview {
    #[schema(value_type = String, required = false)]
    body: Option<String>,
}

refusals!(PreviewRefusals: CALLER, BODY; CrossOrigin);

/// Renders `{body}` as a task's body is rendered, and stores nothing.
///
/// Returns 200.
#[utoipa::path(
    post,
    path = "/api/preview",
    tag = "tasks",
    request_body(content = ToPreview, example = json!({"body": "Belege *sammeln*."})),
    responses(
        (status = 200, description = "The sanitized HTML.", body = Preview, example = json!({
            "ok": true, "html": "<p>Belege <em>sammeln</em>.</p>\n",
        })),
        PreviewRefusals,
    ),
)]
pub(super) async fn preview(admitted: Admitted) -> Response {
    admitted.answer(render).await
}

async fn render(mut asked: Asked) -> Answer {
    let mut members = Members::of(&asked.body().await?)?;
    let markdown = members.text("body")?.unwrap_or_default();
    members.reject_unknown()?;
    let html = codex::render(&markdown).await;
    let (ok, html) = (Always, html.as_str());
    Ok(json(StatusCode::OK, &Preview { ok, html }))
}
