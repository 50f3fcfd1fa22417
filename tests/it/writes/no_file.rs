//! Task names taken by something that isn't a file, and stores that refuse to write: the problem is reported, and write
//! intents that every read would have to recover don't pile up.

use codex_miroir::codex::{BatchItem, FileOp, FileOutcome, TaskError};
use codex_miroir::store::WriteId;
use codex_miroir::user_state::{ChangeKind, PendingFile, PendingOp, Version};

use super::*;

fn batch_of(name: &str) -> Vec<BatchItem> {
    vec![BatchItem {
        name: name.parse().unwrap(),
        operation: FileOp::Create(task("Neu").into()),
        merged: vec![],
        write: None,
    }]
}

/// A sync repeats such a write for as long as the obstruction exists.
#[tokio::test]
async fn a_thousand_writes_to_what_is_no_file_leave_no_mark_and_cheap_reads() {
    let scene = Scene::with_tasks(1);
    scene.store.obstruct(&format!("{RAW}0001-Neu.md"), true);
    let a = scene.instance();
    scene.read(&a).await;
    for _ in 0..1_000 {
        let read_request = scene.read_request(Consistency::Bounded);
        let done = a
            .codex
            .writer()
            .write_files(&read_request, batch_of("0001-Neu.md"))
            .await;
        assert_eq!(done.unwrap().outcomes, [FileOutcome::Conflict]);
        settle().await;
    }
    assert!(scene.state().pending.is_empty());
    scene.read_strictly(&a).await;
    a.took();
    let read = scene.read_strictly(&a).await;
    assert_eq!(a.took(), "1 get state");
    let document = a.json(&read);
    assert_eq!(document["problems"][0]["code"], "not_a_file");
    assert_eq!(document["problems"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_create_takes_the_next_number_and_an_update_is_told_what_is_wrong() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    // The obstruction appears after the index was built.
    scene.store.obstruct(&format!("{RAW}0001-Neu.md"), true);
    let created = create(&scene, &a, "Neu").await.unwrap();
    assert_eq!(created.name.as_str(), "0002-Neu.md");
    assert!(scene.state().pending.is_empty());
    for index_knows in [false, true] {
        scene.store.obstruct(&format!("{RAW}0000-Aufgabe.md"), true);
        if index_knows {
            scene.rebuild(&a).await;
        }
        let refused = update(&scene, &a, "0000", tags("x")).await.unwrap_err();
        let TaskError::Unreadable(problem) = refused.error else {
            panic!("{refused:?}");
        };
        assert!(problem.message.contains("no file"), "{problem:?}");
        assert!(scene.state().pending.is_empty());
    }
    scene
        .store
        .obstruct(&format!("{RAW}0000-Aufgabe.md"), false);
    scene.store.obstruct(&format!("{RAW}0001-Neu.md"), false);
    scene.file("0000-Aufgabe.md", &task("Aufgabe 0"));
    assert_eq!(open_tasks_listed(&scene, &a).await, ["Aufgabe 0", "Neu"]);
}

async fn open_tasks_listed(scene: &Scene, instance: &Instance) -> Vec<String> {
    titles(&instance.json(&scene.rebuild(instance).await))
}

/// No late write can land there, whatever the operation was, so its write intent is recovered.
#[tokio::test]
async fn a_mark_on_what_is_no_file_is_settled() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    for kind in [ChangeKind::Create, ChangeKind::Update, ChangeKind::Delete] {
        scene.store.obstruct(&format!("{RAW}0005-weg.md"), true);
        scene.change_state(|state| {
            state.version = state.version.next();
            let file = PendingFile {
                name: "0005-weg.md".to_owned(),
                write_id: WriteId(7).to_string(),
                kind,
                unknown: serde_json::Map::new(),
            };
            let intent = PendingOp {
                version: state.version,
                at: scene.now().utc,
                files: vec![file],
                denied: false,
                unknown: serde_json::Map::new(),
            };
            state.pending.insert("alt".to_owned(), intent);
        });
        scene.pass_seconds(62);
        scene.read_strictly(&a).await;
        assert!(scene.state().pending.is_empty(), "{kind:?}");
        assert!(scene.state().version > Version(0));
    }
}

/// A file that the store refuses to write keeps one write intent, a store that refuses all files keeps a few.
#[tokio::test]
async fn a_thousand_refused_writes_leave_few_marks_and_cheap_reads() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.line.refuse_puts(&format!("{RAW}0000"), true);
    for _ in 0..1_000 {
        let refused = update(&scene, &a, "0000", tags("x")).await.unwrap_err();
        assert!(matches!(refused.error, TaskError::Read(_)));
        assert_eq!(scene.state().pending.len(), 1);
    }
    a.line.refuse_puts(RAW, true);
    for _ in 0..1_000 {
        create(&scene, &a, "Neu").await.unwrap_err();
        assert!(scene.state().pending.len() <= 8);
    }
    // Once expired, the recovery of each intent is tried once per read.
    scene.pass_seconds(62);
    a.took();
    assert_eq!(open_tasks(&scene, &a).await, ["Aufgabe 0"]);
    assert_eq!(
        a.took(),
        "8 get raw, 2 get state, 1 list raw, 8 put raw",
        "as many marks as there may be, and no more"
    );
    // The store accepts writes again.
    a.line.refuse_puts(&format!("{RAW}0000"), false);
    a.line.refuse_puts(RAW, false);
    update(&scene, &a, "0000", tags("endlich")).await.unwrap();
    assert_eq!(open_tasks(&scene, &a).await, ["Aufgabe 0"]);
    assert!(scene.state().pending.is_empty());
    create(&scene, &a, "Neu").await.unwrap();
    assert_eq!(open_tasks(&scene, &a).await, ["Aufgabe 0", "Neu"]);
}
