//! The storage requests of the commands, in the order in which they are sent.

use std::sync::Arc;
use std::time::Duration;

use codex_miroir::admin::{self, Deletion, InspectSettings};
use codex_miroir::store::BlobStore;
use codex_miroir::task::TOMBSTONE_FILE;
use insta::assert_snapshot;
use serde_json::json;

use super::{GIT, HINT, OWNER, PLACE};
use crate::support::counting_store::CountingStore;
use crate::support::losing_store::Loss;
use crate::support::scene::{STATE, Scene, anna, codex_over};

const SETTINGS: InspectSettings = InspectSettings {
    artifact_ttl: Duration::from_secs(900),
    pending_expiry: Duration::from_secs(60),
    mirrored_in: None,
};

/// The requests in the order in which they are sent, and what the command returns.
fn sent(requests: &CountingStore) -> String {
    let requests = requests.take_requests().into_iter();
    let lines = requests.map(|it| format!("{} {}", it.operation, it.path));
    lines.collect::<Vec<_>>().join("\n")
}

/// A user with blobs of every kind, among them names that are no keys.
async fn held() -> Scene {
    let scene = Scene::with_tasks(2);
    scene.read(&scene.instance()).await;
    scene.file("bild.png", "");
    scene.file("0009-Nie.md", TOMBSTONE_FILE);
    scene.file(r"x\xff.md", "");
    let git = json!({"format": "1.0", "place": PLACE, "files": {}});
    scene.store.foreign_write(GIT, git.to_string().as_bytes());
    super::mirrored(&scene);
    let owner = br#"{"format":"1.0","githubId":1001}"#;
    for (path, bytes) in [
        (OWNER, &owner[..]),
        (HINT, b""),
        ("state/anna/nextId.txt", b"2"),
        (r"state/anna/y\xff.json", b""),
        ("state/anna/idempotency/k.txt", b"0"),
        (r"state/anna/idempotency/z\xff.txt", b""),
        ("artifacts/anna/timeline_1.json", b"{}"),
    ] {
        scene.store.foreign_write(path, bytes);
    }
    scene
}

