//! `completeTask`: POST `/api/tasks/{id}/complete`.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Always, GitFields, changed};
use super::body::{self, Members};
use super::extract::{Caller, TaskPath, waits_for_git, want};
use super::openapi::refusals;
use super::openapi::requests::{Completion, Known, OfTask, Waiting};
use super::{ApiError, App};
use crate::now::Now;
use crate::task::{GitSha, Slot, TaskId};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Completed {
    #[schema(inline)]
    ok: Always<true>,
    id: TaskId,
    /// Missing for a task that was marked as done by hand, without a time.
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

refusals!(Refusals: CALLER, READ, BODY, WRITE, TASK, EDIT;
    TooManyRequests = refusals::too_many_writes());

/// Marks a task as done, at `{datum, zeit}` or now.
///
/// 200; for a task that is done already with its first `completedAt` and `alreadyCompleted`, and
/// nothing is written. One of `datum` and `zeit` without the other is refused. A refusal means that
/// nothing was written, but for `outcome_unknown`.
#[utoipa::path(
    post,
    path = "/api/tasks/{id}/complete",
    tag = "tasks",
    params(OfTask, Waiting, Known),
    request_body(content = Completion, example = json!({"datum": "23.12.2026", "zeit": "abends"})),
    responses(
        (status = 200, description = "Done.", body = Completed, example = json!({
            "ok": true, "id": "0042", "completedAt": {"datum": "23.12.2026", "zeit": "abends"},
            "etag": "4f9a6c0d1be23f5a7788990aabbccddeeff00112", "version": 18, "gitPushed": false, "gitPending": true,
        })),
        Refusals,
    ),
)]
pub(super) async fn complete_task(
    State(app): State<App>,
    caller: Caller,
    TaskPath(task): TaskPath,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, app.body_span()).await?;
    let mut members = Members::of(&bytes)?;
    let slot = members.slot()?;
    members.none_left()?;
    let want = want(&parts.headers, caller, now);
    let completed = app.codex().complete(&want, &task, slot).await?;
    let task = completed.task;
    let wait = waits_for_git(&parts.headers, parts.uri.query());
    let git = app.codex().git_after(&want, &task, wait).await;
    let document = Completed {
        ok: Always,
        id: task.name.id(),
        completed_at: completed.at,
        already_completed: completed.already,
        etag: task.etag,
        version: task.version.0,
        git: git.into(),
    };
    Ok(changed(&app, &want.user, &task, &document))
}
