//! Tasks that are deleted through the service (`src/git_sync/README.md`, "Removing").

use bytes::Bytes;
use codex_miroir::store::{BlobKey, BlobStoreExt, PutIf};
use codex_miroir::user::UserId;
use serde_json::{Value, json};

use crate::support::github::{Fault, Merge};
use crate::support::mirror::{Mirror, create, send, tick, titles};
use crate::support::process::{Service, eventually};
use crate::support::scene::task;

fn delete(service: &Service, id: &str) -> Value {
    send(service, "DELETE", &format!("/api/tasks/{id}"), "", "").json()
}

fn messages(mirror: &Mirror) -> Vec<String> {
    let log = mirror.github.log("main");
    log.iter().map(|commit| commit.message.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_becomes_a_commit() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Steuer");
    create(&service, "Zahnarzt");
    mirror.until_equal(&service).await;
    let deleted = delete(&service, "0000");
    assert_eq!(
        (&deleted["gitPushed"], &deleted["gitPending"]),
        (&json!(false), &json!(true))
    );
    mirror.until_equal(&service).await;
    assert_eq!(messages(&mirror)[0], "[codex] delete task 0000");
    assert_eq!(titles(&service), ["Zahnarzt"]);
    assert_eq!(mirror.in_git().len(), 1);
    let waited = send(&service, "DELETE", "/api/tasks/0001?git=wait", "", "").json();
    assert_eq!(waited["gitPushed"], json!(true), "{waited}");
    let head = mirror.github.head("main").unwrap();
    assert_eq!(waited["commitSha"], json!(head));
    assert!(mirror.in_git().is_empty());
    assert_eq!(service.get("/sync").json()["unpushed"], json!([]));
}

/// GitHub is away meanwhile, and the process is another one: what was removed is known to the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_outlives_an_outage_and_its_process() {
    let mirror = Mirror::new();
    let service = mirror.service();
    for title in ["Eins", "Zwei", "Drei"] {
        create(&service, title);
    }
    mirror.until_equal(&service).await;
    mirror.github.fail(Fault::Reset);
    delete(&service, "0001");
    let waiting = service.get("/sync").json()["unpushed"].clone();
    assert_eq!(waiting[0]["id"], json!("0001"));
    // While an intent is left, which here would take a minute, the hint stays: tests/system/git_sync/crashes.rs.
    mirror.until_nothing_is_pending();
    drop(service);
    let service = mirror.service();
    tick(&service);
    assert_eq!(titles(&service), ["Eins", "Drei"]);
    assert_eq!(mirror.in_git().len(), 3);
    mirror.github.recover();
    tick(&service);
    mirror.until_equal(&service).await;
    assert_eq!(titles(&service), ["Eins", "Drei"]);
    assert_eq!(mirror.in_git().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_edit_in_git_wins_over_a_deletion() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let name = create(&service, "Steuer");
    create(&service, "Zahnarzt");
    mirror.until_equal(&service).await;
    mirror.github.drop_deliveries();
    mirror.commit(&[(&name, Some(&task("In Git geändert")))], "Edit");
    delete(&service, "0000");
    mirror.until_equal(&service).await;
    assert_eq!(titles(&service), ["In Git geändert", "Zahnarzt"]);
    // It is forgotten then: the next deletion is one of its own.
    delete(&service, "0000");
    mirror.until_equal(&service).await;
    assert_eq!(titles(&service), ["Zahnarzt"]);
}

/// The commit of the create waits, or its answer is lost, when the task is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_not_in_git_yet_never_comes_back() {
    for lost in [Fault::Reset, Fault::LoseAnswer] {
        let mirror = Mirror::new();
        let service = mirror.service();
        create(&service, "Bleibt");
        mirror.until_equal(&service).await;
        mirror.github.fail_at("PUT", "/contents", lost.clone());
        let before = mirror.github.calls("PUT", "/contents");
        create(&service, "Geht");
        // Else there is nothing to wait for: what was never sent needs no commit to be removed.
        eventually("its commit is sent", || {
            mirror.github.calls("PUT", "/contents") > before
        });
        let deleted = send(&service, "DELETE", "/api/tasks/0001?git=wait", "", "").json();
        assert_eq!(deleted["gitPushed"], json!(false), "{lost:?}: {deleted}");
        mirror.github.recover();
        mirror.until_equal(&service).await;
        tick(&service);
        mirror.until_equal(&service).await;
        assert_eq!(titles(&service), ["Bleibt"]);
        assert_eq!(mirror.in_git().len(), 1);
    }
}

