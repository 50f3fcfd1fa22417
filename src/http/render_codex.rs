//! `renderCodex`: GET `/codex`.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::app::App;
use super::auth::Caller;
use super::error::{Answer, ApiError};
use super::error_code::Code;
use super::extract::{arrival, caller, read_request};
use super::header_names::{
    HTML, JSON, NOSNIFF, SERVER_TIMING, X_CODEX_CACHE, X_CODEX_HINTS, X_CODEX_VERSION,
    X_CONTENT_TYPE_OPTIONS, X_REQUEST_ID,
};
use super::negotiate::{Representation, accepted_encoding, accepted_language, ascii, wants_page};
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{
    AcceptLanguageParam, ConsistencyParams, Flag, Format, IfNoneMatchParam,
};
use super::query::{flag, invalid};
use super::response::{redirect, server_timing};
use super::static_response::page_policy;
use crate::codex::{
    Consistency, Encoding, Layer, PageBytes, PageFormat, Read, ReadRequest, Requests,
};
use crate::context;
use crate::view::{STYLESHEET, WeekDocument};

/// The query of `GET /codex`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CodexQuery {
    format: PageFormat,
    nocache: bool,
    bodies: bool,
}

refusals!(Refusals as page: CALLER, READ; InvalidQuery = format("pdf", &HeaderMap::new()).err());

