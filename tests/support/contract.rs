//! Checks answers against the API's OpenAPI document: the status is one of the route's, the headers are exactly the
//! documented ones, and the body has the documented type and shape, with no additional member.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, LazyLock, Mutex};

use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue};
use jsonschema::Validator;
use serde_json::{Value, json};

/// The document, as the service serves it.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(codex_miroir::http::openapi()).unwrap());

/// The document with additional members forbidden in every object whose schema is complete.
static STRICT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    let mut parts = BTreeSet::new();
    collect_parts(&document, &mut parts);
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    for (name, schema) in schemas {
        if schema["type"] == "object" && !parts.contains(name) {
            schema["additionalProperties"] = json!(false);
        }
    }
    document
});

/// Collects the schemas that describe only a part of an object.
fn collect_parts(value: &Value, parts: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let of = |kind| members.get(kind).and_then(Value::as_array);
            for part in ["allOf", "anyOf"].into_iter().filter_map(of).flatten() {
                let name = part["$ref"].as_str().unwrap_or_default();
                parts.insert(name.replace("#/components/schemas/", ""));
            }
            members.values().for_each(|it| collect_parts(it, parts));
        }
        Value::Array(items) => items.iter().for_each(|it| collect_parts(it, parts)),
        _ => {}
    }
}

/// Headers that the connection and the layers around the routes add as needed.
const UNDOCUMENTED_HEADERS: &[&str] = &[
    "access-control-allow-origin",
    "access-control-expose-headers",
    "connection",
    "content-length",
    "content-type",
    "date",
    "set-cookie",
    "transfer-encoding",
    "vary",
];

/// Routes that aren't in the document.
const UNDOCUMENTED_ROUTES: &[&str] = &[
    "/gitPush",
    "/janitor",
    "/index.html",
    "/create-task.html",
    "/login.html",
];

/// Panics when the document doesn't allow this answer to a request.
#[track_caller]
pub(crate) fn check(method: &str, target: &str, status: u16, headers: &HeaderMap, body: &[u8]) {
    let path = target.split('?').next().unwrap();
    let asked = format!("{method} {path} → {status}");
    assert!(headers.contains_key("x-request-id"), "{asked}: no id");
    let Some((template, item)) = path_item(path) else {
        // The host's own routes aren't public, and the older service's pages only redirect.
        let undocumented = UNDOCUMENTED_ROUTES
            .iter()
            .any(|it| it.eq_ignore_ascii_case(path));
        assert!(
            undocumented || method == "OPTIONS" || status == 404,
            "{asked}"
        );
        return;
    };
    let known = if method == "HEAD" { "GET" } else { method }.to_lowercase();
    let Some(operation) = item.get(&known) else {
        let refused = status == 405 && headers.contains_key("allow");
        assert!(refused || method == "OPTIONS", "{asked}: no such method");
        return;
    };
    let Some(answer) = operation["responses"].get(status.to_string()) else {
        panic!("{asked}: no such status: {}", String::from_utf8_lossy(body));
    };
    check_headers(&asked, answer, headers);
    if method != "HEAD" {
        let place = [&template, &known, &status.to_string()].map(|it| escaped(it));
        let place = format!("/paths/{}/{}/responses/{}", place[0], place[1], place[2]);
        check_body(&asked, &place, answer, headers, &unpacked(headers, body));
    }
}

/// The documented path that matches; letter case and a trailing slash are ignored, and a path without a parameter takes
/// precedence over one with.
fn path_item(path: &str) -> Option<(String, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let path = path
        .strip_suffix('/')
        .filter(|it| !it.is_empty())
        .unwrap_or(path);
    let exact = paths.get_key_value(path);
    let fits = |template: &str| {
        let (a, b): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let fit = |(a, b): (&&str, &&str)| {
            a.eq_ignore_ascii_case(b) || (a.starts_with('{') && !b.is_empty())
        };
        a.len() == b.len() && a.iter().zip(&b).all(fit)
    };
    let found = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)));
    found.map(|(template, item)| (template.clone(), item))
}

/// The operation that a request invokes.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let (_, item) = path_item(path)?;
    item.get(method.to_lowercase())
}

/// Escaped as a segment of a JSON pointer.
pub(crate) fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

