//! `inspect`, which answers an operator's "Why did this user see that?"

use std::time::Duration;

use codex_miroir::admin::{self, InspectReport, InspectSettings};
use codex_miroir::store::BlobStore;
use codex_miroir::task::{TOMBSTONE_FILE, git_sha};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{GIT, HINT, OWNER, PLACE, in_git};
use crate::support::losing_store::Loss;
use crate::support::scene::{ARTIFACT, RAW, STATE, Scene, anna, new_task, task};

fn settings(mirrored_in: Option<&str>) -> InspectSettings {
    InspectSettings {
        artifact_ttl: Duration::from_secs(900),
        pending_expiry: Duration::from_secs(60),
        mirrored_in: mirrored_in.map(str::to_owned),
    }
}

async fn inspect(store: &dyn BlobStore) -> InspectReport {
    admin::inspect(store, None, &anna(), &settings(Some(PLACE))).await
}

fn json(report: &InspectReport) -> Value {
    serde_json::to_value(report).unwrap()
}

/// The lines of this part.
fn part(report: &InspectReport, name: &str) -> String {
    let text = report.to_string();
    let mut lines = text
        .lines()
        .skip_while(|line| line.split(':').next() != Some(name));
    let first = lines.next().unwrap();
    let rest = lines.take_while(|line| line.starts_with(' '));
    std::iter::once(first)
        .chain(rest)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Masks an intent's operation id, which is random, and its time and age, which also depend on this machine's clock.
fn without_ids(report: &InspectReport) -> String {
    let text = report.to_string();
    let lines = text
        .lines()
        .map(|line| match line.strip_prefix("  ageSeconds: ") {
            Some(intent) if intent.contains(", op: ") => {
                let parts: Vec<&str> = intent.split(", ").collect();
                assert!(parts[0].parse::<u32>().is_ok(), "{intent}");
                assert!(parts[1].starts_with("at: 2026-03-09T07:0"), "{intent}");
                assert_eq!(parts[2].len(), "op: ".len() + 16, "{intent}");
                format!(
                    "  ageSeconds: (age), at: (time), op: (op), {}",
                    parts[3..].join(", ")
                )
            }
            _ => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

/// A user with a crashed create, files changed by hand, a tombstone, an invalid file, unpushed files and leftovers.
async fn eventful() -> Scene {
    let scene = Scene::with_tasks(5);
    scene.store.foreign_write("state/anna/nextId.txt", b"57");
    let a = scene.instance();
    scene.read(&a).await;
    scene.pass_seconds(60);
    let crashing = scene.instance();
    crashing.line.lose_next("put", RAW, Loss::Request);
    let read_request = scene.read_request(codex_miroir::codex::Consistency::Bounded);
    let lost = crashing
        .codex
        .writer()
        .create(&read_request, new_task("Nie"), None)
        .await;
    assert!(lost.is_err());
    scene.file("0001-Aufgabe.md", &task("Von Hand"));
    scene.file("0002-Aufgabe.md", &task("Aufgabe 2"));
    scene.file("0003-Aufgabe.md", "---\ntyp: task\nkategorie: x\n---\n");
    scene.store.foreign_delete(&format!("{RAW}0004-Aufgabe.md"));
    scene.file("0005-Aufgabe.md", &task("Neu"));
    scene.file("0009-Nie.md", TOMBSTONE_FILE);
    scene.file("notiz.txt", "kein Markdown");
    let known = git_sha(task("Aufgabe 0").as_bytes()).to_string();
    in_git(&scene, &[("0000-Aufgabe.md", &known)]);
    let owner = br#"{"format":"1.0","githubId":1001}"#;
    scene.store.foreign_write(OWNER, owner);
    scene
        .store
        .foreign_write(HINT, b"2026-03-09T07:01:00+00:00");
    scene
        .store
        .foreign_write("artifacts/anna/timeline_1.json", b"{}");
    scene.pass_seconds(12);
    scene
}

#[tokio::test]
async fn every_part_is_told_and_nothing_is_changed() {
    let scene = eventful().await;
    let before = scene.store.paths();
    let looking = scene.instance();
    let report = inspect(&looking.requests).await;
    assert_snapshot!(without_ids(&report), @"
    userId: anna
    askedAt: 2026-03-09T07:01:12Z
    movedMeanwhile: false
    state: present
      finished: 1773039600001
      format: 1.0
      idempotencyRecords: 0
      legacyNextId: 57
      merged: none
      nextId: 58
      readOnly: false
      version: 1773039600002
    pending:
      ageSeconds: (age), at: (time), op: (op), overdue: false, version: 1773039600002
        files:
          name: 0057-Nie.md, kind: create, landed: false
    artifact: present
      ageSeconds: 72
      builtBy: codex-miroir 0.1.0
      builtFrom: 1773039600001
      cacheCreatedAt: 2026-03-09T07:00:00Z
      files: 5
      reason: a write intent is pending
      taken: false
    differences:
      name: 0001-Aufgabe.md, by: something_else, change: changed, number: 0001
      name: 0002-Aufgabe.md, by: something_else, change: rewritten, number: 0002
      name: 0003-Aufgabe.md, by: something_else, change: changed, number: 0003
      name: 0004-Aufgabe.md, by: -, change: removed, number: 0004
      name: 0005-Aufgabe.md, by: something_else, change: added, number: 0005
    raw: present
      failed: none
      files: 5
      others: 1
      settled:
        0009-Nie.md
      tasks: 4
      unreadable:
        name: 0003-Aufgabe.md, code: bad_kategorie, line: 3
    owner: present
      githubId: 1001
    spellings: absent
    git: present
      commit: -
      current: true
      files: 1
      lastError: -
      place: anna/week@main:codex-miroir
      proposing: none
      pulls: none
      pushing: none
      syncedAt: -
      taking: none
    unpushed:
      0001-Aufgabe.md
      0002-Aufgabe.md
      0003-Aufgabe.md
      0005-Aufgabe.md
    queue: present
      since: 2026-03-09T07:01:00+00:00
    leftovers: present
      blobs:
        state/anna/nextId.txt
        artifacts/anna/timeline_1.json
    ");
    let requests = looking.requests.take_requests();
    let changing = |it: &&str| !matches!(*it, "get" | "list");
    let operations: Vec<&str> = requests.iter().map(|it| it.operation).collect();
    assert_eq!(operations.iter().copied().find(|it| changing(it)), None);
    assert!(operations.len() > 10, "{operations:?}");
    assert_eq!(scene.store.paths(), before);
    let json = json(&report);
    assert_eq!(
        (
            &json["state"]["nextId"],
            &json["pending"][0]["files"][0]["landed"]
        ),
        (&58.into(), &false.into())
    );
    assert_eq!(json["differences"][0]["change"], "changed");
    assert_eq!(json["artifact"]["taken"], false);
    assert_eq!(json["owner"]["githubId"], 1001);
    assert_eq!(json["raw"]["unreadable"][0]["code"], "bad_kategorie");
    assert!(
        !report.to_string().contains("Von Hand"),
        "no text of a task's"
    );
}

#[tokio::test]
async fn a_part_that_cannot_be_read_is_told_in_its_place() {
    let scene = eventful().await;
    for (operation, path, label) in [
        ("get", STATE, "state"),
        ("get", ARTIFACT, "artifact"),
        ("list", RAW, "raw"),
        ("get", &*format!("{RAW}0001"), "raw"),
        ("get", OWNER, "owner"),
        ("get", GIT, "git"),
        ("get", HINT, "queue"),
        ("list", "state/anna/", "leftovers"),
    ] {
        let looking = scene.instance();
        looking.line.lose_next(operation, path, Loss::Request);
        let report = inspect(&looking.requests).await;
        let said = part(&report, label);
        assert!(said.contains("storage can't be reached"), "{path}: {said}");
        assert!(!report.is_complete() && report.is_there());
        assert_eq!(report.to_string().matches("can't be reached").count(), 1);
    }
}

#[tokio::test]
async fn it_says_why_a_reader_does_not_take_the_artifact() {
    let scene = Scene::with_tasks(1);
    scene.read(&scene.instance()).await;
    let valid = async || {
        let artifact = json(&inspect(&scene.store).await)["artifact"].take();
        (artifact["taken"].clone(), artifact["reason"].clone())
    };
    let taken = (json!(true), json!(null));
    let not = |reason: &str| (json!(false), json!(reason));
    assert_eq!(valid().await, taken);
    scene.pass_seconds(899);
    assert_eq!(valid().await, taken);
    scene.pass_seconds(1);
    let expired = "it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future";
    assert_eq!(valid().await, not(expired));
    scene.change_state(|state| state.version = state.version.next());
    assert_eq!(valid().await, not("the state is at another version"));
    scene.store.foreign_delete(STATE);
    assert_eq!(valid().await, not("there is no state document"));
    scene
        .store
        .foreign_write(ARTIFACT, br#"{"weekStart":"01.01.2025"}"#);
    let artifact = part(&inspect(&scene.store).await, "artifact");
    let damaged = "artifact: damaged\n  reason: It is of another format";
    assert!(artifact.starts_with(damaged), "{artifact}");
}

#[tokio::test]
async fn a_mark_tells_its_age_and_what_of_it_has_landed() {
    let scene = Scene::with_tasks(2);
    let a = scene.instance();
    scene.read(&a).await;
    a.line.lose_next("put", STATE, Loss::FirstAnswer);
    // The intent is recorded and the file is written, but the request that removes the intent is lost.
    let created = a.gate.hold_next("put", RAW);
    let (codex, read_request) = (
        a.codex.clone(),
        scene.read_request(codex_miroir::codex::Consistency::Bounded),
    );
    let op = tokio::spawn(async move {
        codex
            .writer()
            .create(&read_request, new_task("Da"), None)
            .await
    });
    created.reached().await;
    a.line.lose_next("put", STATE, Loss::Request);
    created.release();
    op.await.unwrap().unwrap();
    crate::support::scene::settle().await;
    scene.pass_seconds(59);
    let report = inspect(&scene.store).await;
    let pending = part(&report, "pending");
    let landed = "\n      name: 0002-Da.md, kind: create, landed: true";
    assert!(pending.ends_with(landed), "{pending}");
    assert!(pending.contains(", overdue: false, "), "{pending}");
    let age = |report| json(report)["pending"][0]["ageSeconds"].as_i64().unwrap();
    let before = age(&report);
    scene.pass_seconds(10);
    let report = inspect(&scene.store).await;
    let pending = part(&report, "pending");
    assert!(pending.contains(", overdue: true, "), "{pending}");
    assert_eq!(age(&report) - before, 10, "{pending}");
}

#[tokio::test]
async fn a_user_who_is_not_there_is_none() {
    let scene = Scene::new();
    let report = inspect(&scene.store).await;
    assert!(!report.is_there() && report.is_complete());
    scene.store.foreign_write(HINT, b"");
    assert!(inspect(&scene.store).await.is_there());
}

#[tokio::test]
async fn control_characters_of_others_do_not_reach_the_terminal() {
    let scene = Scene::with_tasks(1);
    scene.store.foreign_write(HINT, b"\x1b[2J");
    scene.file("\u{1b}[31m.md", "");
    let report = inspect(&scene.store).await;
    let text = report.to_string();
    let file = r"name: \u{1b}[31m.md, code: bad_file_name, line: -";
    assert!(text.contains(file), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn without_github_mode_unpushed_is_only_told_by_what_is_noted() {
    let scene = Scene::with_tasks(2);
    let report = admin::inspect(&scene.store, None, &anna(), &settings(None)).await;
    assert_eq!(json(&report)["unpushed"], json!(null));
    in_git(&scene, &[]);
    let report = admin::inspect(&scene.store, None, &anna(), &settings(None)).await;
    assert_eq!(
        json(&report)["unpushed"],
        json!(["0000-Aufgabe.md", "0001-Aufgabe.md"])
    );
}

#[tokio::test]
async fn what_is_damaged_and_what_is_newer_are_told_apart() {
    let scene = Scene::with_tasks(1);
    for (blob, said) in [(r#"{"format":"2.0"}"#, "A newer version"), ("{}", "It")] {
        for (path, label) in [(STATE, "state"), (GIT, "git")] {
            scene.store.foreign_write(path, blob.as_bytes());
            let part = part(&inspect(&scene.store).await, label);
            let begin = format!("{label}: damaged\n  reason: {said}");
            assert!(part.starts_with(&begin), "{path}: {part}");
        }
    }
    let report = inspect(&scene.store).await;
    assert_eq!(json(&report)["differences"], json!(null), "no artifact");
}
