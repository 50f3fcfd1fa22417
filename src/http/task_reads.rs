//! `listTasks`: GET `/api/tasks`; `getTask`: GET `/api/tasks/{id}`.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::error::Answer;
use super::extract::{Admitted, Asked};
use super::negotiate::is_not_modified;
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{AnyStatus, ConsistencyParams, IfNoneMatchParam, TaskIdParam};
use super::query::{invalid, parsed};
use super::response::{insert_etag, insert_read_headers, json, not_modified};
use crate::codex::{TaskDetail, TaskFilter};
use crate::task::{Datum, FileName, Kategorie, Problem, Status};
use crate::view::{FileObject, TaskObject};

/// The maximum and default number of tasks in a response.
const MAX_LIMIT: usize = 500;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    #[schema(inline)]
    ok: Always<true>,
    tasks: Vec<TaskObject<'a>>,
    #[schema(required)]
    next_cursor: Option<String>,
}

refusals!(ListRefusals: CALLER, READ; InvalidQuery = parse_filter("limit=0").err());

/// The tasks that match the query, in placement order. Costs no storage request beyond the timeline's.
///
/// Returns 200.
#[utoipa::path(
    get,
    path = "/api/tasks",
    tag = "tasks",
    params(
        ("status" = inline(Option<Vec<AnyStatus>>), Query, description = "Only tasks with one of these; repeated, or separated by commas. Default `offen`."),
        ("kategorie" = Option<Kategorie>, Query, description = "Only tasks of this category."),
        ("tag" = Option<String>, Query, description = "Only tasks with exactly this tag."),
        ("q" = Option<String>, Query, description = "Only tasks that have each of these words in their number, title or a tag, in any letter case."),
        ("done_from" = Option<Datum>, Query, description = "Only tasks done on this day or later; they have the status `abgeschlossen`, which isn't the default."),
        ("done_to" = Option<Datum>, Query, description = "Only tasks done on this day or earlier."),
        ("due_from" = Option<Datum>, Query, description = "Only tasks with a deadline on this day or later."),
        ("due_to" = Option<Datum>, Query, description = "Only tasks with a deadline on this day or earlier."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 500, description = "The maximum number of tasks."),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier response: the list continues after it."),
        ConsistencyParams,
    ),
    responses(
        (status = 200, description = "The tasks.", body = Listed, example = json!({
            "ok": true,
            "tasks": [{
                "id": "0042", "file": "raw/anna/tasks/0042-Steuer.md", "filename": "0042-Steuer.md",
                "title": "Steuer", "kategorie": "arbeit", "status": "offen", "tags": ["geld"], "deadline": "24.12.2026",
                "fixedSlot": null, "abgeschlossen_am": null, "etag": "4f9a6c0d1be23f5a7788990aabbccddeeff00112",
            }],
            "nextCursor": null,
        })),
        ListRefusals,
    ),
)]
pub(super) async fn list_tasks(admitted: Admitted) -> Response {
    admitted.answer(list).await
}

async fn list(asked: Asked) -> Answer {
    let filter = parse_filter(asked.query())?;
    let list = asked.app.codex.reader().list(&asked.reader, &filter);
    let list = list.await?;
    let (entry, folder) = (&list.read.entry, list.read.entry.folder());
    let objects = list.rows.iter().filter_map(|row| {
        let file = entry.table().file(*row);
        TaskObject::new(folder.as_str(), &file)
    });
    let document = Listed {
        ok: Always,
        tasks: objects.collect(),
        next_cursor: list.next.as_ref().map(encode_cursor),
    };
    let mut response = json(StatusCode::OK, &document);
    insert_read_headers(response.headers_mut(), &list.read, list.read.requests);
    Ok(response)
}

/// Unknown parameters are ignored: a Functions key comes as `code`.
fn parse_filter(query: &str) -> Answer<TaskFilter> {
    let mut filter = TaskFilter {
        limit: MAX_LIMIT,
        ..TaskFilter::default()
    };
    let (mut statuses, mut is_any) = (vec![], false);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            // A Functions host that doesn't proxy joins repeated parameters by commas.
            "status" => {
                for word in value.split(',') {
                    match word {
                        "alle" => is_any = true,
                        word => statuses.push(status(word)?),
                    }
                }
            }
            "kategorie" => {
                let allowed = "kategorie must be arbeit or privat.";
                filter.kategorie = Some(parsed("kategorie", &value, allowed)?);
            }
            "tag" => filter.tag = Some(value.into_owned()),
            "q" => filter.text = Some(value.into_owned()),
            "done_from" => filter.done.from = Some(day("done_from", &value)?),
            "done_to" => filter.done.to = Some(day("done_to", &value)?),
            "due_from" => filter.due.from = Some(day("due_from", &value)?),
            "due_to" => filter.due.to = Some(day("due_to", &value)?),
            "limit" => {
                let limit = value.parse().ok().filter(|it| (1..=MAX_LIMIT).contains(it));
                filter.limit = limit.ok_or_else(|| invalid("limit", "limit must be 1 to 500."))?;
            }
            "cursor" => {
                let message = "cursor must be the nextCursor of an earlier answer.";
                let name = decode_cursor(&value).ok_or_else(|| invalid("cursor", message))?;
                filter.after = Some(name);
            }
            _ => {}
        }
    }
    filter.statuses = match (is_any, statuses.is_empty()) {
        (true, _) => vec![],
        (false, true) => vec![Status::Offen],
        (false, false) => statuses,
    };
    Ok(filter)
}

fn status(word: &str) -> Answer<Status> {
    let allowed = "status must be offen, abgeschlossen, abgebrochen or alle, or several of them.";
    parsed("status", word, allowed)
}

fn day(name: &'static str, value: &str) -> Answer<Datum> {
    let allowed = "This parameter must be a day that exists, dd.mm.yyyy, as in 24.12.2026.";
    parsed(name, value, allowed)
}

/// The cursor after the file `last`. It holds the name rather than a position, so files created or removed between
/// pages don't shift it.
fn encode_cursor(last: &FileName) -> String {
    URL_SAFE_NO_PAD.encode(last.as_str())
}

fn decode_cursor(cursor: &str) -> Option<FileName> {
    let name = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    std::str::from_utf8(&name).ok()?.parse().ok()
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Shown<'a> {
    Task(ShownTask<'a>),
    File(ShownFile<'a>),
}

/// A task with its body.
#[derive(Serialize, ToSchema)]
struct ShownTask<'a> {
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
struct ShownFile<'a> {
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

refusals!(GetRefusals: CALLER, READ, TASK);

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
        (status = 200, description = "The task.", body = Shown, examples(
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
        GetRefusals,
    ),
)]
pub(super) async fn get_task(admitted: Admitted) -> Response {
    admitted.answer(show).await
}

async fn show(mut asked: Asked) -> Answer {
    let task = asked.task().await?;
    let shown = asked.app.codex.reader().task(&asked.reader, &task);
    let shown = shown.await?;
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

fn document(shown: &TaskDetail) -> Shown<'_> {
    let entry = &shown.read.entry;
    let (file, folder) = (entry.table().file(shown.row), entry.folder());
    let (body, html) = (shown.body.as_deref(), shown.html.as_deref());
    match TaskObject::new(folder.as_str(), &file) {
        Some(task) => Shown::Task(ShownTask {
            ok: Always,
            task,
            body,
            html,
        }),
        None => Shown::File(ShownFile {
            ok: Always,
            file: FileObject::new(folder.as_str(), &file),
            body,
            html,
            problem: shown.problem.as_ref(),
        }),
    }
}