/// A rename is a later edit in Git, too, if only in letter case.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_renamed_in_git_comes_back_by_that_name() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let name = create(&service, "Steuer");
    mirror.until_equal(&service).await;
    mirror.github.drop_deliveries();
    let text = mirror.in_git()[&name].clone();
    let renamed = "0000-STEUER.md";
    mirror.commit(&[(&name, None), (renamed, Some(&text))], "Rename");
    delete(&service, "0000");
    mirror.until_equal(&service).await;
    assert_eq!(Vec::from_iter(mirror.in_git().keys()), [renamed]);
    delete(&service, "0000");
    mirror.until_equal(&service).await;
    assert!(mirror.in_git().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_delivery_does_not_bring_a_deleted_task_back() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit_two();
    let delivery = mirror.github.take_deliveries().pop().unwrap();
    let url = format!("http://{}/github/webhook", service.address);
    mirror.github.deliver(&delivery, &url).await;
    assert_eq!(titles(&service), ["a", "b"]);
    mirror.github.fail(Fault::Reset);
    delete(&service, "0001");
    mirror.github.recover();
    // Before the removal is in Git, and after.
    for _ in 0..2 {
        mirror.github.deliver(&delivery, &url).await;
        assert_eq!(titles(&service), ["b"]);
        mirror.until_equal(&service).await;
    }
    assert_eq!(mirror.in_git().len(), 1);
}

/// The process died when the file was here, and the base not yet recorded: only the import tells that Git had it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_import_was_interrupted_stays_deleted() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit_two();
    mirror.taken_in(&service).await;
    mirror.until_nothing_is_pending();
    let mut book = mirror.book().await;
    let sha = book["files"].as_object_mut().unwrap().remove("0001-a.md");
    let import = json!({"sha": sha, "write": "1", "at": chrono::Utc::now().to_rfc3339()});
    book["taking"] = json!({"0001-a.md": [import]});
    let key = BlobKey::git(&UserId::parse("anna").unwrap());
    let bytes = Bytes::from(book.to_string());
    mirror.store().write(&key, bytes, PutIf::Any).await.unwrap();
    delete(&service, "0001");
    mirror.until_equal(&service).await;
    assert_eq!(titles(&service), ["b"]);
    assert_eq!(messages(&mirror)[0], "[codex] delete task 0001");
    assert_eq!(mirror.book().await["taking"], Value::Null);
}

