//! Response headers in the document: those of every response, and those by operation and status.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    Header, HeaderBuilder, ObjectBuilder, RefOr, Response, Type, extensions::Extensions,
};

/// A response header: name, type, description.
struct DocumentedHeader(&'static str, HeaderType, &'static str);

enum HeaderType {
    Text,
    Number,
    Enum(&'static [&'static str]),
}

use HeaderType::{Enum, Number, Text};

const REQUEST_ID: DocumentedHeader =
    DocumentedHeader("x-request-id", Text, "The request's id, as in the log.");
const NO_SNIFF: DocumentedHeader = DocumentedHeader(
    "x-content-type-options",
    Enum(&["nosniff"]),
    "Forbids content sniffing.",
);
const CACHE: DocumentedHeader =
    DocumentedHeader("Cache-Control", Text, "Who may store the response.");
const VARY: DocumentedHeader = DocumentedHeader(
    "Vary",
    Text,
    "The request headers that the response depends on.",
);
const ETAG: DocumentedHeader = DocumentedHeader(
    "ETag",
    Text,
    "Identifies this content, for `If-None-Match` or `If-Match`.",
);
const VERSION: DocumentedHeader = DocumentedHeader(
    "x-codex-version",
    Number,
    "The version of the user's data that the response contains.",
);
const LAYER: DocumentedHeader = DocumentedHeader(
    "x-codex-cache",
    Enum(&["memory", "artifact", "rebuild", "stale"]),
    "The cache layer that served the response.",
);
const TIMING: DocumentedHeader = DocumentedHeader(
    "Server-Timing",
    Text,
    "The storage requests that the response needed.",
);
const COOKIE: DocumentedHeader = DocumentedHeader(
    "Set-Cookie",
    Text,
    "Cookies for browsers: the version, or the session.",
);
const LOCATION: DocumentedHeader = DocumentedHeader(
    "Location",
    Text,
    "The target of the redirect, or the new task.",
);
const REFERRER: DocumentedHeader = DocumentedHeader(
    "Referrer-Policy",
    Text,
    "Keeps the address out of `Referer`.",
);
const POLICY: DocumentedHeader =
    DocumentedHeader("Content-Security-Policy", Text, "What the page may load.");
const OPENER: DocumentedHeader = DocumentedHeader(
    "Cross-Origin-Opener-Policy",
    Text,
    "Isolates the page from pages that open it.",
);
const RESOURCE: DocumentedHeader = DocumentedHeader(
    "Cross-Origin-Resource-Policy",
    Text,
    "Keeps pages of other sites from loading it.",
);
const PERMISSIONS: DocumentedHeader = DocumentedHeader(
    "Permissions-Policy",
    Text,
    "The device features that the page can't use.",
);
const PACKED: DocumentedHeader = DocumentedHeader(
    "Content-Encoding",
    Enum(&["gzip"]),
    "The compression of the body.",
);
const CLEAR: DocumentedHeader =
    DocumentedHeader("Clear-Site-Data", Text, "The data that the browser clears.");
const ALLOW: DocumentedHeader = DocumentedHeader("Allow", Text, "The methods that the path has.");
const CHALLENGE: DocumentedHeader = DocumentedHeader(
    "WWW-Authenticate",
    Text,
    "The authentication scheme to use.",
);
const RETRY: DocumentedHeader =
    DocumentedHeader("Retry-After", Number, "When to retry, in seconds.");

/// Operation id, statuses, headers that are always present, headers that may be.
type ResponseHeaders = (
    &'static str,
    &'static [&'static str],
    &'static [DocumentedHeader],
    &'static [DocumentedHeader],
);

const READ: &[DocumentedHeader] = &[CACHE, VERSION, LAYER, TIMING];
const WRITE: &[DocumentedHeader] = &[CACHE, ETAG, VERSION, TIMING, COOKIE];
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

