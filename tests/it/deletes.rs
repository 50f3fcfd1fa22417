//! Deleting tasks (`src/user_state/README.md`, "A write"): alone, and against other writers of the same file.

use codex_miroir::codex::{
    BatchItem, ChangeOutcome, Consistency, FileOp, IfMatch, KeyHashes, Refusal, TaskError,
};
use codex_miroir::task::{Edit, TaskRef, git_sha};
use http::StatusCode;
use insta::assert_snapshot;
use serde_json::json;

use crate::support::github::GitHub;
use crate::support::http::{get, request, send, send_json};
use crate::support::losing_store::Loss;
use crate::support::scene::{Instance, RAW, Scene, new_task, settle, task, titles};

const FIRST: &str = "raw/anna/tasks/0000-Aufgabe.md";

fn id(text: &str) -> TaskRef {
    text.parse().unwrap()
}

async fn delete(
    scene: &Scene,
    instance: &Instance,
    task: &str,
    if_match: Option<IfMatch>,
) -> Result<ChangeOutcome<()>, Refusal> {
    let request = scene.read_request(Consistency::Bounded);
    let writer = instance.codex.writer();
    let deleted = writer.delete(&request, &id(task), if_match).await;
    settle().await;
    deleted
}

async fn update(scene: &Scene, instance: &Instance, task: &str, tag: &str) -> Result<(), Refusal> {
    let request = scene.read_request(Consistency::Bounded);
    let edit = Edit {
        tags: Some(vec![tag.to_owned()]),
        ..Edit::default()
    };
    let writer = instance.codex.writer();
    let updated = writer.update(&request, &id(task), edit, None).await;
    settle().await;
    updated.map(drop)
}

async fn shown(scene: &Scene, instance: &Instance) -> Vec<String> {
    titles(&instance.json(&scene.read_strictly(instance).await))
}

fn is_not_found<T>(answer: &Result<T, Refusal>) -> bool {
    matches!(answer, Err(refusal) if matches!(refusal.error, TaskError::NotFound))
}

fn is_changed<T>(answer: &Result<T, Refusal>) -> bool {
    matches!(answer, Err(refusal) if matches!(refusal.error, TaskError::PreconditionFailed))
}

