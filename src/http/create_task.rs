//! `createTask`: POST `/api/tasks`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::body::{self, Members, SlotBody};
use super::extract::{Caller, read_request, waits_for_git};
use super::openapi::parameters::{
    ConsistencyParams, IdempotencyKeyParam, Markdown, SingleLine, WaitParams,
};
use super::openapi::refusals;
use super::response::{Always, GitFields, insert_etag, insert_write_headers, json};
use super::{ApiError, App, Code};
use crate::codex::KeyHashes;
use crate::now::Now;
use crate::task::{Datum, FileName, Kategorie, NewTask, Status, TaskId};
use crate::user::UserId;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
pub(super) async fn create_task(
    State(app): State<App>,
    caller: Caller,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let key = idempotency_key(&parts.headers)?;
    let bytes = body::read(&parts.headers, body, app.body_timeout()).await?;
    let task = new_task(Members::of(&bytes)?)?;
    let hashes = key.map(|key| KeyHashes {
        key: sha256(key.as_bytes()),
        body: sha256(&bytes),
    });
    let read_request = read_request(&parts.headers, caller, now);
    let created = app
        .codex()
        .writer()
        .create(&read_request, task, hashes)
        .await?;
    let wait = waits_for_git(&parts.headers, parts.uri.query());
    let file = (&created.name, created.etag);
    let git = GitFields::after(&app, &read_request, file, !created.reused, wait).await;
    let document = CreateResponse {
        ok: Always,
        id: created.name.id(),
        path: repository_path(&app, &read_request.user, &created.name),
        filename: created.name.as_str(),
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
    insert_write_headers(
        headers,
        &app,
        &read_request.user,
        created.known,
        created.requests,
    );
    if !created.reused {
        // A task created earlier may have changed since, so the first `ETag` would be stale.
        insert_etag(headers, created.etag);
    }
    let stem = utf8_percent_encode(created.name.stem(), SEGMENT);
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
        let message =
            "An Idempotency-Key is 1 to 255 visible ASCII characters: send one like that.";
        return Err(ApiError::new(Code::InvalidHeader, message).field("Idempotency-Key"));
    }
    Ok(key)
}

/// The file's path in the repository, which it has once it is committed.
fn repository_path(app: &App, user: &UserId, name: &FileName) -> String {
    format!("{}/{user}/tasks/{name}", app.github_base_path())
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
