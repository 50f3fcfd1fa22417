//! The OpenAPI document as an HTML page, without scripts and external resources.

use http::StatusCode;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Map, Value};

/// The service's origin with default settings.
const ORIGIN: &str = "http://localhost:7071";

/// The page's style sheet.
pub(super) const STYLESHEET: &str = include_str!("page.css");

/// Renders `document` as a page.
pub(super) fn html(document: &Value) -> String {
    let about = &document["info"];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (text(&about["title"])) " · API" }
                style { (PreEscaped(STYLESHEET)) }
            }
            body {
                nav aria-label="Operations" { (contents(document)) }
                main {
                    h1 { (text(&about["title"])) " " (text(&about["version"])) }
                    (prose(text(&about["description"])))
                    p { "As JSON: " a href="/openapi.json" { "/openapi.json" } }
                    (security(document))
                    @for tag in items(&document["tags"]) { (group(document, tag)) }
                    h2 id="types" { "Types" }
                    @for (name, schema) in members(&document["components"]["schemas"]) { (schema_section(name, schema)) }
                }
            }
        }
    };
    page.into_string()
}

/// The operations of a group, as (path, method, operation).
fn operations<'a>(document: &'a Value, tag: &Value) -> Vec<(&'a str, &'a str, &'a Value)> {
    let of_path = |(path, item)| {
        let operations = members(item);
        operations.map(move |(method, operation)| (path, method, operation))
    };
    let all = members(&document["paths"]).flat_map(of_path);
    let of_group = all.filter(|(.., operation)| operation["tags"][0] == tag["name"]);
    of_group.collect()
}

/// The target of a link to a group.
fn anchor(tag: &Value) -> String {
    format!("group-{}", text(&tag["name"]).replace(' ', "-"))
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = object.as_object().into_iter().flat_map(Map::iter);
    members.map(|(name, value)| (name.as_str(), value))
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The index: each group with its operations.
fn contents(document: &Value) -> Markup {
    html! {
        a href="#authentication" { b { "authentication" } }
        @for tag in items(&document["tags"]) {
            a href={ "#" (anchor(tag)) } { b { (text(&tag["name"])) } }
            ul {
                @for (path, method, operation) in operations(document, tag) {
                    li { a href={ "#" (text(&operation["operationId"])) } {
                        span.dim { (method.to_uppercase()) } " " (path)
                    } }
                }
            }
        }
        a href="#types" { b { "types" } }
    }
}

fn group(document: &Value, tag: &Value) -> Markup {
    html! {
        h2 id=(anchor(tag)) { (text(&tag["name"])) }
        (prose(text(&tag["description"])))
        @for (path, method, operation) in operations(document, tag) { (section(path, method, operation)) }
    }
}

fn security(document: &Value) -> Markup {
    html! {
        h2 id="authentication" { "Authentication" }
        dl {
            @for (name, scheme) in members(&document["components"]["securitySchemes"]) {
                dt { (name) } dd { (prose(text(&scheme["description"]))) }
            }
        }
    }
}

fn section(path: &str, method: &str, operation: &Value) -> Markup {
    html! {
        section id=(text(&operation["operationId"])) {
            h3.operation { b { (method.to_uppercase()) } " " (path) }
            (prose(text(&operation["summary"])))
            (prose(text(&operation["description"])))
            pre { (curl(path, method, operation)) }
            (answer(operation))
            (parameters(items(&operation["parameters"])))
            (body(&operation["requestBody"]))
            h4 { "Responses" }
            dl { @for (status, it) in members(&operation["responses"]) { (response(status, it)) } }
        }
    }
}

fn parameters(parameters: &[Value]) -> Markup {
    html! {
        @if !parameters.is_empty() {
            h4 { "Parameters" }
            dl {
                @for it in parameters {
                    dt {
                        code { (text(&it["name"])) }
                        span.dim { " " (text(&it["in"])) ", " (type_summary(&it["schema"])) }
                    }
                    dd { (prose(text(&it["description"]))) }
                }
            }
        }
    }
}

fn body(body: &Value) -> Markup {
    html! {
        @for (media, content) in members(&body["content"]) {
            h4 { "Body" }
            p { (type_summary(&content["schema"])) span.dim { ", " (media) } }
            (prose(text(&body["description"])))
        }
    }
}

fn response(status: &str, response: &Value) -> Markup {
    html! {
        dt {
            b { (status) }
            @for (media, content) in members(&response["content"]) {
                span.dim { " " (media) " " (type_summary(&content["schema"])) }
            }
        }
        dd {
            (prose(text(&response["description"])))
            @for (_, content) in members(&response["content"]) {
                @for it in examples(content) { (example(it)) }
            }
            @if response["headers"].is_object() {
                div.dim { @for (name, _) in members(&response["headers"]) { code { (name) } " " } }
            }
        }
    }
}

/// An example of a body, pretty-printed.
fn example(body: &Value) -> Markup {
    html! { details { summary { "Example" } pre { (format!("{body:#}")) } } }
}

/// A `curl` command for the operation, with the first example of its body.
fn curl(path: &str, method: &str, operation: &Value) -> String {
    let mut words = vec!["curl -i".to_owned()];
    if method != "get" {
        words.push(format!("-X {}", method.to_uppercase()));
    }
    words.extend(auth_arguments(operation).map(str::to_owned));
    let media = operation["requestBody"]["content"].as_object();
    if let Some((media, content)) = media.and_then(|it| it.iter().next()) {
        let bodies = examples(content).take(1);
        words.extend(bodies.map(|body| format!("-H 'Content-Type: {media}' -d '{body}'")));
    }
    words.push(format!("{ORIGIN}{}", example_path(path, operation)));
    words.join(" ")
}

/// The path with the examples of its parameters.
fn example_path(path: &str, operation: &Value) -> String {
    let parameters = items(&operation["parameters"]).iter();
    let in_path = parameters.filter(|it| it["in"] == "path");
    in_path.fold(path.to_owned(), |path, it| {
        let example = it.get("example").unwrap_or(&it["schema"]["examples"][0]);
        path.replace(&format!("{{{}}}", text(&it["name"])), text(example))
    })
}

/// What the command gets: status line, media type or target, and the first example of a body.
fn answer(operation: &Value) -> Markup {
    // Of a creation it is what is created, not what is there already.
    let responses = &operation["responses"];
    let created = members(responses).find(|(status, _)| *status == "201");
    let (status, response) = created
        .or_else(|| members(responses).next())
        .unwrap_or_default();
    let reason = StatusCode::from_bytes(status.as_bytes());
    let reason = reason.ok().and_then(|it| it.canonical_reason());
    let with_example = |(_, content): &(_, &Value)| examples(content).next().is_some();
    let mut contents = members(&response["content"]);
    let content = members(&response["content"])
        .find(with_example)
        .or_else(|| contents.next());
    html! {
        pre {
            "HTTP/1.1 " (status) " " (reason.unwrap_or_default()) "\n"
            @if let Some((media, content)) = content {
                "content-type: " (media) "\n"
                @match examples(content).next() {
                    Some(Value::String(body)) => { "\n" (body) }
                    Some(body) => { "\n" (format!("{body:#}")) }
                    None => {}
                }
            } @else if let Some(target) = response["headers"]["Location"]["schema"]["examples"][0].as_str() {
                "location: " (target) "\n"
            }
        }
    }
}

/// The command's arguments for authentication, if the operation needs one.
fn auth_arguments(operation: &Value) -> Option<&'static str> {
    match &operation["security"][0] {
        Value::Null => Some("-H 'Authorization: Bearer TOKEN'"),
        scheme if scheme.get("metrics").is_some() => {
            Some("-H 'Authorization: Bearer METRICS_TOKEN'")
        }
        scheme if scheme.get("signature").is_some() => {
            Some("-H 'X-GitHub-Event: push' -H 'X-Hub-Signature-256: sha256=SIGNATURE'")
        }
        _ => None,
    }
}

