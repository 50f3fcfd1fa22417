//! `renderCodex`: GET `/codex`.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

use super::answer::{SERVER_TIMING, X_CODEX_CACHE, page_policy, redirect, server_timing};
use super::extract::{
    Caller, X_CODEX_VERSION, accepted_encoding, accepted_language, has_already, want, wants_page,
};
use super::openapi::refusals;
use super::openapi::requests::{Cached, Known, Spoken};
use super::request_id::{NOSNIFF, X_CONTENT_TYPE_OPTIONS, X_REQUEST_ID};
use super::{ApiError, App, Code};
use crate::codex::{Encoding, Freshness, Layer, PageFormat, Read, Requests};
use crate::now::Now;
use crate::view::{Document, STYLESHEET};

/// The week's forms.
#[expect(dead_code, reason = "for the API's document")]
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Format {
    Json,
    Html,
}

/// Yes or no, as [`flag`] reads it.
pub(super) struct Flag;

impl utoipa::PartialSchema for Flag {
    fn schema() -> RefOr<Schema> {
        let word = ObjectBuilder::new().schema_type(Type::String);
        word.enum_values(Some(["true", "1", "false", "0", ""]))
            .into()
    }
}

impl ToSchema for Flag {}

/// What the query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    format: PageFormat,
    nocache: bool,
    bodies: bool,
}

refusals!(Refusals: CALLER, READ; InvalidQuery = format("pdf", &HeaderMap::new()).err());

/// The user's week as JSON (default) or HTML.
///
/// 200, or 304 when `If-None-Match` names what would be sent; `?nocache=true` lists the files anew,
/// `Cache-Control: no-cache` asks the state at least; `?format=html&bodies=true` shows the tasks'
/// bodies. A browser that nobody is signed in with is sent to sign in (302). While the store is away, what
/// was known last stands in, if it is recent enough; else 503.
#[utoipa::path(
    get,
    path = "/codex",
    tag = "week",
    params(
        ("format" = inline(Option<Format>), Query, description = "`json` unless it says something else."),
        ("nocache" = inline(Option<Flag>), Query, description = "Lists the files anew."),
        ("bodies" = inline(Option<Flag>), Query, description = "With `format=html`: shows the tasks' bodies."),
        Spoken,
        Known,
        Cached,
    ),
    responses(
        (status = 200, description = "The week.", content(
            (Document = "application/json", example = json!({
                "cacheCreatedAt": "2026-12-21T08:30:00Z", "generatedAt": "2026-12-21T08:30:05Z",
                "validUntil": "2026-12-21T13:00:00Z", "version": 16, "userId": "anna", "timeZone": "Europe/Berlin",
                "weekStart": "21.12.2026", "nextAvailableId": "0044",
                "timeline": [{"datum": "21.12.2026", "dayOfWeek": 1, "slots": [
                    {"zeit": "nachmittags", "task": {
                        "file": "raw/anna/tasks/0042-Steuer.md", "id": "0042", "title": "Steuer", "kategorie": "arbeit",
                        "status": "offen", "tags": ["geld"], "deadline": "24.12.2026", "deadlineMissed": false,
                        "isFixed": false,
                    }},
                    {"zeit": "abends", "task": null},
                ]}],
                "unplaced": [{
                    "file": "raw/anna/tasks/0043-Zahnarzt.md", "id": "0043", "title": "Zahnarzt", "kategorie": "privat",
                    "deadline": null, "reason": "horizon_full",
                }],
                "problems": [{
                    "file": "raw/anna/tasks/0007-Zahnarzt.md", "line": 3, "code": "bad_kategorie",
                    "message": "kategorie must be one of arbeit, privat, not `garten`",
                }],
            })),
            (String = "text/html"),
        )),
        (status = 304, description = "The client has it already."),
        (status = 302, description = "To the sign-in, for a browser that nobody is signed in with."),
        Refusals,
    ),
)]
pub(super) async fn render_codex(
    State(app): State<App>,
    caller: Result<Caller, ApiError>,
    now: Now,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => return to_sign_in(&app, &request, refusal),
    };
    let headers = request.headers();
    let asked = Asked::of(request.uri().query(), headers)?;
    let mut want = want(headers, caller, now);
    if asked.nocache {
        want.freshness = Freshness::Rebuilt;
    }
    if let (true, PageFormat::Html(language)) = (asked.bodies, asked.format) {
        // Made anew each time; boxed, so that every other read stays small.
        let week = Box::pin(app.codex().week_with_bodies(&want, language)).await?;
        let sent = Sent {
            format: asked.format,
            encoding: Encoding::Identity,
            etag: value(Bytes::from(week.etag.into_boxed_bytes())),
            version: HeaderValue::from(week.read.entry.knowledge.hi.0),
            length: HeaderValue::from(week.bytes.len()),
            bytes: week.bytes,
        };
        return Ok(answer(headers, &week.read, sent));
    }
    let read = app.codex().week(&want).await?;
    let encoding = accepted_encoding(headers);
    let page = app.codex().page(&read.entry, asked.format, encoding);
    let sent = Sent {
        format: asked.format,
        encoding,
        etag: value(page.etag),
        version: value(page.version),
        length: value(page.length),
        bytes: page.bytes,
    };
    Ok(answer(headers, &read, sent))
}

