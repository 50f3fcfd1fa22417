//! The storage budgets as HTTP requests of real processes, over both ways into Azurite: the account's key, and https
//! with tokens of a managed identity, which add no request per storage request.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::counting_store::{Counts, Request};
use crate::support::place::Place;
use crate::support::process::{Answer, Service};
use crate::support::tcp_proxy::TcpProxy;

/// How old an answer served without a storage request may be, in seconds: longer than a few requests take on a busy
/// machine.
const REVALIDATE: u64 = 4;

/// Waits until exactly these requests have passed the proxy, written as `1 get artifacts, 1 get state`.
fn wait_for_requests(proxy: &TcpProxy, wanted: &str) {
    let began = Instant::now();
    let mut requests = vec![];
    let (mut quiet, mut counted) = (0, String::new());
    while quiet < 5 || counted != wanted && began.elapsed() < Duration::from_secs(10) {
        let seen = proxy.take_requests();
        quiet = if seen.is_empty() { quiet + 1 } else { 0 };
        requests.extend(seen.iter().map(|line| request(line)));
        counted = Counts::of(&requests).to_string();
        thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(counted, wanted);
}

/// Waits until no further requests arrive, and discards them.
fn discard_requests(proxy: &TcpProxy) {
    let mut quiet = 0;
    while quiet < 10 {
        quiet = if proxy.take_requests().is_empty() {
            quiet + 1
        } else {
            0
        };
        thread::sleep(Duration::from_millis(40));
    }
}

/// A storage request in the form of [`Counts`], from `GET /account/container/path?query`.
fn request(line: &str) -> Request {
    let (method, url) = line.split_once(' ').unwrap();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = path.splitn(4, '/').nth(3);
    let pairs = form_urlencoded::parse(query.as_bytes());
    let prefix = pairs.filter(|(name, _)| name == "prefix").map(|it| it.1);
    match (method, path, prefix.last()) {
        ("GET", _, Some(prefix)) => Request::of("list", &prefix),
        ("GET", Some(path), _) => Request::of("get", path),
        ("PUT", Some(path), _) => Request::of("put", path),
        ("PUT", None, _) => Request::of("put", "the container"),
        _ => panic!("{line}"),
    }
}

fn layer(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.header("x-codex-cache")
}

#[test]
fn by_key_and_by_identity_reads_and_writes_take_the_same_requests() {
    for place in [Place::container(), Place::identity()] {
        let runtime = Runtime::new().unwrap();
        let proxy = place.proxy(&runtime);
        let start = || {
            let mut command = place.command_by(&proxy);
            Service::start(command.env("CODEX_REVALIDATE_SECONDS", REVALIDATE.to_string()))
        };
        let pass = || thread::sleep(Duration::from_millis(1_000 * REVALIDATE + 50));
        let a = start();
        for title in ["Erste", "Zweite"] {
            let body = json!({"kategorie": "arbeit", "title": title}).to_string();
            assert_eq!(a.send_json("POST", "/api/tasks", &body).status, 201);
        }
        discard_requests(&proxy);

        assert_eq!(layer(&a.get("/codex")), "memory");
        wait_for_requests(&proxy, "");
        pass();
        assert_eq!(layer(&a.get("/codex")), "memory");
        wait_for_requests(&proxy, "1 get state");
        let b = start();
        assert_eq!(layer(&b.get("/codex")), "artifact");
        wait_for_requests(&proxy, "1 get artifacts, 1 get state");

        let body = json!({"kategorie": "arbeit", "title": "Neu"}).to_string();
        assert_eq!(a.send_json("POST", "/api/tasks", &body).status, 201);
        wait_for_requests(&proxy, "1 put artifacts, 1 put raw, 2 put state");
        pass();
        assert_eq!(layer(&b.get("/codex")), "artifact");
        wait_for_requests(&proxy, "1 get artifacts, 1 get state");

        let tags = r#"{"tags":["neu"]}"#;
        assert_eq!(a.send_json("PATCH", "/api/tasks/0000", tags).status, 200);
        let change = "1 get raw, 1 put artifacts, 1 put raw, 2 put state";
        wait_for_requests(&proxy, change);
        assert_eq!(
            a.send_json("POST", "/api/tasks/0001/complete", "").status,
            200
        );
        wait_for_requests(&proxy, change);
        assert_eq!(layer(&a.get("/codex?nocache=true")), "rebuild");
        wait_for_requests(&proxy, "2 get state, 1 list raw, 1 put artifacts");
        if let Some(endpoint) = place.endpoint() {
            assert_eq!(endpoint.asked(), [None, None], "one a process");
        }
    }
}
