//! An operator's commands and what the instances share.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::process::{Service, codex_miroir, eventually};
use crate::support::redis::RedisServer;
use crate::support::scene::task;

/// A folder with a task of the local user's, and its snapshot in the server.
fn published(server: &RedisServer) -> (tempfile::TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("raw/local/tasks");
    std::fs::create_dir_all(&tasks).unwrap();
    std::fs::write(tasks.join("0000-Steuer.md"), task("Steuer")).unwrap();
    let mut command = codex_miroir();
    command
        .env("CODEX_DATA_DIR", folder.path())
        .env("CODEX_REDIS_URL", url(server));
    let service = Service::start(&mut command);
    eventually("a snapshot is there", || {
        assert_eq!(service.get("/codex?nocache=true").status, 200);
        keys(server) == 1
    });
    (folder, service)
}

fn url(server: &RedisServer) -> String {
    format!("redis://default:geheim@127.0.0.1:{}", server.port())
}

fn keys(server: &RedisServer) -> usize {
    server.run(&["DBSIZE"]).unwrap()
}

fn run(folder: &Path, url: &str, arguments: &[&str]) -> Output {
    let mut command = codex_miroir();
    command.args(arguments).env("CODEX_DATA_DIR", folder);
    command.env("CODEX_REDIS_URL", url).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn inspect_tells_what_the_server_has_or_why_it_cannot_be_asked() {
    let mut server = RedisServer::with_password("geheim");
    let (folder, service) = published(&server);
    let inspect = |url: &str, user| run(folder.path(), url, &["inspect", user, "--json"]);
    let redis = |output: &Output| {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            report["raw"]["tasks"].as_u64(),
            report["raw"]["files"].as_u64()
        );
        report["redis"].clone()
    };
    let there = inspect(&url(&server), "local");
    let part = redis(&there);
    assert!(there.status.success(), "{}", text(&there.stderr));
    assert_eq!(
        (&part["status"], &part["taken"]),
        (&"present".into(), &true.into())
    );
    assert!(
        part["confirmedSecondsAgo"].as_u64().unwrap() <= 60,
        "{part}"
    );
    assert_eq!(redis(&inspect(&url(&server), "berta"))["status"], "absent");
    let wrong = url(&server).replace("geheim", "falsch");
    let refused = inspect(&wrong, "local");
    assert_eq!(refused.status.code(), Some(1));
    let reason = redis(&refused)["reason"].to_string();
    assert!(
        reason.contains("WRONGPASS") && !reason.contains("falsch"),
        "{reason}"
    );
    drop(service);
    server.kill();
    let away = redis(&inspect(&url(&server), "local"));
    assert_eq!(away["status"], "unreadable", "{away}");
}

#[test]
fn a_deletion_removes_the_snapshot_and_can_be_repeated_until_the_server_is_back() {
    let mut server = RedisServer::with_password("geheim");
    let (folder, service) = published(&server);
    // So that nobody publishes again.
    drop(service);
    let delete = || {
        let confirmed = ["user", "delete", "local", "--yes-delete", "local"];
        run(folder.path(), &url(&server), &confirmed)
    };
    let preview = run(folder.path(), &url(&server), &["user", "delete", "local"]);
    let port = server.port();
    let line = format!("\nredis      what 127.0.0.1:{port} has of the user, if anything\n");
    assert!(text(&preview.stdout).contains(&line) && keys(&server) == 1);
    let done = delete();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).ends_with("In Redis: the snapshot that instances share is removed.\n")
    );
    assert_eq!(keys(&server), 0);
    let again = delete();
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(text(&again.stdout).ends_with("In Redis: nothing.\n"));
    let address = url(&server);
    server.kill();
    let confirmed = ["user", "delete", "local", "--yes-delete", "local"];
    let away = run(folder.path(), &address, &confirmed);
    assert_eq!(away.status.code(), Some(1));
    let said = text(&away.stderr);
    assert!(
        said.contains("Redis can't be asked: ") && !said.contains("geheim"),
        "{said}"
    );
}
