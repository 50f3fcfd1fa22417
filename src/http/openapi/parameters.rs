//! Parameters that several routes share, and schemas of limited texts.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Required, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::auth::ReturnTo;
use crate::task::Datum;

/// The task id in the path.
pub(in crate::http) struct TaskIdParam;

impl IntoParams for TaskIdParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let stem = r"^[0-9]{4}(?:-[^/\\\u0000-\u001f\u007f-\u009f]*)?$";
        let stem = text().pattern(Some(stem)).examples(["0042"]);
        let what = "The task's four digits, or its file's whole stem, as in `0042-Steuer`.";
        let id = described("id", ParameterIn::Path, what, stem);
        vec![id.required(Required::True).build()]
    }
}

/// The consistency that a request asks for.
pub(in crate::http) struct ConsistencyParams;

impl IntoParams for ConsistencyParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let version = "The response contains at least this version, taken from an earlier response. A value that isn't a number is ignored.";
        let cookie = "The same, as `{user}:{version}`; set by writes.";
        let strong =
            "`no-cache`: the response contains every change acknowledged before the request.";
        vec![
            optional("x-codex-version", ParameterIn::Header, version),
            optional("codex_version", ParameterIn::Cookie, cookie),
            optional("Cache-Control", ParameterIn::Header, strong),
        ]
    }
}

/// Whether a write waits for its commit.
pub(in crate::http) struct WaitParams;

impl IntoParams for WaitParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let prefer =
            "`wait`: the response is delayed until the commit, at most 10 s, and has its address.";
        vec![
            optional("Prefer", ParameterIn::Header, prefer),
            optional("git", ParameterIn::Query, "`wait` is the same."),
        ]
    }
}

/// The `ETag` of the client's copy.
pub(in crate::http) struct IfNoneMatchParam;

impl IntoParams for IfNoneMatchParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "The `ETag` of an earlier response: 304 when nothing has changed.";
        vec![optional("If-None-Match", ParameterIn::Header, what)]
    }
}

/// The language of a page.
pub(in crate::http) struct AcceptLanguageParam;

impl IntoParams for AcceptLanguageParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "A page is in English when that is preferred to German, else in German.";
        vec![optional("Accept-Language", ParameterIn::Header, what)]
    }
}

/// The key that makes a create idempotent.
pub(in crate::http) struct IdempotencyKeyParam;

impl IntoParams for IdempotencyKeyParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let visible = text().pattern(Some("^[!-~]{1,255}$"));
        let what = "Kept for 24 h: a repeated request with the same key and body creates nothing.";
        let key = described("Idempotency-Key", ParameterIn::Header, what, visible);
        vec![key.required(Required::False).build()]
    }
}

/// The precondition of an update.
pub(in crate::http) struct IfMatchParam;

impl IntoParams for IfMatchParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "The expected `ETag`, a list of them, or `*`: 412 when the task's `ETag` is a different one.";
        vec![optional("If-Match", ParameterIn::Header, what)]
    }
}

/// The event of a webhook delivery.
pub(in crate::http) struct GithubEventParam;

impl IntoParams for GithubEventParam {
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

/// A single line of text that a task's file can store.
pub(in crate::http) struct SingleLine;

impl PartialSchema for SingleLine {
    fn schema() -> RefOr<Schema> {
        let line = text().pattern(Some(storable(r"\u0000-\u001f")));
        let what = "A single line without control characters and Unicode noncharacters.";
        line.description(Some(what)).into()
    }
}

impl ToSchema for SingleLine {
    /// The schema's name in the document.
    fn name() -> Cow<'static, str> {
        "Line".into()
    }
}

/// Markdown that a task's file can store.
pub(in crate::http) struct Markdown;

impl PartialSchema for Markdown {
    fn schema() -> RefOr<Schema> {
        let body = text().pattern(Some(storable(r"\u0000-\u0008\u000b\u000c\u000e-\u001f")));
        let what = "Markdown without Unicode noncharacters and without control characters other than tabs and line breaks.";
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

/// When a task was completed. One object rather than a union of one with both members and one with none: a client made
/// by the Python generator can't omit a body whose schema is a union.
pub(in crate::http) struct Completion;

impl PartialSchema for Completion {
    fn schema() -> RefOr<Schema> {
        // utoipa has no `dependentRequired`, but its extensions are serialized beside the other members.
        let both = json!({"datum": ["zeit"], "zeit": ["datum"]});
        let both = Extensions::from_iter([("dependentRequired", both)]);
        let what = "The completion time: both members, or neither for the current time.";
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

/// The pattern of texts without `controls`, without the C1 controls but U+0085, and without noncharacters of any plane.
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
