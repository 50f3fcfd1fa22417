//! Outages, lost answers, and held requests.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{Client, try_hear};
use crate::support::github::{Fault, GitHub};

#[tokio::test]
async fn an_outage_lasts_until_it_is_over() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    github.fail(Fault::Status(503));
    client.get("/user").await.json(503);
    github.recover();
    client.get("/user").await.json(200);
    github.fail_at("GET", "/git/ref", Fault::Html);
    let page = client.get("git/ref/heads/main").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    client.get("/user").await.json(200);
    github.recover();
    github.plan(
        "*",
        "/user",
        2,
        Fault::Redirect("http://127.0.0.1:9/".to_owned()),
    );
    client.get("/user").await.json(200);
    let moved = client.get("/user").await;
    assert_eq!(
        (moved.status, moved.header("location")),
        (307, "http://127.0.0.1:9/")
    );
    client.get("/user").await.json(200);
}

#[tokio::test]
async fn a_lost_answer_was_done_and_a_reset_was_not() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let put = async |path: &str| {
        let file = json!({ "message": "x", "content": "YQ==" });
        let request = client.request(Method::PUT, path).body(file.to_string());
        try_hear(request).await
    };
    github.plan("PUT", "/contents", 1, Fault::LoseAnswer);
    assert!(put("contents/lost.md").await.is_err());
    github.plan("PUT", "/contents", 1, Fault::Reset);
    assert!(put("contents/reset.md").await.is_err());
    github.plan("PUT", "/contents", 1, Fault::Moved);
    put("contents/moved.md").await.unwrap().json(409);
    assert_eq!(
        github.files("main").keys().collect::<Vec<_>>(),
        ["README.md", "lost.md"]
    );
    let seen = github.requests_to("PUT", "/contents/lost.md");
    assert_eq!(seen[0].status, None);
    assert!(seen[0].token.as_ref().unwrap().starts_with("ghp_"));
    assert_eq!(github.calls("PUT", "/contents"), 3);
    assert_eq!(github.calls("PUT", "/content"), 0);
    let whole = format!(
        "/repos/{}/{}/contents/lost.md",
        github.owner(),
        github.repo()
    );
    assert_eq!(github.requests()[0].path, whole);
    github.clear_requests();
    assert_eq!(github.calls("*", "/"), 0);
}

#[tokio::test]
async fn a_hung_request_ends_with_the_outage() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    for (fault, done) in [(Fault::Hang, 201), (Fault::HangAnswer, 422)] {
        github.fail_at("POST", "/git/refs", fault);
        let body = json!({ "ref": "refs/heads/x", "sha": github.head("main") });
        let request = client
            .request(Method::POST, "git/refs")
            .body(body.to_string());
        let asking = tokio::spawn(try_hear(request));
        while github.hanging() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        github.recover();
        assert!(asking.await.unwrap().is_err());
        if done == 422 {
            client.post("git/refs", body).await.json(422);
        } else {
            assert_eq!(github.head("x"), None);
        }
    }
}

#[tokio::test]
async fn a_held_request_waits_for_its_release() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let old = github.head("main");
    for done in [false, true] {
        let hold = match done {
            false => github.hold("GET", "/git/ref"),
            true => github.hold_answer("GET", "/git/ref"),
        };
        assert!(!hold.is_reached());
        let asking = tokio::spawn(super::hear(
            client.request(Method::GET, "git/ref/heads/main"),
        ));
        hold.reached().await;
        let before = github.head("main");
        github.commit("main", &[("a.md", format!("{done}").into())], "Meanwhile");
        hold.release();
        let heard = asking.await.unwrap().json(200);
        let expected = if done { before } else { github.head("main") };
        assert_eq!(heard["object"]["sha"].as_str(), expected.as_deref());
        assert_ne!(expected, old);
    }
    github.set_latency(Duration::from_millis(30));
    let began = std::time::Instant::now();
    client.get("/user").await.json(200);
    assert!(began.elapsed() >= Duration::from_millis(30));
}
