//! The effect of pushes on the store: it converges to the repository's current tree, however the tree came about.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::github::{Change, Fault, blob_sha};
use crate::support::mirror::{Files, Mirror, create, numbered, tick};
use crate::support::process::{Service, eventually};
use crate::support::scene::task;

/// Posts the waiting deliveries, and compares the store with the tree.
async fn deliver_and_compare(mirror: &Mirror, service: &Service) {
    let outcomes = mirror.deliver(service).await;
    assert!(outcomes.iter().all(|it| it.0 == Some(200)), "{outcomes:?}");
    assert_eq!(mirror.in_store().await, mirror.in_git());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_branch_another_repository_and_other_events_are_ignored() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.github.commit(
        "feature",
        &[(&mirror.path("0001-a.md"), task("a").into())],
        "Try",
    );
    mirror
        .github
        .queue_delivery("issues", &json!({"action": "opened"}));
    let push = json!({"ref": "refs/heads/main", "repository": {"full_name": "eve/notes"}});
    mirror.github.queue_delivery("push", &push);
    mirror.github.ping();
    mirror.github.clear_requests();
    let outcomes = mirror.deliver(&service).await;
    let statuses: Vec<_> = outcomes.iter().map(|it| it.0).collect();
    assert_eq!(statuses, [Some(202), Some(202), Some(202), Some(200)]);
    assert_eq!(outcomes[0].1["ignored"], true);
    assert!(mirror.github.requests().is_empty(), "nothing was asked for");
    assert!(mirror.in_store().await.is_empty());
}

