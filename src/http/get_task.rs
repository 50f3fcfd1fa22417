//! `getTask`: GET `/api/tasks/{id}`.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::error::ApiError;
use super::extract::{Admitted, Asked};
use super::negotiate::is_not_modified;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{ConsistencyParams, IfNoneMatchParam, TaskIdParam};
use super::response::{insert_etag, insert_read_headers, json, not_modified};
use crate::codex::TaskDetail;
use crate::task::Problem;
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
pub(super) async fn get_task(admitted: Admitted) -> Response {
    admitted.answer(show).await
}

async fn show(mut asked: Asked) -> Result<Response, ApiError> {
    let task = asked.task().await?;
    let shown = asked
        .app
        .codex()
        .reader()
        .task(&asked.reader, &task)
        .await?;
    let sha = shown.read.entry.table().file(shown.row).sha;
    let is_known = |sha| is_not_modified(asked.headers(), &format!("\"{sha}\""));
    let mut response = match sha.is_some_and(is_known) {
        true => not_modified(),
        false => json(StatusCode::OK, &document(&shown)),
    };
    let headers = response.headers_mut();
    insert_read_headers(headers, &shown.read, shown.requests);
    if let Some(sha) = sha {
        insert_etag(headers, sha);
    }
    Ok(response)
}

fn document(shown: &TaskDetail) -> GetResponse<'_> {
    let entry = &shown.read.entry;
    let (file, folder) = (entry.table().file(shown.row), entry.folder());
    let (body, html) = (shown.body.as_deref(), shown.html.as_deref());
    match TaskObject::new(folder.as_str(), &file) {
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
    }
}
