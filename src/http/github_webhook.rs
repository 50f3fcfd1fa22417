//! `githubWebhook`: POST `/github/webhook` (`src/codex/git/README.md`, "In").

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::answer::{Always, json};
use super::body;
use super::openapi::requests::Event;
use super::openapi::{Either, refusals};
use super::{ApiError, App, Code};
use crate::codex::{FetchReport, UserReport};
use crate::github::{self, Delivery, PushPayload, Skipped};
use crate::now::Now;
use crate::task::GitSha;
use crate::user::UserId;

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const EVENT: HeaderName = HeaderName::from_static("x-github-event");

/// GitHub caps payloads at 25 MB.
const MAX_BYTES: usize = 25 << 20;

/// How many bytes may be in memory before anybody has proved anything.
static ROOM: Semaphore = Semaphore::const_new(4 * MAX_BYTES);

/// How long one may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize, ToSchema)]
struct Pong {
    #[schema(inline)]
    ok: Always<true>,
}

// Not named as its member is: the Python generator makes one variable of both.
#[derive(Serialize, ToSchema)]
#[schema(as = IgnoredDelivery)]
struct Ignored {
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

/// What is answered at once.
type Taken = Either<Fetched, Pong>;

/// What isn't done, or not yet.
type Accepted = Either<Ignored, Fetched>;

refusals!(Refusals: READ, GITHUB;
    InvalidPayload = bad_payload(), BadSignature = bad_signature(), BodyTooSlow,
    BodyTooLarge = body::too_large(MAX_BYTES), Overloaded, WebhookNotConfigured, Conflict);

/// Brings the store to what the repository has now; the payload only says that something moved.
///
/// 200 for a push to the branch, with what was done; what takes too long is noted first and done by the
/// timer (`unfinished`). 200 for a `ping`. 202 `ignored` for other events, branches and repositories; 202
/// `postponed` when the delivery before takes so long that this one is wholly left to the timer. 401: nothing
/// was looked at. 413 over 25 MiB. 503 without a secret, by which alone deliveries are accepted; otherwise
/// the timer does it later.
#[utoipa::path(
    post,
    path = "/github/webhook",
    tag = "git",
    params(Event),
    request_body(content = PushPayload, description = "What is read of a push; also as the form field `payload`. Of other events the body is not read.", example = json!({
        "ref": "refs/heads/main", "before": "4f9a6c0d1be23f5a7788990aabbccddeeff00112",
        "after": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4", "forced": false, "repository": {"full_name": "anna/codex"},
    })),
    responses(
        (status = 200, description = "What was done for a push; `ok` alone for a ping.", body = Taken, examples(
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
        (status = 202, description = "Another event, repository or branch; or left to the timer.", body = Accepted, examples(
            ("ignored" = (value = json!({"ok": true, "ignored": true, "reason": "another event"}))),
            ("postponed" = (value = json!({
                "ok": true, "head": null, "usersAffected": 0, "results": [], "problems": [], "postponed": true,
            }))),
        )),
        Refusals,
    ),
    security(("signature" = [])),
)]
pub(super) async fn github_webhook(
    State(app): State<App>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let Some(secret) = app.webhook_secret() else {
        let message =
            "No webhook secret is configured: set GITHUB_WEBHOOK_SECRET here and at GitHub.";
        return Err(ApiError::new(Code::WebhookNotConfigured, message));
    };
    let signature = header(&parts.headers, &SIGNATURE).ok_or_else(bad_signature)?;
    let bytes = body::bytes(&parts.headers, body, MAX_BYTES, PATIENCE, &ROOM).await?;
    github::verify(secret, Some(signature), &bytes).map_err(|_| bad_signature())?;
    let event = header(&parts.headers, &EVENT).unwrap_or_default();
    let delivery = github::parse(event, &bytes).map_err(|_| bad_payload())?;
    match delivery {
        Delivery::Ping => Ok(json(StatusCode::OK, &Pong { ok: Always })),
        Delivery::Other => Ok(ignored("another event")),
        Delivery::Push(push) => match app.codex().is_ignored(&push) {
            Some(reason) => Ok(ignored(reason)),
            None => {
                let fetched = app.codex().fetch_all(&push, now).await?;
                let status = match fetched.postponed {
                    true => StatusCode::ACCEPTED,
                    false => StatusCode::OK,
                };
                Ok(json(status, &Fetched::of(fetched)))
            }
        },
    }
}

fn bad_signature() -> ApiError {
    let message = "The signature doesn't fit: give GitHub the secret that is configured here.";
    ApiError::new(Code::BadSignature, message)
}

fn bad_payload() -> ApiError {
    let message = "The payload isn't one of GitHub's: send what GitHub sends.";
    ApiError::new(Code::InvalidPayload, message)
}

fn ignored(reason: &'static str) -> Response {
    let document = Ignored {
        ok: Always,
        ignored: Always,
        reason,
    };
    json(StatusCode::ACCEPTED, &document)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Fetched {
    fn of(report: FetchReport) -> Self {
        let results: Vec<_> = report.users.into_iter().map(UserResult::of).collect();
        Self {
            ok: Always,
            head: report.head,
            users_affected: results.len(),
            results,
            problems: report.skipped,
            postponed: report.postponed,
        }
    }
}

impl UserResult {
    fn of((user, report): (UserId, UserReport)) -> Self {
        Self {
            user_id: user.to_string(),
            changed: report.changed,
            deleted: report.deleted,
            skipped: report.skipped.len(),
            merged: report.merged,
            unfinished: report.unfinished,
            problems: report.skipped,
        }
    }
}
