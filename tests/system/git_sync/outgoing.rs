//! Every write here reaches the repository, exactly once.

use std::time::Duration;

use serde_json::json;

use crate::support::github::{Fault, Merge, app_private_key};
use crate::support::mirror::{Mirror, create, send, tick, titles};
use crate::support::process::{Service, eventually};
use crate::support::scene::task;

/// Terminates a service so that it leaves no write intent to be settled.
fn terminate_cleanly(service: Service) {
    service.terminate();
    assert_eq!(service.wait().code(), Some(200), "a host starts it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_become_one_commit() {
    let mirror = Mirror::new();
    let off = mirror.service_without_github();
    for at in 0..25 {
        create(&off, &format!("Nummer {at}"));
    }
    terminate_cleanly(off);
    let before = mirror.github.log("main").len();
    let service = mirror.service();
    assert_eq!(
        service.get("/sync").json()["unpushed"]
            .as_array()
            .unwrap()
            .len(),
        25
    );
    service.send_json("POST", "/sync", "").json();
    mirror.until_equal(&service).await;
    let log = mirror.github.log("main");
    assert_eq!(log.len(), before + 1);
    assert!(
        log[0]
            .message
            .starts_with("[codex] bring 25 tasks\n\nadd task 0000 (arbeit)\n"),
        "{}",
        log[0].message
    );
    assert_eq!(mirror.in_store().await.len(), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_hundred_tasks_that_git_does_not_have_are_not_lost_but_pushed() {
    let mirror = Mirror::new();
    let store = mirror.store();
    let user = codex_miroir::user::UserId::parse("anna").unwrap();
    for at in 0..1200 {
        let key = codex_miroir::store::BlobKey::raw(&user, &format!("{at:04}-Alt.md")).unwrap();
        let put = codex_miroir::store::Put {
            bytes: task(&format!("Alt {at}")).into(),
            ..Default::default()
        };
        store
            .put(&key, put, codex_miroir::store::PutIf::Any)
            .await
            .unwrap();
    }
    // Git has one of them, and a different text of a second.
    mirror.commit(
        &[
            ("0000-Alt.md", Some(&task("Alt 0"))),
            ("0001-Alt.md", Some(&task("In Git anders"))),
            ("2000-Neu.md", Some(&task("Neu"))),
        ],
        "Begin",
    );
    let service = mirror.service();
    let outcomes = mirror.deliver(&service).await;
    assert_eq!(outcomes[0].1["results"][0]["deleted"], 0, "{outcomes:?}");
    mirror.until_equal(&service).await;
    let files = mirror.in_git();
    assert_eq!(files.len(), 1201);
    assert!(
        files["0001-Alt.md"].contains("Alt 1"),
        "of what both have, the API's value stands"
    );
    assert!(mirror.github.blob_in_history(
        &mirror.path("0001-Alt.md"),
        task("In Git anders").as_bytes()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_git_json_loses_nothing() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit_two();
    mirror.deliver(&service).await;
    mirror.github.fail(Fault::Status(503));
    create(&service, "Nur hier");
    service
        .send_json("PATCH", "/api/tasks/0001", r#"{"tags": ["hier"]}"#)
        .json();
    let user = codex_miroir::user::UserId::parse("anna").unwrap();
    let key = codex_miroir::store::BlobKey::git(&user);
    eventually("the failed push is noted", || {
        mirror.book_now()["lastError"].is_object()
    });
    let store = mirror.store();
    let etag = loop {
        // The worker may be writing it at this moment.
        let got = store
            .get(&key, codex_miroir::store::GetIf::Any)
            .await
            .unwrap()
            .value;
        let codex_miroir::store::GetOutcome::Blob(blob) = got else {
            panic!("it is there")
        };
        if store.delete(&key, &blob.etag).await.unwrap().value
            == codex_miroir::store::DeleteOutcome::Done
        {
            break blob.etag;
        }
    };
    drop(etag);
    mirror.github.recover();
    mirror.commit(&[("0002-b.md", Some(&task("b anders")))], "Edit");
    mirror.taken_in(&service).await;
    let files = mirror.in_git();
    assert_eq!(files.len(), 3);
    assert!(
        files["0001-a.md"].contains("hier"),
        "{}",
        files["0001-a.md"]
    );
    let history = |text: &str| {
        mirror
            .github
            .blob_in_history(&mirror.path("0002-b.md"), text.as_bytes())
    };
    assert!(history(&task("b")) && history(&task("b anders")));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_github_is_away_every_write_is_acknowledged_and_nothing_is_committed_twice() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Vorher");
    mirror.until_equal(&service).await;
    mirror.github.fail(Fault::Reset);
    for at in 0..5 {
        let name = create(&service, &format!("Nummer {at}"));
        let stem = name.strip_suffix(".md").unwrap();
        let path = format!("/api/tasks/{stem}");
        let patched = service
            .send_json(
                "PATCH",
                &path,
                &json!({"tags": [format!("t{at}")]}).to_string(),
            )
            .json();
        assert_eq!(
            (&patched["gitPushed"], &patched["gitPending"]),
            (&json!(false), &json!(true))
        );
        if at % 2 == 0 {
            service
                .send_json("POST", &format!("{path}/complete"), "{}")
                .json();
        }
    }
    let begun = std::time::Instant::now();
    let waited = send(
        &service,
        "POST",
        "/api/tasks",
        "prefer: wait\r\n",
        r#"{"kategorie": "privat", "title": "Wartet"}"#,
    )
    .json();
    assert_eq!(waited["gitPending"], true);
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "it waits ten seconds at most"
    );
    let unpushed = service.get("/sync").json();
    assert_eq!(
        unpushed["unpushed"].as_array().unwrap().len(),
        6,
        "{unpushed}"
    );
    assert_eq!(unpushed["lastError"]["code"], "github_unavailable");
    mirror.github.recover();
    tick(&service).json();
    mirror.until_equal(&service).await;
    assert_eq!(service.get("/sync").json()["lastError"], json!(null));
    let mut seen = std::collections::HashSet::new();
    for commit in mirror.github.log("main") {
        for (path, blob) in commit.changes {
            assert!(
                seen.insert((path, blob)),
                "committed twice in {}",
                commit.message
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_not_made_again() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.github.plan("PUT", "/contents", 1, Fault::LoseAnswer);
    create(&service, "Einmal");
    mirror.until_equal(&service).await;
    let commits = mirror.github.log("main").len();
    assert_eq!(commits, 2, "the first commit of all, and this one");
    service
        .send_json("PATCH", "/api/tasks/0000", r#"{"tags": ["a"]}"#)
        .json();
    mirror.until_equal(&service).await;
    mirror.deliver(&service).await;
    assert_eq!(mirror.github.log("main").len(), 3);
    let week = service.get("/codex?nocache=true").json();
    assert_eq!(
        week["problems"],
        json!([]),
        "an own push is never a conflict"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_push_that_comes_back_after_the_next_edit_is_no_conflict() {
    let mirror = Mirror::new();
    let service = mirror.service();
    create(&service, "Schnell");
    mirror.until_equal(&service).await;
    // The answer is lost, and no push follows until the next edit is in the store.
    mirror.github.plan("PUT", "/contents", 1, Fault::LoseAnswer);
    service
        .send_json("PATCH", "/api/tasks/0000", r#"{"tags": ["eins"]}"#)
        .json();
    eventually("the first edit is committed", || {
        mirror.github.log("main").len() == 3
    });
    service
        .send_json("PATCH", "/api/tasks/0000", r#"{"tags": ["zwei"]}"#)
        .json();
    mirror.taken_in(&service).await;
    assert!(mirror.in_git()["0000-Schnell.md"].contains("zwei"));
    let week = service.get("/codex?nocache=true").json();
    assert_eq!(week["problems"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_on_both_sides_are_merged_and_said_until_the_next_edit() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let base = "---\ntyp: task\nkategorie: arbeit\nstatus: offen\ntags: [a]\n---\n\n# Beide\n\nEins\nZwei\nDrei\n";
    mirror.commit(&[("0001-Beide.md", Some(base))], "Add");
    mirror.deliver(&service).await;
    mirror.github.fail(Fault::Status(502));
    service
        .send_json(
            "PATCH",
            "/api/tasks/0001",
            r##"{"tags": ["hier"], "body": "# Beide\n\nEins\nZwei\nDrei\nVier\n"}"##,
        )
        .json();
    mirror.github.recover();
    let theirs = base
        .replace("tags: [a]", "tags: [dort]")
        .replace("Eins", "Eins dort")
        .replace("offen", "abgeschlossen");
    mirror.commit(&[("0001-Beide.md", Some(&theirs))], "Edit there");
    let outcomes = mirror.deliver(&service).await;
    assert_eq!(outcomes[0].0, Some(200), "{outcomes:?}");
    mirror.until_equal(&service).await;
    let text = mirror.in_git()["0001-Beide.md"].clone();
    for part in ["hier", "Eins dort", "Vier", "abgeschlossen"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let problems = service.get("/codex?nocache=true").json()["problems"].clone();
    assert_eq!(problems[0]["code"], "merged_conflict", "{problems}");
    assert!(problems[0]["message"].as_str().unwrap().contains("tags"));
    assert!(
        service
            .get("/codex?format=html")
            .body
            .contains("Hier und in Git geändert")
    );
    // An edit that changes nothing, or is refused, doesn't count.
    service.send_json("PATCH", "/api/tasks/0001", "{}").json();
    service
        .send_json("PATCH", "/api/tasks/0001", r#"{"tags": ["hier"]}"#)
        .json();
    let stale = "if-match: \"0123456789012345678901234567890123456789\"\r\n";
    send(
        &service,
        "PATCH",
        "/api/tasks/0001",
        stale,
        r#"{"tags": ["nie"]}"#,
    );
    let problems = service.get("/codex").json()["problems"].clone();
    assert_eq!(problems[0]["code"], "merged_conflict", "{problems}");
    service
        .send_json("PATCH", "/api/tasks/0001", r#"{"tags": ["hier", "neu"]}"#)
        .json();
    assert_eq!(service.get("/codex").json()["problems"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_commit_of_an_empty_repository_is_made() {
    let mirror = Mirror::empty();
    let off = mirror.service_without_github();
    for at in 0..12 {
        create(&off, &format!("Nummer {at}"));
    }
    terminate_cleanly(off);
    let service = mirror.service();
    service.send_json("POST", "/sync", "").json();
    mirror.until_equal(&service).await;
    assert_eq!(mirror.in_git().len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pull_requests_a_change_waits_on_its_branch() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let service = mirror.service();
    let body = r#"{"kategorie": "arbeit", "title": "Vorschlag"}"#;
    let made = send(&service, "POST", "/api/tasks?git=wait", "", body).json();
    assert_eq!(made["prNumber"], 1, "{made}");
    assert!(made["prUrl"].as_str().unwrap().ends_with("/pull/1"));
    assert_eq!(
        (&made["gitPushed"], &made["gitPending"]),
        (&json!(false), &json!(true))
    );
    assert!(mirror.in_git().is_empty(), "not on the branch of the tasks");
    assert_eq!(
        titles(&service),
        ["Vorschlag"],
        "but to be seen by its user"
    );
    let pulls = mirror.github.pulls();
    assert_eq!(
        (pulls.len(), pulls[0].head.as_str()),
        (1, "codex/tasks/anna/0000")
    );
    // A later edit is committed to the open pull request.
    let edited = send(
        &service,
        "PATCH",
        "/api/tasks/0000?git=wait",
        "",
        r#"{"tags": ["mehr"]}"#,
    )
    .json();
    assert_eq!(edited["prNumber"], 1, "{edited}");
    let state = service.get("/sync").json();
    assert_eq!(
        (&state["unpushed"], &state["pullRequests"][0]["number"]),
        (&json!([]), &json!(1)),
        "{state}"
    );
    // A delivery in between doesn't take it back.
    mirror.commit(&[("0009-Andere.md", Some(&task("Andere")))], "Another");
    mirror.deliver(&service).await;
    assert_eq!(mirror.in_store().await.len(), 2);
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    mirror.taken_in(&service).await;
    assert_eq!(service.get("/sync").json()["pullRequests"], json!([]));
    let done = send(
        &service,
        "POST",
        "/api/tasks/0000/complete?git=wait",
        "",
        "{}",
    )
    .json();
    assert_eq!(done["prNumber"], 2, "{done}");
    assert_eq!(
        mirror.github.pulls()[1].head,
        "codex/tasks/anna/0000-complete"
    );
}

/// Creates so many tasks while GitHub is off, then pushes them from two instances at once. Returns these.
fn push_by_two_instances(mirror: &Mirror, tasks: usize) -> [Service; 2] {
    let off = mirror.service_without_github();
    for at in 0..tasks {
        create(&off, &format!("Nummer {at}"));
    }
    terminate_cleanly(off);
    let services = [mirror.service(), mirror.service()];
    services[0].send_json("POST", "/sync", "").json();
    std::thread::scope(|scope| {
        for service in &services {
            scope.spawn(move || tick(service).json());
        }
    });
    services
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_push_at_once_commit_once() {
    let mirror = Mirror::new();
    let [a, _b] = push_by_two_instances(&mirror, 8);
    mirror.until_equal(&a).await;
    assert_eq!(mirror.github.log("main").len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_installation_pushes_with_tokens_that_it_renews() {
    let mirror = Mirror::new()
        .without("GITHUB_TOKEN")
        .with("GITHUB_APP_ID", "77")
        .with("GITHUB_APP_INSTALLATION_ID", "99")
        .with("GITHUB_APP_PRIVATE_KEY", app_private_key());
    mirror.github.add_github_app(77, 99);
    // Shorter than the remaining life that a token must have.
    mirror
        .github
        .set_installation_token_life(Duration::from_secs(200));
    let service = mirror.service();
    create(&service, "Eins");
    mirror.until_equal(&service).await;
    create(&service, "Zwei");
    mirror.until_equal(&service).await;
    assert!(
        mirror
            .github
            .calls("POST", "/app/installations/99/access_tokens")
            >= 2
    );
    mirror
        .github
        .set_installation_token_life(Duration::from_secs(3600));
    create(&service, "Drei");
    mirror.until_equal(&service).await;
    let before = mirror
        .github
        .calls("POST", "/app/installations/99/access_tokens");
    create(&service, "Vier");
    mirror.until_equal(&service).await;
    assert_eq!(
        mirror
            .github
            .calls("POST", "/app/installations/99/access_tokens"),
        before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_host_gets_no_token() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let elsewhere = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let address = format!("http://{}/", elsewhere.local_addr().unwrap());
    mirror.github.fail(Fault::Redirect(address));
    create(&service, "Hierher");
    eventually("the refusal is noted", || {
        mirror.book_now()["lastError"]["code"] == "github_denied"
    });
    assert!(elsewhere.accept().is_err(), "nobody came");
    mirror.github.recover();
    mirror.until_equal(&service).await;
}

/// As after a rename of the repository: the write is sent again unchanged, with its token and its body.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_follows_a_redirect_to_the_same_host() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let path = "contents/codex-miroir/anna/tasks/0001-Hierher.md";
    let to = mirror.github.api(path);
    mirror
        .github
        .plan("PUT", "/contents", 1, Fault::Redirect(to));
    create(&service, "Hierher");
    mirror.until_equal(&service).await;
    let puts = mirror.github.requests_to("PUT", "/contents");
    let statuses: Vec<_> = puts.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [Some(307), Some(201)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_waited_for() {
    let mirror = Mirror::new();
    let service = mirror.service();
    service.get("/codex").json();
    mirror.github.exhaust_rate_limit(Duration::from_secs(3));
    create(&service, "Später");
    eventually("the limit is noticed", || {
        mirror.book_now()["lastError"]["code"] == "github_limited"
    });
    let asked = mirror.github.requests().len();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    create(&service, "Noch später");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        mirror.github.requests().len(),
        asked,
        "nothing is asked before the limit ends"
    );
    mirror.until_equal(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_branch_of_a_merged_request_is_not_used_again() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let service = mirror.service();
    let edit = |tag: &str| {
        let body = json!({"tags": [tag]}).to_string();
        send(&service, "PATCH", "/api/tasks/0000?git=wait", "", &body).json()
    };
    mirror.commit(&[("0000-Da.md", Some(&task("Da")))], "Add");
    mirror.deliver(&service).await;
    assert_eq!(edit("eins")["prNumber"], 1);
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    mirror.taken_in(&service).await;
    assert_eq!(edit("zwei")["prNumber"], 2);
    let pulls = mirror.github.pulls();
    let heads: Vec<&str> = pulls.iter().map(|it| it.head.as_str()).collect();
    assert_eq!(
        heads,
        [
            "codex/tasks/anna/0000-update",
            "codex/tasks/anna/0000-update-2"
        ]
    );
    mirror.github.merge_pull(2, Merge::Commit).unwrap();
    mirror.taken_in(&service).await;
    assert!(mirror.in_git()["0000-Da.md"].contains("zwei"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_a_broken_push_left_is_taken_up() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let service = mirror.service();
    mirror.github.plan("POST", "/pulls", 1, Fault::LoseAnswer);
    create(&service, "Vorschlag");
    eventually("it is proposed", || {
        mirror.book_now()["pulls"]["0000-Vorschlag.md"].is_object()
    });
    mirror.github.plan("POST", "/pulls", 1, Fault::Reset);
    create(&service, "Noch einer");
    eventually("it is proposed", || {
        mirror.book_now()["pulls"]["0001-Noch-einer.md"].is_object()
    });
    let pulls = mirror.github.pulls();
    let heads: Vec<&str> = pulls.iter().map(|it| it.head.as_str()).collect();
    assert_eq!(heads, ["codex/tasks/anna/0000", "codex/tasks/anna/0001"]);
    let branches = mirror.github.branches();
    assert_eq!(branches.len(), 3, "{branches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_propose_a_change_once() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let _services = push_by_two_instances(&mirror, 4);
    eventually("all are proposed", || {
        mirror.book_now()["pulls"].as_object().unwrap().len() == 4
    });
    let pulls = mirror.github.pulls();
    let mut heads: Vec<&str> = pulls.iter().map(|it| it.head.as_str()).collect();
    heads.sort_unstable();
    let expected = [0, 1, 2, 3].map(|at| format!("codex/tasks/anna/{at:04}"));
    assert_eq!(heads, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_commit_of_all_is_refused_each_gets_its_own() {
    let mirror = Mirror::new();
    let off = mirror.service_without_github();
    for at in 0..12 {
        create(&off, &format!("Nummer {at}"));
    }
    terminate_cleanly(off);
    mirror
        .github
        .fail_at("POST", "/git/trees", Fault::Status(422));
    let service = mirror.service();
    service.send_json("POST", "/sync", "").json();
    mirror.until_equal(&service).await;
    assert_eq!(mirror.github.log("main").len(), 13);
}
