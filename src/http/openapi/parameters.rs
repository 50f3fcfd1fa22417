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

/// Defines types for a handler's `params`: several parameters each.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $name:ident = [$($parameter:expr),+ $(,)?];)+) => {$(
        $(#[doc = $doc])+
        pub(in crate::http) struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter.build()),+]
            }
        }
    )+};
}

parameters! {
    /// The task id in the path.
    TaskIdParam = [
        parameter("id", ParameterIn::Path, "The task's four digits, or its file's whole stem, as in `0042-Steuer`.")
            .schema(Some(text().pattern(Some(STEM)).examples(["0042"])))
            .required(Required::True),
    ];
    /// The consistency that a request asks for.
    ConsistencyParams = [
        parameter("x-codex-version", ParameterIn::Header, "The response contains at least this version, taken from an earlier response. A value that isn't a number is ignored."),
        parameter("codex_version", ParameterIn::Cookie, "The same, as `{user}:{version}`; set by writes."),
        parameter("Cache-Control", ParameterIn::Header, "`no-cache`: the response contains every change acknowledged before the request."),
    ];
    /// Whether a write waits for its commit.
    WaitParams = [
        parameter("Prefer", ParameterIn::Header, "`wait`: the response is delayed until the commit, at most 10 s, and has its address."),
        parameter("git", ParameterIn::Query, "`wait` is the same."),
    ];
    /// The `ETag` of the client's copy.
    IfNoneMatchParam = [
        parameter("If-None-Match", ParameterIn::Header, "The `ETag` of an earlier response: 304 when nothing has changed."),
    ];
    /// The language of a page.
    AcceptLanguageParam = [
        parameter("Accept-Language", ParameterIn::Header, "A page is in English when that is preferred to German, else in German."),
    ];
    /// The key that makes a create idempotent.
    IdempotencyKeyParam = [
        parameter("Idempotency-Key", ParameterIn::Header, "Kept for 24 h: a repeated request with the same key and body creates nothing.")
            .schema(Some(text().pattern(Some("^[!-~]{1,255}$")))),
    ];
    /// The precondition of an update.
    IfMatchParam = [
        parameter("If-Match", ParameterIn::Header, "The expected `ETag`, a list of them, or `*`: 412 when the task's `ETag` is a different one."),
    ];
    /// The event of a webhook delivery.
    GithubEventParam = [
        parameter("X-GitHub-Event", ParameterIn::Header, "`push`, `ping`, or another event, which is ignored."),
    ];
}

/// The pattern of a task's id or stem.
const STEM: &str = r"^[0-9]{4}(?:-[^/\\\u0000-\u001f\u007f-\u009f]*)?$";

/// A parameter of any text that needn't be there.
fn parameter(name: &str, place: ParameterIn, what: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(what))
        .schema(Some(text()))
        .required(Required::False)
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
