//! Parameters that several routes share, and schemas of limited texts.

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
    /// The last segment of a calendar's address.
    CalendarParam = [
        parameter("token", ParameterIn::Path, "What `POST /api/calendar` returned: the user, 128 random bits, and `.ics`.")
            .schema(Some(text().pattern(Some(r"^[A-Za-z0-9_-]{1,64}\.[0-9a-f]{32}\.ics$")).examples(["anna.6b3f0e9d1c2a4b589f1d2c3b4a596877.ics"])))
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
    /// The precondition of an update or a deletion.
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

/// Defines types that are only schemas of the document: `Name = schema`, and the schema's description.
macro_rules! schemas {
    ($($name:ident = $schema:expr $(, $what:literal)?;)+) => {$(
        pub(in crate::http) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema$(.description(Some($what)))?.into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

schemas! {
    Format = one_of(&["json", "html"]), "The formats of the week.";
    AnyStatus = one_of(&["offen", "abgeschlossen", "abgebrochen", "alle"]), "Default `offen`.";
    TaskWord = one_of(&["task"]), "The only value of `typ`.";
    Way = one_of(&["github", "easyauth", "dev"]), "How the caller is authenticated.";
    StorageKind = one_of(&["folder", "azure"]), "Where the files are. A folder is watched: what an editor changes there is in a read two seconds later.";
    // As `query::flag` parses it.
    Flag = one_of(&["true", "1", "false", "0", ""]);
    // A path of this service.
    LocalPath = text()
        .pattern(Some(r"^/(?:[!-.0-\[\]-~][!-\[\]-~]*)?$"))
        .max_length(Some(ReturnTo::MAX))
        .examples(["/codex?format=html"]);
    // What a task's file can store.
    Line = text().pattern(Some(storable(r"\u0000-\u001f"))),
        "A single line without control characters and Unicode noncharacters.";
    Markdown = text().pattern(Some(storable(r"\u0000-\u0008\u000b\u000c\u000e-\u001f"))),
        "Markdown without Unicode noncharacters and without control characters other than tabs and line breaks.";
    AnyCaseZeit = text()
        .pattern(Some(r"^(?:[mM][oO][rR][gG][eE][nN][sS]|[nN][aA][cC][hH][mM][iI][tT][tT][aA][gG][sS]|[aA][bB][eE][nN][dD][sS])$"))
        .examples(["abends"]),
        "`morgens`, `nachmittags` or `abends`, in any letter case.";
    // One object rather than a union of one with both members and one with none: a client made by the Python generator
    // can't omit a body whose schema is a union. utoipa has no `dependentRequired`, but its extensions are serialized
    // beside the other members.
    Completion = ObjectBuilder::new()
        .property("datum", Ref::from_schema_name(Datum::name()))
        .property("zeit", Ref::from_schema_name(AnyCaseZeit::name()))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .extensions(Some(Extensions::from_iter([
            ("dependentRequired", json!({"datum": ["zeit"], "zeit": ["datum"]})),
        ]))),
        "The completion time: both members, or neither for the current time.";
}

fn one_of(words: &'static [&'static str]) -> ObjectBuilder {
    text().enum_values(Some(words.iter().copied()))
}

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
