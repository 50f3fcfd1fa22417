//! `getTask`: GET `/api/tasks/{id}` (SPEC.md 1, "Tasks").

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{describe_read, insert_etag, json, unchanged};
use super::extract::{Caller, TaskPath, has_already, want};
use super::openapi::requests::{Cached, Known, OfTask};
use super::openapi::{Either, refusals};
use super::{ApiError, App};
use crate::codex::TaskShown;
use crate::now::Now;
use crate::task::{GitSha, Problem};
use crate::view::{FileObject, TaskObject};

/// What [`Object`] is.
type TaskOrFile = Either<TaskObject<'static>, FileObject<'static>>;

#[derive(Serialize, ToSchema)]
struct Shown<'a> {
    ok: bool,
    #[serde(flatten)]
    #[schema(value_type = TaskOrFile)]
    of: Object<'a>,
    #[schema(required)]
    body: Option<&'a str>,
    #[schema(required)]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Problem, required = false)]
    problem: Option<&'a Problem>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Object<'a> {
    Task(TaskObject<'a>),
    File(FileObject<'a>),
}

refusals!(Refusals: CALLER, READ, TASK);

/// One task with its markdown `body` and rendered, harmless `html`. A file that can't be read comes
/// with its whole text as `body` and its `problem`.
///
/// Answers 200, or 304 to who has it already. 409 with the stems when several tasks have the number.
#[utoipa::path(
    get,
    path = "/api/tasks/{id}",
    tag = "tasks",
    params(OfTask, Known, Cached),
    responses(
        (status = 200, description = "The task.", body = Shown),
        (status = 304, description = "It is as `If-None-Match` names it."),
        Refusals,
    ),
)]
pub(super) async fn get_task(
    State(app): State<App>,
    Caller(user): Caller,
    TaskPath(task): TaskPath,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let want = want(request.headers(), user, now);
    let shown = app.codex().task(&want, &task).await?;
    let entry = &shown.read.entry;
    let (file, folder) = (entry.table().file(shown.row), entry.folder());
    let etag = file.sha.map(|sha| format!("\"{sha}\""));
    if etag.is_some_and(|etag| has_already(request.headers(), &etag)) {
        let mut response = unchanged();
        describe(response.headers_mut(), &shown, file.sha);
        return Ok(response);
    }
    let document = Shown {
        ok: true,
        of: match TaskObject::new(folder.as_str(), &file) {
            Some(task) => Object::Task(task),
            None => Object::File(FileObject::new(folder.as_str(), &file)),
        },
        body: shown.body.as_deref(),
        html: shown.html.as_deref(),
        problem: shown.problem.as_ref(),
    };
    let mut response = json(StatusCode::OK, &document);
    describe(response.headers_mut(), &shown, file.sha);
    Ok(response)
}

fn describe(headers: &mut HeaderMap, shown: &TaskShown, sha: Option<GitSha>) {
    describe_read(headers, &shown.read, shown.requests);
    if let Some(sha) = sha {
        insert_etag(headers, sha);
    }
}
