//! A skipped entry of the repository counts as present: nothing is removed here because of it, and nothing is pushed
//! that wouldn't be imported again.

use serde_json::json;

use crate::support::github::Change;
use crate::support::mirror::{Mirror, send, tick};
use crate::support::process::eventually;
use crate::support::scene::task;

#[tokio::test(flavor = "multi_thread")]
async fn a_title_of_fifty_large_letters_fits_and_stays() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let body = json!({"kategorie": "arbeit", "title": "𝓗".repeat(50)}).to_string();
    let answer = send(&service, "POST", "/api/tasks?git=wait", "", &body);
    assert_eq!(answer.status, 201);
    let created = answer.json();
    assert_eq!(created["gitPushed"], true);
    let name = created["filename"].as_str().unwrap().to_owned();
    assert_eq!(
        name,
        format!("0000-{}.md", "𝓗".repeat(37)),
        "150 bytes of title"
    );
    tick(&service);
    mirror.until_equal(&service).await;
    assert!(mirror.in_store().await.contains_key(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_git_would_not_give_back_is_not_sent_and_is_said() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let name = format!("0007-{}.md", "x".repeat(193));
    let user = codex_miroir::user::UserId::parse("anna").unwrap();
    let key = codex_miroir::store::BlobKey::raw(&user, &name).unwrap();
    let put = codex_miroir::store::Put {
        bytes: task("Lang").into(),
        ..codex_miroir::store::Put::default()
    };
    let condition = codex_miroir::store::PutIf::Absent;
    mirror.store().put(&key, put, condition).await.unwrap();
    let stem = name.strip_suffix(".md").unwrap();
    let body = json!({"body": "Geändert\n"}).to_string();
    let answer = send(
        &service,
        "PATCH",
        &format!("/api/tasks/{stem}?git=wait"),
        "",
        &body,
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    let edited = answer.json();
    assert_eq!(
        (&edited["gitPushed"], &edited["gitPending"]),
        (&json!(false), &json!(false))
    );
    tick(&service);
    eventually("nothing waits", || {
        service.get("/sync").json()["unpushed"] == json!([])
    });
    assert!(mirror.in_git().is_empty());
    assert!(
        mirror.in_store().await.contains_key(&name),
        "and it stays here"
    );
    let problems = &service.get("/sync").json()["problems"];
    assert_eq!(problems[0]["code"], "bad_file_name");
    assert_eq!(problems[0]["file"], json!(mirror.path(&name)));
    assert!(problems[0]["message"].as_str().unwrap().contains("200"));
    // Even if Git has a file with that name.
    mirror.commit(&[(&name, Some(&task("Andere")))], "Add a long name");
    mirror.deliver(&service).await;
    assert!(mirror.in_store().await[&name].contains("Geändert"));
}

/// At each level of the path, with a complete tree and with one that GitHub truncates.
#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_in_a_folders_place_removes_nothing() {
    for base in ["notes/codex", "codex"] {
        let mut levels = vec![format!("{base}/anna/tasks"), format!("{base}/anna")];
        levels.extend(base.match_indices('/').map(|(at, _)| base[..at].to_owned()));
        levels.push(base.to_owned());
        for level in levels {
            for limit in [None, Some(3)] {
                let mirror = Mirror::at(base);
                let service = mirror.service();
                mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Begin");
                let other = format!("{base}/berta/tasks/0000-Ihres.md");
                let text = task("Ihres");
                let changes = [(other.as_str(), Change::from(text.as_str()))];
                mirror.github.commit("main", &changes, "Another's");
                mirror.deliver(&service).await;
                let before = mirror.in_store().await;
                assert_eq!(before.len(), 1);
                if let Some(limit) = limit {
                    mirror.github.set_tree_limit(limit);
                }
                let head = mirror.github.head("main").unwrap();
                mirror.github.commit(
                    "main",
                    &[(&level, Change::Submodule(head.clone()))],
                    "Move away",
                );
                mirror.deliver(&service).await;
                tick(&service);
                let state = send(&service, "POST", "/sync", "", "");
                let context = format!("{level}, {limit:?}: {}", state.body);
                assert_eq!(mirror.in_store().await, before, "{context}");
                let problems = state.json()["problems"].clone();
                assert_eq!(problems[0]["code"], "not_a_file", "{context}");
                // The branch is set back to the commit before.
                mirror.github.set_branch("main", &head);
                tick(&service);
                assert_eq!(mirror.in_store().await, before, "{context}");
            }
        }
    }
}

/// A tombstone's text in Git is a user's file: it is skipped, and fetched at most once.
#[tokio::test(flavor = "multi_thread")]
async fn a_settled_text_in_git_is_somebodys_file() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit(
        &[
            ("0001-Eins.md", Some("---\ntyp: settled\n---\n")),
            ("0002-Zwei.md", Some("---\ntyp: settled\n---\n\nMehr\n")),
        ],
        "Begin",
    );
    mirror.deliver(&service).await;
    tick(&service);
    assert_eq!(
        mirror.in_store().await.into_keys().collect::<Vec<_>>(),
        ["0002-Zwei.md"]
    );
    mirror.github.clear_requests();
    for _ in 0..3 {
        tick(&service);
    }
    assert_eq!(mirror.github.calls("GET", "/git/blobs/"), 0);
    assert!(mirror.queue().await.is_empty(), "nothing is left to do");
    let answer = send(&service, "POST", "/sync", "", "").json();
    assert_eq!(answer["problems"][0]["code"], "not_a_task");
}
