//! What a route may be refused with: groups that routes of a kind share, and the answers they make.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder, Schema};

use super::super::Code;
use super::super::error::ErrorDocument;

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
/// codes of its own.
macro_rules! refusals {
    ($name:ident as page: $($rest:tt)*) => {
        $crate::http::openapi::refusals!(@of $name, &["application/json", "text/html"]; $($rest)*);
    };
    ($name:ident: $($rest:tt)*) => {
        $crate::http::openapi::refusals!(@of $name, &["application/json"]; $($rest)*);
    };
    (@of $name:ident, $media:expr; $($group:ident),* $(; $($code:ident),+)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> $crate::http::openapi::refusals::Answers {
                use $crate::http::openapi::refusals;
                let own = [$($($crate::http::Code::$code),+)?];
                let codes = [$(refusals::$group,)* &own[..]];
                refusals::answers(&codes.concat(), $media)
            }
        }
    };
}
pub(in crate::http) use refusals;

/// An answer for each status that the codes have.
pub(in crate::http) fn answers(codes: &[Code], media: &[&str]) -> Answers {
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        let of_status = by_status.entry(code.status().as_u16()).or_default();
        if !of_status.contains(code) {
            of_status.push(*code);
        }
    }
    let answers = by_status.into_iter();
    let answers = answers.map(|(status, codes)| (status.to_string(), answer(&codes, media).into()));
    answers.collect()
}

fn answer(codes: &[Code], media: &[&str]) -> Response {
    let meanings: Vec<_> = codes
        .iter()
        .map(|code| format!("- `{}`: {}", name(*code), code.meaning()))
        .collect();
    let answer = ResponseBuilder::new().description(meanings.join("\n"));
    let answer = media.iter().fold(answer, |answer, media| {
        let schema = match *media {
            "application/json" => document(codes),
            _ => ObjectBuilder::new().schema_type(Type::String).into(),
        };
        answer.content(*media, Content::new(Some(schema)))
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

/// As answers spell it.
fn name(code: Code) -> String {
    json!(code).as_str().unwrap_or_default().to_owned()
}