#[track_caller]
fn check_headers(asked: &str, answer: &Value, headers: &HeaderMap) {
    let none = serde_json::Map::new();
    let documented = answer["headers"].as_object().unwrap_or(&none);
    for (name, header) in documented {
        let value = headers.get(name.as_str());
        let needless = header["required"] != true;
        assert!(
            value.is_some() || needless,
            "{asked}: no {name}: {headers:?}"
        );
        if let Some(value) = value {
            check_header(asked, name, &header["schema"], value);
        }
    }
    for name in headers.keys() {
        let known = documented
            .keys()
            .any(|it| it.eq_ignore_ascii_case(name.as_str()));
        let allowed = known || UNDOCUMENTED_HEADERS.contains(&name.as_str());
        assert!(allowed, "{asked}: {name} isn't documented");
    }
}

#[track_caller]
fn check_header(asked: &str, name: &str, schema: &Value, value: &HeaderValue) {
    let text = value.to_str().unwrap();
    let value = match schema["type"].as_str() {
        Some("integer") => serde_json::from_str(text).unwrap(),
        _ => json!(text),
    };
    assert!(
        jsonschema::is_valid(schema, &value),
        "{asked}: {name}: {text}"
    );
}

fn unpacked(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match headers.contains_key("content-encoding") {
        true => drop(GzDecoder::new(body).read_to_end(&mut plain).unwrap()),
        false => plain.extend(body),
    }
    plain
}

#[track_caller]
fn check_body(asked: &str, place: &str, answer: &Value, headers: &HeaderMap, body: &[u8]) {
    let kind = headers
        .get("content-type")
        .map_or("", |it| it.to_str().unwrap());
    let kind = kind.split(';').next().unwrap();
    let Some(contents) = answer.get("content") else {
        assert!(body.is_empty(), "{asked}: a body, but none is documented");
        return;
    };
    assert!(
        contents.get(kind).is_some(),
        "{asked}: {kind} isn't documented"
    );
    if kind != "application/json" {
        assert!(!body.is_empty(), "{asked}: empty");
        return;
    }
    let document: Value = serde_json::from_slice(body).unwrap();
    let place = format!("{place}/content/{}/schema", escaped(kind));
    for (name, strict) in [("the document", false), ("exactly its members", true)] {
        let faults = faults(&place, strict, &document);
        assert!(
            faults.is_empty(),
            "{asked}: not {name}: {faults:#?}\n{document:#}"
        );
    }
}

/// The violations of the schema at this place of the document; `strict` also reports additional members.
pub(crate) fn faults(place: &str, strict: bool, value: &Value) -> Vec<String> {
    let validator = validator(place, strict);
    let faults = validator.iter_errors(value);
    let faults = faults.map(|fault| format!("{fault} at {}", fault.instance_path()));
    faults.collect()
}

/// The validator of the schema at this place of the document, compiled once.
fn validator(place: &str, strict: bool) -> Arc<Validator> {
    static COMPILED: Mutex<BTreeMap<(String, bool), Arc<Validator>>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap();
    let validator = compiled.entry((place.to_owned(), strict));
    let validator = validator.or_insert_with(|| Arc::new(compile(place, strict)));
    Arc::clone(validator)
}

fn compile(place: &str, strict: bool) -> Validator {
    let mut schema = if strict {
        STRICT.clone()
    } else {
        DOCUMENT.clone()
    };
    let any_object = json!({"type": "object"});
    if strict && schema.pointer(place) != Some(&any_object) {
        schema["unevaluatedProperties"] = json!(false);
    }
    schema["$ref"] = json!(format!(
        "#{}",
        place.replace('{', "%7B").replace('}', "%7D")
    ));
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(&schema).unwrap()
}

pub(crate) fn operations() -> impl Iterator<Item = &'static Value> {
    let items = DOCUMENT["paths"].as_object().unwrap().values();
    items.flat_map(|item| item.as_object().unwrap().values())
}

/// The response bodies of an operation, with their statuses and media types.
pub(crate) fn answers(operation: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let answers = operation["responses"].as_object().unwrap().iter();
    let contents = answers.filter_map(|(status, answer)| {
        let contents = answer["content"].as_object()?.iter();
        Some(contents.map(move |(media, content)| (status.as_str(), media.as_str(), content)))
    });
    contents.flatten()
}