/// The user's week as JSON (default) or HTML.
///
/// 200, or 304 when `If-None-Match` matches; `?nocache=true` lists the files again, `Cache-Control: no-cache` checks at
/// least the user's state; `?format=html&bodies=true` includes the tasks' bodies. A browser without a session is
/// redirected to the sign-in (302), and gets a refusal as a page. During a storage outage the last known week is served
/// if it is recent enough, else 503.
#[utoipa::path(
    get,
    path = "/codex",
    tag = "week",
    params(
        ("format" = inline(Option<Format>), Query, description = "Default `json`."),
        ("nocache" = inline(Option<Flag>), Query, description = "Lists the files again."),
        ("bodies" = inline(Option<Flag>), Query, description = "With `format=html`: includes the tasks' bodies."),
        AcceptLanguageParam,
        ConsistencyParams,
        IfNoneMatchParam,
    ),
    responses(
        (status = 200, description = "The week.", content(
            (WeekDocument = "application/json", example = json!({
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
        (status = 304, description = "Not modified."),
        (status = 302, description = "To the sign-in, for a browser without a session."),
        Refusals,
    ),
)]
pub(super) async fn render_codex(State(app): State<App>, request: Request) -> Response {
    // Not by `Admitted`: the request that is made most often isn't taken apart.
    let (headers, now) = (request.headers(), arrival(request.extensions()));
    match caller(&app, request.method(), headers, now).await {
        Ok(Caller { user, renewal, .. }) => {
            let read_request = read_request(user, headers, now);
            let answer = week(&app, read_request, request.uri().query(), headers).await;
            let answer = answer.map_err(|error| error.into_page_for(headers));
            let mut response = answer.into_response();
            if let Some(renewal) = renewal {
                renewal.add_to(&mut response);
            }
            response
        }
        Err(error) => match sign_in_url(&app, &request, &error) {
            Some(url) => redirect(&url),
            None => error.into_page_for(request.headers()).into_response(),
        },
    }
}

async fn week(
    app: &App,
    mut read_request: ReadRequest,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Answer {
    let query = CodexQuery::of(query, headers)?;
    let codex = app.codex.reader();
    let hears_hints = app.codex.hears_hints();
    if query.nocache {
        read_request.consistency = Consistency::Rebuilt;
    }
    if let (true, PageFormat::Html(language)) = (query.bodies, query.format) {
        // Not cached: rendered for each request. Boxed, so that the future of all other reads stays small.
        let (read, page) = Box::pin(codex.week_with_bodies(&read_request, language)).await?;
        return Ok(respond(
            headers,
            &read,
            query.format,
            Encoding::Identity,
            page,
            hears_hints,
        ));
    }
    let read = codex.week(&read_request).await?;
    let encoding = accepted_encoding(headers);
    let page = codex.page(&read.entry, query.format, encoding);
    Ok(respond(
        headers,
        &read,
        query.format,
        encoding,
        page,
        hears_hints,
    ))
}

/// `text` is digits or a quoted tag, so it is always a valid header value.
fn header_value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Where to redirect a browser without a session: to the sign-in, which returns to the requested page. `None` for any
/// other request.
fn sign_in_url(app: &App, request: &Request, error: &ApiError) -> Option<String> {
    if error.code() != Code::NotSignedIn || !wants_page(request.headers()) {
        return None;
    }
    // Drops parameters of other software: a Functions key comes as `code`.
    let query = request.uri().query().unwrap_or_default();
    let is_own = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        matches!(name, "format" | "bodies" | "nocache")
    };
    let query: Vec<&str> = query.split('&').filter(is_own).collect();
    let question_mark = if query.is_empty() { "" } else { "?" };
    let page = format!("/codex{question_mark}{}", query.join("&"));
    app.authenticator.sign_in_url(request.headers(), &page)
}

impl CodexQuery {
    /// Unknown parameters are ignored: a Functions key comes as `code`.
    fn of(query: Option<&str>, headers: &HeaderMap) -> Answer<Self> {
        let mut parsed = Self {
            format: PageFormat::Json,
            nocache: false,
            bodies: false,
        };
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            match name {
                "format" => parsed.format = format(&value, headers)?,
                "nocache" => parsed.nocache = flag("nocache", &value)?,
                "bodies" => parsed.bodies = flag("bodies", &value)?,
                _ => {}
            }
        }
        Ok(parsed)
    }
}

fn format(value: &str, headers: &HeaderMap) -> Answer<PageFormat> {
    match value {
        "json" => Ok(PageFormat::Json),
        "html" => Ok(PageFormat::Html(accepted_language(headers))),
        _ => Err(invalid("format", "format must be json or html.")),
    }
}

fn respond(
    request: &HeaderMap,
    read: &Read,
    format: PageFormat,
    encoding: Encoding,
    page: PageBytes,
    hears_hints: bool,
) -> Response {
    let templates = match format {
        PageFormat::Json => &JSON_HEADERS[usize::from(hears_hints)],
        PageFormat::Html(_) => &HTML_HEADERS[usize::from(hears_hints)],
    };
    let etag = header_value(page.etag);
    let tag = ascii(&etag).unwrap_or_default();
    let (status, template, body) = match Representation::of(request, tag, encoding) {
        Representation::NotModified => {
            let template = &templates.not_modified;
            (StatusCode::NOT_MODIFIED, template, Bytes::new())
        }
        Representation::Full(Encoding::Identity) => {
            (StatusCode::OK, &templates.identity, page.bytes)
        }
        Representation::Full(Encoding::Gzip) => (StatusCode::OK, &templates.gzip, page.bytes),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = template.clone();
    let headers = response.headers_mut();
    let own = [
        Some(etag),
        Some(header_value(page.version)),
        context::request_id(),
        // A 304 has no length, and no place for it.
        (status == StatusCode::OK).then(|| header_value(page.length)),
    ];
    for (value, own) in headers.values_mut().zip(own) {
        if let Some(own) = own {
            *value = own;
        }
    }
    if read.layer != Layer::Memory {
        headers.insert(X_CODEX_CACHE, HeaderValue::from_static(read.layer.as_str()));
    }
    if read.requests != Requests::default() {
        headers.insert(SERVER_TIMING, server_timing(read.requests));
    }
    response
}

/// The headers of a memory hit in one format. Each response clones a template, which costs a third of building the same
/// headers, and overwrites the values of the first ones by their place, since finding each by its name would cost as
/// much again. `http` doesn't promise that a map keeps the order in which headers were put in; `new` asserts it where
/// assertions are compiled.
struct HeaderTemplates {
    not_modified: HeaderMap,
    identity: HeaderMap,
    gzip: HeaderMap,
}

/// The headers that differ from response to response, in a template's order.
const OWN: [HeaderName; 4] = [ETAG, X_CODEX_VERSION, X_REQUEST_ID, CONTENT_LENGTH];

/// Without and with [`X_CODEX_HINTS`].
static JSON_HEADERS: LazyLock<[HeaderTemplates; 2]> =
    LazyLock::new(|| HeaderTemplates::pair("Accept-Encoding", vec![(CONTENT_TYPE, JSON)]));

static HTML_HEADERS: LazyLock<[HeaderTemplates; 2]> = LazyLock::new(|| {
    let content_headers = vec![
        (CONTENT_TYPE, HTML),
        // Only the inline style sheet: no script, no frame, nothing loaded.
        (CONTENT_SECURITY_POLICY, page_policy(STYLESHEET)),
    ];
    HeaderTemplates::pair("Accept-Encoding, Accept-Language", content_headers)
});

impl HeaderTemplates {
    /// Without and with [`X_CODEX_HINTS`]; `content_headers` are those of responses with a body.
    fn pair(vary: &'static str, content_headers: Vec<(HeaderName, HeaderValue)>) -> [Self; 2] {
        let hints = (X_CODEX_HINTS, HeaderValue::from_static("on"));
        [None, Some(hints)].map(|hints| Self::new(vary, &content_headers, hints))
    }

    fn new(
        vary: &'static str,
        content_headers: &[(HeaderName, HeaderValue)],
        hints: Option<(HeaderName, HeaderValue)>,
    ) -> Self {
        let own = OWN.map(|name| (name, HeaderValue::from_static("")));
        let shared = [
            (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
            (VARY, HeaderValue::from_static(vary)),
            (
                X_CODEX_CACHE,
                HeaderValue::from_static(Layer::Memory.as_str()),
            ),
            (SERVER_TIMING, server_timing(Requests::default())),
            (X_CONTENT_TYPE_OPTIONS, NOSNIFF),
        ];
        let without_length = own.iter().take(OWN.len() - 1);
        let not_modified = without_length.chain(&shared).chain(&hints).cloned();
        let identity = own.iter().chain(&shared).chain(&hints);
        let identity = identity.chain(content_headers).cloned();
        let gzip = (CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let templates = Self {
            not_modified: not_modified.collect(),
            identity: identity.clone().collect(),
            gzip: identity.chain([gzip]).collect(),
        };
        debug_assert!(
            templates
                .identity
                .clone()
                .keys()
                .zip(&OWN)
                .all(|(is, own)| is == own)
        );
        templates
    }
}
