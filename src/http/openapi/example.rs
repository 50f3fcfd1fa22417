//! Requests to copy, made from the document.

use serde_json::{Value, json};

/// Where the service is reached without any settings.
const ORIGIN: &str = "http://localhost:7071";

/// A command that sends such a request.
pub(super) fn curl(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let mut words = vec!["curl".to_owned()];
    if method != "get" {
        words.push(format!("-X {}", method.to_uppercase()));
    }
    words.extend(who(operation).map(str::to_owned));
    let media = operation["requestBody"]["content"].as_object();
    if let Some((media, content)) = media.and_then(|it| it.iter().next()) {
        let body = example(document, &content["schema"]);
        words.push(format!("-H 'Content-Type: {media}' -d '{body}'"));
    }
    words.push(format!("{ORIGIN}{}", path.replace("{id}", "0042")));
    words.join(" ")
}

/// How the request says who asks, where it has to.
fn who(operation: &Value) -> Option<&'static str> {
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

/// A value that the schema allows, as small as can be and still say something.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
        return document
            .pointer(pointer)
            .map_or(Value::Null, |it| example(document, it));
    }
    let given = [
        &schema["example"],
        &schema["examples"][0],
        &schema["enum"][0],
    ];
    if let Some(given) = given.into_iter().find(|it| !it.is_null()) {
        return given.clone();
    }
    if schema["oneOf"].is_array() {
        return example(document, &schema["oneOf"][0]);
    }
    match schema["type"].as_str() {
        Some("object") => object(document, schema),
        Some("array") => json!([example(document, &schema["items"])]),
        Some("integer") => json!(0),
        _ => json!("…"),
    }
}

/// With the members that it must have, else with the first one.
fn object(document: &Value, schema: &Value) -> Value {
    let Some(properties) = schema["properties"].as_object() else {
        return json!({});
    };
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it == name));
    let at_least = if required.is_none() { 1 } else { 0 };
    let chosen = properties.iter().enumerate();
    let chosen = chosen.filter(|(at, (name, _))| *at < at_least || is_required(name));
    let members = chosen.map(|(_, (name, member))| (name.clone(), example(document, member)));
    Value::Object(members.collect())
}
