//! The store and the repository converge, whatever fails in between (`src/git_sync/README.md`).

mod guard;
mod hostile;
mod names;
mod removals;
mod spellings;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::mirror::{Mirror, a_pushed_file_is_soon_in_every_timeline, create, send, tick};

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_file_is_in_the_timeline_of_every_instance_within_five_seconds() {
    a_pushed_file_is_soon_in_every_timeline(Mirror::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_becomes_a_commit_with_message_author_and_content() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let name = create(&service, "Steuer");
    mirror.until_equal(&service).await;
    let id = name.strip_suffix(".md").unwrap();
    let path = format!("/api/tasks/{id}");
    let changed = service
        .send_json("PATCH", &path, r#"{"deadline": "31.12.2026"}"#)
        .json();
    assert_eq!(
        (&changed["gitPushed"], &changed["gitPending"]),
        (&json!(false), &json!(true))
    );
    mirror.until_equal(&service).await;
    service
        .send_json("POST", &format!("{path}/complete"), "{}")
        .json();
    mirror.until_equal(&service).await;
    service
        .send_json("PATCH", &path, r#"{"tags": ["a"]}"#)
        .json();
    mirror.until_equal(&service).await;
    let log: Vec<String> = mirror
        .github
        .log("main")
        .iter()
        .map(|commit| {
            format!(
                "{} | {} <{}> | {:?}",
                commit.message,
                commit.author.name,
                commit.committer.email,
                commit.changes.keys().collect::<Vec<_>>()
            )
        })
        .collect();
    assert_snapshot!(log.join("\n"), @r#"
    [codex] update task 0000 | Codex Miroir Bot <bot@example.com> | ["codex-miroir/anna/tasks/0000-Steuer.md"]
    [codex] complete task 0000 | Codex Miroir Bot <bot@example.com> | ["codex-miroir/anna/tasks/0000-Steuer.md"]
    [codex] update task 0000 | Codex Miroir Bot <bot@example.com> | ["codex-miroir/anna/tasks/0000-Steuer.md"]
    [codex] add task 0000 (arbeit) | Codex Miroir Bot <bot@example.com> | ["codex-miroir/anna/tasks/0000-Steuer.md"]
    Begin | anna <anna@example.org> | ["README.md"]
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_the_commit_gives_its_address() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let body = json!({"kategorie": "privat", "title": "Warten"}).to_string();
    let answer = send(&service, "POST", "/api/tasks", "prefer: wait\r\n", &body).json();
    assert_eq!(
        (&answer["gitPushed"], &answer["gitPending"]),
        (&json!(true), &json!(false))
    );
    let head = mirror.github.head("main").unwrap();
    assert_eq!(answer["commitSha"], json!(head));
    assert!(
        answer["htmlUrl"].as_str().unwrap().ends_with(&head),
        "{answer}"
    );
    let done = send(
        &service,
        "POST",
        "/api/tasks/0000/complete?git=wait",
        "",
        "{}",
    )
    .json();
    assert_eq!(
        done["commitSha"],
        json!(mirror.github.head("main").unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_brings_what_no_delivery_told_of() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit_two();
    mirror.github.drop_deliveries();
    let answer = tick(&service).json();
    assert_eq!(answer["Outputs"], json!({}));
    assert_eq!(mirror.in_store().await, mirror.in_git());
    let said = answer["Logs"][0].as_str().unwrap();
    assert!(said.starts_with("1 users brought up to date, "), "{said}");
    mirror.until_equal(&service).await;
    mirror.github.clear_requests();
    tick(&service).json();
    let asked: Vec<_> = mirror
        .github
        .requests()
        .iter()
        .map(|it| it.status)
        .collect();
    assert_eq!(
        asked,
        [Some(304)],
        "when nothing is new, only the branch is asked for, which is free"
    );
}