/// The headers by operation and status; those of errors in general are in [`add_error_headers`].
const SUCCESS_HEADERS: &[ResponseHeaders] = &[
    (
        "renderCodex",
        &["200"],
        &[CACHE, VERSION, LAYER, TIMING, ETAG, VARY],
        &[PACKED, POLICY],
    ),
    (
        "renderCodex",
        &["304"],
        &[CACHE, VERSION, LAYER, TIMING, ETAG, VARY],
        &[],
    ),
    ("renderCodex", &["302"], REDIRECT, &[]),
    ("listTasks", &["200"], READ, &[]),
    ("getTask", &["200"], READ, &[ETAG]),
    ("getTask", &["304"], READ, &[]),
    ("getTask", &["304"], &[ETAG], &[]),
    ("createTask", &["201"], WRITE, &[]),
    (
        "createTask",
        &["201", "200"],
        &[CACHE, LOCATION, VERSION, TIMING, COOKIE],
        &[],
    ),
    ("updateTask", &["200"], WRITE, &[]),
    ("putTask", &["200"], WRITE, &[]),
    ("completeTask", &["200"], WRITE, &[]),
    ("preview", &["200"], &[CACHE], &[]),
    ("sync", &["200"], &[CACHE, VERSION, COOKIE], &[]),
    ("syncState", &["200"], &[CACHE, VERSION], &[]),
    ("syncState", &["405"], &[ALLOW], &[]),
    ("githubWebhook", &["200", "202"], &[CACHE], &[]),
    ("authGithub", &["302"], REDIRECT, &[]),
    ("authGithub", &["302"], &[COOKIE], &[]),
    ("authGithub", &["400", "409"], &[], &[POLICY, REFERRER]),
    ("authGithubCallback", &["302"], REDIRECT, &[]),
    ("authGithubCallback", &["302"], &[COOKIE], &[]),
    (
        "authGithubCallback",
        &["400", "403", "409", "503"],
        &[REFERRER],
        &[POLICY],
    ),
    ("metrics", &["200"], &[CACHE], &[]),
    ("me", &["200"], &[CACHE], &[]),
    ("logout", &["200"], &[CACHE, CLEAR, COOKIE], &[]),
    ("openapiJson", &["200", "304"], STATIC, &[PACKED]),
    ("docs", &["200", "304"], STATIC, &[POLICY, PACKED]),
    ("root", &["200"], &[VARY], PAGE),
    ("root", &["304"], &[VARY, CACHE, ETAG], PAGE),
    ("webAsset", &["200", "304"], STATIC, &[PACKED]),
    ("serviceWorker", &["200", "304"], STATIC, &[PACKED]),
    ("login", &["302"], REDIRECT, &[]),
    ("login", &["400", "409"], &[], &[POLICY, REFERRER]),
];

/// Adds to each response of the operation the headers it has.
pub(super) fn add_headers(operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        add(response, &[REQUEST_ID, NO_SNIFF], true);
        if is_error(status) {
            add_error_headers(response, status);
        }
        for (_, _, always, optional) in SUCCESS_HEADERS
            .iter()
            .filter(|row| row.0 == id && row.1.contains(&status.as_str()))
        {
            add(response, always, true);
            add(response, optional, false);
        }
    }
    if has_version(responses.values()) {
        let errors = responses.iter_mut().filter(|(status, _)| is_error(status));
        for (_, response) in errors {
            let RefOr::T(response) = response else {
                continue;
            };
            add(response, &[VERSION], false);
        }
    }
}

fn is_error(status: &str) -> bool {
    status >= "400"
}

fn add_error_headers(response: &mut Response, status: &str) {
    add(response, &[CACHE], true);
    match status {
        "401" => add(response, &[CHALLENGE], true),
        "429" => add(response, &[RETRY], true),
        "503" => add(response, &[RETRY], false),
        _ => {}
    }
}

/// Whether a response of the operation has `x-codex-version`; its errors may have it, too.
fn has_version<'a>(mut responses: impl Iterator<Item = &'a RefOr<Response>>) -> bool {
    responses
        .any(|response| matches!(response, RefOr::T(response) if response.headers.contains_key(VERSION.0)))
}

fn add(response: &mut Response, headers: &[DocumentedHeader], always: bool) {
    for header in headers {
        let entry = response.headers.entry(header.0.to_owned());
        entry.or_insert_with(|| header.header(always).into());
    }
}

impl DocumentedHeader {
    /// utoipa's header has no `required`, but its extensions are serialized beside its other members.
    fn header(&self, always: bool) -> Header {
        let schema = match self.1 {
            Text => ObjectBuilder::new().schema_type(Type::String),
            Number => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0)),
            Enum(words) => ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(words.iter().copied())),
        };
        let header = HeaderBuilder::new()
            .description(Some(self.2))
            .schema(Some(schema));
        let required = always.then(|| Extensions::from_iter([("required", true)]));
        header.extensions(required).build()
    }
}
