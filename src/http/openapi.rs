//! The OpenAPI 3.1 document, generated from the handlers' `#[utoipa::path]` attributes, their request and response
//! types, and the groups of errors and parameters in the modules below.

pub(super) mod error_responses;
mod example;
mod headers;
mod page;
pub(super) mod parameters;
pub(super) mod serve;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Schema,
    ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::Code;
use super::error::ErrorDocument;
pub(super) use error_responses::refusals;

const ABOUT: &str = "Plans a week from numbered markdown files. Success has `ok: true` (the week itself has no `ok`); an error has a stable `code`, and an `error` that says what to do. Every path with GET also has HEAD; other methods get 405 with `Allow`. Unknown query parameters are ignored.";

/// The document without paths.
pub(super) fn base_document() -> OpenApi {
    let about = InfoBuilder::new()
        .title("CodexMiroir")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT));
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    schemas.push((ErrorDocument::name().into(), ErrorDocument::schema()));
    ErrorDocument::schemas(&mut schemas);
    let components = ComponentsBuilder::new().schemas_from_iter(schemas);
    let components = SCHEMES
        .iter()
        .fold(components, |components, (name, scheme)| {
            components.security_scheme(*name, scheme())
        });
    let either = ["bearer", "session"].map(|name| SecurityRequirement::new(name, [""; 0]));
    let here = "The service that this document comes from.";
    let here = ServerBuilder::new().url("/").description(Some(here));
    OpenApiBuilder::new()
        .info(about.build())
        .servers(Some([here.build()]))
        .components(Some(components.build()))
        .security(Some(either))
        .build()
}

type Scheme = (&'static str, fn() -> SecurityScheme);

/// The security schemes. With the platform's authentication and without sign-in a client sends nothing.
const SCHEMES: &[Scheme] = &[
    ("bearer", || {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let what = "A personal access token of GitHub.";
        SecurityScheme::Http(scheme.description(Some(what)).build())
    }),
    ("session", || {
        let what = "The cookie that signing in at `/auth/github` gives a browser; `codex_session` on plain http. A change also needs the service's own `Origin` or `Sec-Fetch-Site: same-origin`.";
        let cookie = ApiKeyValue::with_description("__Host-codex_session", what);
        SecurityScheme::ApiKey(ApiKey::Cookie(cookie))
    }),
    ("metrics", || {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let what = "The token of `CODEX_METRICS_TOKEN`.";
        SecurityScheme::Http(scheme.description(Some(what)).build())
    }),
    ("signature", || {
        let what =
            "`sha256=` and the HMAC-SHA256 of the body by the webhook's secret, in hexadecimal.";
        let header = ApiKeyValue::with_description("X-Hub-Signature-256", what);
        SecurityScheme::ApiKey(ApiKey::Header(header))
    }),
];

/// A schema of two alternatives. `anyOf`, not `oneOf`: the members of one may be a subset of the other's.
pub(super) struct Either<A, B>(PhantomData<(A, B)>);

impl<A: ToSchema, B: ToSchema> PartialSchema for Either<A, B> {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new();
        let either = either.item(Ref::from_schema_name(A::name()));
        either.item(Ref::from_schema_name(B::name())).into()
    }
}

impl<A: ToSchema, B: ToSchema> ToSchema for Either<A, B> {
    fn name() -> Cow<'static, str> {
        format!("{}Or{}", A::name(), B::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((A::name().into(), A::schema()));
        A::schemas(schemas);
        schemas.push((B::name().into(), B::schema()));
        B::schemas(schemas);
    }
}

/// Completes the handlers' document: operation ids, error responses of all routes, required bodies, response headers.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let schemas = document.components.clone().unwrap_or_default().schemas;
    for path in document.paths.paths.values_mut() {
        let operations = [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.patch,
        ];
        for operation in operations.into_iter().flatten() {
            normalize_operation(operation);
            // The outermost layer turns a panic of any handler into a 500.
            let internal_error =
                error_responses::responses_by_status(&[Code::Internal], &[], &["application/json"]);
            for (status, answer) in internal_error {
                operation
                    .responses
                    .responses
                    .entry(status)
                    .or_insert(answer);
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = Some(requires_members(body, &schemas));
            }
        }
        if let Some(put) = &mut path.put {
            // One handler, two operations: operation ids must be unique.
            put.operation_id = Some("putTask".to_owned());
        }
        let operations = [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.patch,
        ];
        operations
            .into_iter()
            .flatten()
            .for_each(headers::add_headers);
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
