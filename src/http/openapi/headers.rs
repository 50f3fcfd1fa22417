//! Response headers in the document: those of every response, and those by operation and status.

use HeaderType::{Address, Enum, Number, Text};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    Header, HeaderBuilder, ObjectBuilder, RefOr, Response, Type, extensions::Extensions,
};

/// A response header: name, type, description.
struct DocumentedHeader(&'static str, HeaderType, &'static str);

enum HeaderType {
    Text,
    /// With an example.
    Address(&'static str),
    Number,
    Enum(&'static [&'static str]),
}

macro_rules! headers {
    ($($header:ident = $name:literal, $kind:expr, $what:literal;)+) => {
        $(const $header: DocumentedHeader = DocumentedHeader($name, $kind, $what);)+
    };
}

headers! {
    REQUEST_ID = "x-request-id", Text, "The request's id, as in the log.";
    NO_SNIFF = "x-content-type-options", Enum(&["nosniff"]), "Forbids content sniffing.";
    CACHE = "Cache-Control", Text, "Who may store the response.";
    VARY = "Vary", Text, "The request headers that the response depends on.";
    ETAG = "ETag", Text, "Identifies this content, for `If-None-Match` or `If-Match`.";
    VERSION = "x-codex-version", Number, "The version of the user's data that the response contains.";
    LAYER = "x-codex-cache", Enum(&["memory", "redis", "artifact", "rebuild", "stale"]), "The cache layer that served the response.";
    HINTS = "x-codex-hints", Enum(&["on"]), "Plain reads show changes by all instances at once: a client that polls needs no strong reads.";
    TIMING = "Server-Timing", Text, "The storage requests that the response needed.";
    COOKIE = "Set-Cookie", Text, "Cookies for browsers: the version, or the session.";
    LOCATION = "Location", Address("/"), "The target of the redirect.";
    GITHUB = "Location", Address("https://github.com/login/oauth/authorize?client_id=Iv1.0123456789abcdef&state=QmFzZTY0"), "GitHub's page that asks for the permission.";
    CREATED = "Location", Address("/api/tasks/0042"), "The new task.";
    REFERRER = "Referrer-Policy", Text, "Keeps the address out of `Referer`.";
    POLICY = "Content-Security-Policy", Text, "What the page may load.";
    OPENER = "Cross-Origin-Opener-Policy", Text, "Isolates the page from pages that open it.";
    RESOURCE = "Cross-Origin-Resource-Policy", Text, "Keeps pages of other sites from loading it.";
    PERMISSIONS = "Permissions-Policy", Text, "The device features that the page can't use.";
    PACKED = "Content-Encoding", Enum(&["gzip"]), "The compression of the body.";
    CLEAR = "Clear-Site-Data", Text, "The data that the browser clears.";
    ALLOW = "Allow", Text, "The methods that the path has.";
    CHALLENGE = "WWW-Authenticate", Text, "The authentication scheme to use.";
    RETRY = "Retry-After", Number, "When to retry, in seconds.";
}

/// Operation ids, statuses, headers that are always present, headers that may be.
type ResponseHeaders = (
    &'static str,
    &'static str,
    &'static [DocumentedHeader],
    &'static [DocumentedHeader],
);

const READ: &[DocumentedHeader] = &[CACHE, VERSION, LAYER, TIMING];
const WRITE: &[DocumentedHeader] = &[CACHE, ETAG, VERSION, TIMING, COOKIE];
const DELETE: &[DocumentedHeader] = &[CACHE, VERSION, TIMING, COOKIE];
const WEEK: &[DocumentedHeader] = &[CACHE, VERSION, LAYER, TIMING, ETAG, VARY];
const CREATE: &[DocumentedHeader] = &[CACHE, CREATED, VERSION, TIMING, COOKIE];
const REDIRECT: &[DocumentedHeader] = &[LOCATION, CACHE, REFERRER];

const STATIC: &[DocumentedHeader] = &[CACHE, ETAG, VARY];
const PAGE: &[DocumentedHeader] = &[
    CACHE,
    ETAG,
    PACKED,
    POLICY,
    REFERRER,
    OPENER,
    RESOURCE,
    PERMISSIONS,
];

/// Of a refusal as a page.
const REFUSED_PAGE: &[DocumentedHeader] = &[POLICY, REFERRER];

