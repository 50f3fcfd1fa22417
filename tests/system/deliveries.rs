//! GitHub's webhook deliveries.

use codex_miroir::github::{Delivery, Push, parse};
use codex_miroir::task::GitSha;
use serde_json::Value;

#[test]
fn every_payload_that_github_publishes_is_understood() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/node_modules/@octokit/webhooks-examples"
    );
    let (mut pushes, mut others) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("tests/run installs the examples") {
        let index = entry.unwrap().path().join("index.json");
        let Ok(text) = std::fs::read(&index) else {
            continue;
        };
        let events: Vec<Value> = serde_json::from_slice(&text).unwrap();
        for event in &events {
            let name = event["name"].as_str().unwrap();
            for example in event["examples"].as_array().unwrap() {
                let body = serde_json::to_vec(example).unwrap();
                let delivery = parse(name, &body).unwrap();
                let expected = match name {
                    "push" => Delivery::Push(Push {
                        repository: example["repository"]["full_name"]
                            .as_str()
                            .unwrap()
                            .to_owned(),
                        reference: example["ref"].as_str().unwrap().to_owned(),
                        before: commit(&example["before"]),
                        after: commit(&example["after"]),
                        forced: example["forced"].as_bool().unwrap(),
                        at: example["repository"]["pushed_at"]
                            .as_i64()
                            .and_then(|at| chrono::DateTime::from_timestamp(at, 0)),
                    }),
                    "ping" => Delivery::Ping,
                    _ => Delivery::Other,
                };
                assert_eq!(delivery, expected, "{name}");
                match name {
                    "push" => pushes += 1,
                    _ => others += 1,
                }
                // As a form, the other content type that a webhook can be configured with.
                let form = form_urlencoded::Serializer::new(String::new())
                    .append_pair("payload", std::str::from_utf8(&body).unwrap())
                    .finish();
                assert_eq!(
                    parse(name, form.as_bytes()).unwrap(),
                    expected,
                    "{name} as a form"
                );
            }
        }
    }
    println!("{pushes} pushes and {others} others");
    assert!(pushes > 5 && others > 100);
}

/// Forty zeros mean that there is no commit.
fn commit(sha: &Value) -> Option<GitSha> {
    let sha: GitSha = sha.as_str()?.parse().ok()?;
    (sha != GitSha([0; 20])).then_some(sha)
}
