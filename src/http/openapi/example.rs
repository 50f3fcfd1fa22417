//! The document's examples, and requests to copy.

use serde_json::Value;

/// Where the service is reached without any settings.
const ORIGIN: &str = "http://localhost:7071";

/// A command that sends such a request.
pub(super) fn curl(path: &str, method: &str, operation: &Value) -> String {
    let mut words = vec!["curl".to_owned()];
    if method != "get" {
        words.push(format!("-X {}", method.to_uppercase()));
    }
    words.extend(who(operation).map(str::to_owned));
    let media = operation["requestBody"]["content"].as_object();
    if let Some((media, content)) = media.and_then(|it| it.iter().next()) {
        let bodies = examples(content).take(1);
        words.extend(bodies.map(|body| format!("-H 'Content-Type: {media}' -d '{body}'")));
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

/// The examples of a body, by request or answer.
pub(super) fn examples(content: &Value) -> impl Iterator<Item = &Value> {
    let several = content["examples"].as_object().into_iter().flatten();
    let several = several.map(|(_, example)| &example["value"]);
    content.get("example").into_iter().chain(several)
}
