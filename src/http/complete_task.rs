//! `completeTask`: POST `/api/tasks/{id}/complete`.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::body::Members;
use super::error::ApiError;
use super::extract::{Admitted, Asked};
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{Completion, ConsistencyParams, TaskIdParam, WaitParams};
use super::response::{GitFields, write_response};
use crate::task::{GitSha, Slot, TaskId};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Completed)]
struct CompleteResponse {
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

refusals!(Refusals: CALLER, READ, BODY, WRITE, TASK, EDIT;
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
        (status = 200, description = "Done.", body = CompleteResponse, example = json!({
            "ok": true, "id": "0042", "completedAt": {"datum": "23.12.2026", "zeit": "abends"},
            "etag": "4f9a6c0d1be23f5a7788990aabbccddeeff00112", "version": 18, "gitPushed": false, "gitPending": true,
        })),
        Refusals,
    ),
)]
pub(super) async fn complete_task(admitted: Admitted) -> Response {
    admitted.answer(complete).await
}

async fn complete(mut asked: Asked) -> Result<Response, ApiError> {
    let task = asked.task().await?;
    let mut members = Members::of(&asked.body().await?)?;
    let slot = members.slot()?;
    members.reject_unknown()?;
    let (codex, reader) = (asked.app.codex(), &asked.reader);
    let completed = codex.writer().complete(reader, &task, slot).await?;
    let task = completed.task;
    let wait = asked.waits_for_git();
    let git = GitFields::after(codex, reader, &task.name, task.etag, task.written, wait).await;
    let document = CompleteResponse {
        ok: Always,
        id: task.name.id(),
        completed_at: completed.at,
        already_completed: completed.already,
        etag: task.etag,
        version: task.version.0,
        git,
    };
    Ok(write_response(&asked, &task, &document))
}
