//! `listTasks`: GET `/api/tasks`.

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Always, describe_read, json};
use super::extract::{Caller, want};
use super::openapi::refusals;
use super::openapi::requests::Known;
use super::{ApiError, App, Code};
use crate::codex::Filter;
use crate::now::Now;
use crate::task::{FileName, Kategorie, Status};
use crate::view::TaskObject;

/// The most tasks in one answer, and the default.
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

/// Open unless it says something else.
#[expect(dead_code, reason = "for the API's document")]
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum AnyStatus {
    Offen,
    Abgeschlossen,
    Abgebrochen,
    Alle,
}

refusals!(Refusals: CALLER, READ; InvalidQuery = filter("limit=0").err());

/// The tasks that the query lets through, in placement order: `status` (default `offen`, or `alle`),
/// `kategorie`, `tag`, `q`, `limit`, `cursor`. Costs no storage request beyond the timeline's.
///
/// Answers 200.
#[utoipa::path(
    get,
    path = "/api/tasks",
    tag = "tasks",
    params(
        ("status" = inline(Option<AnyStatus>), Query, description = "`offen` unless it says something else."),
        ("kategorie" = Option<Kategorie>, Query, description = "Only these."),
        ("tag" = Option<String>, Query, description = "Only those with exactly this tag."),
        ("q" = Option<String>, Query, description = "Only those that have each of these words in number, title or a tag, in any letter case."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 500, description = "At most so many."),
        ("cursor" = Option<String>, Query, description = "Goes on after an earlier answer: its `nextCursor`."),
        Known,
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
        Refusals,
    ),
)]
pub(super) async fn list_tasks(
    State(app): State<App>,
    caller: Caller,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let filter = filter(request.uri().query().unwrap_or_default())?;
    let want = want(request.headers(), caller, now);
    let list = app.codex().list(&want, &filter).await?;
    let (entry, folder) = (&list.read.entry, list.read.entry.folder());
    let objects = list.rows.iter().filter_map(|row| {
        let file = entry.table().file(*row);
        TaskObject::new(folder.as_str(), &file)
    });
    let document = Listed {
        ok: Always,
        tasks: objects.collect(),
        next_cursor: list.next.as_ref().map(cursor),
    };
    let mut response = json(StatusCode::OK, &document);
    describe_read(response.headers_mut(), &list.read, list.read.requests);
    Ok(response)
}

/// Parameters it doesn't know are left to others: a Functions key comes as `code`.
fn filter(query: &str) -> Result<Filter, ApiError> {
    let mut filter = Filter {
        status: Some(Status::Offen),
        limit: MAX_LIMIT,
        ..Filter::default()
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "status" if value == "alle" => filter.status = None,
            "status" => {
                let allowed = "status must be offen, abgeschlossen, abgebrochen or alle.";
                filter.status = Some(value.parse().map_err(|_| invalid("status", allowed))?);
            }
            "kategorie" => {
                let allowed = "kategorie must be arbeit or privat.";
                filter.kategorie = Some(value.parse().map_err(|_| invalid("kategorie", allowed))?);
            }
            "tag" => filter.tag = Some(value.into_owned()),
            "q" => filter.text = Some(value.into_owned()),
            "limit" => {
                let limit = value.parse().ok().filter(|it| (1..=MAX_LIMIT).contains(it));
                filter.limit = limit.ok_or_else(|| invalid("limit", "limit must be 1 to 500."))?;
            }
            "cursor" => {
                let message = "cursor must be the nextCursor of an earlier answer.";
                filter.after = Some(after(&value).ok_or_else(|| invalid("cursor", message))?);
            }
            _ => {}
        }
    }
    Ok(filter)
}

fn invalid(name: &'static str, message: &'static str) -> ApiError {
    ApiError::new(Code::InvalidQuery, message).field(name)
}

/// Goes on after this file, whatever comes or goes meanwhile.
fn cursor(last: &FileName) -> String {
    URL_SAFE_NO_PAD.encode(last.as_str())
}

fn after(cursor: &str) -> Option<FileName> {
    let name = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    std::str::from_utf8(&name).ok()?.parse().ok()
}
