//! The API's document as a page for people, without a script and without anything fetched.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Map, Value};

use super::example::{curl, examples};

/// The page's style sheet.
pub(super) const STYLESHEET: &str = include_str!("page.css");

/// Writes the page of `document`.
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
                h1 { (text(&about["title"])) " " (text(&about["version"])) }
                (prose(text(&about["description"])))
                p { "For programs: " a href="/openapi.json" { "/openapi.json" } }
                (contents(document))
                (security(document))
                @for (path, method, operation) in operations(document) {
                    (section(path, method, operation))
                }
                h2 { "Types" }
                @for (name, schema) in members(&document["components"]["schemas"]) { (named(name, schema)) }
            }
        }
    };
    page.into_string()
}

/// Every operation with its path and its method.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let of_path = |(path, item)| {
        let operations = members(item);
        operations.map(move |(method, operation)| (path, method, operation))
    };
    members(&document["paths"]).flat_map(of_path).collect()
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

fn contents(document: &Value) -> Markup {
    html! {
        nav { ul {
            @for (path, method, operation) in operations(document) {
                li { a href={ "#" (text(&operation["operationId"])) } { b { (method.to_uppercase()) } " " (path) } }
            }
        } }
    }
}

fn security(document: &Value) -> Markup {
    html! {
        h2 { "Who asks" }
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
            h2 { b { (method.to_uppercase()) } " " (path) }
            (prose(text(&operation["summary"])))
            (prose(text(&operation["description"])))
            (parameters(items(&operation["parameters"])))
            (body(&operation["requestBody"]))
            h3 { "Answers" }
            dl { @for (status, answer) in members(&operation["responses"]) { (response(status, answer)) } }
            h3 { "Example" }
            pre { (curl(path, method, operation)) }
        }
    }
}

fn parameters(parameters: &[Value]) -> Markup {
    html! {
        @if !parameters.is_empty() {
            h3 { "Parameters" }
            dl {
                @for it in parameters {
                    dt {
                        code { (text(&it["name"])) }
                        span.dim { " " (text(&it["in"])) ", " (kind(&it["schema"])) }
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
            h3 { "Body" }
            p { (kind(&content["schema"])) span.dim { ", " (media) } }
            (prose(text(&body["description"])))
        }
    }
}

fn response(status: &str, answer: &Value) -> Markup {
    html! {
        dt {
            b { (status) }
            @for (media, content) in members(&answer["content"]) {
                span.dim { " " (media) " " (kind(&content["schema"])) }
            }
        }
        dd {
            (prose(text(&answer["description"])))
            @for (_, content) in members(&answer["content"]) {
                @for it in examples(content) { (example(it)) }
            }
            @if answer["headers"].is_object() {
                div.dim { @for (name, _) in members(&answer["headers"]) { code { (name) } " " } }
            }
        }
    }
}

/// What a body may look like, a member a line.
fn example(body: &Value) -> Markup {
    html! { details { summary { "Example" } pre { (format!("{body:#}")) } } }
}

/// A type of the document, with its members.
fn named(name: &str, schema: &Value) -> Markup {
    html! {
        section id={ "type-" (name) } {
            h3 { (name) }
            (prose(text(&schema["description"])))
            p { (kind(schema)) }
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
                        span.dim { @if !required(name) { " optional" } " " (kind(member)) }
                    }
                    dd { (prose(text(&member["description"]))) }
                }
            }
        }
    }
}

/// What a value is, in a few words.
fn kind(schema: &Value) -> Markup {
    let all_of: Vec<_> = items(&schema["allOf"])
        .iter()
        .filter(|it| it["$ref"].is_string())
        .collect();
    let any_of = [&schema["oneOf"], &schema["anyOf"]]
        .into_iter()
        .flat_map(items);
    let any_of: Vec<_> = any_of.collect();
    html! {
        @if let Some((_, name)) = text(&schema["$ref"]).rsplit_once('/') {
            a href={ "#type-" (name) } { (name) }
        } @else if !all_of.is_empty() {
            @for (at, part) in all_of.iter().enumerate() { @if at > 0 { " and " } (kind(part)) }
        } @else if !any_of.is_empty() {
            @for (at, part) in any_of.iter().enumerate() { @if at > 0 { " or " } (kind(part)) }
        } @else if schema["enum"].is_array() {
            @for (at, word) in items(&schema["enum"]).iter().enumerate() { @if at > 0 { ", " } code { (word) } }
        } @else if schema["type"] == "array" {
            "list of " (kind(&schema["items"]))
        } @else {
            (simple(schema))
        }
    }
}

/// A text or a number, and what limits it; or a constant.
fn simple(schema: &Value) -> Markup {
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

/// Lines of text, with what stands between backticks as code.
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
