//! `user export`: byte-for-byte copies, consistent at one point in time.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use codex_miroir::admin::{self, AdminError, Export};
use codex_miroir::codex::Consistency;
use codex_miroir::store::BlobStore;
use codex_miroir::task::TOMBSTONE_FILE;
use serde_json::{Value, json};

use super::{OWNER, in_git};
use crate::support::losing_store::Loss;
use crate::support::scene::{RAW, STATE, Scene, anna, new_task, task};

async fn export(scene: &Scene, store: &dyn BlobStore) -> Export {
    admin::export(store, &anna(), scene.now().utc)
        .await
        .unwrap()
}

fn unzipped(export: &Export) -> BTreeMap<String, Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(&export.zip)).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..zip.len() {
        let mut file = zip.by_index(at).unwrap();
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).unwrap();
        files.insert(file.name().unwrap().into_owned(), bytes);
    }
    files
}

#[tokio::test]
async fn everything_is_in_the_zip_byte_for_byte() {
    let scene = Scene::with_tasks(2);
    scene.read(&scene.instance()).await;
    scene
        .store
        .foreign_write(&format!("{RAW}0002-Ä.md"), b"\xef\xbb\xbf---\r\n\xff\0");
    scene.file("bild.png", "");
    scene.file("0009-Nie.md", TOMBSTONE_FILE);
    in_git(&scene, &[]);
    scene
        .store
        .foreign_write(OWNER, br#"{"format":"1.0","githubId":1001}"#);
    scene
        .store
        .foreign_write("state/anna/idempotency/k.txt", b"0");
    let before = scene.store.paths();
    let looking = scene.instance();
    let made = export(&scene, &looking.requests).await;
    assert_eq!(made.to_string(), "4 task files");
    assert!(made.is_consistent && made.left_out.is_empty());
    let mut expected = BTreeMap::new();
    for path in &before {
        let name = path.strip_prefix(RAW).map(|name| format!("tasks/{name}"));
        let name = name.or(path.strip_prefix("state/anna/").map(str::to_owned));
        if let Some(name) = name.filter(|name| name != "tasks/0009-Nie.md") {
            expected.insert(name, scene.store.peek(path).unwrap().bytes.to_vec());
        }
    }
    assert_eq!(unzipped(&made), expected);
    assert_eq!(expected.len(), 8);
    let requests = looking.requests.take_requests();
    assert!(
        requests
            .iter()
            .all(|it| ["get", "list"].contains(&it.operation))
    );
}

#[tokio::test]
async fn names_that_other_systems_refuse_are_kept() {
    let scene = Scene::new();
    let odd = [
        "0001-a:b?.md",
        "0001-a_b_.md",
        "0002-Straße.md",
        "0002-STRASSE.md",
        "0003-x.md",
        "0003-X.md",
        "con.md",
        "ende. ",
    ];
    for name in odd {
        scene.file(name, name);
    }
    let made = export(&scene, &scene.store).await;
    assert_eq!(made.files, odd.len());
    let expected = odd.map(|name| (format!("tasks/{name}"), name.as_bytes().to_vec()));
    assert_eq!(unzipped(&made), BTreeMap::from(expected));
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_read_again() {
    let scene = Scene::with_tasks(3);
    let serving = scene.instance();
    scene.read(&serving).await;
    let looking = scene.instance();
    let held = looking.gate.hold_next("get", &format!("{RAW}0001"));
    let store = looking.requests.clone();
    let now = scene.now().utc;
    let made = tokio::spawn(async move { admin::export(&store, &anna(), now).await });
    held.reached().await;
    scene.file("0001-Aufgabe.md", &task("Inzwischen"));
    let read_request = scene.read_request(Consistency::Bounded);
    serving
        .codex
        .writer()
        .create(&read_request, new_task("Neu"), None)
        .await
        .unwrap();
    crate::support::scene::settle().await;
    held.release();
    let made = made.await.unwrap().unwrap();
    assert!(made.is_consistent);
    let files = unzipped(&made);
    assert_eq!(
        files["tasks/0001-Aufgabe.md"],
        task("Inzwischen").as_bytes()
    );
    let state: Value = serde_json::from_slice(&files["state.json"]).unwrap();
    assert_eq!(json!(scene.state()), state);
    assert!(files.contains_key("tasks/0003-Neu.md"));
}

#[tokio::test]
async fn a_write_that_was_left_half_done_is_told() {
    let scene = Scene::with_tasks(1);
    let dead = scene.instance();
    scene.read(&dead).await;
    dead.line.lose_next("put", RAW, Loss::Request);
    let read_request = scene.read_request(Consistency::Bounded);
    assert!(
        dead.codex
            .writer()
            .create(&read_request, new_task("Nie"), None)
            .await
            .is_err()
    );
    let made = export(&scene, &scene.store).await;
    assert!(!made.is_consistent);
    assert!(
        made.to_string()
            .starts_with("1 task file; a write was in progress")
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_rest_is_there() {
    let scene = Scene::with_tasks(2);
    scene.read(&scene.instance()).await;
    let looking = scene.instance();
    looking
        .line
        .lose_next("get", &format!("{RAW}0001"), Loss::Unreadable);
    let made = export(&scene, &looking.requests).await;
    assert_eq!(made.left_out, ["0001-Aufgabe.md"]);
    assert!(unzipped(&made).contains_key("tasks/0000-Aufgabe.md"));
    looking.line.lose_next("get", STATE, Loss::Request);
    let failed = admin::export(&looking.requests, &anna(), scene.now().utc).await;
    assert!(matches!(failed, Err(AdminError::Store(_))));
}

#[tokio::test]
async fn nobody_is_no_zip() {
    let scene = Scene::new();
    let failed = admin::export(&scene.store, &anna(), scene.now().utc).await;
    assert!(matches!(failed, Err(AdminError::Nothing(_))));
}
