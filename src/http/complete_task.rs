//! `completeTask`: POST `/api/tasks/{id}/complete` (SPEC.md 1, "Complete").

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;

use super::answer::{GitFields, changed};
use super::body::{self, Members};
use super::extract::{Caller, TaskPath, waits_for_git, want};
use super::{ApiError, App};
use crate::now::Now;
use crate::task::{GitSha, Slot, TaskId};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Completed {
    ok: bool,
    id: TaskId,
    completed_at: Option<Slot>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already_completed: bool,
    etag: GitSha,
    version: u64,
    #[serde(flatten)]
    git: GitFields,
}

/// Marks a task as done, at `{datum, zeit}` or now.
///
/// 200; for a task that is done already with its first `completedAt` and `alreadyCompleted`, and
/// nothing is written. 400 `invalid_id`, `invalid_json`, `invalid_field` (one of `datum` and `zeit`
/// without the other among them), `unknown_field`. 401, 403 as [`Caller`] says. 404
/// `task_not_found`. 409 `ambiguous_id`, `task_unreadable`, `front_matter_not_editable`, `conflict`. 413
/// `body_too_large`, `task_too_large`. 415 `unsupported_media_type`. 429 `too_many_requests`. 503
/// `storage_unavailable`, `busy`, `newer_format`: nothing was written; `outcome_unknown`: it may have
/// been. 500 `internal`.
pub(super) async fn complete_task(
    State(app): State<App>,
    Caller(user): Caller,
    TaskPath(task): TaskPath,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body).await?;
    let mut members = Members::of(&bytes)?;
    let slot = members.slot()?;
    members.none_left()?;
    let want = want(&parts.headers, user, now);
    let completed = app.codex().complete(&want, &task, slot).await?;
    let task = completed.task;
    let wait = waits_for_git(&parts.headers, parts.uri.query());
    let git = app.codex().git_after(&want, &task, wait).await;
    let document = Completed {
        ok: true,
        id: task.name.id(),
        completed_at: completed.at,
        already_completed: completed.already,
        etag: task.etag,
        version: task.version.0,
        git: git.into(),
    };
    Ok(changed(&app, &want.user, &task, &document))
}
