//! `POST /janitor`, called by the Functions host and by other callers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use codex_miroir::config::Config;
use codex_miroir::http::{App, Authenticator, Routes, router};
use futures::stream;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{assert_tidy, crowded};
use crate::support::http::request;
use crate::support::losing_store::Loss;
use crate::support::scene::{Instance, Scene, anna};

fn routes(instance: &Instance, hosted: bool) -> Routes {
    let config = Config {
        hosted,
        ..Config::from_lookup(|_| None).unwrap()
    };
    let authenticator = Authenticator::dev(anna());
    router(App::new(
        instance.codex.clone(),
        authenticator,
        &config,
        Arc::default(),
    ))
}

fn call(function: &str) -> String {
    json!({"Data": {}, "Metadata": {"sys": {"MethodName": function}}}).to_string()
}

async fn post(routes: &Routes, header: Option<(&str, &str)>, body: String) -> (u16, Value) {
    let mut post = request("POST", "/janitor").header("content-type", "application/json");
    if let Some((name, value)) = header {
        post = post.header(name, value);
    }
    answered(routes, post.body(Body::from(body)).unwrap()).await
}

async fn answered(routes: &Routes, request: Request) -> (u16, Value) {
    let answer = routes.clone().oneshot(request);
    let (parts, body) = answer.await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status.as_u16(),
        serde_json::from_slice(&body).unwrap(),
    )
}

/// The request's clock is the real one; what has expired depends on the store's clock.
#[tokio::test]
async fn the_host_is_told_what_was_done() {
    let scene = crowded().await;
    let version = scene.state().version;
    let routes = routes(&scene.instance(), true);
    let (status, answer) = post(&routes, None, call("janitor")).await;
    let line = "users 3: expired records 1, settled marks 1, settled files 1, artifacts of users gone 1, \
                leftovers of the older service 8, hints 0; failed 0, left 0";
    assert_eq!(
        (status, answer),
        (
            200,
            json!({"Outputs": {}, "Logs": [line], "ReturnValue": null})
        )
    );
    assert_tidy(&scene, version, "by the host");
}

#[tokio::test]
async fn nobody_but_the_host_can_call_it() {
    let scene = crowded().await;
    let before = scene.store.paths();
    let hosted = routes(&scene.instance(), true);
    let forwarded = Some(("x-forwarded-host", "codex.example"));
    let mut refused = vec![post(&hosted, forwarded, call("janitor")).await];
    for body in ["", "{}", "null", &call("gitPush"), &call("Janitor")] {
        refused.push(post(&hosted, None, body.to_owned()).await);
    }
    let alone = routes(&scene.instance(), false);
    refused.push(post(&alone, None, call("janitor")).await);
    for (status, answer) in refused {
        assert_eq!((status, &answer["code"]), (404, &json!("not_found")));
    }
    assert_eq!(scene.store.paths(), before);
}

/// An error about the body would reveal that the route exists.
#[tokio::test]
async fn a_body_that_is_no_call_gets_the_same_answer() {
    let scene = crowded().await;
    let hosted = routes(&scene.instance(), true);
    let bodies = [
        ("application/json", "{".to_owned()),
        ("application/json", "x".repeat((1 << 20) + 1)),
        ("text/plain", call("janitor")),
        ("text/plain", "x".repeat((1 << 20) + 1)),
    ];
    let nothing_there = post(&hosted, Some(("x-forwarded-host", "a")), String::new()).await;
    for (content_type, body) in bodies {
        let post = request("POST", "/janitor").header("content-type", content_type);
        let answer = answered(&hosted, post.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.0, 404, "{content_type}: {}", answer.1);
        for member in ["code", "message"] {
            assert_eq!(answer.1[member], nothing_there.1[member], "{content_type}");
        }
    }
}

/// A request that is rejected by its headers can't make the service read a body.
#[tokio::test]
async fn of_a_proxied_call_no_body_is_read() {
    let scene = crowded().await;
    let hosted = routes(&scene.instance(), true);
    let endless = stream::pending::<Result<Bytes, Infallible>>();
    let post = request("POST", "/janitor")
        .header("content-type", "application/json")
        .header("x-forwarded-host", "codex.example");
    let answer = answered(&hosted, post.body(Body::from_stream(endless)).unwrap());
    let answer = tokio::time::timeout(Duration::from_secs(60), answer).await;
    assert_eq!(answer.expect("it waits for the body").0, 404);
}

#[tokio::test]
async fn an_outage_fails_no_invocation() {
    let scene = crowded().await;
    let version = scene.state().version;
    let a = scene.instance();
    let routes = routes(&a, true);
    a.line.set_outage(true);
    let (status, answer) = post(&routes, None, call("janitor")).await;
    assert_eq!(status, 200);
    let said = answer["Logs"][0].as_str().unwrap();
    assert!(
        said.starts_with("nothing done: storage can't be reached"),
        "{said}"
    );
    a.line.set_outage(false);
    // Only anna's state document can't be read.
    a.line.lose_next("get", "state/anna/", Loss::Request);
    let (status, answer) = post(&routes, None, call("janitor")).await;
    let said = answer["Logs"][0].as_str().unwrap();
    assert_eq!(status, 200);
    assert!(said.ends_with("failed 1, left 0"), "{said}");
    post(&routes, None, call("janitor")).await;
    assert_tidy(&scene, version, "after the outage");
}

/// After repeated failures a pass stops instead of trying every user.
#[tokio::test]
async fn in_the_midst_of_an_outage_it_stops_early() {
    let scene = Scene::new();
    for user in 0..100 {
        let path = format!("state/user-{user}/cacheVersion.txt");
        scene.store.foreign_write(&path, b"old");
    }
    let a = scene.instance();
    for _ in 0..100 {
        a.line.lose_next("get", "state/user-", Loss::Request);
    }
    let report = a.codex.janitor().run(scene.now()).await.unwrap();
    assert_eq!(report.users, 0);
    assert!((12..=16).contains(&report.failed), "{report}");
    assert_eq!(report.failed + report.left, 100);
}
