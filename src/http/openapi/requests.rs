//! What requests of a kind bring along: parameters, and texts with limits.

use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Required, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::auth::ReturnTo;
use crate::task::Datum;

/// Which task, in the path.
pub(in crate::http) struct OfTask;

impl IntoParams for OfTask {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let stem = r"^[0-9]{4}(?:-[^/\\\u0000-\u001f\u007f-\u009f]*)?$";
        let stem = text().pattern(Some(stem)).examples(["0042"]);
        let what = "The task's four digits, or its file's whole stem, as in `0042-Steuer`.";
        let id = described("id", ParameterIn::Path, what, stem);
        vec![id.required(Required::True).build()]
    }
}

/// How new an answer about a user's tasks must be.
pub(in crate::http) struct Known;

impl IntoParams for Known {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let version = "The answer contains this version at least, which an earlier answer named. Whatever isn't a number counts as none.";
        let cookie = "The same, as `{user}:{version}`; writes set it.";
        let strict = "`no-cache`: the answer contains everything up to now.";
        vec![
            optional("x-codex-version", ParameterIn::Header, version),
            optional("codex_version", ParameterIn::Cookie, cookie),
            optional("Cache-Control", ParameterIn::Header, strict),
        ]
    }
}

/// Whether to wait for the commit.
pub(in crate::http) struct Waiting;

impl IntoParams for Waiting {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let prefer =
            "`wait`: the answer comes after the commit, 10 s later at most, and says where it is.";
        vec![
            optional("Prefer", ParameterIn::Header, prefer),
            optional("git", ParameterIn::Query, "`wait` means the same."),
        ]
    }
}

/// What the client has already.
pub(in crate::http) struct Cached;

impl IntoParams for Cached {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "The `ETag` of an earlier answer: 304 when nothing has changed.";
        vec![optional("If-None-Match", ParameterIn::Header, what)]
    }
}

/// The language that a page is wished in.
pub(in crate::http) struct Spoken;

impl IntoParams for Spoken {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "A page is in English for who wishes that more than German, else in German.";
        vec![optional("Accept-Language", ParameterIn::Header, what)]
    }
}

/// A key that makes repeating harmless.
pub(in crate::http) struct OnceOnly;

impl IntoParams for OnceOnly {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let visible = text().pattern(Some("^[!-~]{1,255}$"));
        let what = "Kept for 24 h: the same key with the same body creates nothing again.";
        let key = described("Idempotency-Key", ParameterIn::Header, what, visible);
        vec![key.required(Required::False).build()]
    }
}

/// The content that a change is meant for.
pub(in crate::http) struct Guarded;

impl IntoParams for Guarded {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "The `ETag` of the content to change, or several, or `*`: 412 when the task has another.";
        vec![optional("If-Match", ParameterIn::Header, what)]
    }
}

/// What a delivery is about.
pub(in crate::http) struct Event;

impl IntoParams for Event {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "`push`, `ping`, or another event, which is ignored.";
        vec![optional("X-GitHub-Event", ParameterIn::Header, what)]
    }
}

/// A path of this service.
pub(in crate::http) struct LocalPath;

impl PartialSchema for LocalPath {
    fn schema() -> RefOr<Schema> {
        let path = r"^/(?:[!-.0-\[\]-~][!-\[\]-~]*)?$";
        let path = text().pattern(Some(path)).max_length(Some(ReturnTo::MAX));
        path.examples(["/codex?format=html"]).into()
    }
}

impl ToSchema for LocalPath {}

/// A text of one line, as a task's file can hold it.
pub(in crate::http) struct Line;

impl PartialSchema for Line {
    fn schema() -> RefOr<Schema> {
        let line = text().pattern(Some(storable(r"\u0000-\u001f")));
        let what = "One line, without control characters and Unicode's non-characters.";
        line.description(Some(what)).into()
    }
}

impl ToSchema for Line {}

/// Markdown, as a task's file can hold it.
pub(in crate::http) struct Markdown;

impl PartialSchema for Markdown {
    fn schema() -> RefOr<Schema> {
        let body = text().pattern(Some(storable(r"\u0000-\u0008\u000b\u000c\u000e-\u001f")));
        let what = "Markdown, without Unicode's non-characters and control characters but tabs and line breaks.";
        body.description(Some(what)).into()
    }
}

impl ToSchema for Markdown {}

/// A time of day, in any letter case.
pub(in crate::http) struct AnyCaseZeit;

impl PartialSchema for AnyCaseZeit {
    fn schema() -> RefOr<Schema> {
        let words = r"^(?:[mM][oO][rR][gG][eE][nN][sS]|[nN][aA][cC][hH][mM][iI][tT][tT][aA][gG][sS]|[aA][bB][eE][nN][dD][sS])$";
        let word = text().pattern(Some(words)).examples(["abends"]);
        let what = "`morgens`, `nachmittags` or `abends`, in any letter case.";
        word.description(Some(what)).into()
    }
}

impl ToSchema for AnyCaseZeit {}

/// When a task was done. One object, and no union of one with both members and one with none: a client of the Python
/// generator can't leave out a body that is one of several.
pub(in crate::http) struct Completion;

impl PartialSchema for Completion {
    fn schema() -> RefOr<Schema> {
        // utoipa has no word for this; what it calls extensions stands beside the other members.
        let both = json!({"datum": ["zeit"], "zeit": ["datum"]});
        let both = Extensions::from_iter([("dependentRequired", both)]);
        let what = "When it was done: both members, or neither for now.";
        ObjectBuilder::new()
            .description(Some(what))
            .property("datum", Ref::from_schema_name(Datum::name()))
            .property("zeit", Ref::from_schema_name(AnyCaseZeit::name()))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .extensions(Some(both))
            .into()
    }
}

impl ToSchema for Completion {}

/// Texts without these control characters, those of C1 but U+0085, and the non-characters of all planes.
fn storable(controls: &str) -> String {
    let above = (1..=16u32).filter_map(|plane| {
        let last = char::from_u32(plane << 16 | 0xFFFF)?;
        let before = char::from_u32(plane << 16 | 0xFFFE)?;
        Some([before, last])
    });
    let above: String = above.flatten().collect();
    format!(r"^[^{controls}\u007f-\u0084\u0086-\u009f\ufdd0-\ufdef\ufffe\uffff{above}]*$")
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn optional(name: &str, place: ParameterIn, what: &str) -> Parameter {
    let parameter = described(name, place, what, text());
    parameter.required(Required::False).build()
}

fn described(
    name: &str,
    place: ParameterIn,
    what: &str,
    schema: ObjectBuilder,
) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(what))
        .schema(Some(schema))
}
