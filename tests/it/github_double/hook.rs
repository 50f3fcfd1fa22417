//! Deliveries.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Client;
use crate::support::github::{Change, Delivery, GitHub, NO_COMMIT, sign};

/// Somebody who listens, and says 202 to what is signed; the third hears nothing.
async fn listen() -> (String, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&heard);
    let hear = move |headers: HeaderMap, body: Bytes| async move {
        let header = |name| {
            headers
                .get(name)
                .map_or("", |value: &http::HeaderValue| value.to_str().unwrap())
        };
        noted
            .lock()
            .unwrap()
            .push(header("x-github-delivery").to_owned());
        match header("x-hub-signature-256") == sign("made-up", &body) {
            true => (StatusCode::ACCEPTED, header("x-github-event").to_owned()),
            false => (StatusCode::UNAUTHORIZED, String::new()),
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("http://{}/github/webhook", listener.local_addr().unwrap());
    let app = Router::new().fallback(hear);
    tokio::spawn(async { axum::serve(listener, app).await });
    (url, heard)
}

fn ids(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|one| one.id.clone()).collect()
}

/// The example of GitHub's page "Validating webhook deliveries".
#[test]
fn a_signature_is_that_of_githubs_example() {
    assert_eq!(
        sign("It's a Secret to Everybody", b"Hello, World!"),
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
}

#[tokio::test]
async fn every_push_tells_what_it_did() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let old = github.head("main").unwrap();
    github.push(
        "main",
        &[
            (&[("a.md", "1".into()), ("b.md", "1".into())], "One"),
            (&[("a.md", "2".into()), ("b.md", Change::Delete)], "Two"),
        ],
    );
    let file = json!({ "message": "Three", "content": "YQ==" });
    client.put("contents/c.md", file).await.json(201);
    let told: Vec<Value> = github
        .take_deliveries()
        .iter()
        .map(Delivery::payload)
        .collect();
    assert_eq!(told.len(), 2);
    let push = &told[0];
    assert_eq!(
        (&push["ref"], &push["before"]),
        (&json!("refs/heads/main"), &json!(old))
    );
    assert_eq!(push["commits"].as_array().unwrap().len(), 2);
    assert_eq!(push["commits"][0]["added"], json!(["a.md", "b.md"]));
    assert_eq!(push["commits"][1]["modified"], json!(["a.md"]));
    assert_eq!(push["commits"][1]["removed"], json!(["b.md"]));
    assert_eq!(push["repository"]["full_name"], "anna/notes");
    assert_eq!(told[1]["before"], push["after"]);
    assert_eq!(told[1]["head_commit"]["added"], json!(["c.md"]));
}

#[tokio::test]
async fn branches_come_are_rewritten_and_go() {
    let github = GitHub::start();
    let old = github.head("main").unwrap();
    github.set_branch("x", &old);
    github.commit("x", &[("a.md", "1".into())], "One");
    github.force_push("x", Some(&old), &[(&[("a.md", "2".into())], "Other")]);
    github.set_branch("x", &old);
    github.delete_branch("x");
    let told: Vec<Value> = github
        .take_deliveries()
        .iter()
        .map(Delivery::payload)
        .collect();
    let flags = told.iter().map(|push| {
        let flag = |name: &str| push[name].as_bool().unwrap();
        (
            flag("created"),
            flag("deleted"),
            flag("forced"),
            push["commits"].as_array().unwrap().len(),
        )
    });
    assert_eq!(
        flags.collect::<Vec<_>>(),
        [
            (true, false, false, 0),
            (false, false, false, 1),
            (false, false, true, 1),
            (false, false, true, 0),
            (false, true, false, 0),
        ]
    );
    assert_eq!(told[0]["before"], NO_COMMIT);
    assert_eq!(
        (&told[4]["after"], &told[4]["head_commit"]),
        (&json!(NO_COMMIT), &Value::Null)
    );
}

#[tokio::test]
async fn a_large_push_names_only_the_first_commits() {
    let github = GitHub::start();
    let changes: Vec<[(&str, Change); 1]> =
        (0..5).map(|n| [("a.md", format!("{n}").into())]).collect();
    let commits: Vec<_> = changes
        .iter()
        .map(|change| (change.as_slice(), "Next"))
        .collect();
    github.set_push_commits(3);
    let made = github.push("main", &commits);
    github.set_empty_commit_lists(true);
    github.commit("main", &[("b.md", "x".into())], "Extremely large");
    let told: Vec<Value> = github
        .take_deliveries()
        .iter()
        .map(Delivery::payload)
        .collect();
    assert_eq!(told[0]["commits"].as_array().unwrap().len(), 3);
    assert_eq!(told[0]["commits"][0]["id"], made[0]);
    assert_eq!(told[0]["head_commit"]["id"], made[4]);
    assert_eq!(told[1]["commits"], json!([]));
}

#[tokio::test]
async fn deliveries_are_signed_and_posted_as_the_test_says() {
    let github = GitHub::start();
    github.set_hook_secret(Some("made-up"));
    let (url, heard) = listen().await;
    let ping = github.ping();
    assert_eq!(ping.signature, Some(sign("made-up", &ping.body)));
    assert_eq!(github.deliver_one(&url).await.unwrap().body, "ping");
    for n in 0..6 {
        github.commit("main", &[("a.md", format!("{n}").into())], "Next");
    }
    let sent = ids(&github.pending());
    github.shuffle_deliveries(7);
    let shuffled = ids(&github.pending());
    assert_ne!(shuffled, sent);
    github.duplicate_deliveries();
    assert_eq!(github.pending().len(), 12);
    let outcomes = github.deliver_all(&url).await;
    assert!(outcomes.iter().all(|one| one.status == Some(202)));
    let mut came = heard.lock().unwrap().split_off(1);
    came.dedup();
    assert_eq!(came, shuffled);
    assert_eq!(github.deliver_one(&url).await, None);
    github.commit("main", &[("a.md", "lost".into())], "Lost");
    assert_eq!(github.drop_deliveries(), 1);
    github.set_hook_secret(None);
    github.commit("main", &[("a.md", "unsigned".into())], "Unsigned");
    assert_eq!(github.deliver_at_once(&url).await[0].status, Some(401));
}

#[test]
fn deliveries_go_by_themselves_and_are_given_up() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (url, heard) = runtime.block_on(listen());
    let github = GitHub::start();
    github.set_hook_secret(Some("made-up"));
    let silence = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = format!("http://{}/", silence.local_addr().unwrap());
    github.set_hook_timeout(Duration::from_millis(200));
    github.deliver_to(&[&url, &silent]);
    github.commit("main", &[("a.md", "1".into())], "One");
    github.wait_for_deliveries();
    let mut outcomes = github.delivered();
    outcomes.sort_by_key(|one| one.status);
    assert_eq!(outcomes[0].status, None);
    assert_eq!(
        (outcomes[1].status, outcomes[1].body.as_str()),
        (Some(202), "push")
    );
    assert_eq!(heard.lock().unwrap().len(), 1);
    github.deliver_to(&[]);
    github.commit("main", &[("a.md", "2".into())], "Two");
    assert_eq!(github.pending().len(), 1);
}
