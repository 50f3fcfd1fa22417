//! `createTask`: POST `/api/tasks` (SPEC.md 1, "Create").

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::answer::{GitFields, describe_write, insert_etag, json};
use super::body::{self, Members};
use super::extract::{Caller, waits_for_git, want};
use super::{ApiError, App, Code};
use crate::codex::KeyHashes;
use crate::now::Now;
use crate::task::{FileName, NewTask, Status, TaskId};
use crate::user::UserId;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// No `Idempotency-Key` is longer (SPEC.md 1).
const MAX_KEY: usize = 255;

/// What a path segment may hold as it is (RFC 3986, "unreserved").
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    ok: bool,
    id: TaskId,
    path: String,
    filename: &'a str,
    version: u64,
    #[serde(flatten)]
    git: GitFields,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reused: bool,
}

/// Creates a task and gives it a number.
///
/// 201 with `Location`; 200 with `reused` when the same `Idempotency-Key` came with the same body
/// before. 400 `invalid_json`, `invalid_field`, `unknown_field`, `invalid_header`. 401,
/// 403 as [`Caller`] says. 409 `ids_exhausted`, `conflict`. 413 `body_too_large`,
/// `task_too_large`. 415 `unsupported_media_type`. 422 `idempotency_key_reused`. 429
/// `too_many_requests`. 503 `storage_unavailable`, `busy`, `newer_format`: nothing was written;
/// `outcome_unknown`: it may have been. 500 `internal`.
pub(super) async fn create_task(
    State(app): State<App>,
    Caller(user): Caller,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let key = idempotency_key(&parts.headers)?;
    let bytes = body::read(&parts.headers, body).await?;
    let task = new_task(Members::of(&bytes)?)?;
    let hashes = key.map(|key| KeyHashes {
        key: sha256(key.as_bytes()),
        body: sha256(&bytes),
    });
    let want = want(&parts.headers, user, now);
    let created = app.codex().create(&want, task, hashes).await?;
    let wait = waits_for_git(&parts.headers, parts.uri.query());
    let git = match created.reused {
        true => app.codex().git_state(&want, &created.name).await,
        false => {
            app.codex()
                .pushed(&want, &created.name, created.etag, wait)
                .await
        }
    };
    let document = Created {
        ok: true,
        id: created.name.id(),
        path: repository_path(&app, &want.user, &created.name),
        filename: created.name.as_str(),
        version: created.version.0,
        git: git.into(),
        reused: created.reused,
    };
    let status = match created.reused {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    let mut response = json(status, &document);
    let headers = response.headers_mut();
    describe_write(headers, &app, &want.user, created.known, created.requests);
    if !created.reused {
        // Of a task created before, the content may be another by now.
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
        deadline: members.clearable("deadline")?.flatten(),
        fixed_slot: members.clearable_slot("fixedSlot")?.flatten(),
        abgeschlossen_am: None,
        body: members.text("body")?.unwrap_or_default(),
    };
    members.none_left()?;
    Ok(task)
}

/// `typ` may be there, as long as it says `task`.
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
        (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let key = value.to_str().ok().filter(visible);
    if key.is_none() || values.next().is_some() {
        let message =
            "An Idempotency-Key is 1 to 255 visible ASCII characters: send one like that.";
        return Err(ApiError::new(Code::InvalidHeader, message).field("Idempotency-Key"));
    }
    Ok(key)
}

/// Where the file is, or will be, in the repository.
fn repository_path(app: &App, user: &UserId, name: &FileName) -> String {
    format!("{}/{user}/tasks/{name}", app.github_base_path())
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