#[tokio::test]
async fn a_deleted_task_is_gone_and_its_number_is_not_assigned_again() {
    let scene = Scene::starting(&chrono::Utc::now().to_rfc3339());
    let (a, b) = (scene.instance(), scene.instance());
    let new = json!({"kategorie": "arbeit", "title": "Steuer"});
    send_json(&a, "POST", "/api/tasks", new.clone()).await.ok();
    let reply = send(&a, request("DELETE", "/api/tasks/0000")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let version = reply.header("x-codex-version").to_owned();
    let text = reply.text().replace(&version, "(version)");
    assert_snapshot!(text, @r#"{"ok":true,"id":"0000","version":(version),"gitPushed":false,"gitPending":false}"#);
    assert_eq!(
        reply.header("server-timing"),
        r#"reads;desc="0", writes;desc="2""#
    );
    assert!(
        reply
            .header("set-cookie")
            .starts_with("codex_version=anna:")
    );
    settle().await;
    for instance in [&a, &b] {
        for (method, path) in [
            ("GET", "/api/tasks/0000"),
            ("DELETE", "/api/tasks/0000"),
            ("DELETE", "/api/tasks/0000-Steuer"),
        ] {
            let reply = send(instance, request(method, path)).await;
            assert_eq!(
                (reply.status, &reply.json()["code"]),
                (StatusCode::NOT_FOUND, &json!("task_not_found")),
                "{method} {path}"
            );
        }
        let list = send(instance, get("/api/tasks?status=alle")).await.ok();
        assert_eq!(list["tasks"], json!([]));
    }
    let next = send_json(&b, "POST", "/api/tasks", new).await.ok();
    assert_eq!(next["id"], "0001");
}

#[tokio::test]
async fn if_match_decides_whether_it_is_deleted() {
    let scene = Scene::starting(&chrono::Utc::now().to_rfc3339());
    scene.file("0000-Aufgabe.md", &task("Aufgabe"));
    let a = scene.instance();
    let sha = git_sha(task("Aufgabe").as_bytes());
    let with = async |etag: &str| {
        let request = request("DELETE", "/api/tasks/0000").header("if-match", etag);
        send(&a, request).await
    };
    let other = format!("\"{}\"", git_sha(b"other"));
    let refused = with(&other).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (
            StatusCode::PRECONDITION_FAILED,
            &json!("precondition_failed")
        )
    );
    assert!(scene.store.peek(FIRST).is_some());
    let both = format!("{other}, \"{sha}\"");
    assert_eq!(with(&both).await.status, StatusCode::OK);
    assert!(scene.store.peek(FIRST).is_none());
    assert_eq!(with("*").await.status, StatusCode::NOT_FOUND);
}

/// Also where the older service's counter, or an editor's file with a high number, is all that knows the number.
#[tokio::test]
async fn the_number_of_a_deleted_file_of_an_editor_is_not_assigned_again() {
    for counter in [None, Some("7"), Some("60")] {
        let scene = Scene::new();
        scene.file("0042-Hand.md", &task("Von Hand"));
        if let Some(counter) = counter {
            let path = "state/anna/nextId.txt";
            scene.store.foreign_write(path, counter.as_bytes());
        }
        let (a, b) = (scene.instance(), scene.instance());
        delete(&scene, &a, "0042", None).await.unwrap();
        let next = scene.state().next_id;
        assert_eq!(next, if counter == Some("60") { 60 } else { 43 });
        let request = scene.read_request(Consistency::Bounded);
        let created = b.codex.writer().create(&request, new_task("Neu"), None);
        let created = created.await.unwrap();
        assert_eq!(created.name.to_string(), format!("{next:04}-Neu.md"));
        settle().await;
    }
}

/// In GitHub mode a removal is listed for the push, with the content that is removed; a refused one isn't.
#[tokio::test]
async fn a_refused_deletion_leaves_nothing_for_git() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(2);
    let (a, b) = (
        scene.instance_mirrored(&github),
        scene.instance_mirrored(&github),
    );
    scene.read(&b).await;
    let known = scene.read(&a).await.entry.table().file(0).sha.unwrap();
    let stale = IfMatch::OneOf(vec![git_sha(b"other")]);
    let refused = delete(&scene, &a, "0000", Some(stale)).await;
    assert!(is_changed(&refused), "{refused:?}");
    assert!(scene.state().removed.is_empty());
    // The file changes while the deletion is on its way.
    let held = a.gate.hold_next("delete", RAW);
    let if_match = Some(IfMatch::OneOf(vec![known]));
    let (refused, ()) = tokio::join!(delete(&scene, &a, "0000", if_match), async {
        held.reached().await;
        assert_eq!(scene.state().removed["0000-Aufgabe.md"].sha, Some(known));
        update(&scene, &b, "0000", "schnell").await.unwrap();
        held.release();
    });
    assert!(is_changed(&refused), "{refused:?}");
    let state = scene.state();
    assert!(state.removed.is_empty() && state.pending.is_empty());
    // So does it here, where the new content is deleted as well.
    scene.read_strictly(&a).await;
    let held = a.gate.hold_next("delete", RAW);
    let (deleted, ()) = tokio::join!(delete(&scene, &a, "0000", None), async {
        held.reached().await;
        update(&scene, &b, "0000", "wieder").await.unwrap();
        held.release();
    });
    let deleted = deleted.unwrap();
    let removed = scene.state().removed["0000-Aufgabe.md"].clone();
    assert_eq!(
        (removed.version, removed.repeated),
        (deleted.version, false)
    );
    assert_ne!(removed.sha, Some(known));
}

