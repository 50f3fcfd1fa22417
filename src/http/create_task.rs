//! `createTask`: POST `/api/tasks`.

use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::body::{Members, SlotBody};
use super::error::ApiError;
use super::error_code::Code;
use super::extract::{Admitted, Asked};
use super::hash::{hex, sha256};
use super::header_names::IDEMPOTENCY_KEY;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{
    ConsistencyParams, IdempotencyKeyParam, Markdown, SingleLine, WaitParams,
};
use super::response::{GitFields, insert_etag, insert_write_headers, json};
use crate::codex::KeyHashes;
use crate::task::{Datum, Kategorie, NewTask, Status, TaskId};

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
#[schema(as = Created)]
struct CreateResponse<'a> {
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
#[expect(
    dead_code,
    reason = "only for the OpenAPI document; members are parsed one by one"
)]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTask, rename_all = "camelCase")]
struct NewTaskBody {
    #[schema(value_type = TypValue, required = false)]
    typ: Option<TypValue>,
    kategorie: Kategorie,
    /// Default `offen`.
    #[schema(value_type = Status, required = false)]
    status: Option<Status>,
    /// Written as the first heading unless the body has one.
    #[schema(value_type = SingleLine, required = false)]
    title: Option<SingleLine>,
    /// Blank tags are dropped.
    #[schema(value_type = Vec<SingleLine>, required = false)]
    tags: Option<Vec<SingleLine>>,
    deadline: Option<Datum>,
    fixed_slot: Option<SlotBody>,
    #[schema(value_type = Markdown, required = false)]
    body: Option<Markdown>,
}

/// The only value of `typ`.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[schema(as = TaskWord, rename_all = "lowercase")]
pub(super) enum TypValue {
    Task,
}

refusals!(Refusals: CALLER, READ, BODY, WRITE;
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
        (status = 201, description = "Created.", body = CreateResponse, links(
            ("get" = (operation_id = "getTask", parameters(("id" = "$response.body#/id")))),
            ("update" = (operation_id = "updateTask", parameters(("id" = "$response.body#/id")))),
            ("put" = (operation_id = "putTask", parameters(("id" = "$response.body#/id")))),
            ("complete" = (operation_id = "completeTask", parameters(("id" = "$response.body#/id")))),
        ), example = json!({
            "ok": true, "id": "0042", "path": "codex-miroir/anna/tasks/0042-Steuer.md",
            "filename": "0042-Steuer.md", "version": 16, "gitPushed": false, "gitPending": true,
        })),
        (status = 200, description = "Created earlier with the same key and body.", body = CreateResponse, example = json!({
            "ok": true, "id": "0042", "path": "codex-miroir/anna/tasks/0042-Steuer.md",
            "filename": "0042-Steuer.md", "version": 16, "gitPushed": true, "gitPending": false, "reused": true,
        })),
        Refusals,
    ),
)]
pub(super) async fn create_task(admitted: Admitted) -> Response {
    admitted.answer(create).await
}

async fn create(mut asked: Asked) -> Result<Response, ApiError> {
    let key = idempotency_key(asked.headers())?.map(|key| hex(&sha256(key)));
    let bytes = asked.body().await?;
    let task = new_task(Members::of(&bytes)?)?;
    let body = || hex(&sha256(&bytes));
    let hashes = key.map(|key| KeyHashes { key, body: body() });
    let (codex, reader) = (asked.app.codex(), &asked.reader);
    let created = codex.writer().create(reader, task, hashes).await?;
    let name = &created.name;
    let wait = asked.waits_for_git();
    let git = GitFields::after(codex, reader, name, created.etag, !created.reused, wait).await;
    let base_path = asked.app.github_base_path();
    let document = CreateResponse {
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

fn new_task(mut members: Members) -> Result<NewTask, ApiError> {
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
pub(super) fn accept_typ(members: &mut Members) -> Result<(), ApiError> {
    match members.text("typ")?.as_deref() {
        None | Some("task") => Ok(()),
        Some(_) => Err(members.invalid("typ", "can only be task")),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
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
