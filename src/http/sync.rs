//! `sync`: POST and GET `/sync` (`src/git_sync/README.md`, "Sync by hand").

use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::error::ApiError;
use super::error_code::Code;
use super::extract::{Admitted, Asked};
use super::header_names::X_CODEX_VERSION;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{ConsistencyParams, Flag};
use super::query::{flag, invalid, parsed};
use super::response::{insert_version, json};
use crate::git_sync::{GitStatus, SyncOutcome, SyncRequest};
use crate::github::Skipped;
use crate::task::{GitSha, TaskId};

/// The query of `POST /sync`.
#[derive(Debug, Default)]
struct SyncQuery {
    mode: Option<String>,
    clean: Option<bool>,
    confirm: Option<usize>,
    confirm_head: Option<GitSha>,
    reference: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncDone)]
struct SyncResponse<'a> {
    #[schema(inline)]
    ok: Always<true>,
    mode: &'a str,
    #[serde(rename = "ref")]
    reference: &'a str,
    user_id: &'a str,
    scope: &'static str,
    changed: usize,
    removed: usize,
    skipped: usize,
    merged: usize,
    #[schema(required)]
    next_id: Option<TaskId>,
    cache_cleared: bool,
    #[schema(required)]
    head: Option<GitSha>,
    problems: &'a [Skipped],
}

#[derive(Serialize, ToSchema)]
#[schema(as = SyncState)]
struct SyncStateResponse {
    #[schema(inline)]
    ok: Always<true>,
    #[serde(flatten)]
    status: GitStatus,
}

/// The extent of a sync; both values are equivalent.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[schema(as = SyncMode, rename_all = "lowercase")]
enum SyncModeParam {
    Full,
    Diff,
}

refusals!(Refusals: CALLER, READ, GITHUB;
    CrossOrigin, InvalidQuery = SyncQuery::of("mode=half").err(), GithubNotConfigured, MassDelete,
    HistoryRewritten, Conflict, OutcomeUnknown);

/// Synchronizes the caller's files with Git: pulls Git's changes, then pushes what Git lacks. `mode` `diff` is the same
/// as `full`; `clean=false` removes nothing; `since` is ignored.
///
/// 200 with the result. 409 `mass_delete`: more than half of the files would be removed; nothing was done, repeat with
/// `confirm={count}`. 409 `history_rewritten`: the branch's head isn't provably a descendant of the last known commit;
/// nothing was done, repeat with `confirm_head={head}`.
#[utoipa::path(
    post,
    path = "/sync",
    tag = "git",
    params(
        ("mode" = inline(Option<SyncModeParam>), Query, description = "Both values are equivalent."),
        ("clean" = inline(Option<Flag>), Query, description = "`false` removes nothing."),
        ("confirm" = Option<u32>, Query, maximum = 4_294_967_295_u32, description = "The number of files that may be removed."),
        ("confirm_head" = inline(Option<GitSha>), Query, description = "Confirms that the branch was rewritten on purpose and is at this commit."),
        ("ref" = Option<String>, Query, description = "Only the branch that mirrors the tasks is allowed."),
        ("since" = Option<String>, Query, description = "Ignored."),
        ConsistencyParams,
    ),
    responses(
        (status = 200, description = "The result.", body = SyncResponse, example = json!({
            "ok": true, "mode": "full", "ref": "main", "userId": "anna", "scope": "tasks",
            "changed": 1, "removed": 0, "skipped": 0, "merged": 0, "nextId": "0043", "cacheCleared": true,
            "head": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4", "problems": [],
        })),
        Refusals,
    ),
)]
pub(super) async fn sync(admitted: Admitted) -> Response {
    admitted.answer(synchronize).await
}

async fn synchronize(asked: Asked) -> Result<Response, ApiError> {
    let query = SyncQuery::of(asked.query())?;
    let codex = &asked.app.codex;
    let branch = codex.git()?.mirrored_branch();
    if query.reference.as_ref().is_some_and(|it| it != branch) {
        let message = format!("ref can only be {branch}, the branch that mirrors the tasks.");
        return Err(ApiError::new(Code::InvalidQuery, message).field("ref"));
    }
    let request = SyncRequest {
        clean: query.clean.unwrap_or(true),
        confirm: query.confirm,
        confirm_head: query.confirm_head,
    };
    let SyncOutcome {
        report,
        version,
        next_id,
    } = codex.sync(&asked.reader, request).await?;
    let document = SyncResponse {
        ok: Always,
        mode: query.mode.as_deref().unwrap_or("full"),
        reference: branch,
        user_id: asked.reader.user.as_str(),
        scope: "tasks",
        changed: report.changed,
        removed: report.deleted,
        skipped: report.skipped.len(),
        merged: report.merged,
        next_id,
        cache_cleared: report.changed + report.deleted + report.merged > 0,
        head: report.commit,
        problems: &report.skipped,
    };
    let mut response = json(StatusCode::OK, &document);
    insert_version(response.headers_mut(), &asked, version);
    Ok(response)
}

refusals!(StateRefusals: CALLER, READ; MethodNotAllowed, GithubNotConfigured);

/// The sync state between the caller's files and Git. Changes nothing and sends no request to GitHub.
///
/// 200 with the last known state. 405 with `mode`, `since` or `clean`, which only POST has.
#[utoipa::path(
    get,
    path = "/sync",
    tag = "git",
    params(ConsistencyParams),
    responses(
        (status = 200, description = "The last known state.", body = SyncStateResponse, example = json!({
            "ok": true, "head": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4", "syncedAt": "2026-12-21T08:30:00Z",
            "unpushed": [{"id": "0042", "filename": "0042-Steuer.md"}], "pullRequests": [], "lastError": null,
            "rateLimit": {"limit": 5000, "remaining": 4991, "reset": 1797843600}, "problems": [],
        })),
        StateRefusals,
    ),
)]
pub(super) async fn sync_state(admitted: Admitted) -> Response {
    admitted.answer(state).await
}

async fn state(asked: Asked) -> Result<Response, ApiError> {
    let mut names = form_urlencoded::parse(asked.query().as_bytes());
    if names.any(|(name, _)| matches!(&*name, "mode" | "since" | "clean")) {
        let mut response = ApiError::from(Code::MethodNotAllowed).into_response();
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let status = GitStatus::read(asked.app.codex.git()?, &asked.reader).await?;
    let version = HeaderValue::from(status.version.0);
    let ok = Always;
    let mut response = json(StatusCode::OK, &SyncStateResponse { ok, status });
    response.headers_mut().insert(X_CODEX_VERSION, version);
    Ok(response)
}

impl SyncQuery {
    /// Unknown parameters are ignored: a Functions key comes as `code`.
    fn of(query: &str) -> Result<Self, ApiError> {
        let mut it = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "mode" if matches!(&*value, "full" | "diff") => {
                    it.mode = Some(value.into_owned());
                }
                "mode" => return Err(invalid("mode", "mode must be full or diff.")),
                "clean" => it.clean = Some(flag("clean", &value)?),
                "confirm" => {
                    let message =
                        "confirm must be the number of files to remove, as mass_delete says it.";
                    it.confirm = Some(parsed::<u32>("confirm", &value, message)? as usize);
                }
                "confirm_head" => {
                    let message =
                        "confirm_head must be the branch's commit, as history_rewritten says it.";
                    it.confirm_head = Some(parsed("confirm_head", &value, message)?);
                }
                "ref" => {
                    let branch = value.strip_prefix("refs/heads/").unwrap_or(&value);
                    it.reference = Some(branch.to_owned());
                }
                _ => {}
            }
        }
        Ok(it)
    }
}
