//! What a route may be refused with: groups that routes of a kind share, and the answers they make.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};

use super::super::auth::{Denial, Door};
use super::super::body::{self, Members};
use super::super::error::{ErrorDocument, not_found, wrong_method};
use super::super::extract::bad_id;
use super::super::{ApiError, Code};
use crate::codex::{GitTrouble, Limited, ReadError, TaskError};

/// Whoever asks isn't let in.
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

/// The user's files can't be read just now.
pub(in crate::http) const READ: &[Code] = &[
    Code::TooManyRequests,
    Code::StorageUnavailable,
    Code::Busy,
    Code::NewerFormat,
];

/// The request isn't one that may change anything, or the change can't be made.
pub(in crate::http) const WRITE: &[Code] = &[
    Code::CrossOrigin,
    Code::Conflict,
    Code::TaskTooLarge,
    Code::OutcomeUnknown,
];

/// The body isn't what the route takes.
pub(in crate::http) const BODY: &[Code] = &[
    Code::InvalidJson,
    Code::InvalidField,
    Code::UnknownField,
    Code::BodyTooSlow,
    Code::BodyTooLarge,
    Code::Overloaded,
    Code::UnsupportedMediaType,
];

/// The path names no task, or several.
pub(in crate::http) const TASK: &[Code] = &[Code::InvalidId, Code::TaskNotFound, Code::AmbiguousId];

/// The task's file can't be changed.
pub(in crate::http) const EDIT: &[Code] = &[Code::TaskUnreadable, Code::FrontMatterNotEditable];

/// GitHub can't be asked.
pub(in crate::http) const GITHUB: &[Code] = &[Code::GithubUnavailable, Code::GithubDenied];

/// Answers by their statuses.
pub(in crate::http) type Answers = BTreeMap<String, RefOr<Response>>;

/// Makes a type for a handler's `responses`: everything it may be refused with, by groups and by
/// codes of its own. `Code = error` is for a code that this route explains in words of its own.
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
            fn responses() -> $crate::http::openapi::refusals::Answers {
                use $crate::http::openapi::refusals;
                let own = [$($($crate::http::Code::$code),+)?];
                let codes = [$(refusals::$group,)* &own[..]];
                let errors: &[Option<$crate::http::ApiError>] = &[$($($($error.into(),)?)+)?];
                refusals::answers(&codes.concat(), errors, $media)
            }
        }
    };
}
pub(in crate::http) use refusals;

/// An answer for each status that the codes have; `errors` are the route's own.
pub(in crate::http) fn answers(
    codes: &[Code],
    errors: &[Option<ApiError>],
    media: &[&str],
) -> Answers {
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        let of_status = by_status.entry(code.status().as_u16()).or_default();
        if !of_status.contains(code) {
            of_status.push(*code);
        }
    }
    let answers = by_status.into_iter();
    let answers =
        answers.map(|(status, codes)| (status.to_string(), answer(&codes, errors, media).into()));
    answers.collect()
}

/// With an example of its first code.
fn answer(codes: &[Code], errors: &[Option<ApiError>], media: &[&str]) -> Response {
    let mut own = errors.iter().flatten();
    let own = own.find(|it| codes.first() == Some(&it.code()));
    let example = own.cloned().or_else(|| error(*codes.first()?));
    let meanings: Vec<_> = codes
        .iter()
        .map(|code| format!("- `{}`: {}", name(*code), code.meaning()))
        .collect();
    let answer = ResponseBuilder::new().description(meanings.join("\n"));
    let answer = media.iter().fold(answer, |answer, media| {
        let content = ContentBuilder::new();
        let content = match *media {
            "application/json" => content
                .schema(Some(document(codes)))
                .example(example.as_ref().map(|it| json!(it.document(REQUEST_ID)))),
            _ => content.schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        };
        answer.content(*media, content.build())
    });
    answer.build()
}

/// A refusal with one of these codes, and the request's id where the service is at fault.
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

/// What the examples call the request.
const REQUEST_ID: &str = "7f3c9a12-2b";

/// The service's own error with this code, for answers whose first code it is, unless the route has another one.
/// Nothing for codes that are no answer's first, or for which every route has its own.
fn error(code: Code) -> Option<ApiError> {
    let denied = |denial| ApiError::denied(denial, Door::TokensAndPages);
    Some(match code {
        Code::NotSignedIn => denied(Denial::NotSignedIn),
        Code::HostNotAllowed => denied(Denial::Host),
        Code::CrossOrigin => denied(Denial::CrossOrigin),
        Code::AuthUnavailable => denied(Denial::Unavailable {
            retry_after: Duration::ZERO,
            cause: String::new(),
        }),
        Code::SignInExpired => denied(Denial::NoSignIn),
        Code::AccessDenied => denied(Denial::SaidNo),
        Code::OauthNotConfigured => denied(Denial::NoBrowserSignIn),
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
        Code::GithubNotConfigured => GitTrouble::Off.into(),
        Code::NotFound => not_found(),
        Code::MethodNotAllowed => wrong_method(),
        Code::Internal => ApiError::defect(),
        _ => return None,
    })
}

/// The user has asked for more changes than are granted.
pub(in crate::http) fn too_many_writes() -> ApiError {
    too_many(Limited::Writes)
}

fn too_many(of: Limited) -> ApiError {
    let retry_after = Duration::ZERO;
    TaskError::TooMany { retry_after, of }.into()
}

/// As answers spell it.
fn name(code: Code) -> String {
    json!(code).as_str().unwrap_or_default().to_owned()
}
