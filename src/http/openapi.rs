//! The OpenAPI 3.1 document, generated from the handlers' `#[utoipa::path]` attributes, their request and response
//! types, and the groups of errors and parameters in the modules below.

pub(super) mod error_responses;
mod headers;
mod page;
pub(super) mod parameters;
pub(super) mod serve;

use std::collections::BTreeMap;

use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required, Schema, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::error::ErrorDocument;
use super::error_code::Code;

const ABOUT: &str = "Plans a week from numbered markdown files. Success has `ok: true` (the week itself has no `ok`); an error has a stable `code`, and an `error` that says what to do. Every path with GET also has HEAD; other methods get 405 with `Allow`. Unknown query parameters are ignored.";

/// The groups of operations, in the order of the page.
const TAGS: [(&str, &str); 7] = [
    ("week", "The planned week."),
    (
        "tasks",
        "Reading and changing tasks. A change answers with the version that contains it; a read that sends that version as `x-codex-version` contains it, too.",
    ),
    (
        "calendar",
        "The week for calendar programs, at an address of its own.",
    ),
    ("git", "The mirror in a GitHub repository."),
    (
        "sign-in",
        "Signing in and out, in a browser. Programs send a token instead.",
    ),
    ("service", "Health, metrics and this document."),
    (
        "app",
        "The web app's own page and files. No other client needs them.",
    ),
];

/// The document without paths.
pub(super) fn base_document() -> OpenApi {
    let about = InfoBuilder::new()
        .title("CodexMiroir")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT));
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    schemas.push((ErrorDocument::name().into(), ErrorDocument::schema()));
    ErrorDocument::schemas(&mut schemas);
    // With the platform's authentication and without sign-in a client sends nothing.
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("bearer", bearer("A personal access token of GitHub."))
        .security_scheme("session", api_key(ApiKey::Cookie, "__Host-codex_session", "The cookie that signing in at `/auth/github` gives a browser; `codex_session` on plain http. A change also needs the service's own `Origin` or `Sec-Fetch-Site: same-origin`."))
        .security_scheme("metrics", bearer("The token of `CODEX_METRICS_TOKEN`."))
        .security_scheme("signature", api_key(ApiKey::Header, "X-Hub-Signature-256", "`sha256=` and the HMAC-SHA256 of the body by the webhook's secret, in hexadecimal."));
    let either = ["bearer", "session"].map(|name| SecurityRequirement::new(name, [""; 0]));
    let here = "The service that this document comes from.";
    let tags =
        TAGS.map(|(name, what)| TagBuilder::new().name(name).description(Some(what)).build());
    let here = ServerBuilder::new().url("/").description(Some(here));
    OpenApiBuilder::new()
        .info(about.build())
        .servers(Some([here.build()]))
        .tags(Some(tags))
        .components(Some(components.build()))
        .security(Some(either))
        .build()
}

fn bearer(what: &str) -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    SecurityScheme::Http(scheme.description(Some(what)).build())
}

fn api_key(place: fn(ApiKeyValue) -> ApiKey, name: &str, what: &str) -> SecurityScheme {
    SecurityScheme::ApiKey(place(ApiKeyValue::with_description(name, what)))
}

/// Completes the handlers' document: operation ids, error responses of all routes, required bodies, response headers.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let schemas = document.components.clone().unwrap_or_default().schemas;
    for path in document.paths.paths.values_mut() {
        if let Some(put) = &mut path.put {
            // One handler, two operations: operation ids must be unique.
            put.operation_id = Some("put_task".to_owned());
        }
        let operations = [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.patch,
            &mut path.delete,
        ];
        for operation in operations.into_iter().flatten() {
            normalize_operation(operation);
            // The outermost service turns a panic of any handler into a 500.
            let internal_error =
                error_responses::responses_by_status(&[Code::Internal], &[], &["application/json"]);
            for (status, answer) in internal_error {
                let responses = &mut operation.responses.responses;
                responses.entry(status).or_insert(answer);
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = Some(requires_members(body, &schemas));
            }
            headers::add_headers(operation);
        }
    }
    document
}

/// An empty body means `{}`, so a body is required only where a member is.
fn requires_members(body: &RequestBody, schemas: &BTreeMap<String, RefOr<Schema>>) -> Required {
    let contents = body.content.values().filter_map(|content| match content {
        RefOr::T(content) => content.schema.as_ref(),
        RefOr::Ref(_) => None,
    });
    let named = |schema: &RefOr<Schema>| match schema {
        RefOr::Ref(to) => schemas.get(to.ref_location.rsplit('/').next()?),
        RefOr::T(_) => None,
    };
    let requires = |schema: &RefOr<Schema>| matches!(schema, RefOr::T(Schema::Object(it)) if !it.required.is_empty());
    match contents.filter_map(named).any(requires) {
        true => Required::True,
        false => Required::False,
    }
}

/// Operation ids are the handlers' names in camel case; summary and description are their doc comments, unwrapped.
fn normalize_operation(operation: &mut Operation) {
    operation.operation_id = operation.operation_id.as_deref().map(camel_case);
    operation.summary = operation.summary.as_deref().map(one_line);
    operation.description = operation.description.as_deref().map(one_line);
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// Removes the line breaks of the doc comment.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