/// The other's removal stays listed, although the refused one has taken its place.
#[tokio::test]
async fn a_refused_deletion_leaves_the_removal_of_another_to_git() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(1);
    let (a, b, c) = (
        scene.instance_mirrored(&github),
        scene.instance_mirrored(&github),
        scene.instance(),
    );
    scene.read(&a).await;
    scene.read(&c).await;
    let known = scene.read(&b).await.entry.table().file(0).sha.unwrap();
    let (slow, refused) = (
        a.gate.hold_next("delete", RAW),
        b.gate.hold_next("delete", RAW),
    );
    let if_match = Some(IfMatch::OneOf(vec![known]));
    let (deleted, refused, ()) = tokio::join!(
        delete(&scene, &a, "0000", None),
        delete(&scene, &b, "0000", if_match),
        async {
            slow.reached().await;
            refused.reached().await;
            update(&scene, &c, "0000", "schnell").await.unwrap();
            refused.release();
            settle().await;
            slow.release();
        }
    );
    assert!(is_changed(&refused), "{refused:?}");
    deleted.unwrap();
    assert!(scene.state().removed.contains_key("0000-Aufgabe.md"));
    assert_eq!(shown(&scene, &c).await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_can_be_deleted_and_of_two_files_with_a_number_only_the_named_one() {
    let scene = Scene::new();
    scene.file("0001-kaputt.md", "---\nkategorie: [\n---\n");
    scene.file("0002-eins.md", &task("Eins"));
    scene.file("0002-zwei.md", &task("Zwei"));
    let a = scene.instance();
    delete(&scene, &a, "0001", None).await.unwrap();
    let refused = delete(&scene, &a, "0002", None).await.unwrap_err();
    assert!(matches!(refused.error, TaskError::Ambiguous { stems } if stems.len() == 2));
    delete(&scene, &a, "0002-eins", None).await.unwrap();
    assert_eq!(shown(&scene, &a).await, ["Zwei"]);
    delete(&scene, &a, "0002", None).await.unwrap();
    assert_eq!(shown(&scene, &a).await, [""; 0]);
}

#[tokio::test]
async fn of_a_deletion_and_an_update_elsewhere_one_wins() {
    // The file goes while the update holds its text.
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let put = b.gate.hold_next("put", RAW);
    let (updated, ()) = tokio::join!(update(&scene, &b, "0000", "spät"), async {
        put.reached().await;
        delete(&scene, &a, "0000", None).await.unwrap();
        put.release();
    });
    assert!(is_not_found(&updated), "{updated:?}");
    assert_eq!(shown(&scene, &a).await, [""; 0]);
    assert_eq!(shown(&scene, &b).await, [""; 0]);
    // The file changes while the deletion is on its way.
    for with_etag in [true, false] {
        let scene = Scene::with_tasks(1);
        let (a, b) = (scene.instance(), scene.instance());
        scene.read(&b).await;
        let known = scene.read(&a).await.entry.table().file(0).sha.unwrap();
        let held = a.gate.hold_next("delete", RAW);
        let if_match = with_etag.then(|| IfMatch::OneOf(vec![known]));
        let (deleted, ()) = tokio::join!(delete(&scene, &a, "0000", if_match), async {
            held.reached().await;
            update(&scene, &b, "0000", "schnell").await.unwrap();
            held.release();
        });
        assert_eq!(is_changed(&deleted), with_etag, "{deleted:?}");
        assert_eq!(deleted.is_ok(), !with_etag);
        for instance in [&a, &b] {
            let left = shown(&scene, instance).await.len();
            assert_eq!(left, usize::from(with_etag));
        }
        assert!(scene.state().pending.is_empty());
    }
}

#[tokio::test]
async fn two_deletions_at_once_delete_it_once() {
    let scene = Scene::with_tasks(2);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let held = a.gate.hold_next("delete", RAW);
    let (first, ()) = tokio::join!(delete(&scene, &a, "0000", None), async {
        held.reached().await;
        delete(&scene, &b, "0000", None).await.unwrap();
        held.release();
    });
    first.unwrap();
    for instance in [&a, &b] {
        assert_eq!(shown(&scene, instance).await, ["Aufgabe 1"]);
        assert!(is_not_found(&delete(&scene, instance, "0000", None).await));
    }
    assert!(scene.state().pending.is_empty());
}

/// The mark of the first one is settled while its DELETE is on its way, as by an instance whose storage clock is ahead;
/// so it is the second one's version with which the file went.
#[tokio::test]
async fn a_deletion_that_finds_the_file_gone_answers_with_a_version_that_lacks_it() {
    for in_batch in [false, true] {
        let scene = Scene::with_tasks(1);
        let (a, b, c) = (scene.instance(), scene.instance(), scene.instance());
        scene.read(&a).await;
        let held = a.gate.hold_next("delete", RAW);
        let first = async {
            if !in_batch {
                return delete(&scene, &a, "0000", None).await.unwrap().version;
            }
            let etag = scene.store.peek(FIRST).unwrap().etag;
            let batch = vec![BatchItem {
                name: "0000-Aufgabe.md".parse().unwrap(),
                operation: FileOp::Remove(etag),
                merged: vec![],
                write: None,
            }];
            let request = scene.read_request(Consistency::Bounded);
            let written = a.codex.writer().write_files(&request, batch).await;
            settle().await;
            written.unwrap().version
        };
        let (version, ()) = tokio::join!(first, async {
            held.reached().await;
            scene.pass_seconds(62);
            assert_eq!(shown(&scene, &c).await, ["Aufgabe 0"]);
            delete(&scene, &b, "0000", None).await.unwrap();
            held.release();
        });
        let read = scene.read_having_seen(&c, version).await;
        assert_eq!(titles(&c.json(&read)), [""; 0], "in a batch: {in_batch}");
        assert!(scene.state().pending.is_empty());
    }
}

#[tokio::test]
async fn what_an_editor_saves_meanwhile_is_deleted_only_without_if_match() {
    for with_etag in [true, false] {
        let scene = Scene::with_tasks(1);
        let a = scene.instance();
        let read = scene.read(&a).await;
        let name = read.entry.table().file(0).name.to_owned();
        let known = read.entry.table().file(0).sha.unwrap();
        let held = a.gate.hold_next("delete", RAW);
        let if_match = with_etag.then(|| IfMatch::OneOf(vec![known]));
        let (deleted, ()) = tokio::join!(delete(&scene, &a, "0000", if_match), async {
            held.reached().await;
            scene.file(&name, &task("Von Hand"));
            held.release();
        });
        assert_eq!(is_changed(&deleted), with_etag, "{deleted:?}");
        let left = scene.rebuild(&a).await;
        let expected: &[&str] = if with_etag { &["Von Hand"] } else { &[] };
        assert_eq!(titles(&a.json(&left)), expected);
    }
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_recognised() {
    for loss in [Loss::StoreResponse, Loss::FirstAnswer] {
        let scene = Scene::with_tasks(2);
        let (a, b) = (scene.instance(), scene.instance());
        scene.read(&a).await;
        a.line.lose_next("delete", RAW, loss);
        let deleted = delete(&scene, &a, "0000", None).await.unwrap();
        let seen = scene.read_having_seen(&b, deleted.version).await;
        assert_eq!(titles(&b.json(&seen)), ["Aufgabe 1"]);
        assert!(scene.state().pending.is_empty());
    }
}

/// The request never arrives: the answer says that this isn't known, and the mark is settled so that it can't any more.
#[tokio::test]
async fn a_deletion_whose_outcome_is_unknown_says_so_and_is_settled_later() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance_mirrored(&github), scene.instance());
    scene.read(&a).await;
    a.line.lose_next("delete", RAW, Loss::Request);
    let unknown = delete(&scene, &a, "0000", None).await.unwrap_err();
    assert!(matches!(unknown.error, TaskError::OutcomeUnknown));
    let state = scene.state();
    assert_eq!((state.pending.len(), state.removed.len()), (1, 1));
    scene.pass_seconds(62);
    assert_eq!(shown(&scene, &b).await, ["Aufgabe 0"]);
    let state = scene.state();
    assert!(state.pending.is_empty() && state.removed.is_empty());
    delete(&scene, &b, "0000", None).await.unwrap();
    assert_eq!(shown(&scene, &b).await, [""; 0]);
}

