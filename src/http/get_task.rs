//! `getTask`: GET `/api/tasks/{id}`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Caller, TaskPath, is_not_modified, read_request};
use super::openapi::parameters::{ConsistencyParams, IfNoneMatchParam, TaskIdParam};
use super::openapi::refusals;
use super::response::{Always, insert_etag, insert_read_headers, json, not_modified};
use super::{ApiError, App};
use crate::codex::TaskDetail;
use crate::now::Now;
use crate::task::{GitSha, Problem};
use crate::view::{FileObject, TaskObject};

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Shown)]
enum GetResponse<'a> {
    Task(TaskResponse<'a>),
    File(FileResponse<'a>),
}

/// A task with its body.
#[derive(Serialize, ToSchema)]
#[schema(as = ShownTask)]
struct TaskResponse<'a> {
    #[schema(inline)]
    ok: Always<true>,
    #[serde(flatten)]
    task: TaskObject<'a>,
    /// Markdown; `null` when the file can't be read at the moment.
    #[schema(required)]
    body: Option<&'a str>,
    #[schema(required)]
    html: Option<&'a str>,
}

/// A file that can't be parsed as a task; only this variant has a `problem`.
#[derive(Serialize, ToSchema)]
#[schema(as = ShownFile)]
struct FileResponse<'a> {
    #[schema(inline)]
    ok: Always<true>,
    #[serde(flatten)]
    file: FileObject<'a>,
    /// The whole text; `null` when the file can't be read at the moment or is too large.
    #[schema(required)]
    body: Option<&'a str>,
    #[schema(required)]
    html: Option<&'a str>,
    #[schema(value_type = Problem)]
    problem: Option<&'a Problem>,
}

refusals!(Refusals: CALLER, READ, TASK);

/// One task with its markdown `body` and the rendered, sanitized `html`. A file that can't be parsed comes with its
/// whole text as `body` and its `problem`.
///
/// 200, or 304 when `If-None-Match` matches. 409 with the stems when several tasks have the number.
#[utoipa::path(
    get,
    path = "/api/tasks/{id}",
    tag = "tasks",
    params(TaskIdParam, ConsistencyParams, IfNoneMatchParam),
    responses(
        (status = 200, description = "The task.", body = GetResponse, examples(
            ("task" = (value = json!({
                "ok": true, "id": "0042", "file": "raw/anna/tasks/0042-Steuer.md", "filename": "0042-Steuer.md",
                "title": "Steuer", "kategorie": "arbeit", "status": "offen", "tags": ["geld"], "deadline": "24.12.2026",
                "fixedSlot": null, "abgeschlossen_am": null, "etag": "4f9a6c0d1be23f5a7788990aabbccddeeff00112",
                "body": "# Steuer\n\nBelege *sammeln*.\n",
                "html": "<h1>Steuer</h1>\n<p>Belege <em>sammeln</em>.</p>\n",
            }))),
            ("file" = (summary = "A file that can't be parsed as a task.", value = json!({
                "ok": true, "id": "0007", "file": "raw/anna/tasks/0007-Zahnarzt.md", "filename": "0007-Zahnarzt.md",
                "etag": "9c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4",
                "body": "---\ntyp: task\nkategorie: garten\n---\n", "html": null,
                "problem": {
                    "line": 3, "code": "bad_kategorie",
                    "message": "kategorie must be one of arbeit, privat, not `garten`",
                },
            }))),
        )),
        (status = 304, description = "Not modified."),
        Refusals,
    ),
)]
pub(super) async fn get_task(
    State(app): State<App>,
    caller: Caller,
    TaskPath(task): TaskPath,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let read_request = read_request(request.headers(), caller, now);
    let shown = app.codex().reader().task(&read_request, &task).await?;
    let entry = &shown.read.entry;
    let (file, folder) = (entry.table().file(shown.row), entry.folder());
    let etag = file.sha.map(|sha| format!("\"{sha}\""));
    if etag.is_some_and(|etag| is_not_modified(request.headers(), &etag)) {
        let mut response = not_modified();
        insert_headers(response.headers_mut(), &shown, file.sha);
        return Ok(response);
    }
    let (body, html) = (shown.body.as_deref(), shown.html.as_deref());
    let document = match TaskObject::new(folder.as_str(), &file) {
        Some(task) => GetResponse::Task(TaskResponse {
            ok: Always,
            task,
            body,
            html,
        }),
        None => GetResponse::File(FileResponse {
            ok: Always,
            file: FileObject::new(folder.as_str(), &file),
            body,
            html,
            problem: shown.problem.as_ref(),
        }),
    };
    let mut response = json(StatusCode::OK, &document);
    insert_headers(response.headers_mut(), &shown, file.sha);
    Ok(response)
}

fn insert_headers(headers: &mut HeaderMap, shown: &TaskDetail, sha: Option<GitSha>) {
    insert_read_headers(headers, &shown.read, shown.requests);
    if let Some(sha) = sha {
        insert_etag(headers, sha);
    }
}