/// Digits and quoted tags are always a header's value.
fn value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A browser without a session is sent to sign in, and comes back to what it asked for; everybody else
/// gets the refusal.
fn to_sign_in(app: &App, request: &Request, refusal: ApiError) -> Result<Response, ApiError> {
    if refusal.code() != Code::NotSignedIn || !wants_page(request.headers()) {
        return Err(refusal);
    }
    // Others' parameters stay behind: a Functions key comes as `code`.
    let query = request.uri().query().unwrap_or_default();
    let ours = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        matches!(name, "format" | "bodies" | "nocache")
    };
    let query: Vec<&str> = query.split('&').filter(ours).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let page = format!("/codex{mark}{}", query.join("&"));
    let sign_in = app.gate().sign_in_page(request.headers(), &page);
    sign_in.map(|address| redirect(&address)).ok_or(refusal)
}

impl Asked {
    /// Parameters it doesn't know are left to others: a Functions key comes as `code`.
    fn of(query: Option<&str>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut asked = Self {
            format: PageFormat::Json,
            nocache: false,
            bodies: false,
        };
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            match name {
                "format" => asked.format = format(&value, headers)?,
                "nocache" => asked.nocache = flag("nocache", &value)?,
                "bodies" => asked.bodies = flag("bodies", &value)?,
                _ => {}
            }
        }
        Ok(asked)
    }
}

fn format(value: &str, headers: &HeaderMap) -> Result<PageFormat, ApiError> {
    match value {
        "json" => Ok(PageFormat::Json),
        "html" => Ok(PageFormat::Html(accepted_language(headers))),
        _ => Err(ApiError::new(Code::InvalidQuery, "format must be json or html.").field("format")),
    }
}

pub(super) fn flag(name: &'static str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(
            ApiError::new(Code::InvalidQuery, "This parameter must be true or false.").field(name),
        ),
    }
}

/// What is sent: one of the kept answers, or one just made.
struct Sent {
    format: PageFormat,
    encoding: Encoding,
    etag: HeaderValue,
    version: HeaderValue,
    length: HeaderValue,
    bytes: Bytes,
}

fn answer(request: &HeaderMap, read: &Read, sent: Sent) -> Response {
    let heads = match sent.format {
        PageFormat::Json => &JSON,
        PageFormat::Html(_) => &HTML,
    };
    let unchanged = has_already(request, sent.etag.to_str().unwrap_or_default());
    let (status, head, body) = match (unchanged, sent.encoding) {
        (true, _) => (StatusCode::NOT_MODIFIED, &heads.unchanged, Body::empty()),
        (false, Encoding::Identity) => (StatusCode::OK, &heads.identity, Body::from(sent.bytes)),
        (false, Encoding::Gzip) => (StatusCode::OK, &heads.gzip, Body::from(sent.bytes)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = head.clone();
    let headers = response.headers_mut();
    headers.insert(ETAG, sent.etag);
    headers.insert(X_CODEX_VERSION, sent.version);
    if !unchanged {
        headers.insert(CONTENT_LENGTH, sent.length);
    }
    if read.layer != Layer::Memory {
        headers.insert(X_CODEX_CACHE, HeaderValue::from_static(read.layer.as_str()));
    }
    if read.requests != Requests::default() {
        headers.insert(SERVER_TIMING, server_timing(read.requests));
    }
    response
}

/// The headers of the answers in one form, as memory answers. What differs from one to the next is written
/// over: a copy costs a third of what it costs to put the same headers together.
struct Heads {
    unchanged: HeaderMap,
    identity: HeaderMap,
    gzip: HeaderMap,
}

static JSON: LazyLock<Heads> = LazyLock::new(|| {
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    Heads::new("Accept-Encoding", vec![(CONTENT_TYPE, kind)])
});

static HTML: LazyLock<Heads> = LazyLock::new(|| {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let described = vec![
        (CONTENT_TYPE, kind),
        // The page is its own style sheet and nothing else: no script, no frame, nothing fetched.
        (CONTENT_SECURITY_POLICY, page_policy(STYLESHEET)),
    ];
    Heads::new("Accept-Encoding, Accept-Language", described)
});

impl Heads {
    /// `described` is what is said of a body.
    fn new(vary: &'static str, described: Vec<(HeaderName, HeaderValue)>) -> Self {
        let written_over = HeaderValue::from_static("");
        let unchanged = HeaderMap::from_iter([
            (ETAG, written_over.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
            (VARY, HeaderValue::from_static(vary)),
            (
                X_CODEX_CACHE,
                HeaderValue::from_static(Layer::Memory.as_str()),
            ),
            (X_CODEX_VERSION, written_over.clone()),
            (SERVER_TIMING, server_timing(Requests::default())),
            (X_REQUEST_ID, written_over.clone()),
            (X_CONTENT_TYPE_OPTIONS, NOSNIFF),
        ]);
        let mut identity = unchanged.clone();
        identity.insert(CONTENT_LENGTH, written_over);
        identity.extend(described);
        let mut gzip = identity.clone();
        gzip.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Self {
            unchanged,
            identity,
            gzip,
        }
    }
}