/// To a token that may not write, GitHub answers as if the file weren't there.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_github_denies_is_told_and_tried_again() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Steuer");
    mirror.until_equal(&service).await;
    mirror
        .github
        .fail_at("DELETE", "/contents", Fault::Status(404));
    delete(&service, "0000");
    eventually("the denial is told", || {
        mirror.book_now()["lastError"]["code"] == "github_denied"
    });
    mirror.github.recover();
    tick(&service);
    mirror.until_equal(&service).await;
    assert!(mirror.in_git().is_empty());
    assert_eq!(service.get("/sync").json()["lastError"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deletions_get_a_commit_each() {
    let mirror = Mirror::new();
    let service = mirror.service();
    for number in 0..13 {
        create(&service, &format!("Nummer {number}"));
    }
    mirror.until_equal(&service).await;
    mirror.github.fail(Fault::Reset);
    for number in 0..12 {
        delete(&service, &format!("{number:04}"));
    }
    create(&service, "Neu");
    mirror.github.recover();
    mirror.until_equal(&service).await;
    assert_eq!(titles(&service), ["Nummer 12", "Neu"]);
    let deletions = messages(&mirror);
    let deletions = deletions.iter().filter(|it| it.contains(" delete task "));
    assert_eq!(deletions.count(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pull_requests_a_deletion_is_proposed_and_a_closed_one_brings_the_task_back() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    mirror.commit(
        &[
            ("0000-Steuer.md", Some(&task("Steuer"))),
            ("0001-Zahnarzt.md", Some(&task("Zahnarzt"))),
        ],
        "Two",
    );
    let service = mirror.service();
    mirror.deliver(&service).await;
    let deleted = send(&service, "DELETE", "/api/tasks/0000?git=wait", "", "").json();
    assert_eq!(
        (
            &deleted["prNumber"],
            &deleted["gitPushed"],
            &deleted["gitPending"]
        ),
        (&json!(1), &json!(false), &json!(true)),
        "{deleted}"
    );
    let pull = &mirror.github.pulls()[0];
    assert_eq!(
        (&*pull.head, &*pull.title),
        ("codex/tasks/anna/0000-delete", "[codex] delete task 0000")
    );
    assert_eq!(titles(&service), ["Zahnarzt"]);
    assert_eq!(mirror.in_git().len(), 2);
    // Another commit doesn't bring it back.
    mirror.commit(&[("0009-Andere.md", Some(&task("Andere")))], "Another");
    mirror.deliver(&service).await;
    assert_eq!(titles(&service), ["Zahnarzt", "Andere"]);
    let state = service.get("/sync").json();
    assert_eq!(state["unpushed"], json!([]));
    assert_eq!(state["pullRequests"][0]["sha"], json!("0".repeat(40)));
    mirror.github.close_pull(1);
    mirror.commit(&[("0010-Dritte.md", Some(&task("Dritte")))], "A third");
    mirror.deliver(&service).await;
    tick(&service);
    assert_eq!(titles(&service)[0], "Steuer");
    // Deleted again, it is proposed again; merged, it is gone.
    let deleted = send(&service, "DELETE", "/api/tasks/0000?git=wait", "", "").json();
    assert_eq!(deleted["prNumber"], 2, "{deleted}");
    mirror.github.merge_pull(2, Merge::Squash).unwrap();
    mirror.taken_in(&service).await;
    tick(&service);
    assert_eq!(titles(&service), ["Zahnarzt", "Andere", "Dritte"]);
    assert_eq!(mirror.in_store().await, mirror.in_git());
    assert_eq!(service.get("/sync").json()["pullRequests"], json!([]));
}

/// The request that adds the task stays open; once it is merged, the removal is proposed.
#[tokio::test(flavor = "multi_thread")]
async fn with_pull_requests_a_task_that_is_only_proposed_never_comes_back() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    mirror.commit(&[("0000-Steuer.md", Some(&task("Steuer")))], "One");
    let service = mirror.service();
    mirror.deliver(&service).await;
    let new = r#"{"kategorie": "arbeit", "title": "Neu"}"#;
    let created = send(&service, "POST", "/api/tasks?git=wait", "", new).json();
    assert_eq!(created["prNumber"], 1, "{created}");
    let deleted = send(&service, "DELETE", "/api/tasks/0001?git=wait", "", "").json();
    assert_eq!(deleted["gitPushed"], json!(false), "{deleted}");
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    mirror.deliver(&service).await;
    eventually("the removal is proposed", || {
        mirror.github.pulls().len() == 2
    });
    assert_eq!(
        &*mirror.github.pulls()[1].head,
        "codex/tasks/anna/0001-delete"
    );
    assert_eq!(titles(&service), ["Steuer"]);
    mirror.github.merge_pull(2, Merge::Squash).unwrap();
    mirror.taken_in(&service).await;
    assert_eq!(titles(&service), ["Steuer"]);
    assert_eq!(mirror.in_git().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pull_requests_a_deletion_goes_to_the_open_request_of_the_task() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    mirror.commit(&[("0000-Steuer.md", Some(&task("Steuer")))], "One");
    let service = mirror.service();
    mirror.deliver(&service).await;
    let edit = r#"{"tags": ["geld"]}"#;
    send(&service, "PATCH", "/api/tasks/0000?git=wait", "", edit).json();
    let deleted = send(&service, "DELETE", "/api/tasks/0000?git=wait", "", "").json();
    assert_eq!(deleted["prNumber"], 1, "{deleted}");
    mirror.github.merge_pull(1, Merge::Commit).unwrap();
    mirror.taken_in(&service).await;
    tick(&service);
    assert!(titles(&service).is_empty());
    assert!(mirror.in_git().is_empty());
}
