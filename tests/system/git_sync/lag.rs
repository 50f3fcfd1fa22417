//! GitHub's reads lag behind its writes, and branches are rewritten: the engine concludes nothing from a head that
//! isn't known to come after what Git was known to hold.

use std::process::Command;
use std::time::Duration;

use codex_miroir::codex::Consistency;
use codex_miroir::git_sync::SyncRequest;
use codex_miroir::store::{BlobKey, BlobStore, GetIf, GetOutcome};
use serde_json::json;

use crate::support::github::{Change, GitHub, Replica};
use crate::support::mirror::{Mirror, create, refusal, send, tick};
use crate::support::process::{Service, eventually};
use crate::support::scene::{Scene, task};

/// A service that reads the hub itself and one that reads a replica; both know one task of Git's.
async fn two_services(mirror: &Mirror) -> (Service, Service, Replica) {
    let replica = mirror.github.replica();
    let (a, b) = (mirror.service(), mirror.service_at(&replica));
    mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
    mirror.taken_in(&a).await;
    tick(&b);
    replica.freeze();
    (a, b, replica)
}

/// Edits a task's body through `service`, and waits for the commit.
fn edit(service: &Service, stem: &str, text: &str) {
    let body = json!({"body": format!("{text}\n")}).to_string();
    let answer = send(
        service,
        "PATCH",
        &format!("/api/tasks/{stem}?git=wait"),
        "",
        &body,
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["gitPushed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_here_stays_while_a_replica_shows_the_branch_of_before() {
    let mirror = Mirror::new();
    let (a, b, replica) = two_services(&mirror).await;
    edit(&a, "0000-Eins", "Geändert");
    let name = create(&a, "Zwei");
    eventually("it is committed", || mirror.in_git().contains_key(&name));
    let before = mirror.in_store().await;
    for outcome in mirror.deliver(&b).await {
        let results = outcome.1["results"].as_array().cloned().unwrap_or_default();
        for result in results {
            assert_eq!(
                (&result["changed"], &result["deleted"]),
                (&json!(0), &json!(0))
            );
        }
    }
    for _ in 0..2 {
        tick(&b);
        assert_eq!(mirror.in_store().await, before);
    }
    for path in ["/api/tasks/0000-Eins", "/api/tasks/0001-Zwei"] {
        assert_eq!(b.send(path, "cache-control: no-cache\r\n").status, 200);
    }
    replica.catch_up();
    tick(&b);
    mirror.until_equal(&b).await;
    assert_eq!(mirror.in_store().await, before);
}

/// The base isn't only own commits: it also includes what another instance has taken in.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_has_taken_in_stays_while_a_replica_lags() {
    let mirror = Mirror::new();
    let (a, b, replica) = two_services(&mirror).await;
    let eins = task("Eins von einem Klon");
    mirror.commit(
        &[
            ("0000-Eins.md", Some(&eins)),
            ("0005-Neu.md", Some(&task("Neu"))),
        ],
        "Edit and add",
    );
    tick(&a);
    mirror.until_equal(&a).await;
    mirror.commit(&[("0005-Neu.md", None)], "Remove");
    tick(&a);
    mirror.until_equal(&a).await;
    let before = mirror.in_store().await;
    assert_eq!(before.len(), 1);
    tick(&b);
    mirror.deliver(&b).await;
    tick(&b);
    assert_eq!(mirror.in_store().await, before, "neither reverted nor back");
    replica.catch_up();
    tick(&b);
    mirror.until_equal(&b).await;
    assert_eq!(mirror.in_store().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_forced_back_to_an_ancestor_is_followed_with_and_without_its_delivery() {
    for (delivered, told) in [(true, true), (false, true), (true, false)] {
        let mirror = Mirror::new();
        let service = mirror.service();
        mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
        let ancestor = mirror.github.head("main").unwrap();
        mirror.taken_in(&service).await;
        edit(&service, "0000-Eins", "Geändert");
        match told {
            true => drop(mirror.github.drop_deliveries()),
            // All deliveries arrive, which must suffice where GitHub doesn't report activities.
            false => {
                drop(mirror.deliver(&service).await);
                let closed = crate::support::github::Fault::Status(404);
                mirror.github.fail_at("GET", "/activity", closed);
            }
        }
        mirror.github.set_branch("main", &ancestor);
        match delivered {
            true => drop(mirror.deliver(&service).await),
            false => drop(tick(&service)),
        }
        mirror.until_equal(&service).await;
        assert_eq!(mirror.in_store().await["0000-Eins.md"], task("Eins"));
        let state = service.get("/sync").json();
        assert_eq!(
            (&state["head"], &state["lastError"]),
            (&json!(ancestor), &json!(null))
        );
    }
}

/// A delivery about an old rewrite proves nothing about later moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_delivery_of_a_forced_push_takes_nothing_back() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
    let ancestor = mirror.github.head("main").unwrap();
    mirror.commit(&[("0001-Zwei.md", Some(&task("Zwei")))], "More");
    mirror.github.drop_deliveries();
    mirror.github.set_branch("main", &ancestor);
    let replica = mirror.github.replica();
    let b = mirror.service_at(&replica);
    tick(&service);
    mirror.until_equal(&service).await;
    replica.freeze();
    edit(&service, "0000-Eins", "Geändert");
    let before = mirror.in_store().await;
    mirror.deliver(&b).await;
    tick(&b);
    assert_eq!(mirror.in_store().await, before);
}

/// A branch may be moved away and put back. A replica that shows the time in between is behind, even when the
/// deliveries of both moves arrive first.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_was_put_right_takes_nothing_away_where_a_replica_shows_the_time_between() {
    for to_an_ancestor in [true, false] {
        let mirror = Mirror::new();
        let replica = mirror.github.replica();
        let service = mirror.service_at(&replica);
        let first = mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
        let second = mirror.commit(&[("0001-Zwei.md", Some(&task("Zwei")))], "More");
        mirror.taken_in(&service).await;
        let before = mirror.in_store().await;
        match to_an_ancestor {
            true => mirror.github.set_branch("main", &first),
            false => {
                let path = mirror.path("0002-Drei.md");
                let file = (path.as_str(), Change::from(task("Drei")));
                mirror
                    .github
                    .force_push("main", Some(&first), &[(&[file], "Instead")]);
            }
        }
        replica.freeze();
        // Ordered by the times that GitHub reports.
        mirror.github.advance(Duration::from_secs(10));
        mirror.github.set_branch("main", &second);
        let [away, back] = &mirror.github.take_deliveries()[..] else {
            panic!("two moves");
        };
        for delivery in [back, away] {
            let url = format!("http://{}/github/webhook", service.address);
            mirror.github.deliver(delivery, &url).await;
        }
        tick(&service);
        assert_eq!(mirror.in_store().await, before);
        replica.catch_up();
        tick(&service);
        mirror.until_equal(&service).await;
        assert_eq!(mirror.in_store().await, before);
    }
}

/// A commit that other instances count as superseded, since a later one has replaced what it replaces, still lands if
/// the branch is set back in between. It is one of the service's own texts, older than the store's.
#[tokio::test(flavor = "multi_thread")]
async fn an_own_commit_that_lands_late_on_a_branch_set_back_takes_nothing_back() {
    let mirror = Mirror::new();
    let (slow, quick) = (mirror.service(), mirror.service());
    let first = mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
    mirror.taken_in(&slow).await;
    tick(&quick);
    let held = mirror.github.hold("PUT", "/contents");
    let body = json!({"body": "Vorher\n"}).to_string();
    let answer = send(&slow, "PATCH", "/api/tasks/0000-Eins", "", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    held.reached().await;
    edit(&quick, "0000-Eins", "Danach");
    mirror.github.set_branch("main", &first);
    held.release();
    eventually("it has landed", || {
        mirror.in_git()["0000-Eins.md"].contains("Vorher")
    });
    mirror.deliver(&quick).await;
    mirror.until_equal(&slow).await;
    assert!(mirror.in_store().await["0000-Eins.md"].contains("Danach"));
}

/// A sync in progress merges, without a base, a text that was committed here a moment ago with a later change of it.
/// The result isn't Git's: an instance that finds it must not take it for an edit of Git's text.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_merged_without_a_base_that_is_known_by_now_takes_nothing_back() {
    let github = GitHub::start();
    let scene = Scene::new();
    let (text, name) = (task("Eins"), "0000-Eins.md");
    scene.file(name, &text);
    let [a, b, c] = [(); 3].map(|()| scene.instance_mirrored(&github));
    let (read_request, request) = (
        scene.read_request(Consistency::Bounded),
        SyncRequest {
            clean: true,
            confirm: None,
            confirm_head: None,
        },
    );
    // The commit is made, and its answer hasn't arrived at any instance.
    let committed = github.hold_answer("PUT", "/contents");
    b.codex.sync(&read_request, request).await.unwrap();
    let pushing = b.git().tick(scene.now());
    let (book, raw) = ("state/anna/git.json", format!("raw/anna/tasks/{name}"));
    let rest = async {
        committed.reached().await;
        let path = format!("codex-miroir/anna/tasks/{name}");
        let more = format!("{text}\nNoch etwas\n");
        github.commit("main", &[(&path, Change::from(more))], "More");
        let taken = a.gate.hold_next("put", &raw);
        let taking = a.codex.sync(&read_request, request);
        let between = async {
            taken.reached().await;
            // The committing instance records the commit, and gets no further.
            let noted = b.gate.hold_next("get", "state/anna/state.json");
            committed.release();
            noted.reached().await;
            let followed = a.gate.hold_next("get", book);
            taken.release();
            followed.reached().await;
            // Another instance finds the file before its origin is recorded.
            c.codex.sync(&read_request, request).await.unwrap();
            followed.release();
            noted.release();
        };
        let _ = tokio::join!(taking, between);
    };
    let _ = tokio::join!(pushing, rest);
    for instance in [&c, &a, &b, &c] {
        let _ = instance.codex.sync(&read_request, request).await;
        instance.git().tick(scene.now()).await.unwrap();
    }
    let path = format!("codex-miroir/anna/tasks/{name}");
    let there = String::from_utf8(github.files("main")[&path].to_vec()).unwrap();
    assert!(there.contains("Noch etwas"), "{there}");
    let key = BlobKey::raw(&scene.read_request(Consistency::Bounded).user, name).unwrap();
    let GetOutcome::Blob(here) = scene.store.get(&key, GetIf::Any).await.unwrap().value else {
        panic!("it isn't here");
    };
    assert_eq!(here.bytes, there);
}

/// Where GitHub doesn't report activities, a user has to confirm the rewrite.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_branch_of_which_nothing_is_told_waits_for_somebody() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let first = mirror.github.head("main").unwrap();
    mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
    mirror.taken_in(&service).await;
    mirror.github.set_branch("main", &first);
    mirror.commit(&[("0001-Zwei.md", Some(&task("Zwei")))], "Anew");
    mirror.github.drop_deliveries();
    mirror.github.fail_at(
        "GET",
        "/activity",
        crate::support::github::Fault::Status(404),
    );
    let head = mirror.github.head("main").unwrap();
    tick(&service);
    assert_eq!(
        mirror.in_store().await.into_keys().collect::<Vec<_>>(),
        ["0000-Eins.md"]
    );
    eventually("it is said", || {
        service.get("/sync").json()["lastError"]["code"] == "history_rewritten"
    });
    let refused = send(&service, "POST", "/sync", "", "");
    assert_eq!(
        (refused.status, refusal(&refused)["code"].as_str()),
        (409, Some("history_rewritten"))
    );
    assert_eq!(refusal(&refused)["head"], json!(head));
    let other = "0".repeat(40);
    let refused = send(
        &service,
        "POST",
        &format!("/sync?confirm_head={other}"),
        "",
        "",
    );
    assert_eq!(
        refused.status, 409,
        "another commit than the branch is at confirms nothing"
    );
    let refused = send(&service, "POST", "/sync?confirm_head=abc", "", "");
    assert_eq!(
        (refused.status, refusal(&refused)["field"].as_str()),
        (400, Some("confirm_head"))
    );
    let done = send(
        &service,
        "POST",
        &format!("/sync?confirm_head={head}"),
        "",
        "",
    );
    assert_eq!(done.status, 200, "{}", done.body);
    mirror.until_equal(&service).await;
    assert_eq!(
        mirror.in_store().await.into_keys().collect::<Vec<_>>(),
        ["0001-Zwei.md"]
    );
}