#[tokio::test]
async fn the_reading_commands_send_these_requests() {
    let scene = held().await;
    let looking = scene.instance();
    admin::inspect(&looking.requests, None, &anna(), &SETTINGS).await;
    assert_snapshot!(sent(&looking.requests), @"
    get state/anna/state.json
    get artifacts/anna/timeline.json
    get state/anna/owner.json
    get state/anna/git.json
    get queue/anna
    list raw/anna/tasks/
    get raw/anna/tasks/0000-Aufgabe.md
    get raw/anna/tasks/0001-Aufgabe.md
    get raw/anna/tasks/0009-Nie.md
    list state/anna/
    list artifacts/anna/
    list raw/
    list state/
    get state/anna/state.json
    ");
    let held = admin::holdings(&looking.requests, &anna()).await.unwrap();
    assert_snapshot!(format!("{held}{}\n{}", held.in_git(&anna()), sent(&looking.requests)), @r"
    raw        5 files
    artifacts  2 blobs
    state      git.json, nextId.txt, owner.json, state.json, y\xff.json
    older      2 records below idempotency
    queue      a hint
    In Git: 0 files in codex-miroir/anna/tasks of anna/week@main, and its history.
    list state/anna/
    list raw/anna/tasks/
    list artifacts/anna/
    list state/anna/idempotency/
    get queue/anna
    get state/.github.json
    get state/anna/git.json
    get state/anna/state.json
    get state/anna/owner.json
    ");
    let (store, now) = (&looking.requests, scene.now().utc);
    let export = admin::export(store, &anna(), now).await.unwrap();
    assert_snapshot!(format!("{export}\n{:?}\n{}", export.left_out, sent(store)), @r#"
    3 task files
    ["idempotency/z\\xff.txt", "x\\xff.md", "y\\xff.json"]
    get state/anna/state.json
    list raw/anna/tasks/
    get raw/anna/tasks/0000-Aufgabe.md
    get raw/anna/tasks/0001-Aufgabe.md
    get raw/anna/tasks/0009-Nie.md
    get raw/anna/tasks/bild.png
    list state/anna/
    get state/anna/git.json
    get state/anna/nextId.txt
    get state/anna/owner.json
    get state/anna/state.json
    list state/anna/idempotency/
    get state/anna/idempotency/k.txt
    get state/anna/state.json
    "#);
}

#[tokio::test]
async fn a_deletion_sends_these_requests() {
    for has_state in [true, false] {
        let scene = held().await;
        if !has_state {
            scene.store.foreign_delete(STATE);
        }
        let looking = scene.instance();
        let codex = codex_over(Arc::new(looking.requests.clone()));
        let deletion = Deletion {
            user: anna(),
            despite_git: false,
            pending_timeout: Duration::from_secs(90),
            now: scene.now(),
        };
        let store: &dyn BlobStore = &looking.requests;
        let report = admin::delete(store, &codex, &deletion).await.unwrap();
        let said = format!("{report:?}\n{}", sent(&looking.requests));
        match has_state {
            true => assert_snapshot!(said, @r#"
            DeletionReport { removed: 11, tombstones: 1, invalid_names: ["x\\xff.md", "y\\xff.json", "idempotency/z\\xff.txt"], mirrored: false, recreated: ["y\\xff.json"] }
            list state/anna/
            list raw/anna/tasks/
            list artifacts/anna/
            list state/anna/idempotency/
            get queue/anna
            get state/.github.json
            get state/anna/git.json
            get state/anna/state.json
            get state/anna/owner.json
            get queue/anna
            delete queue/anna
            list raw/anna/tasks/
            get raw/anna/tasks/0009-Nie.md
            delete raw/anna/tasks/bild.png
            get state/anna/state.json
            get state/anna/state.json
            put state/anna/state.json
            delete raw/anna/tasks/0000-Aufgabe.md
            delete raw/anna/tasks/0001-Aufgabe.md
            put state/anna/state.json
            get state/anna/state.json
            list raw/anna/tasks/
            get raw/anna/tasks/0009-Nie.md
            get state/anna/git.json
            get state/.github.json
            put state/.github.json
            delete state/anna/git.json
            list artifacts/anna/
            get artifacts/anna/timeline.json
            delete artifacts/anna/timeline.json
            get artifacts/anna/timeline_1.json
            delete artifacts/anna/timeline_1.json
            list state/anna/
            get state/anna/nextId.txt
            delete state/anna/nextId.txt
            list state/anna/idempotency/
            get state/anna/idempotency/k.txt
            delete state/anna/idempotency/k.txt
            delete state/anna/state.json
            get queue/anna
            get state/anna/owner.json
            delete state/anna/owner.json
            get queue/anna
            list raw/anna/tasks/
            get raw/anna/tasks/0009-Nie.md
            list state/anna/idempotency/
            get state/.github.json
            list state/anna/
            "#),
            false => assert_snapshot!(said, @r#"
            DeletionReport { removed: 10, tombstones: 1, invalid_names: ["x\\xff.md", "y\\xff.json", "idempotency/z\\xff.txt"], mirrored: false, recreated: ["y\\xff.json"] }
            list state/anna/
            list raw/anna/tasks/
            list artifacts/anna/
            list state/anna/idempotency/
            get queue/anna
            get state/.github.json
            get state/anna/git.json
            get state/anna/state.json
            get state/anna/owner.json
            get queue/anna
            delete queue/anna
            list raw/anna/tasks/
            get raw/anna/tasks/0009-Nie.md
            delete raw/anna/tasks/bild.png
            get state/anna/state.json
            delete raw/anna/tasks/0000-Aufgabe.md
            delete raw/anna/tasks/0001-Aufgabe.md
            get state/anna/state.json
            list raw/anna/tasks/
            get raw/anna/tasks/0009-Nie.md
            get state/anna/git.json
            get state/.github.json
            put state/.github.json
            delete state/anna/git.json
            list artifacts/anna/
            get artifacts/anna/timeline.json
            delete artifacts/anna/timeline.json
            get artifacts/anna/timeline_1.json
            delete artifacts/anna/timeline_1.json
            list state/anna/
            get state/anna/nextId.txt
            delete state/anna/nextId.txt
            list state/anna/idempotency/
            get state/anna/idempotency/k.txt
            delete state/anna/idempotency/k.txt
            get queue/anna
            get state/anna/owner.json
            delete state/anna/owner.json
            get queue/anna
            list raw/anna/tasks/
            get raw/anna/tasks/0009-Nie.md
            list state/anna/idempotency/
            get state/.github.json
            list state/anna/
            "#),
        }
    }
}

#[tokio::test]
async fn a_rebind_sends_these_requests() {
    let scene = Scene::with_tasks(1);
    let instance = scene.instance();
    let mut said = vec![];
    instance.line.lose_next("put", OWNER, Loss::FirstAnswer);
    for (number, create) in [(7, false), (7, true), (7, true), (8, false)] {
        let done = admin::rebind(&instance.requests, &anna(), number, create).await;
        let done = done.map_or_else(|error| error.to_string(), |it| it.to_string());
        said.push(format!("{done}\n{}", sent(&instance.requests)));
    }
    assert_snapshot!(said.join("\n\n"), @"
    anna has no owner.json, so the first account to sign in by that login gets it; to name the account now, add --create
    get state/anna/owner.json
    list raw/
    list state/

    no account -> GitHub account 7
    get state/anna/owner.json
    list raw/
    list state/
    put state/anna/owner.json
    get state/anna/owner.json

    GitHub account 7, as before
    get state/anna/owner.json

    GitHub account 7 -> GitHub account 8
    get state/anna/owner.json
    put state/anna/owner.json
    ");
    let bytes = scene.store.peek(OWNER).unwrap().bytes;
    assert_snapshot!(String::from_utf8_lossy(&bytes), @r#"{"format":"1.0","githubId":8,"sessionGeneration":1773039600}"#);
}
