//! Unusual contents of storage: other formats, damaged blobs, odd files, exhausted numbers.

use codex_miroir::codex::{Consistency, Layer, ReadError, TaskError};
use serde_json::{Value, json};

use crate::support::scene::{ARTIFACT, RAW, STATE, Scene, task, titles};

#[tokio::test]
async fn the_older_services_blobs_are_read_without_an_error() {
    let scene = Scene::with_tasks(2);
    scene.store.foreign_write("state/anna/nextId.txt", b"57\n");
    scene.store.foreign_write(
        ARTIFACT,
        br#"{"weekStart":"01.01.2025","timeline":[],"version":"abc"}"#,
    );
    let a = scene.instance();
    let read = scene.read(&a).await;
    assert_eq!(read.layer, Layer::Rebuild);
    assert_eq!(
        (
            titles(&a.json(&read)).len(),
            a.json(&read)["nextAvailableId"].clone()
        ),
        (2, json!("0057"))
    );
}

#[tokio::test]
async fn an_artifact_of_another_format_or_user_is_as_if_there_were_none() {
    let scene = Scene::with_tasks(2);
    scene.read(&scene.instance()).await;
    let written = scene.store.peek(ARTIFACT).unwrap();
    let document: Value = serde_json::from_slice(&written.bytes).unwrap();
    for (member, value) in [
        ("format", json!("1.0")),
        ("format", json!("1.1")),
        ("format", json!("1.3")),
        ("format", json!("2.0")),
        ("userId", json!("bert")),
    ] {
        let mut other = document.clone();
        other[member] = value;
        scene
            .store
            .foreign_write(ARTIFACT, other.to_string().as_bytes());
        let b = scene.instance();
        let read = scene.read(&b).await;
        assert_eq!(
            (read.layer, titles(&b.json(&read)).len()),
            (Layer::Rebuild, 2),
            "{member}"
        );
    }
    scene
        .store
        .foreign_write(ARTIFACT, &written.bytes[..written.bytes.len() / 2]);
    assert_eq!(scene.read(&scene.instance()).await.layer, Layer::Rebuild);
}

#[tokio::test]
async fn a_damaged_state_is_made_again() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let before = scene.read(&a).await.entry.bounds.hi;
    scene
        .store
        .foreign_write(STATE, b"{\"format\":\"1.0\",\"vers");
    scene.pass_seconds(5);
    let read = scene.read(&a).await;
    assert!(read.entry.bounds.exact && read.entry.bounds.hi > before);
    assert_eq!(scene.state().version, read.entry.bounds.hi);
}

#[tokio::test]
async fn a_newer_minor_format_keeps_its_members_and_a_newer_major_is_never_written() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    let mut state: Value = serde_json::from_slice(&scene.store.peek(STATE).unwrap().bytes).unwrap();
    state["format"] = json!("1.7");
    state["later"] = json!({"kept": [1, 2]});
    scene
        .store
        .foreign_write(STATE, state.to_string().as_bytes());
    scene.file("0009-Fremd.md", &task("Fremd"));
    scene.rebuild(&a).await;
    let rewritten: Value = serde_json::from_slice(&scene.store.peek(STATE).unwrap().bytes).unwrap();
    assert_eq!(
        (&rewritten["format"], &rewritten["later"]),
        (&json!("1.7"), &json!({"kept": [1, 2]}))
    );
    assert_ne!(rewritten["version"], state["version"]);

    state["format"] = json!("2.0");
    let etag = scene
        .store
        .foreign_write(STATE, state.to_string().as_bytes());
    scene.file("0010-Fremd.md", &task("Noch eine"));
    let read = scene.rebuild(&a).await;
    assert_eq!(titles(&a.json(&read)).len(), 3, "reading goes on");
    assert_eq!(scene.store.peek(STATE).unwrap().etag, etag);

    scene
        .store
        .foreign_write(STATE, br#"{"format":"2.0","everything":"else"}"#);
    let error = a
        .try_read(scene.read_request(Consistency::Strict))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TaskError::Read(ReadError::NewerFormat(_))),
        "{error}"
    );
}

#[tokio::test]
async fn settled_files_count_as_absent() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let version = scene.read(&a).await.entry.bounds.hi;
    scene.file("0050-Nie-angekommen.md", "---\ntyp: settled\n---\n");
    let read = scene.rebuild(&a).await;
    assert_eq!(read.entry.bounds.hi, version, "and are no foreign change");
    let document = a.json(&read);
    assert_eq!(
        (
            document["nextAvailableId"].clone(),
            document["problems"].clone()
        ),
        (json!("0001"), json!([]))
    );
}

#[tokio::test]
async fn the_counter_past_9999_gives_the_lowest_free_number_and_warns_when_few_are_left() {
    let scene = Scene::with_tasks(2);
    scene.file("9999-irgendwann.md", &task("Irgendwann"));
    let a = scene.instance();
    let document = a.json(&scene.read(&a).await);
    assert_eq!(document["nextAvailableId"], "0002");
    assert_eq!(document["problems"], json!([]));
    for number in 2..9_899 {
        scene.file(&format!("{number:04}.md"), "keine Aufgabe\n");
    }
    let document = a.json(&scene.rebuild(&a).await);
    assert_eq!(document["nextAvailableId"], "9899");
    assert_eq!(document["problems"][0]["code"], "ids_running_out");
    for number in 9_899..9_999 {
        scene.file(&format!("{number:04}.md"), "keine Aufgabe\n");
    }
    assert_eq!(
        a.json(&scene.rebuild(&a).await)["nextAvailableId"],
        Value::Null
    );
}

#[tokio::test]
async fn odd_files_are_problems_and_are_not_fetched_in_vain() {
    let scene = Scene::with_tasks(1);
    scene.file("Notizen.md", "ohne Nummer");
    scene.file("12-kurz.md", "zu kurze Nummer");
    scene.file("liste.txt", "keine Markdown-Datei");
    scene.file("0002-groß.md", &"x".repeat((1 << 20) + 1));
    scene
        .store
        .foreign_write(&format!("{RAW}alt/0003-tief.md"), task("Tief").as_bytes());
    let a = scene.instance();
    let document = a.json(&scene.read(&a).await);
    assert_eq!(a.requests.take().of_kind("get", "raw"), 1);
    let problems: Vec<(&str, &str)> = document["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["file"].as_str().unwrap(), it["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        problems,
        [
            ("raw/anna/tasks/0002-groß.md", "too_large"),
            ("raw/anna/tasks/12-kurz.md", "bad_file_name"),
            ("raw/anna/tasks/Notizen.md", "bad_file_name"),
        ]
    );
    assert_eq!(titles(&document), ["Aufgabe 0"]);
}