/// The cost: one read of the order, and only when another client has moved the branch.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_heads_costs_one_request_for_a_head_that_is_new() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
    mirror.taken_in(&service).await;
    mirror.github.clear_requests();
    edit(&service, "0000-Eins", "Geändert");
    eventually("nothing waits", || {
        mirror.book_now()["pushing"]
            .as_object()
            .is_some_and(serde_json::Map::is_empty)
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        mirror.github.calls("GET", "/compare/"),
        0,
        "an own commit is known to follow"
    );
    assert_eq!(mirror.github.calls("PUT", "/contents/"), 1, "sent once");
    mirror.github.drop_deliveries();
    mirror.github.clear_requests();
    mirror.commit(&[("0000-Eins.md", Some(&task("Vom Klon")))], "Edit");
    mirror.taken_in(&service).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(mirror.github.calls("GET", "/compare/"), 1);
    assert_eq!(mirror.github.calls("GET", "/activity"), 0);
}

/// A file with the executable bit keeps it, alone and among many.
#[tokio::test(flavor = "multi_thread")]
async fn an_executable_file_keeps_its_mode() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let names: Vec<String> = (0..14).map(|at| format!("{at:04}-Nummer.md")).collect();
    let paths: Vec<String> = names.iter().map(|name| mirror.path(name)).collect();
    let files: Vec<_> = paths
        .iter()
        .map(|path| (path.as_str(), Change::Executable(task("Nummer").into())))
        .collect();
    mirror.github.commit("main", &files, "Begin");
    mirror.taken_in(&service).await;
    mirror
        .github
        .fail(crate::support::github::Fault::Status(503));
    for name in &names {
        let stem = name.strip_suffix(".md").unwrap();
        let body = json!({"body": "Geändert\n"}).to_string();
        let answer = send(&service, "PATCH", &format!("/api/tasks/{stem}"), "", &body);
        assert_eq!(answer.status, 200);
    }
    mirror.github.recover();
    tick(&service);
    mirror.until_equal(&service).await;
    assert!(
        mirror.github.calls("POST", "/git/trees") > 0,
        "in a commit of several"
    );
    for path in &paths {
        let listed = Command::new("git")
            .arg("-C")
            .arg(mirror.github.git_dir())
            .args(["ls-tree", "main", path])
            .output()
            .unwrap();
        assert!(listed.stdout.starts_with(b"100755 "), "{path}");
    }
}
