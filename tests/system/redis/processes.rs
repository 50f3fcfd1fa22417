//! The binary with a server of Redis.

use std::path::Path;

use serde_json::Value;

use crate::support::process::{Answer, Service, codex_miroir, eventually};
use crate::support::redis::RedisServer;
use crate::support::scene::task;

fn start(url: &str) -> (tempfile::TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let service = start_over(folder.path(), url);
    (folder, service)
}

fn start_over(folder: &Path, url: &str) -> Service {
    let mut command = codex_miroir();
    command
        .env("CODEX_DATA_DIR", folder)
        .env("CODEX_METRICS_TOKEN", "0123456789abcdef")
        .env("CODEX_REDIS_URL", url);
    Service::start(&mut command)
}

const CHECKED: &str = r#"codex_redis_call_seconds_count{operation="check",outcome="answered"}"#;

fn metrics(service: &Service) -> String {
    let answer = service.send("/metrics", "authorization: Bearer 0123456789abcdef\r\n");
    answer.body
}

/// How many connections hear a channel. Only while all are of the same store.
fn hear(server: &RedisServer) -> usize {
    let channels: Vec<String> = server
        .run(&["PUBSUB", "CHANNELS", "codex:*:hints"])
        .unwrap();
    channels
        .iter()
        .map(|it| {
            server
                .run::<(String, usize)>(&["PUBSUB", "NUMSUB", it])
                .unwrap()
                .1
        })
        .sum()
}

/// The lines with this message.
fn lines(service: &Service, message: &str) -> Vec<Value> {
    let lines = service.log().into_iter();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines
        .filter(|line| line["message"].as_str().unwrap().starts_with(message))
        .collect()
}

#[test]
fn the_start_line_names_the_server_and_no_password() {
    let server = RedisServer::with_password("geheim");
    let port = server.port();
    let (_folder, service) = start(&format!("redis://default:geheim@localhost:{port}/1"));
    let name = format!("localhost:{port} (CODEX_REDIS_URL)");
    assert_eq!(lines(&service, "serving")[0]["redis"], name.as_str());
    eventually("it hears the channel", || hear(&server) == 1);
    eventually("it is counted", || metrics(&service).contains(CHECKED));
    service.terminate();
    eventually("its connections end with it", || {
        let clients: String = server.run(&["CLIENT", "LIST"]).unwrap();
        clients.lines().count() == 1
    });
    let log = service.log().join("\n");
    assert!(
        !log.contains("geheim") && lines(&service, "Redis").is_empty(),
        "{log}"
    );
}

#[test]
fn a_server_that_is_away_doesnt_end_the_start() {
    let mut server = RedisServer::start(&[]);
    server.kill();
    let (_folder, service) = start(&format!("redis://127.0.0.1:{}", server.port()));
    assert_eq!(service.get("/codex").status, 200);
    eventually("it says so", || lines(&service, "Redis is away").len() == 1);
    server.restart();
    eventually("it is back", || lines(&service, "Redis is back").len() == 1);
    assert_eq!(service.get("/codex").status, 200);
    assert_eq!(lines(&service, "Redis").len(), 2);
}

#[test]
fn what_one_process_knows_another_gets_from_redis_and_it_hears_of_changes() {
    let server = RedisServer::start(&[]);
    let url = format!("redis://127.0.0.1:{}", server.port());
    let (folder, one) = start(&url);
    let connected = |service: &Service| metrics(service).contains(CHECKED);
    eventually("it is connected", || connected(&one) && hear(&server) == 1);
    let create = |title: &str| {
        let body = format!(r#"{{"kategorie":"arbeit","title":"{title}"}}"#);
        one.send_json("POST", "/api/tasks", &body).json()
    };
    create("Erste");
    eventually("its snapshot is in Redis", || {
        one.get("/codex");
        let keys: Vec<String> = server.run(&["KEYS", "codex:*:snapshot"]).unwrap();
        keys.len() == 1
    });
    // A busy machine may take longer than a call waits.
    let others = std::iter::repeat_with(|| {
        let other = start_over(folder.path(), &url);
        eventually("both are connected", || {
            connected(&other) && hear(&server) == 2
        });
        let read = other.get("/codex");
        assert!(read.body.contains("Erste"), "{}", read.body);
        (other, read)
    });
    let from_redis = |read: &Answer| read.header("x-codex-cache") == "redis";
    let (other, _) = { others }
        .take(5)
        .find(|(_, read)| from_redis(read))
        .unwrap();
    create("Zweite");
    eventually("the other shows it", || {
        other.get("/codex").body.contains("Zweite")
    });
    let none = "codex_hints_heard_total 0";
    eventually("it has heard of it", || {
        !metrics(&other).lines().any(|it| it == none)
    });
}

/// What an editor saves before the week was read here isn't hidden by a snapshot of before that another process has left.
#[test]
fn a_saved_file_shows_in_a_process_that_finds_an_older_snapshot() {
    let server = RedisServer::start(&[]);
    let url = format!("redis://127.0.0.1:{}", server.port());
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("raw/local/tasks");
    std::fs::create_dir_all(&tasks).unwrap();
    let first = start_over(folder.path(), &url);
    eventually("it is connected", || metrics(&first).contains(CHECKED));
    assert_eq!(first.get("/codex").status, 200);
    let artifact = folder.path().join("artifacts/local/timeline.json");
    eventually("it has left all it knows", || {
        let keys = server.run::<Vec<String>>(&["KEYS", "codex:*:snapshot"]);
        artifact.exists() && keys.is_ok_and(|keys| keys.len() == 1)
    });
    first.kill();
    let second = start_over(folder.path(), &url);
    eventually("it watches", || {
        !lines(&second, "watching the folder").is_empty() && metrics(&second).contains(CHECKED)
    });
    // Without it the process doesn't know what has changed.
    std::fs::remove_file(&artifact).unwrap();
    std::fs::write(tasks.join("0000-Neu.md"), task("Neu")).unwrap();
    eventually("it is shown", || second.get("/codex").body.contains("Neu"));
}

/// The watch of the folder makes nobody's state anew: a deleted user's folder changes, too.
#[test]
fn a_file_of_somebody_without_a_state_makes_none() {
    let server = RedisServer::start(&[]);
    let url = format!("redis://127.0.0.1:{}", server.port());
    let folder = tempfile::tempdir().unwrap();
    for user in ["anna", "local"] {
        std::fs::create_dir_all(folder.path().join(format!("raw/{user}/tasks"))).unwrap();
    }
    let service = start_over(folder.path(), &url);
    assert_eq!(service.get("/codex").status, 200);
    eventually("it watches", || {
        !lines(&service, "watching the folder").is_empty()
    });
    let save = |user: &str| {
        let path = folder.path().join(format!("raw/{user}/tasks/0000-Neu.md"));
        std::fs::write(path, task("Neu")).unwrap();
    };
    // Handled in this order, together or one by one.
    save("anna");
    save("local");
    eventually("the watch has seen both", || {
        service.get("/codex").body.contains("Neu")
    });
    let state = folder.path().join("state/anna/state.json");
    assert!(!state.exists());
}
