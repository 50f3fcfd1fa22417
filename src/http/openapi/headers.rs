//! The headers of answers: what stands at every answer, and what at those of one kind.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    Header, HeaderBuilder, ObjectBuilder, RefOr, Response, Type, extensions::Extensions,
};

/// A header and what it says.
struct Described(&'static str, Kind, &'static str);

enum Kind {
    Text,
    Number,
    Words(&'static [&'static str]),
}

use Kind::{Number, Text, Words};

const REQUEST_ID: Described = Described("x-request-id", Text, "The request, as the log calls it.");
const NO_SNIFF: Described = Described(
    "x-content-type-options",
    Words(&["nosniff"]),
    "The type is what it says.",
);
const CACHE: Described = Described("Cache-Control", Text, "Who may keep the answer.");
const VARY: Described = Described("Vary", Text, "What else the answer depends on.");
const ETAG: Described = Described(
    "ETag",
    Text,
    "Names this content, for `If-None-Match` or `If-Match`.",
);
const VERSION: Described = Described(
    "x-codex-version",
    Number,
    "The version of the user's data that the answer contains.",
);
const LAYER: Described = Described(
    "x-codex-cache",
    Words(&["memory", "artifact", "rebuild", "stale"]),
    "Where the answer comes from.",
);
const TIMING: Described = Described("Server-Timing", Text, "The storage requests it took.");
const COOKIE: Described = Described(
    "Set-Cookie",
    Text,
    "For browsers that go on to other pages.",
);
const LOCATION: Described = Described("Location", Text, "Where to go on.");
const REFERRER: Described = Described("Referrer-Policy", Text, "The address stays untold.");
const POLICY: Described = Described("Content-Security-Policy", Text, "What the page may load.");
const OPENER: Described = Described(
    "Cross-Origin-Opener-Policy",
    Text,
    "Pages that open this one can't reach into it.",
);
const RESOURCE: Described = Described(
    "Cross-Origin-Resource-Policy",
    Text,
    "Pages of other sites can't load it.",
);
const PERMISSIONS: Described = Described(
    "Permissions-Policy",
    Text,
    "What of the device the page leaves alone.",
);
const PACKED: Described = Described(
    "Content-Encoding",
    Words(&["gzip"]),
    "How the answer is packed.",
);
const CLEAR: Described = Described("Clear-Site-Data", Text, "What the browser forgets.");
const ALLOW: Described = Described("Allow", Text, "The methods that the path knows.");
const CHALLENGE: Described = Described("WWW-Authenticate", Text, "How to say who asks.");
const RETRY: Described = Described("Retry-After", Number, "When to come back, in seconds.");

/// Operation, statuses, headers that are always there, headers that may be.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [Described],
    &'static [Described],
);

const READ: &[Described] = &[CACHE, VERSION, LAYER, TIMING];
const WRITE: &[Described] = &[CACHE, ETAG, VERSION, TIMING, COOKIE];
const AWAY: &[Described] = &[LOCATION, CACHE, REFERRER];

const FIXED: &[Described] = &[CACHE, ETAG, VARY];
const OF_PAGE: &[Described] = &[
    CACHE,
    ETAG,
    PACKED,
    POLICY,
    REFERRER,
    OPENER,
    RESOURCE,
    PERMISSIONS,
];

/// Of the answers that aren't refusals.
const OF_SUCCESS: &[Row] = &[
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
    ("renderCodex", &["302"], AWAY, &[]),
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
    ("authGithub", &["302"], AWAY, &[]),
    ("authGithub", &["302"], &[COOKIE], &[]),
    ("authGithub", &["400", "409"], &[], &[POLICY, REFERRER]),
    ("authGithubCallback", &["302"], AWAY, &[]),
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
    ("openapiJson", &["200", "304"], FIXED, &[PACKED]),
    ("docs", &["200", "304"], FIXED, &[POLICY, PACKED]),
    ("root", &["200"], &[VARY], OF_PAGE),
    ("root", &["304"], &[VARY, CACHE, ETAG], OF_PAGE),
    ("webAsset", &["200", "304"], FIXED, &[PACKED]),
    ("serviceWorker", &["200", "304"], FIXED, &[PACKED]),
    ("login", &["302"], AWAY, &[]),
    ("login", &["400", "409"], &[], &[POLICY, REFERRER]),
];

/// Says of each answer of the operation which headers it has.
pub(super) fn describe(operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let answers = &mut operation.responses.responses;
    for (status, answer) in answers.iter_mut() {
        let RefOr::T(answer) = answer else { continue };
        add(answer, &[REQUEST_ID, NO_SNIFF], true);
        if is_refusal(status) {
            of_refusal(answer, status);
        }
        for (_, _, always, perhaps) in OF_SUCCESS
            .iter()
            .filter(|row| row.0 == id && row.1.contains(&status.as_str()))
        {
            add(answer, always, true);
            add(answer, perhaps, false);
        }
    }
    if has_version(answers.values()) {
        let refusals = answers.iter_mut().filter(|(status, _)| is_refusal(status));
        for (_, answer) in refusals {
            let RefOr::T(answer) = answer else { continue };
            add(answer, &[VERSION], false);
        }
    }
}

fn is_refusal(status: &str) -> bool {
    status >= "400"
}

fn of_refusal(answer: &mut Response, status: &str) {
    add(answer, &[CACHE], true);
    match status {
        "401" => add(answer, &[CHALLENGE], true),
        "429" => add(answer, &[RETRY], true),
        "503" => add(answer, &[RETRY], false),
        _ => {}
    }
}

/// Whether the operation is about a version of the user's data, which a refusal may name, too.
fn has_version<'a>(mut answers: impl Iterator<Item = &'a RefOr<Response>>) -> bool {
    answers
        .any(|answer| matches!(answer, RefOr::T(answer) if answer.headers.contains_key(VERSION.0)))
}

fn add(answer: &mut Response, headers: &[Described], always: bool) {
    for header in headers {
        let known = answer.headers.entry(header.0.to_owned());
        known.or_insert_with(|| header.header(always).into());
    }
}

impl Described {
    /// utoipa's header has no `required`; what it calls extensions stands beside its other members.
    fn header(&self, always: bool) -> Header {
        let schema = match self.1 {
            Text => ObjectBuilder::new().schema_type(Type::String),
            Number => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0)),
            Words(words) => ObjectBuilder::new()
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
