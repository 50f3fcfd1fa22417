//! The janitor concurrently with writers: no acknowledged write is lost, and none is applied twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use codex_miroir::codex::{BatchItem, Consistency, FileOp, FileOutcome, KeyHashes, ReadRequest};
use futures::future::join_all;

use super::{SETTLED, crowded, raw, run_janitor};
use crate::support::scene::{Instance, Scene, new_task, settle, task};

/// Writes one file.
async fn write_file(
    instance: &Instance,
    read_request: &ReadRequest,
    name: &str,
    operation: FileOp,
) -> FileOutcome {
    let change = BatchItem {
        name: name.parse().unwrap(),
        operation,
        merged: vec![],
        write: None,
    };
    let done = instance
        .codex
        .writer()
        .write_files(read_request, vec![change])
        .await;
    done.unwrap().outcomes[0]
}

/// A scene with a tombstone that is more than an hour old.
async fn with_old_tombstone(name: &str) -> Scene {
    let scene = Scene::with_tasks(1);
    scene.file(name, SETTLED);
    scene.read(&scene.instance()).await;
    scene.pass_seconds(3_700);
    scene
}

#[tokio::test]
async fn a_file_that_takes_a_settled_ones_place_stays() {
    let scene = with_old_tombstone("0007-Nie.md").await;
    let (writer, janitor) = (scene.instance(), scene.instance());
    scene.read(&writer).await;
    let delete = janitor.gate.hold_next("delete", "raw/");
    let (report, ()) = tokio::join!(run_janitor(&scene, &janitor), async {
        delete.reached().await;
        let read_request = scene.read_request(Consistency::Bounded);
        let operation = FileOp::Create(task("Nun doch").into());
        let outcome = write_file(&writer, &read_request, "0007-Nie.md", operation).await;
        assert_eq!(outcome, FileOutcome::Done);
        delete.release();
    });
    assert_eq!((report.tombstones, report.failed), (0, 0));
    let there = scene.store.peek(&raw("0007-Nie.md")).unwrap();
    assert_eq!(there.bytes, task("Nun doch"));
}

/// The janitor deletes the tombstone after the writer has read it and before the PUT: the conditional PUT fails, as
/// after any concurrent change, and the writer's next read finds no file there.
#[tokio::test]
async fn who_was_about_to_take_a_settled_ones_place_gets_it_at_the_next_try() {
    let scene = with_old_tombstone("0007-Nie.md").await;
    let (writer, janitor) = (scene.instance(), scene.instance());
    scene.read(&writer).await;
    let (delete, put) = (
        janitor.gate.hold_next("delete", "raw/"),
        writer.gate.hold_next("put", "raw/"),
    );
    let read_request = scene.read_request(Consistency::Bounded);
    let operation = || FileOp::Create(task("Nun doch").into());
    let (report, outcome, ()) = tokio::join!(
        run_janitor(&scene, &janitor),
        write_file(&writer, &read_request, "0007-Nie.md", operation()),
        async {
            delete.reached().await;
            put.reached().await;
            delete.release();
            while scene.store.peek(&raw("0007-Nie.md")).is_some() {
                tokio::task::yield_now().await;
            }
            put.release();
        }
    );
    assert_eq!((report.tombstones, outcome), (1, FileOutcome::Conflict));
    scene.read_strictly(&writer).await;
    let outcome = write_file(&writer, &read_request, "0007-Nie.md", operation()).await;
    assert_eq!(outcome, FileOutcome::Done);
    settle().await;
    let there = scene.store.peek(&raw("0007-Nie.md")).unwrap();
    assert_eq!(there.bytes, task("Nun doch"));
    assert!(scene.state().pending.is_empty());
}

/// Replaces an old tombstone as sync does: by a rebuild and another try after a conflict.
async fn replace_tombstone(scene: &Scene, instance: &Instance, number: usize) {
    let name = format!("{:04}-Alt.md", 20 + number);
    let is_taken = || {
        let blob = scene.store.peek(&raw(&name));
        blob.is_some_and(|blob| blob.bytes != SETTLED)
    };
    for _ in 0..20 {
        if is_taken() {
            return;
        }
        scene.rebuild(instance).await;
        let read_request = scene.read_request(Consistency::Bounded);
        let operation = FileOp::Create(task(&format!("alt {number}")).into());
        write_file(instance, &read_request, &name, operation).await;
    }
    panic!("{name} can't be had");
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_beside_it_are_all_there_once() {
    const WRITERS: usize = 3;
    const EACH: usize = 40;
    let scene = Arc::new(crowded().await);
    for number in 20..60 {
        scene.file(&format!("{number:04}-Alt.md"), SETTLED);
    }
    scene.pass_seconds(3_700);
    let writers = (0..WRITERS).map(|writer| {
        let (scene, instance) = (Arc::clone(&scene), scene.instance());
        tokio::spawn(async move {
            let mut named = vec![];
            for number in 0..EACH {
                let title = format!("{writer}-{number}");
                let key = KeyHashes {
                    key: title.clone(),
                    body: "body".to_owned(),
                };
                let read_request = scene.read_request(Consistency::Bounded);
                // Twice, as a client does that got no response.
                for _ in 0..2 {
                    let made = instance.codex.writer().create(
                        &read_request,
                        new_task(&title),
                        Some(key.clone()),
                    );
                    named.push((made.await.unwrap().name.to_string(), title.clone()));
                }
                replace_tombstone(&scene, &instance, number).await;
            }
            named
        })
    });
    let writers: Vec<_> = writers.collect();
    let janitors = (0..2).map(|_| {
        let (scene, instance) = (Arc::clone(&scene), scene.instance());
        tokio::spawn(async move {
            for _ in 0..60 {
                assert_eq!(run_janitor(&scene, &instance).await.failed, 0);
                tokio::task::yield_now().await;
            }
        })
    });
    let janitors: Vec<_> = janitors.collect();
    let named: Vec<_> = join_all(writers)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    join_all(janitors)
        .await
        .into_iter()
        .for_each(Result::unwrap);
    let different: BTreeSet<_> = named.iter().cloned().collect();
    assert_eq!(
        different.len(),
        WRITERS * EACH,
        "each key stands for one task"
    );
    for (name, title) in &different {
        let blob = scene.store.peek(&raw(name)).unwrap();
        assert!(
            String::from_utf8_lossy(&blob.bytes).contains(title),
            "{name}"
        );
    }
    for number in 0..EACH {
        let blob = scene
            .store
            .peek(&raw(&format!("{:04}-Alt.md", 20 + number)))
            .unwrap();
        assert_eq!(blob.bytes, task(&format!("alt {number}")));
    }
    let a = scene.instance();
    let shown = scene.read_strictly(&a).await.entry;
    assert_eq!(
        shown.table().iter().filter(|it| !it.is_tombstone()).count(),
        2 + WRITERS * EACH + EACH
    );
}
