//! The document's examples, and `curl` commands.

use serde_json::Value;

/// The service's origin with default settings.
const ORIGIN: &str = "http://localhost:7071";

/// A `curl` command for the operation, with the first example of its body.
pub(super) fn curl(path: &str, method: &str, operation: &Value) -> String {
    let mut words = vec!["curl".to_owned()];
    if method != "get" {
        words.push(format!("-X {}", method.to_uppercase()));
    }
    words.extend(auth_arguments(operation).map(str::to_owned));
    let media = operation["requestBody"]["content"].as_object();
    if let Some((media, content)) = media.and_then(|it| it.iter().next()) {
        let bodies = examples(content).take(1);
        words.extend(bodies.map(|body| format!("-H 'Content-Type: {media}' -d '{body}'")));
    }
    words.push(format!("{ORIGIN}{}", path.replace("{id}", "0042")));
    words.join(" ")
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
pub(super) fn examples(content: &Value) -> impl Iterator<Item = &Value> {
    let several = content["examples"].as_object().into_iter().flatten();
    let several = several.map(|(_, example)| &example["value"]);
    content.get("example").into_iter().chain(several)
}