#[tokio::test]
async fn a_create_repeated_with_its_key_does_not_bring_a_deleted_task_back() {
    let scene = Scene::new();
    let (a, b) = (scene.instance(), scene.instance());
    let key = || {
        let (key, body) = ("key".to_owned(), "body".to_owned());
        Some(KeyHashes { key, body })
    };
    let request = scene.read_request(Consistency::Bounded);
    let create = async |instance: &Instance| {
        let writer = instance.codex.writer();
        let created = writer.create(&request, new_task("Neu"), key()).await;
        settle().await;
        created.unwrap()
    };
    let created = create(&a).await;
    delete(&scene, &b, "0000", None).await.unwrap();
    let again = create(&a).await;
    assert!(again.reused);
    assert_eq!(again.name, created.name);
    assert_eq!(shown(&scene, &a).await, [""; 0]);
}

/// The mark of the create is still there: its instance was killed after the PUT.
#[tokio::test]
async fn a_task_whose_create_is_still_pending_can_be_deleted() {
    let scene = Scene::new();
    let (a, b) = (scene.instance(), scene.instance());
    let removal = {
        // The first PUT of the state makes it, the second records the create, the third finishes it.
        scene.read(&a).await;
        a.gate.hold_next("put", "state/anna/state.json").release();
        a.gate.hold_next("put", "state/anna/state.json")
    };
    let request = scene.read_request(Consistency::Bounded);
    let writer = a.codex.writer();
    writer
        .create(&request, new_task("Neu"), None)
        .await
        .unwrap();
    removal.reached().await;
    delete(&scene, &b, "0000", None).await.unwrap();
    assert_eq!(shown(&scene, &b).await, [""; 0]);
    removal.release();
    settle().await;
    scene.pass_seconds(62);
    assert_eq!(shown(&scene, &a).await, [""; 0]);
    assert!(scene.state().pending.is_empty());
}
