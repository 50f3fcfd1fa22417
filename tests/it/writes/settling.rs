//! Recovery of abandoned write intents (src/user_state/README.md, "Recovery"), and late writers.

use codex_miroir::codex::{BatchItem, Consistency, FileOp, FileOutcome};
use codex_miroir::user_state::{ChangeKind, PendingFile, PendingOp};

use super::{create, id, open_tasks, tags};
use crate::support::losing_store::Loss;
use crate::support::scene::{RAW, STATE, Scene, new_task, settle, task, titles};

/// An instance whose clock is ahead treats a write intent as expired before its writer has read the file: the writer
/// then reads a file that the recovery has rewritten.
#[tokio::test]
async fn a_writer_that_looks_after_its_mark_was_settled_writes_under_another() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    let looks = a.gate.hold_next("get", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let updating = tokio::spawn(async move {
        codex
            .writer()
            .update(&read_request, &id("0000"), tags("spät"), None)
            .await
    });
    looks.reached().await;
    settle().await;
    assert_eq!(scene.state().pending.len(), 1, "marked beside the look");
    scene.pass_seconds(62);
    let before = scene.read_strictly(&b).await.entry.bounds.hi;
    assert!(scene.state().pending.is_empty());
    looks.release();
    let updated = updating.await.unwrap().unwrap();
    assert!(updated.version > before, "what b has shown isn't changed");
    let read = scene.read_having_seen(&b, updated.version).await;
    let row = read.entry.table().find("0000-Aufgabe.md").unwrap();
    assert!(format!("{:?}", row.to_record().content).contains("spät"));
}

/// Every file of an operation is recovered before its write intent is removed (mutation 14).
#[tokio::test]
async fn every_file_of_a_batch_is_settled() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    scene.read(&a).await;
    let file = |name: &str, write_id: &str, kind| PendingFile {
        name: name.to_owned(),
        write_id: write_id.to_owned(),
        kind,
        unknown: serde_json::Map::new(),
    };
    let etag = |name: &str| {
        scene
            .store
            .peek(&format!("{RAW}{name}"))
            .map(|blob| blob.etag)
    };
    let before = ["0000-Aufgabe.md", "0001-Aufgabe.md"].map(etag);
    scene.change_state(|state| {
        state.version = state.version.next();
        let intent = PendingOp {
            version: state.version,
            at: scene.now().utc,
            files: vec![
                file("0000-Aufgabe.md", "00000000000000aa", ChangeKind::Update),
                file("0001-Aufgabe.md", "00000000000000ab", ChangeKind::Delete),
                file("0009-Neu.md", "00000000000000ac", ChangeKind::Create),
                file("../böse.md", "kein hex", ChangeKind::Create),
            ],
            denied: false,
            unknown: serde_json::Map::new(),
        };
        state.pending.insert("fremd".to_owned(), intent);
    });
    scene.pass_seconds(59);
    scene.read(&a).await;
    assert_eq!(scene.state().pending.len(), 1, "its time isn't over");
    scene.pass_seconds(6);
    a.took();
    let read = scene.read(&a).await;
    assert_eq!(titles(&a.json(&read)).len(), 3);
    assert!(scene.state().pending.is_empty());
    for (name, old) in ["0000-Aufgabe.md", "0001-Aufgabe.md"].iter().zip(before) {
        assert_ne!(etag(name), old, "{name} has another ETag");
        assert!(
            scene
                .store
                .peek(&format!("{RAW}{name}"))
                .unwrap()
                .bytes
                .starts_with(b"---\ntyp: task")
        );
    }
    assert!(etag("0009-Neu.md").is_some());
    let read = scene.read(&a).await;
    assert!(read.entry.bounds.exact);
}