/// One user's `git.json` can't be read for a while, also when the branch is rewritten in that time: whether any of
/// their files may be removed is unknown then. The other users' files are taken in, and theirs once it can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_git_json_that_cant_be_read_keeps_only_its_own_user_waiting() {
    for rewritten in [false, true] {
        let mirror = Mirror::new();
        let service = mirror.service();
        let first = mirror.github.head("main").unwrap();
        let annas = mirror.path("0000-Eins.md");
        let bertas = "codex-miroir/berta/tasks/0000-Eins.md";
        let goes = "codex-miroir/berta/tasks/0001-Zwei.md";
        let all = [&annas, bertas, goes].map(|path| (path, task("Vorher").into()));
        let before = mirror.github.commit("main", &all, "Begin");
        deliver_and_compare(&mirror, &service).await;
        mirror.until_equal(&service).await;
        // After this, the commit is certainly recorded.
        tick(&service);
        let book = mirror.data().join("state/berta/git.json");
        let aside = mirror.data().join("git.json");
        std::fs::rename(&book, &aside).unwrap();
        std::fs::create_dir_all(book.join("is a folder")).unwrap();
        let mut changes = vec![
            (annas.as_str(), Change::from(task("Nachher"))),
            (bertas, task("Nachher").into()),
        ];
        let base = match rewritten {
            true => first,
            false => {
                changes.push((goes, Change::Delete));
                before
            }
        };
        let was_here = mirror.in_store_of("berta").await;
        mirror
            .github
            .force_push("main", Some(&base), &[(&changes, "Change")]);
        let outcomes = mirror.deliver(&service).await;
        assert_eq!(mirror.in_store().await, mirror.in_git(), "{outcomes:?}");
        let (status, answer) = &outcomes[0];
        let results = answer["results"].as_array().unwrap().iter();
        let results = results.map(|it| (&it["userId"], &it["changed"], &it["unfinished"]));
        assert_eq!(
            (*status, results.collect::<Vec<_>>()),
            (
                Some(200),
                vec![
                    (&json!("anna"), &json!(1), &json!(false)),
                    (&json!("berta"), &json!(0), &json!(true))
                ]
            ),
            "{answer}"
        );
        tick(&service);
        assert_eq!(mirror.in_store_of("berta").await, was_here);
        assert!(mirror.queue().await.contains(&"berta".to_owned()));
        std::fs::remove_dir_all(&book).unwrap();
        std::fs::rename(&aside, &book).unwrap();
        tick(&service);
        mirror.until_equal(&service).await;
        assert_eq!(mirror.in_store_of("berta").await.len(), 1);
        assert_eq!(mirror.in_store_of("berta").await, mirror.in_git_of("berta"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_path_may_have_several_segments() {
    let mirror = Mirror::at("notes/2026/codex");
    let service = mirror.service();
    mirror.commit(&[("0001-a.md", Some(&task("a")))], "Add");
    // Beside the base path, and where the file would be under another base path.
    mirror.github.commit(
        "main",
        &[
            ("codex/anna/tasks/0002-b.md", task("b").into()),
            ("notes/2026/codexx/anna/tasks/0003-c.md", task("c").into()),
        ],
        "Elsewhere",
    );
    deliver_and_compare(&mirror, &service).await;
    create(&service, "Von hier");
    mirror.until_equal(&service).await;
    assert_eq!(mirror.in_git().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_files_of_three_users_in_one_push_arrive() {
    let mirror = Mirror::new();
    // The limit of an enterprise account: on a busy machine the service may have to fetch files again.
    mirror.github.set_rate_limit(15_000);
    let service = mirror.service();
    let mut changes = vec![];
    for user in ["anna", "ben", "carla"] {
        changes.extend((0..1000).map(|at| {
            let path = format!("codex-miroir/{user}/tasks/{at:04}-Nummer.md");
            (path, task(&format!("{user} {at}")))
        }));
    }
    let changes: Vec<_> = changes
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str().into()))
        .collect();
    mirror.github.commit("main", &changes, "Everything");
    let began = Instant::now();
    let outcomes = mirror.deliver(&service).await;
    println!("answered {} after {:?}", outcomes[0].1, began.elapsed());
    assert_eq!(
        outcomes[0].0,
        Some(200),
        "inside the ten seconds that GitHub waits"
    );
    // The rest is in the queue, for the timer.
    while !mirror.queue().await.is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(300),
            "it comes to no end"
        );
        tick(&service);
    }
    println!("all there after {:?}", began.elapsed());
    for user in ["anna", "ben", "carla"] {
        assert_eq!(mirror.in_store_of(user).await, mirror.in_git_of(user));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_github_truncates_is_read_folder_by_folder() {
    let mirror = Mirror::at("notes/codex");
    let service = mirror.service();
    mirror.commit_all(&numbered(120), "Many");
    mirror.github.commit(
        "main",
        &[("notes/codex/ben/tasks/0001-b.md", task("b").into())],
        "Another's",
    );
    // Each folder fits within the limit; all of them together don't.
    mirror.github.set_tree_limit(121);
    deliver_and_compare(&mirror, &service).await;
    assert_eq!(mirror.in_store_of("ben").await.len(), 1);
    // Where not even one folder fits, the engine concludes nothing.
    mirror.github.set_tree_limit(50);
    mirror.commit(&[("0000-Nummer.md", None)], "Remove one");
    let outcomes = mirror.deliver(&service).await;
    assert_eq!(outcomes[0].0, Some(503), "{outcomes:?}");
    assert_eq!(mirror.in_store().await.len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_at_once_share_their_work() {
    let mirror = Mirror::new();
    let service = mirror.service();
    for at in 0..20 {
        mirror.commit(&[(&format!("{at:04}-a.md"), Some(&task("a")))], "Add");
    }
    mirror.github.clear_requests();
    let url = format!("http://{}/github/webhook", service.address);
    let outcomes = mirror.github.deliver_at_once(&url).await;
    assert!(outcomes.iter().all(|it| it.status == Some(200)));
    assert_eq!(mirror.in_store().await, mirror.in_git());
    let trees = mirror.github.calls("GET", "/git/trees");
    assert_eq!(trees, 1, "one tree for twenty deliveries");
    let blobs = mirror.github.calls("GET", "/git/blobs");
    assert_eq!(blobs, 20, "each file is fetched once");
}

#[tokio::test(flavor = "multi_thread")]
async fn most_of_the_files_are_only_removed_when_somebody_confirms_it() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let files = numbered(10);
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), Some(text.as_str())))
        .collect();
    mirror.commit(&files, "Ten");
    deliver_and_compare(&mirror, &service).await;
    mirror.until_equal(&service).await;
    let gone: Vec<_> = files[..8]
        .iter()
        .map(|(name, _)| (*name, None))
        .chain([(
            "0020-Neu.md",
            Some("---\ntyp: task\nkategorie: privat\n---\n\nNeu\n"),
        )])
        .collect();
    mirror.commit(&gone, "Remove eight, add one");
    let outcomes = mirror.deliver(&service).await;
    let result = &outcomes[0].1["results"][0];
    assert_eq!(
        (&result["changed"], &result["deleted"]),
        (&json!(1), &json!(0)),
        "{outcomes:?}"
    );
    assert_eq!(result["problems"][0]["code"], "mass_delete");
    assert_eq!(mirror.in_store().await.len(), 11);
    let state = service.get("/sync").json();
    assert_eq!(state["lastError"]["code"], "mass_delete");
    let refused = service.send_json("POST", "/sync", "");
    assert_eq!(refused.status, 409);
    let refused: serde_json::Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(
        (&refused["code"], &refused["count"]),
        (&json!("mass_delete"), &json!(8))
    );
    assert_eq!(
        service
            .send_json("POST", "/sync?clean=true&confirm=7", "")
            .status,
        409
    );
    let kept = service.send_json("POST", "/sync?clean=false", "").json();
    assert_eq!(kept["removed"], 0);
    let synced = service
        .send_json("POST", "/sync?clean=true&confirm=8", "")
        .json();
    assert_eq!(
        (&synced["removed"], &synced["cacheCleared"]),
        (&json!(8), &json!(true))
    );
    assert_eq!(mirror.in_store().await, mirror.in_git());
    assert_eq!(service.get("/sync").json()["lastError"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_of_500_unchanged_files_costs_two_requests() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit_all(&numbered(500), "Many");
    service.send_json("POST", "/sync", "").json();
    assert_eq!(mirror.in_store().await, mirror.in_git());
    drop(service);
    let fresh = mirror.service();
    mirror.github.clear_requests();
    let synced = fresh.send_json("POST", "/sync?mode=full", "").json();
    let asked: Vec<_> = mirror
        .github
        .requests()
        .into_iter()
        .map(|it| (it.method, it.path))
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let mut counts = BTreeMap::new();
    for member in ["changed", "removed", "merged", "skipped"] {
        counts.insert(member, synced[member].clone());
    }
    assert!(counts.values().all(|it| it == 0), "{counts:?}");
    assert_eq!(
        (&synced["nextId"], &synced["scope"]),
        (&json!("0500"), &json!("tasks"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_answered_within_ten_seconds_though_github_hangs() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit_two();
    mirror.github.plan("GET", "/git/blobs", 2, Fault::Hang);
    let began = Instant::now();
    let url = format!("http://{}/github/webhook", service.address);
    let deliveries = mirror.github.pending();
    // The second one arrives while the first is in progress, and would have to wait for it.
    let (first, second) = tokio::join!(mirror.github.deliver(&deliveries[0], &url), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        mirror.github.deliver(&deliveries[0], &url).await
    });
    let took = began.elapsed();
    let body: serde_json::Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!(body["results"][0]["unfinished"], true, "{body}");
    assert!(second.status.is_some(), "{second:?}");
    println!("both answered after {took:?}");
    assert!(
        took < Duration::from_millis(10_900),
        "GitHub waits for ten seconds: {took:?}"
    );
    mirror.github.recover();
    tick(&service);
    mirror.until_equal(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_by_hand_takes_again_what_an_editor_removed_here() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit(&[("0001-a.md", Some(&task("a")))], "Add");
    deliver_and_compare(&mirror, &service).await;
    let store = mirror.store();
    let user = codex_miroir::user::UserId::parse("anna").unwrap();
    let key = codex_miroir::store::BlobKey::raw(&user, "0001-a.md").unwrap();
    let codex_miroir::store::GetOutcome::Blob(blob) = store
        .get(&key, codex_miroir::store::GetIf::Any)
        .await
        .unwrap()
        .value
    else {
        panic!("it is there");
    };
    store.delete(&key, &blob.etag).await.unwrap();
    service.send_json("POST", "/sync", "").json();
    assert_eq!(
        mirror.in_store().await,
        Files::from([("0001-a.md".to_owned(), task("a"))])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_says_what_is_wrong_with_a_question() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let code = |answer: crate::support::process::Answer| {
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        (
            answer.status,
            body["code"].as_str().unwrap().to_owned(),
            body["field"].as_str().map(str::to_owned),
        )
    };
    let field = |name: &str| (400, "invalid_query".to_owned(), Some(name.to_owned()));
    assert_eq!(
        code(service.send_json("POST", "/sync?mode=half", "")),
        field("mode")
    );
    assert_eq!(
        code(service.send_json("POST", "/sync?confirm=many", "")),
        field("confirm")
    );
    assert_eq!(
        code(service.send_json("POST", "/sync?clean=maybe", "")),
        field("clean")
    );
    assert_eq!(
        code(service.send_json("POST", "/sync?ref=other", "")),
        field("ref")
    );
    for query in ["mode=full", "mode=half", "clean=maybe", "since=1"] {
        let get = service.get(&format!("/sync?{query}"));
        assert_eq!((get.status, get.header("allow")), (405, "POST"), "{query}");
    }
    let version = service.get("/codex").header("x-codex-version").to_owned();
    assert_eq!(service.get("/sync").header("x-codex-version"), version);
    service
        .send_json("POST", "/sync?mode=diff&ref=main&since=2020-01-01", "")
        .json();
    let off = mirror.service_without_github();
    for answer in [off.send_json("POST", "/sync", ""), off.get("/sync")] {
        assert_eq!(
            code(answer),
            (409, "github_not_configured".to_owned(), None)
        );
    }
}

/// An own push lands, and the task is edited again, while a delivery's read of the tree is in progress.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_made_while_the_tree_is_read_is_no_conflict() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Schnell");
    mirror.until_equal(&service).await;
    mirror.commit(&[("0009-Andere.md", Some(&task("Andere")))], "Another");
    let url = format!("http://{}/github/webhook", service.address);
    let delivery = mirror.github.pending().pop().unwrap();
    let held = mirror.github.hold("GET", "/git/trees");
    let edit = |tag: &str| {
        let body = json!({"tags": [tag]}).to_string();
        service.send_json("PATCH", "/api/tasks/0000", &body).json();
    };
    let (outcome, ()) = tokio::join!(mirror.github.deliver(&delivery, &url), async {
        held.reached().await;
        let commits = mirror.github.log("main").len();
        edit("eins");
        eventually("the edit is committed", || {
            mirror.github.log("main").len() > commits
        });
        edit("zwei");
        held.release();
    });
    assert_eq!(outcome.status, Some(200), "{outcome:?}");
    mirror.until_equal(&service).await;
    assert!(mirror.in_git()["0000-Schnell.md"].contains("zwei"));
    assert_eq!(
        service.get("/codex?nocache=true").json()["problems"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pointed_at_another_place_it_removes_nothing() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit_two();
    deliver_and_compare(&mirror, &service).await;
    mirror.until_equal(&service).await;
    service.terminate();
    assert_eq!(service.wait().code(), Some(200), "a host starts it again");
    let mirror = mirror.moved_to("elsewhere");
    let service = mirror.service();
    tick(&service).json();
    service.send_json("POST", "/sync", "").json();
    mirror.until_equal(&service).await;
    assert_eq!(mirror.in_git().len(), 2, "what was here is there, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_fetched_stops_nothing_else() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Hier");
    mirror.until_equal(&service).await;
    mirror.commit(&[("0001-a.md", Some(&task("a")))], "Add");
    let sha = blob_sha(task("a").as_bytes());
    mirror
        .github
        .fail_at("GET", &format!("/git/blobs/{sha}"), Fault::Status(500));
    let outcomes = mirror.deliver(&service).await;
    assert_eq!(
        outcomes[0].1["results"][0]["unfinished"], true,
        "{outcomes:?}"
    );
    service
        .send_json("PATCH", "/api/tasks/0000", r#"{"tags": ["doch"]}"#)
        .json();
    eventually("the edit is committed", || {
        mirror.in_git()["0000-Hier.md"].contains("doch")
    });
    mirror.github.recover();
    mirror.until_equal(&service).await;
}
