//! What the janitor removes, and what it must keep (src/user_state/README.md, "Garbage collection").

mod beside;
mod costs;
mod crashes;
mod every_store;
mod keeps;
mod trigger;

use std::time::Duration;

use chrono::TimeDelta;
use codex_miroir::codex::{JanitorReport, Version};
use codex_miroir::user_state::{ChangeKind, State};

use crate::support::janitor::{SETTLED, mark, record};
use crate::support::scene::{Instance, RAW, Scene};

/// Blobs that the older service leaves, with and without a user in their path.
const LEFTOVERS: [&str; 8] = [
    "artifacts/anna/timeline_1762423200000_20260308_07.json",
    "artifacts/timeline_main.json",
    "state/anna/cacheVersion.txt",
    "state/anna/lastHeadSha.txt",
    "state/anna/idempotency/key.txt",
    "state/cacheVersion.txt",
    "state/idempotency/another key.txt",
    "state/lastHeadSha.txt",
];

/// One of everything that the janitor removes: a record, an intent, a tombstone, an artifact, leftovers.
async fn crowded() -> Scene {
    let scene = Scene::with_tasks(2);
    scene.file("0007-Nie.md", SETTLED);
    for path in LEFTOVERS {
        scene.store.foreign_write(path, b"old");
    }
    for path in ["state/anna/nextId.txt", "state/nextId.txt"] {
        scene.store.foreign_write(path, b"8");
    }
    scene.read(&scene.instance()).await;
    scene
        .store
        .foreign_write("artifacts/weg/timeline.json", b"{}");
    let at = scene.now().utc;
    scene.pass(Duration::from_secs(26 * 3600));
    let now = scene.now().utc;
    scene.change_state(|state: &mut State| {
        state.version = state.version.next();
        let version = state.version.0;
        let op = mark("0008-Auch nie.md", ChangeKind::Create, version, at);
        state.pending.insert("left".to_owned(), op);
        state.idempotency.insert("a".repeat(64), record("old", at));
        let young = now - TimeDelta::hours(23);
        let young = record("young", young);
        state.idempotency.insert("b".repeat(64), young);
    });
    scene
}

/// What is left of the crowded scene after a pass.
fn assert_tidy(scene: &Scene, version: Version, context: &str) {
    let paths = scene.store.paths();
    let expected = [
        "artifacts/anna/timeline.json",
        "raw/anna/tasks/0000-Aufgabe.md",
        "raw/anna/tasks/0001-Aufgabe.md",
        // A tombstone that the pass itself has written.
        "raw/anna/tasks/0008-Auch nie.md",
        "state/anna/nextId.txt",
        "state/anna/state.json",
        "state/nextId.txt",
    ];
    assert_eq!(paths, expected, "{context}");
    let state = scene.state();
    assert_eq!(state.version, version, "{context}: it needs no version");
    assert!(state.pending.is_empty(), "{context}: {:?}", state.pending);
    let records: Vec<_> = state.idempotency.values().map(|it| &it.op).collect();
    assert_eq!(records, ["young"], "{context}");
}

async fn run_janitor(scene: &Scene, instance: &Instance) -> JanitorReport {
    instance.codex.janitor().run(scene.now()).await.unwrap()
}

fn raw(name: &str) -> String {
    format!("{RAW}{name}")
}

#[tokio::test]
async fn everything_that_is_expired_goes() {
    let scene = crowded().await;
    let version = scene.state().version;
    let report = run_janitor(&scene, &scene.instance()).await;
    assert_eq!(
        report.to_string(),
        "users 3: expired records 1, settled marks 1, settled files 1, artifacts of users gone 1, \
         leftovers of the older service 8, hints 0; failed 0, left 0",
        "the third user is called idempotency"
    );
    assert_tidy(&scene, version, "once");
    let again = run_janitor(&scene, &scene.instance()).await;
    let nothing = JanitorReport {
        users: 1,
        ..JanitorReport::default()
    };
    assert_eq!(again, nothing);
    assert_tidy(&scene, version, "twice");
}

#[tokio::test]
async fn two_at_once_do_what_one_does() {
    let scene = crowded().await;
    let version = scene.state().version;
    let (a, b) = (scene.instance(), scene.instance());
    let (one, two) = tokio::join!(run_janitor(&scene, &a), run_janitor(&scene, &b));
    assert_eq!((one.failed, two.failed), (0, 0));
    assert_eq!(one.leftovers + two.leftovers, 8);
    assert_eq!(one.tombstones + two.tombstones, 1);
    assert_tidy(&scene, version, "two at once");
}

/// Two concurrent passes of one instance, as when the host calls twice.
#[tokio::test]
async fn an_instance_can_do_it_twice_at_once() {
    let scene = crowded().await;
    let version = scene.state().version;
    let a = scene.instance();
    let (one, two) = tokio::join!(run_janitor(&scene, &a), run_janitor(&scene, &a));
    assert_eq!((one.failed, two.failed), (0, 0));
    assert_tidy(&scene, version, "one instance twice");
}

#[tokio::test]
async fn one_users_failure_does_not_stop_the_others() {
    let scene = crowded().await;
    for user in ["aaa", "zzz"] {
        let path = format!("state/{user}/state.json");
        scene.store.foreign_write(&path, br#"{"format":"2.0"}"#);
    }
    let version = scene.state().version;
    let a = scene.instance();
    let report = run_janitor(&scene, &a).await;
    assert_eq!((report.users, report.failed, report.left), (3, 2, 0));
    for user in ["aaa", "zzz"] {
        let path = format!("state/{user}/state.json");
        assert_eq!(
            &scene.store.peek(&path).unwrap().bytes[..],
            br#"{"format":"2.0"}"#
        );
        scene.store.foreign_delete(&path);
    }
    assert_tidy(&scene, version, "beside a newer format");
}