#[tokio::test]
async fn a_read_goes_on_when_a_mark_cannot_be_settled() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.line.lose_next("put", RAW, Loss::Request);
    create(&scene, &a, "Neu").await.unwrap_err();
    scene.pass_seconds(62);
    a.line.lose_next("put", RAW, Loss::Request);
    assert_eq!(open_tasks(&scene, &a).await, ["Aufgabe 0"]);
    assert_eq!(scene.state().pending.len(), 1);
    assert_eq!(open_tasks(&scene, &a).await, ["Aufgabe 0"]);
    assert!(scene.state().pending.is_empty());
}

/// Past 9999 a create may replace a tombstone, so `If-None-Match` doesn't stop it when it is late.
#[tokio::test]
async fn a_late_create_over_a_settled_file_fails_once_its_mark_was_settled() {
    let scene = Scene::with_tasks(2);
    scene.file("9999-irgendwann.md", &task("Irgendwann"));
    scene.file("0002-Neu.md", "---\ntyp: settled\n---\n");
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    let late = a.gate.hold_next("put", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let creating = tokio::spawn(async move {
        codex
            .writer()
            .create(&read_request, new_task("Neu"), None)
            .await
    });
    late.reached().await;
    scene.pass_seconds(62);
    let settled = scene.read_strictly(&b).await;
    assert!(scene.state().pending.is_empty());
    late.release();
    let created = creating.await.unwrap().unwrap();
    settle().await;
    assert!(
        created.version > settled.entry.bounds.hi,
        "under a mark of its own"
    );
    let read = scene.read_having_seen(&b, created.version).await;
    assert_eq!(
        titles(&b.json(&read)),
        ["Aufgabe 0", "Aufgabe 1", "Neu", "Irgendwann"]
    );
}

/// The same for a batch that reaches a tombstone late: only one known before its write intent may be replaced.
#[tokio::test]
async fn a_batch_takes_no_place_that_was_settled_under_its_own_mark() {
    let scene = Scene::with_tasks(1);
    scene.file("0005-Zweite.md", "---\ntyp: settled\n---\n");
    let a = scene.instance();
    scene.read(&a).await;
    let late = a.gate.hold_next("put", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let create = |name: &str| BatchItem {
        name: name.parse().unwrap(),
        operation: FileOp::Create(task("Neu").into()),
        merged: vec![],
        write: None,
    };
    let changes = vec![create("0004-Erste.md"), create("0005-Zweite.md")];
    let writing =
        tokio::spawn(async move { codex.writer().write_files(&read_request, changes).await });
    late.reached().await;
    scene.pass_seconds(62);
    scene.read_strictly(&a).await;
    assert!(scene.state().pending.is_empty());
    late.release();
    let done = writing.await.unwrap().unwrap();
    settle().await;
    assert_eq!(
        done.outcomes,
        [FileOutcome::Conflict, FileOutcome::Conflict]
    );
    assert_eq!(open_tasks(&scene, &a).await, ["Aufgabe 0"]);
}

/// Nothing was or will be written under the first write intent, so no read has to wait for its expiry.
#[tokio::test]
async fn no_mark_is_left_where_its_successor_could_not_be_set() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.file("0000-Aufgabe.md", &task("Vom Editor"));
    scene.file("0001-Neu.md", &task("Schon da"));
    let looks = a.gate.hold_next("get", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let updating = tokio::spawn(async move {
        codex
            .writer()
            .update(&read_request, &id("0000"), tags("x"), None)
            .await
    });
    looks.reached().await;
    settle().await;
    assert_eq!(scene.state().pending.len(), 1, "marked beside the look");
    a.line.lose_next("put", STATE, Loss::Request);
    looks.release();
    updating.await.unwrap().unwrap_err();
    settle().await;
    assert!(scene.state().pending.is_empty());

    let late = a.gate.hold_next("put", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let creating = tokio::spawn(async move {
        codex
            .writer()
            .create(&read_request, new_task("Neu"), None)
            .await
    });
    late.reached().await;
    a.line.lose_next("put", STATE, Loss::Request);
    late.release();
    creating.await.unwrap().unwrap_err();
    settle().await;
    assert!(scene.state().pending.is_empty());
}