/// The headers by operation and status; those of errors in general are in [`add_error_headers`].
const SUCCESS_HEADERS: &[ResponseHeaders] = &[
    ("renderCodex", "200 304", WEEK, &[HINTS]),
    ("renderCodex", "200", &[], &[PACKED, POLICY]),
    ("renderCodex", "400 401 403 429 503", &[], REFUSED_PAGE),
    ("webAsset", "404", &[], REFUSED_PAGE),
    ("listTasks", "200", READ, &[]),
    ("getTask", "200", READ, &[ETAG]),
    ("getTask", "304", READ, &[]),
    ("getTask", "304", &[ETAG], &[]),
    ("createTask", "201", WRITE, &[]),
    ("createTask", "201 200", CREATE, &[]),
    ("updateTask putTask completeTask", "200", WRITE, &[]),
    ("deleteTask", "200", DELETE, &[]),
    ("sync", "200", &[CACHE, VERSION, COOKIE], &[]),
    ("syncState", "200", &[CACHE, VERSION], &[]),
    ("syncState", "405", &[ALLOW], &[]),
    ("calendar", "200 304", READ, &[]),
    ("calendar", "200 304", &[ETAG], &[]),
    (
        "createCalendar deleteCalendar preview metrics me",
        "200",
        &[CACHE],
        &[],
    ),
    ("githubWebhook", "200 202", &[CACHE], &[]),
    ("login renderCodex", "302", REDIRECT, &[]),
    ("authGithub", "302", &[GITHUB, CACHE, REFERRER], &[]),
    ("authGithubCallback", "302", REDIRECT, &[]),
    ("authGithub authGithubCallback", "302", &[COOKIE], &[]),
    ("authGithub login", "400 409", &[], REFUSED_PAGE),
    (
        "authGithubCallback",
        "400 403 409 503",
        &[REFERRER],
        &[POLICY],
    ),
    ("logout", "200", &[CACHE, CLEAR, COOKIE], &[]),
    (
        "openapiJson webAsset serviceWorker",
        "200 304",
        STATIC,
        &[PACKED],
    ),
    ("docs", "200 304", STATIC, &[POLICY, PACKED]),
    ("root", "200", &[VARY], PAGE),
    ("root", "304", STATIC, PAGE),
];

/// Adds to each response of the operation the headers it has.
pub(super) fn add_headers(operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let names = |words: &str, word: &str| words.split(' ').any(|it| it == word);
    let mut responses: Vec<_> = operation.responses.responses.iter_mut().collect();
    for (status, response) in responses.iter_mut() {
        add(response, &[REQUEST_ID, NO_SNIFF], true);
        if is_error(status) {
            add_error_headers(response, status);
        }
        for (operations, statuses, always, optional) in SUCCESS_HEADERS {
            if names(operations, &id) && names(statuses, status) {
                add(response, always, true);
                add(response, optional, false);
            }
        }
    }
    // The errors of an operation whose responses have the version may have it, too.
    let has_version = responses.iter().any(
        |(_, response)| matches!(response, RefOr::T(it) if it.headers.contains_key(VERSION.0)),
    );
    if has_version {
        for (status, response) in responses {
            if is_error(status) {
                add(response, &[VERSION], false);
            }
        }
    }
}

fn is_error(status: &str) -> bool {
    status >= "400"
}

fn add_error_headers(response: &mut RefOr<Response>, status: &str) {
    add(response, &[CACHE], true);
    match status {
        "401" => add(response, &[CHALLENGE], true),
        "429" => add(response, &[RETRY], true),
        "503" => add(response, &[RETRY], false),
        _ => {}
    }
}

fn add(response: &mut RefOr<Response>, headers: &[DocumentedHeader], always: bool) {
    let RefOr::T(response) = response else {
        return;
    };
    for header in headers {
        let entry = response.headers.entry(header.0.to_owned());
        entry.or_insert_with(|| header.header(always).into());
    }
}

impl DocumentedHeader {
    /// utoipa's header has no `required`, but its extensions are serialized beside its other members.
    fn header(&self, always: bool) -> Header {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let schema = match self.1 {
            Text => text,
            Address(example) => text.examples([example]),
            Number => text.schema_type(Type::Integer).minimum(Some(0)),
            Enum(words) => text.enum_values(Some(words.iter().copied())),
        };
        let header = HeaderBuilder::new()
            .description(Some(self.2))
            .schema(Some(schema));
        let required = always.then(|| Extensions::from_iter([("required", true)]));
        header.extensions(required).build()
    }
}
