//! `sync`: POST and GET `/sync` (`src/codex/git/README.md`, "Sync by hand").

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Always, json, name_version};
use super::error::wrong_method;
use super::extract::{Caller, X_CODEX_VERSION, want};
use super::openapi::refusals;
use super::openapi::requests::Known;
use super::render_codex::{Flag, flag};
use super::{ApiError, App, Code};
use crate::codex::{GitStatus, LastError, PullNote, SyncRequest, Synced};
use crate::github::{RateLimit, Skipped};
use crate::now::Now;
use crate::task::{GitSha, TaskId};

/// What the query asks for.
#[derive(Debug, Default)]
struct Asked {
    mode: Option<String>,
    clean: Option<bool>,
    confirm: Option<usize>,
    confirm_head: Option<GitSha>,
    reference: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SyncDone<'a> {
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
#[serde(rename_all = "camelCase")]
struct SyncState {
    #[schema(inline)]
    ok: Always<true>,
    #[schema(required)]
    head: Option<GitSha>,
    #[schema(required)]
    synced_at: Option<DateTime<Utc>>,
    unpushed: Vec<Waiting>,
    pull_requests: Vec<Proposed>,
    #[schema(required)]
    last_error: Option<LastError>,
    #[schema(required)]
    rate_limit: Option<RateLimit>,
    problems: Vec<Skipped>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Unpushed)]
struct Waiting {
    id: TaskId,
    filename: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PullRequest)]
struct Proposed {
    filename: String,
    #[serde(flatten)]
    note: PullNote,
}

/// How much to look at.
#[expect(dead_code, reason = "for the API's document")]
#[derive(ToSchema)]
#[schema(as = SyncMode, rename_all = "lowercase")]
enum Mode {
    Full,
    Diff,
}

refusals!(Refusals: CALLER, READ, GITHUB;
    CrossOrigin, InvalidQuery = Asked::of(Some("mode=half")).err(), GithubNotConfigured, MassDelete,
    HistoryRewritten, Conflict, OutcomeUnknown);

