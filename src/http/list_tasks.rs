//! `listTasks`: GET `/api/tasks`.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::error::ApiError;
use super::extract::{Admitted, Asked};
use super::openapi::error_responses::refusals;
use super::openapi::parameters::ConsistencyParams;
use super::query::{invalid, parsed};
use super::response::{insert_read_headers, json};
use crate::codex::TaskFilter;
use crate::task::{FileName, Kategorie, Status};
use crate::view::TaskObject;

/// The maximum and default number of tasks in a response.
const MAX_LIMIT: usize = 500;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Listed)]
struct ListResponse<'a> {
    #[schema(inline)]
    ok: Always<true>,
    tasks: Vec<TaskObject<'a>>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Default `offen`.
#[expect(dead_code, reason = "only for the OpenAPI document")]
#[derive(ToSchema)]
#[schema(as = AnyStatus, rename_all = "lowercase")]
enum StatusParam {
    Offen,
    Abgeschlossen,
    Abgebrochen,
    Alle,
}

refusals!(Refusals: CALLER, READ; InvalidQuery = parse_filter("limit=0").err());

/// The tasks that match the query, in placement order: `status` (default `offen`, or `alle`), `kategorie`, `tag`, `q`,
/// `limit`, `cursor`. Costs no storage request beyond the timeline's.
///
/// Returns 200.
#[utoipa::path(
    get,
    path = "/api/tasks",
    tag = "tasks",
    params(
        ("status" = inline(Option<StatusParam>), Query, description = "Default `offen`."),
        ("kategorie" = Option<Kategorie>, Query, description = "Only tasks of this category."),
        ("tag" = Option<String>, Query, description = "Only tasks with exactly this tag."),
        ("q" = Option<String>, Query, description = "Only tasks that have each of these words in their number, title or a tag, in any letter case."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 500, description = "The maximum number of tasks."),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier response: the list continues after it."),
        ConsistencyParams,
    ),
    responses(
        (status = 200, description = "The tasks.", body = ListResponse, example = json!({
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
pub(super) async fn list_tasks(admitted: Admitted) -> Response {
    admitted.answer(list).await
}

async fn list(asked: Asked) -> Result<Response, ApiError> {
    let filter = parse_filter(asked.query())?;
    let list = asked
        .app
        .codex()
        .reader()
        .list(&asked.reader, &filter)
        .await?;
    let (entry, folder) = (&list.read.entry, list.read.entry.folder());
    let objects = list.rows.iter().filter_map(|row| {
        let file = entry.table().file(*row);
        TaskObject::new(folder.as_str(), &file)
    });
    let document = ListResponse {
        ok: Always,
        tasks: objects.collect(),
        next_cursor: list.next.as_ref().map(encode_cursor),
    };
    let mut response = json(StatusCode::OK, &document);
    insert_read_headers(response.headers_mut(), &list.read, list.read.requests);
    Ok(response)
}

/// Unknown parameters are ignored: a Functions key comes as `code`.
fn parse_filter(query: &str) -> Result<TaskFilter, ApiError> {
    let mut filter = TaskFilter {
        status: Some(Status::Offen),
        limit: MAX_LIMIT,
        ..TaskFilter::default()
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "status" if value == "alle" => filter.status = None,
            "status" => {
                let allowed = "status must be offen, abgeschlossen, abgebrochen or alle.";
                filter.status = Some(parsed("status", &value, allowed)?);
            }
            "kategorie" => {
                let allowed = "kategorie must be arbeit or privat.";
                filter.kategorie = Some(parsed("kategorie", &value, allowed)?);
            }
            "tag" => filter.tag = Some(value.into_owned()),
            "q" => filter.text = Some(value.into_owned()),
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
    Ok(filter)
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
