//! `inspect`, which answers an operator's "Why did this user see that?"

use std::time::Duration;

use codex_miroir::admin::{self, InspectReport, InspectSettings};
use codex_miroir::store::BlobStore;
use codex_miroir::task::{TOMBSTONE_FILE, git_sha};
use insta::assert_snapshot;

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
    admin::inspect(store, &anna(), &settings(Some(PLACE))).await
}

/// The texts of the lines with this label.
fn lines(report: &InspectReport, label: &str) -> Vec<String> {
    let text = report.to_string();
    let lines = text.lines().filter_map(|line| {
        let (found, text) = line.split_at_checked(16)?;
        (found.trim_end() == label).then(|| text.to_owned())
    });
    lines.collect()
}

/// Masks an intent's operation id, which is random, and its age, which also depends on this machine's clock.
fn without_ids(report: &InspectReport) -> String {
    let text = report.to_string();
    let lines = text
        .lines()
        .map(|line| match line.strip_prefix("  intent        ") {
            Some(intent) => {
                let parts: Vec<&str> = intent.split(", ").collect();
                assert_eq!(parts[0].len(), 16, "{intent}");
                assert!(parts[2].ends_with(" s old"), "{intent}");
                format!("  intent        (op), {}, (age), {}", parts[1], parts[3])
            }
            None => line.to_owned(),
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
    assert_snapshot!(without_ids(&report), @r"
    user            anna
    asked at        2026-03-09T07:01:12Z by the storage's clock
    state           version 1773039600002, next number 0058, format 1.0
      finished      up to version 1773039600001
      idempotency   0 records
      nextId.txt    57, the older service's counter
    pending         1 write intent
      intent        (op), version 1773039600002, (age), not overdue yet
        create      0057-Nie.md: not landed
    artifact        5 files built by codex-miroir 0.1.0 from version 1773039600001
      listed        2026-03-09T07:00:00Z, 1 min 12 s ago
      valid         no: a write intent is pending
    differences     5 files between the artifact and raw
      file          0001-Aufgabe.md: changed, by another program
      file          0002-Aufgabe.md: rewritten, by another program
      file          0003-Aufgabe.md: changed, by another program
      file          0004-Aufgabe.md: removed
      file          0005-Aufgabe.md: added, by another program
    raw             5 files: 4 tasks, 1 unreadable; 1 tombstone
      unreadable    0003-Aufgabe.md: bad_kategorie, line 3
      tombstone     0009-Nie.md
      ignored       1 file without a task file name
    owner           GitHub account 1001
    git             1 file known in anna/week@main:codex-miroir
    unpushed        4 files whose present version Git lacks
      unpushed      0001-Aufgabe.md
      unpushed      0002-Aufgabe.md
      unpushed      0003-Aufgabe.md
      unpushed      0005-Aufgabe.md
    queue           a hint since 2026-03-09T07:01:00+00:00
    leftovers       2 blobs that the service doesn't use
      blob          state/anna/nextId.txt
      blob          artifacts/anna/timeline_1.json
    ");
    let requests = looking.requests.take_requests();
    let changing = |it: &&str| !matches!(*it, "get" | "list");
    let operations: Vec<&str> = requests.iter().map(|it| it.operation).collect();
    assert_eq!(operations.iter().copied().find(|it| changing(it)), None);
    assert!(operations.len() > 10, "{operations:?}");
    assert_eq!(scene.store.paths(), before);
    let json = serde_json::to_value(&report).unwrap();
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
        ("get", &*format!("{RAW}0001"), "  can't be read"),
        ("get", OWNER, "owner"),
        ("get", GIT, "git"),
        ("get", HINT, "queue"),
        ("list", "state/anna/", "leftovers"),
    ] {
        let looking = scene.instance();
        looking.line.lose_next(operation, path, Loss::Request);
        let report = inspect(&looking.requests).await;
        let said = lines(&report, label).join("\n");
        assert!(said.contains("storage can't be reached"), "{path}: {said}");
        assert!(!report.is_complete() && report.is_there());
        assert_eq!(report.to_string().matches("can't be reached").count(), 1);
    }
}

#[tokio::test]
async fn it_says_why_a_reader_does_not_take_the_artifact() {
    let scene = Scene::with_tasks(1);
    scene.read(&scene.instance()).await;
    let valid = async || lines(&inspect(&scene.store).await, "  valid");
    assert_eq!(valid().await, ["yes, for an instance with an empty cache"]);
    scene.pass_seconds(899);
    assert_eq!(valid().await, ["yes, for an instance with an empty cache"]);
    scene.pass_seconds(1);
    assert_eq!(
        valid().await,
        ["no: it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future"]
    );
    scene.change_state(|state| state.version = state.version.next());
    assert_eq!(valid().await, ["no: the state is at another version"]);
    scene.store.foreign_delete(STATE);
    assert_eq!(valid().await, ["no: there is no state document"]);
    scene
        .store
        .foreign_write(ARTIFACT, br#"{"weekStart":"01.01.2025"}"#);
    let artifact = lines(&inspect(&scene.store).await, "artifact");
    assert!(
        artifact[0].starts_with("damaged: It is of another format"),
        "{artifact:?}"
    );
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
    assert_eq!(lines(&report, "    create"), ["0002-Da.md: landed"]);
    assert!(lines(&report, "  intent")[0].ends_with(" s old, not overdue yet"));
    scene.pass_seconds(10);
    let report = inspect(&scene.store).await;
    assert!(lines(&report, "  intent")[0].ends_with(" s old, the next read recovers it"));
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
    assert!(text.contains(r"\u{1b}[31m.md: bad_file_name"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn without_github_mode_unpushed_is_only_told_by_what_is_noted() {
    let scene = Scene::with_tasks(2);
    let report = admin::inspect(&scene.store, &anna(), &settings(None)).await;
    assert_eq!(report.unpushed, None);
    in_git(&scene, &[]);
    let report = admin::inspect(&scene.store, &anna(), &settings(None)).await;
    assert_eq!(report.unpushed.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_damaged_and_what_is_newer_are_told_apart() {
    let scene = Scene::with_tasks(1);
    for (blob, said) in [
        (r#"{"format":"2.0"}"#, "damaged: A newer version"),
        ("{}", "damaged: It"),
    ] {
        for (path, label) in [(STATE, "state"), (GIT, "git")] {
            scene.store.foreign_write(path, blob.as_bytes());
            let line = lines(&inspect(&scene.store).await, label).join("");
            assert!(line.starts_with(said), "{path}: {line}");
        }
    }
    let report = inspect(&scene.store).await;
    assert_eq!(report.differences.map(|it| it.len()), None, "no artifact");
}