/// The examples of a request or response body.
fn examples(content: &Value) -> impl Iterator<Item = &Value> {
    let several = content["examples"].as_object().into_iter().flatten();
    let several = several.map(|(_, example)| &example["value"]);
    content.get("example").into_iter().chain(several)
}

/// A named schema with its members.
fn schema_section(name: &str, schema: &Value) -> Markup {
    html! {
        section id={ "type-" (name) } {
            h3 { (name) }
            (prose(text(&schema["description"])))
            p { (type_summary(schema)) }
            (object(schema))
            @for part in items(&schema["allOf"]) { (object(part)) }
            @for it in items(&schema["examples"]) { (example(it)) }
        }
    }
}

fn object(schema: &Value) -> Markup {
    let required = |name: &str| items(&schema["required"]).iter().any(|it| it == name);
    html! {
        @if schema["properties"].is_object() {
            dl {
                @for (name, member) in members(&schema["properties"]) {
                    dt {
                        code { (name) }
                        span.dim { @if !required(name) { " optional" } " " (type_summary(member)) }
                    }
                    dd { (prose(text(&member["description"]))) }
                }
            }
        }
    }
}

/// A short description of a value's type, with links to named schemas.
fn type_summary(schema: &Value) -> Markup {
    let refs = items(&schema["allOf"]).iter();
    let all_of = refs.filter(|it| it["$ref"].is_string());
    let any_of = items(&schema["oneOf"])
        .iter()
        .chain(items(&schema["anyOf"]));
    let alternatives = [
        joined(" and ", all_of.map(type_summary)),
        joined(" or ", any_of.map(type_summary)),
        joined(
            ", ",
            items(&schema["enum"])
                .iter()
                .map(|word| html! { code { (word) } }),
        ),
    ];
    html! {
        @if let Some((_, name)) = text(&schema["$ref"]).rsplit_once('/') {
            a href={ "#type-" (name) } { (name) }
        } @else if let Some(parts) = alternatives.into_iter().flatten().next() {
            (parts)
        } @else if schema["type"] == "array" {
            "list of " (type_summary(&schema["items"]))
        } @else {
            (scalar_type(schema))
        }
    }
}

/// The parts in a row; `None` if there is none.
fn joined(between: &str, parts: impl Iterator<Item = Markup>) -> Option<Markup> {
    let parts: Vec<String> = parts.map(Markup::into_string).collect();
    (!parts.is_empty()).then(|| PreEscaped(parts.join(between)))
}

/// A scalar type with its limits, or a constant.
fn scalar_type(schema: &Value) -> Markup {
    let names = match &schema["type"] {
        Value::Array(names) => names.iter().map(text).collect(),
        name => vec![text(name)],
    };
    html! {
        (names.join(" or "))
        @if let Some(value) = schema.get("const") { code { (value) } }
        @for limit in ["format", "minimum", "maximum", "maxLength", "pattern"] {
            @if let Some(value) = schema.get(limit) { ", " (limit) " " code { (value) } }
        }
    }
}

/// Lines of text, with code spans between backticks.
fn prose(text: &str) -> Markup {
    html! {
        @for line in text.lines().filter(|line| !line.is_empty()) {
            div {
                @for (at, part) in line.trim_start_matches("- ").split('`').enumerate() {
                    @if at % 2 == 1 { code { (part) } } @else { (part) }
                }
            }
        }
    }
}
