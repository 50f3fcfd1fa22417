//! The error responses of routes: groups of codes that several routes share, and the responses generated from them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};

use super::super::body;
use super::super::error::{ApiError, ErrorDocument};
use super::super::error_code::Code;
use super::super::extract::bad_id;
use crate::codex::{Limited, TaskError};

/// Authentication or authorization failed.
pub(in crate::http) const CALLER: &[Code] = &[
    Code::NotSignedIn,
    Code::TokenInvalid,
    Code::TokenForeign,
    Code::HostNotAllowed,
    Code::LoginNotAllowed,
    Code::LoginReassigned,
    Code::AuthUnavailable,
    Code::StorageUnavailable,
    Code::NewerFormat,
    Code::OwnerUnreadable,
];

/// The user's files can't be read at the moment.
pub(in crate::http) const READ: &[Code] = &[
    Code::TooManyRequests,
    Code::StorageUnavailable,
    Code::Busy,
    Code::NewerFormat,
];

/// The request isn't allowed to write, or the write fails.
pub(in crate::http) const WRITE: &[Code] = &[
    Code::CrossOrigin,
    Code::Conflict,
    Code::TaskTooLarge,
    Code::OutcomeUnknown,
];

/// The body is invalid for the route.
pub(in crate::http) const BODY: &[Code] = &[
    Code::InvalidJson,
    Code::InvalidField,
    Code::UnknownField,
    Code::BodyTooSlow,
    Code::BodyTooLarge,
    Code::Overloaded,
    Code::UnsupportedMediaType,
];

/// The path identifies no task, or several.
pub(in crate::http) const TASK: &[Code] = &[Code::InvalidId, Code::TaskNotFound, Code::AmbiguousId];

/// The task's file can't be edited.
pub(in crate::http) const EDIT: &[Code] = &[Code::TaskUnreadable, Code::FrontMatterNotEditable];

/// GitHub is unavailable.
pub(in crate::http) const GITHUB: &[Code] = &[Code::GithubUnavailable, Code::GithubDenied];

/// Responses by status, as utoipa takes them.
pub(in crate::http) type ResponsesByStatus = BTreeMap<String, RefOr<Response>>;

/// Defines a type for a handler's `responses`: all its error responses, from groups and from single codes. `Code =
/// error` gives the example of a code for which this route has its own message.
macro_rules! refusals {
    ($name:ident as page: $($rest:tt)*) => {
        $crate::http::openapi::error_responses::refusals!(@of $name, &["application/json", "text/html"]; $($rest)*);
    };
    ($name:ident: $($rest:tt)*) => {
        $crate::http::openapi::error_responses::refusals!(@of $name, &["application/json"]; $($rest)*);
    };
    (@of $name:ident, $media:expr; $($group:ident),* $(; $($code:ident $(= $error:expr)?),+)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> $crate::http::openapi::error_responses::ResponsesByStatus {
                use $crate::http::openapi::error_responses;
                let own = [$($($crate::http::error_code::Code::$code),+)?];
                let codes = [$(error_responses::$group,)* &own[..]];
                let errors: &[Option<$crate::http::error::ApiError>] = &[$($($($error.into(),)?)+)?];
                error_responses::responses_by_status(&codes.concat(), errors, $media)
            }
        }
    };
}
pub(in crate::http) use refusals;

/// A response for each status of `codes`; `errors` are the route's own examples.
pub(in crate::http) fn responses_by_status(
    codes: &[Code],
    errors: &[Option<ApiError>],
    media: &[&str],
) -> ResponsesByStatus {
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        let of_status = by_status.entry(code.status().as_u16()).or_default();
        if !of_status.contains(code) {
            of_status.push(*code);
        }
    }
    let by_status = by_status.into_iter();
    let responses = by_status
        .map(|(status, codes)| (status.to_string(), response(&codes, errors, media).into()));
    responses.collect()
}

/// The response for codes of one status, with an example of the first.
fn response(codes: &[Code], errors: &[Option<ApiError>], media: &[&str]) -> Response {
    let mut own = errors.iter().flatten();
    let own = own.find(|it| codes.first() == Some(&it.code()));
    let example = own.cloned().or_else(|| codes.first().copied().map(error));
    let example = example.map(|it| json!(it.into_document(REQUEST_ID)));
    let meanings: Vec<_> = codes
        .iter()
        .map(|code| format!("- `{}`: {}", code.name(), code.meaning()))
        .collect();
    let response = ResponseBuilder::new().description(meanings.join("\n"));
    let response = media.iter().fold(response, |response, media| {
        let content = ContentBuilder::new();
        let content = match *media {
            "application/json" => content
                .schema(Some(document(codes)))
                .example(example.clone()),
            _ => content.schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        };
        response.content(*media, content.build())
    });
    response.build()
}

/// The schema of an error with one of these codes; `requestId` is required on 5xx.
fn document(codes: &[Code]) -> Schema {
    let names = codes.iter().map(|code| code.name());
    let code = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names));
    let mut narrowed = ObjectBuilder::new().property("code", code);
    if codes.iter().any(|code| code.status().is_server_error()) {
        narrowed = narrowed.required("requestId");
    }
    let document = AllOfBuilder::new()
        .item(Ref::from_schema_name(ErrorDocument::name()))
        .item(narrowed);
    document.into()
}

/// The request id in the examples.
const REQUEST_ID: &str = "7f3c9a12-2b";

/// The example of a code, unless the route has its own.
fn error(code: Code) -> ApiError {
    match code {
        Code::BodyTooLarge => body::too_large(body::MAX_BYTES),
        Code::InvalidId => bad_id(),
        Code::AmbiguousId => {
            let stems = ["0042-Steuer", "0042-Zahnarzt"].map(str::to_owned).into();
            TaskError::Ambiguous { stems }.into()
        }
        code => code.into(),
    }
}

/// 429 `too_many_requests` for the limit on writes.
pub(in crate::http) fn too_many_writes() -> ApiError {
    too_many(Limited::Writes)
}

/// 429 `too_many_requests` for this limit.
pub(in crate::http) fn too_many(of: Limited) -> ApiError {
    let retry_after = Duration::ZERO;
    TaskError::TooMany { retry_after, of }.into()
}
