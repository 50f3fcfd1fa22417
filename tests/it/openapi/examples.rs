//! The examples in the OpenAPI document.

use serde_json::{Value, json};

use crate::support::contract::{DOCUMENT, answers, escaped, faults, operation, operations};
use crate::support::http::{get, request, send_body, send_json};
use crate::support::scene::Scene;

/// Collects every example below `value`, each with the JSON pointer of its schema.
fn examples<'a>(value: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    if let Value::Array(items) = value {
        for (at, item) in items.iter().enumerate() {
            examples(item, &format!("{place}/{at}"), found);
        }
    }
    let Value::Object(members) = value else {
        return;
    };
    // The example of a parameter or a body is a sibling of its schema; that of a schema is inside it.
    let schema = match members.contains_key("schema") {
        true => format!("{place}/schema"),
        false => place.to_owned(),
    };
    let several: Vec<&Value> = match members.get("examples") {
        Some(Value::Object(named)) => named.values().map(|it| &it["value"]).collect(),
        Some(Value::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    };
    for example in members.get("example").into_iter().chain(several) {
        found.push((schema.clone(), example));
    }
    for (name, member) in members {
        if !matches!(name.as_str(), "example" | "examples") {
            examples(member, &format!("{place}/{}", escaped(name)), found);
        }
    }
}

#[test]
fn every_example_is_what_its_schema_allows_and_no_member_more() {
    let mut found = Vec::new();
    examples(&DOCUMENT, "", &mut found);
    for (place, example) in &found {
        let faults = [false, true].map(|strict| faults(place, strict, example));
        assert!(
            faults.concat().is_empty(),
            "{place}: {faults:#?}\n{example:#}"
        );
    }
    assert!(found.len() > 150, "{}", found.len());
}

#[test]
fn every_body_that_is_sent_and_every_json_answer_has_an_example() {
    let is_json = |media: &str| media == "application/json" || media.ends_with("+json");
    let mut without = Vec::new();
    for operation in operations() {
        let sent = operation["requestBody"]["content"].as_object();
        let sent = sent.into_iter().flatten();
        let sent = sent.map(|(media, content)| ("body", media.as_str(), content));
        for (place, media, content) in sent.chain(answers(operation)) {
            let has_one = ["example", "examples"]
                .iter()
                .any(|it| content.get(it).is_some());
            if is_json(media) && !has_one {
                without.push(format!("{} {place}", operation["operationId"]));
            }
        }
    }
    assert!(without.is_empty(), "{}: {without:#?}", without.len());
    let refusal = &DOCUMENT["components"]["schemas"]["Refusal"];
    assert_eq!(refusal["examples"][0]["ok"], false);
}

#[test]
fn a_refusals_example_is_of_its_first_code_and_names_the_request_where_the_service_is_at_fault() {
    let mut checked = 0;
    for operation in operations() {
        let refusals = answers(operation).filter(|(status, media, _)| {
            status.starts_with(['4', '5']) && *media == "application/json"
        });
        for (status, _, content) in refusals {
            let example = &content["example"];
            let place = format!("{} {status}: {example}", operation["operationId"]);
            let codes = &content["schema"]["allOf"][1]["properties"]["code"]["enum"];
            assert!(codes[0].is_string(), "{place}");
            assert_eq!(example["code"], codes[0], "{place}");
            let named = example["requestId"].is_string();
            assert_eq!(named, status.starts_with('5'), "{place}");
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

/// The service's refusals equal the document's examples exactly.
#[tokio::test]
async fn the_service_refuses_as_its_examples_say() {
    let a = Scene::new().instance();
    let steuer = json!({"kategorie": "arbeit", "title": "Steuer"});
    let created = send_json(&a, "POST", "/api/tasks", &steuer).await.ok();
    let task = &format!("/api/tasks/{}", created["id"].as_str().unwrap());
    let complete = &format!("{task}/complete");
    let typed = |method, path: &str| {
        request(method, path).header("content-type", "application/json; charset=utf-8")
    };
    let keyed = || typed("POST", "/api/tasks").header("idempotency-key", "of-the-examples");
    let first = send_body(&a, keyed(), steuer.to_string()).await;
    assert_eq!(first.status, 201);
    let over = " ".repeat((1 << 20) + 1);
    let elsewhere = "/auth/github?return_to=elsewhere";
    let refused = [
        (get("/api/tasks?limit=0"), ""),
        (get("/codex?format=pdf"), ""),
        (request("POST", "/sync?mode=half"), ""),
        (get(elsewhere), ""),
        (get(&elsewhere.replace("/auth/github", "/login")), ""),
        (get("/api/tasks/first"), ""),
        (typed("POST", "/api/tasks"), "[]"),
        (typed("PATCH", task), "[]"),
        (typed("POST", complete), "[]"),
        (typed("POST", "/api/preview"), "[]"),
        (get("/codex").header("host", "codex.example"), ""),
        (get("/api/tasks/9999"), ""),
        (request("POST", "/api/tasks/9999/complete"), ""),
        (get("/assets/none"), ""),
        (get("/metrics"), ""),
        (get("/calendar/none"), ""),
        (get("/sync?mode=full"), ""),
        (get("/sync"), ""),
        (request("POST", "/sync"), ""),
        (get("/auth/github"), ""),
        (get("/auth/github/callback"), ""),
        (
            typed("PATCH", task).header("if-match", "\"none\""),
            r#"{"tags": ["geld"]}"#,
        ),
        (typed("POST", "/api/tasks"), &over),
        (request("POST", "/api/preview"), "Belege"),
        (keyed(), r#"{"kategorie": "privat"}"#),
    ];
    for (request, body) in refused {
        let (method, uri) = (request.method_ref().unwrap(), request.uri_ref().unwrap());
        let request_line = format!("{method} {uri}");
        let operation = operation(method.as_str(), uri.path()).unwrap();
        let reply = send_body(&a, request, body.to_owned()).await;
        let answer = &operation["responses"][reply.status.as_str()];
        let example = &answer["content"]["application/json"]["example"];
        assert_eq!(&reply.json(), example, "{request_line}");
    }
}
