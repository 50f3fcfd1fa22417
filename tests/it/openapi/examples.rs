//! The document's examples.

use serde_json::Value;

use super::{answers, operations};
use crate::support::contract::{DOCUMENT, escaped, faults};

/// Every example below `value`, with the place of the schema that it is one of.
fn examples<'a>(value: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    if let Value::Array(items) = value {
        for (at, item) in items.iter().enumerate() {
            examples(item, &format!("{place}/{at}"), found);
        }
    }
    let Value::Object(members) = value else {
        return;
    };
    // That of a parameter or a body stands beside its schema, that of a schema in it.
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
    assert!(found.len() > 30, "{}", found.len());
}

#[test]
fn every_body_that_is_sent_and_every_json_answer_has_an_example() {
    let is_json = |media: &str| media == "application/json" || media.ends_with("+json");
    for operation in operations() {
        let sent = operation["requestBody"]["content"]
            .as_object()
            .into_iter()
            .flatten();
        let sent = sent.map(|(media, content)| (media.as_str(), content));
        for (media, content) in sent
            .chain(answers(operation))
            .filter(|(media, _)| is_json(media))
        {
            let has_one = ["example", "examples"]
                .iter()
                .any(|it| content.get(it).is_some());
            assert!(has_one, "{}: {media}", operation["operationId"]);
        }
    }
    let refusal = &DOCUMENT["components"]["schemas"]["Refusal"];
    assert_eq!(refusal["examples"][0]["ok"], false);
}
