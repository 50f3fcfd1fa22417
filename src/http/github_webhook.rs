//! `githubWebhook`: POST `/github/webhook` (`src/git_sync/README.md`, "In").

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::always::{Always, Either};
use super::app::App;
use super::body;
use super::error::Answer;
use super::error_code::Code;
use super::negotiate::text;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::GithubEventParam;
use super::response::json;
use crate::git_sync::{FetchReport, UserReport};
use crate::github::{self, Delivery, PushPayload, Skipped};
use crate::now::Now;
use crate::task::GitSha;
use crate::user::UserId;

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const EVENT: HeaderName = HeaderName::from_static("x-github-event");

/// GitHub caps payloads at 25 MB.
const MAX_BYTES: usize = 25 << 20;

/// One permit per byte of payloads buffered before their signatures are verified.
static MEMORY: Semaphore = Semaphore::const_new(4 * MAX_BYTES);

/// The time within which a delivery's body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize, ToSchema)]
struct Pong {
    #[schema(inline)]
    ok: Always<true>,
}

// The schema can't be named `Ignored`, as its member is: the Python generator would make one variable of both.
#[derive(Serialize, ToSchema)]
struct IgnoredDelivery {
    #[schema(inline)]
    ok: Always<true>,
    #[schema(inline)]
    ignored: Always<true>,
    reason: &'static str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Fetched {
    #[schema(inline)]
    ok: Always<true>,
    #[schema(required)]
    head: Option<GitSha>,
    users_affected: usize,
    results: Vec<UserResult>,
    problems: Vec<Skipped>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    postponed: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserResult {
    user_id: String,
    changed: usize,
    deleted: usize,
    skipped: usize,
    merged: usize,
    unfinished: bool,
    problems: Vec<Skipped>,
}

/// The bodies of a 200.
type OkResponse = Either<Fetched, Pong>;

/// The bodies of a 202.
type AcceptedResponse = Either<IgnoredDelivery, Fetched>;

refusals!(Refusals: READ, GITHUB;
    InvalidPayload, BadSignature, BodyTooSlow, BodyTooLarge = body::too_large(MAX_BYTES), Overloaded,
    WebhookNotConfigured, Conflict);

/// Brings the store up to date with the repository's current head; the payload only signals a change.
///
/// 200 for a push to the branch, with the result; work that takes too long is recorded and finished by the timer
/// (`unfinished`). 200 for a `ping`. 202 `ignored` for other events, branches and repositories; 202 `postponed` when
/// the previous delivery still runs, so that this one is left to the timer entirely. 401 for a bad signature; the
/// payload isn't parsed. 413 over 25 MiB. 503 without a configured secret, or on an outage; after an outage the timer
/// catches up.
#[utoipa::path(
    post,
    path = "/github/webhook",
    tag = "git",
    params(GithubEventParam),
    request_body(content = PushPayload, description = "The members of a push event that are used; also accepted as the form field `payload`. The body of other events is ignored.", example = json!({
        "ref": "refs/heads/main", "before": "4f9a6c0d1be23f5a7788990aabbccddeeff00112",
        "after": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4", "forced": false, "repository": {"full_name": "anna/codex"},
    })),
    responses(
        (status = 200, description = "The result of a push; `ok` alone for a ping.", body = OkResponse, examples(
            ("push" = (value = json!({
                "ok": true, "head": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4", "usersAffected": 1,
                "results": [{
                    "userId": "anna", "changed": 1, "deleted": 0, "skipped": 0, "merged": 0, "unfinished": false,
                    "problems": [],
                }],
                "problems": [],
            }))),
            ("ping" = (value = json!({"ok": true}))),
        )),
        (status = 202, description = "Ignored (another event, repository or branch), or left to the timer.", body = AcceptedResponse, examples(
            ("ignored" = (value = json!({"ok": true, "ignored": true, "reason": "another event"}))),
            ("postponed" = (value = json!({
                "ok": true, "head": null, "usersAffected": 0, "results": [], "problems": [], "postponed": true,
            }))),
        )),
        Refusals,
    ),
    security(("signature" = [])),
)]
pub(super) async fn github_webhook(State(app): State<App>, now: Now, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let secrets = &app.config.github.webhook_secrets;
    if secrets.is_empty() {
        return Err(Code::WebhookNotConfigured.into());
    }
    let signature = text(&parts.headers, SIGNATURE).ok_or(Code::BadSignature)?;
    let bytes = body::read_bytes(&parts.headers, body, MAX_BYTES, BODY_TIMEOUT, &MEMORY).await?;
    github::verify(secrets, Some(signature), &bytes).map_err(|_| Code::BadSignature)?;
    let event = text(&parts.headers, EVENT).unwrap_or_default();
    let delivery = github::parse(event, &bytes).map_err(|_| Code::InvalidPayload)?;
    match delivery {
        Delivery::Ping => Ok(json(StatusCode::OK, &Pong { ok: Always })),
        Delivery::Other => Ok(ignored("another event")),
        Delivery::Push(push) => {
            let Ok(git) = app.codex.git() else {
                return Ok(ignored("GitHub mode is off"));
            };
            if let Some(reason) = git.ignored_reason(&push) {
                return Ok(ignored(reason));
            }
            let fetched = git.fetch_all(&push, now).await?;
            let status = match fetched.postponed {
                true => StatusCode::ACCEPTED,
                false => StatusCode::OK,
            };
            Ok(json(status, &pushed(fetched)))
        }
    }
}

fn ignored(reason: &'static str) -> Response {
    let document = IgnoredDelivery {
        ok: Always,
        ignored: Always,
        reason,
    };
    json(StatusCode::ACCEPTED, &document)
}

fn pushed(report: FetchReport) -> Fetched {
    let result = |(user, report): (UserId, UserReport)| UserResult {
        user_id: user.to_string(),
        changed: report.changed,
        deleted: report.deleted,
        skipped: report.skipped.len(),
        merged: report.merged,
        unfinished: report.unfinished,
        problems: report.skipped,
    };
    let results: Vec<_> = report.users.into_iter().map(result).collect();
    Fetched {
        ok: Always,
        head: report.head,
        users_affected: results.len(),
        results,
        problems: report.skipped,
        postponed: report.postponed,
    }
}
