//! The error responses of routes: groups of codes that several routes share, and the responses generated from them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};

use super::super::auth::{AuthError, SignInMethod};
use super::super::body::{self, Members};
use super::super::error::{ErrorDocument, not_found, wrong_method};
use super::super::extract::bad_id;
use super::super::{ApiError, Code};
use crate::codex::{Limited, ReadError, TaskError};
use crate::git_sync::GitSyncError;

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
        $crate::http::openapi::refusals!(@of $name, &["application/json", "text/html"]; $($rest)*);
    };
    ($name:ident: $($rest:tt)*) => {
        $crate::http::openapi::refusals!(@of $name, &["application/json"]; $($rest)*);
    };
    (@of $name:ident, $media:expr; $($group:ident),* $(; $($code:ident $(= $error:expr)?),+)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> $crate::http::openapi::error_responses::ResponsesByStatus {
                use $crate::http::openapi::error_responses;
                let own = [$($($crate::http::Code::$code),+)?];
                let codes = [$(error_responses::$group,)* &own[..]];
                let errors: &[Option<$crate::http::ApiError>] = &[$($($($error.into(),)?)+)?];
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
    let example = own.cloned().or_else(|| error(*codes.first()?));
    let meanings: Vec<_> = codes
        .iter()
        .map(|code| format!("- `{}`: {}", name(*code), code.meaning()))
        .collect();
    let response = ResponseBuilder::new().description(meanings.join("\n"));
    let response = media.iter().fold(response, |response, media| {
        let content = ContentBuilder::new();
        let content = match *media {
            "application/json" => content
                .schema(Some(document(codes)))
                .example(example.as_ref().map(|it| json!(it.document(REQUEST_ID)))),
            _ => content.schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        };
        response.content(*media, content.build())
    });
    response.build()
}

/// The schema of an error with one of these codes; `requestId` is required on 5xx.
fn document(codes: &[Code]) -> Schema {
    let names = codes.iter().map(|code| name(*code));
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

/// The example of a code: the error that the service returns, unless the route has its own. `None` for codes that
/// aren't the first of any response, or for which every route has its own.
fn error(code: Code) -> Option<ApiError> {
    let denied = |error| ApiError::denied(error, SignInMethod::BearerTokenOrOAuth);
    Some(match code {
        Code::NotSignedIn => denied(AuthError::NotSignedIn),
        Code::HostNotAllowed => denied(AuthError::HostNotAllowed),
        Code::CrossOrigin => denied(AuthError::CrossOrigin),
        Code::AuthUnavailable => denied(AuthError::Unavailable {
            retry_after: Duration::ZERO,
            cause: String::new(),
        }),
        Code::SignInExpired => denied(AuthError::SignInExpired),
        Code::AccessDenied => denied(AuthError::AccessDenied),
        Code::OauthNotConfigured => denied(AuthError::OAuthNotConfigured),
        Code::StorageUnavailable => ReadError::TimedOut.into(),
        Code::TooManyRequests => too_many(Limited::Rebuilds),
        Code::InvalidJson => Members::of(b"[]").err()?,
        Code::BodyTooSlow => body::too_slow(),
        Code::BodyTooLarge => body::too_large(body::MAX_BYTES),
        Code::UnsupportedMediaType => body::not_json(),
        Code::InvalidId => bad_id(),
        Code::TaskNotFound => TaskError::NotFound.into(),
        Code::AmbiguousId => {
            let stems = ["0042-Steuer", "0042-Zahnarzt"].map(str::to_owned).into();
            TaskError::Ambiguous { stems }.into()
        }
        Code::Conflict => TaskError::Conflict.into(),
        Code::PreconditionFailed => TaskError::PreconditionFailed.into(),
        Code::IdempotencyKeyReused => TaskError::KeyReused.into(),
        Code::GithubNotConfigured => GitSyncError::Off.into(),
        Code::NotFound => not_found(),
        Code::MethodNotAllowed => wrong_method(),
        Code::Internal => ApiError::internal_error(),
        _ => return None,
    })
}

/// 429 `too_many_requests` for the limit on writes.
pub(in crate::http) fn too_many_writes() -> ApiError {
    too_many(Limited::Writes)
}

fn too_many(of: Limited) -> ApiError {
    let retry_after = Duration::ZERO;
    TaskError::TooMany { retry_after, of }.into()
}

/// The code as in JSON responses.
fn name(code: Code) -> String {
    json!(code).as_str().unwrap_or_default().to_owned()
}