/// Brings the caller's files and Git together: what Git has is taken, what it doesn't have is pushed
/// afterwards. `mode` `diff` means the same as `full`; `clean=false` removes nothing; `since` is ignored.
///
/// 200 with what was done. 409 `mass_delete`: more than half of the files would go, so repeat it with
/// `confirm={count}`; nothing was done. 409 `history_rewritten`: the branch is at a commit of which nothing proves
/// that it comes after what Git was known to hold, so repeat it with `confirm_head={head}`; nothing was done.
#[utoipa::path(
    post,
    path = "/sync",
    tag = "git",
    params(
        ("mode" = inline(Option<Mode>), Query, description = "Both mean the same."),
        ("clean" = inline(Option<Flag>), Query, description = "`false` removes nothing."),
        ("confirm" = Option<u32>, Query, maximum = 4_294_967_295_u32, description = "So many files may be removed."),
        ("confirm_head" = inline(Option<GitSha>), Query, description = "The branch was rewritten on purpose, and is at this commit."),
        ("ref" = Option<String>, Query, description = "Can only be the branch that mirrors the tasks."),
        ("since" = Option<String>, Query, description = "Ignored."),
        Known,
    ),
    responses(
        (status = 200, description = "What was done.", body = SyncDone, example = json!({
            "ok": true, "mode": "full", "ref": "main", "userId": "anna", "scope": "tasks",
            "changed": 1, "removed": 0, "skipped": 0, "merged": 0, "nextId": "0043", "cacheCleared": true,
            "head": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4", "problems": [],
        })),
        Refusals,
    ),
)]
pub(super) async fn sync(
    State(app): State<App>,
    caller: Caller,
    now: Now,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::of(query.as_deref())?;
    let branch = app.codex().mirrored_branch()?;
    if asked.reference.as_ref().is_some_and(|it| it != branch) {
        let message = format!("ref can only be {branch}, the branch that mirrors the tasks.");
        return Err(ApiError::new(Code::InvalidQuery, message).field("ref"));
    }
    let want = want(&headers, caller, now);
    let request = SyncRequest {
        clean: asked.clean.unwrap_or(true),
        confirm: asked.confirm,
        confirm_head: asked.confirm_head,
    };
    let Synced {
        report,
        version,
        next_id,
    } = app.codex().sync(&want, request).await?;
    let document = SyncDone {
        ok: Always,
        mode: asked.mode.as_deref().unwrap_or("full"),
        reference: branch,
        user_id: want.user.as_str(),
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
    name_version(response.headers_mut(), &app, &want.user, version);
    Ok(response)
}

refusals!(StateRefusals: CALLER, READ; MethodNotAllowed, GithubNotConfigured);

/// How the caller's files and Git stand. Changes nothing, and asks GitHub nothing.
///
/// 200 with what is known. 405 with `mode`, `since` or `clean`, which are a POST's.
#[utoipa::path(
    get,
    path = "/sync",
    tag = "git",
    params(Known),
    responses(
        (status = 200, description = "What is known.", body = SyncState, example = json!({
            "ok": true, "head": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4", "syncedAt": "2026-12-21T08:30:00Z",
            "unpushed": [{"id": "0042", "filename": "0042-Steuer.md"}], "pullRequests": [], "lastError": null,
            "rateLimit": {"limit": 5000, "remaining": 4991, "reset": 1797843600}, "problems": [],
        })),
        StateRefusals,
    ),
)]
pub(super) async fn sync_state(
    State(app): State<App>,
    caller: Caller,
    now: Now,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let names = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    let is_post = |name: &str| matches!(name, "mode" | "since" | "clean");
    if names.into_iter().any(|(name, _)| is_post(&name)) {
        let mut response = wrong_method().into_response();
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let want = want(&headers, caller, now);
    let status = app.codex().git_status(&want).await?;
    let version = status.version;
    let mut response = json(StatusCode::OK, &SyncState::of(status));
    let headers = response.headers_mut();
    headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
    Ok(response)
}

impl SyncState {
    fn of(status: GitStatus) -> Self {
        let waiting = status.unpushed.into_iter().map(|name| Waiting {
            id: name.id(),
            filename: name.to_string(),
        });
        let proposed = status
            .pulls
            .into_iter()
            .map(|(filename, note)| Proposed { filename, note });
        Self {
            ok: Always,
            head: status.head,
            synced_at: status.synced_at,
            unpushed: waiting.collect(),
            pull_requests: proposed.collect(),
            last_error: status.last_error,
            rate_limit: status.rate_limit,
            problems: status.problems,
        }
    }
}

impl Asked {
    /// Parameters it doesn't know are left to others: a Functions key comes as `code`.
    fn of(query: Option<&str>) -> Result<Self, ApiError> {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "mode" if matches!(&*value, "full" | "diff") => {
                    asked.mode = Some(value.into_owned())
                }
                "mode" => return Err(invalid("mode", "mode must be full or diff.")),
                "clean" => asked.clean = Some(flag("clean", &value)?),
                "confirm" => {
                    let number = value.parse::<u32>().ok();
                    let message =
                        "confirm must be the number of files to remove, as mass_delete says it.";
                    let number = number.ok_or_else(|| invalid("confirm", message))?;
                    asked.confirm = Some(number as usize);
                }
                "confirm_head" => {
                    let message =
                        "confirm_head must be the branch's commit, as history_rewritten says it.";
                    let head = value.parse().ok();
                    asked.confirm_head =
                        Some(head.ok_or_else(|| invalid("confirm_head", message))?);
                }
                "ref" => {
                    let branch = value.strip_prefix("refs/heads/").unwrap_or(&value);
                    asked.reference = Some(branch.to_owned());
                }
                _ => {}
            }
        }
        Ok(asked)
    }
}

fn invalid(field: &'static str, message: &'static str) -> ApiError {
    ApiError::new(Code::InvalidQuery, message).field(field)
}
