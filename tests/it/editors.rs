//! An editor's save in the folder, before the real process: the next plain read has it, and what the service writes
//! itself wakes nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::support::process::{Service, codex_miroir, eventually};
use crate::support::scene::task;

const METRICS: &str = "a-token-for-metrics";

/// Longer than what follows an answer or a change takes.
const REST: Duration = Duration::from_millis(1_500);

fn service(data: &Path) -> Service {
    Service::start(
        codex_miroir()
            .env("CODEX_DATA_DIR", data)
            .env("CODEX_METRICS_TOKEN", METRICS)
            // Nothing but the watch makes the week new.
            .env("CODEX_REVALIDATE_SECONDS", "3600"),
    )
}

fn tasks(data: &Path) -> PathBuf {
    let tasks = data.join("raw/local/tasks");
    fs::create_dir_all(&tasks).unwrap();
    tasks
}

fn shows(service: &Service, text: &str) -> bool {
    let week = service.get("/codex");
    assert_eq!(week.status, 200, "{}", week.body);
    week.body.contains(text)
}

/// How many storage requests of this kind there have been, and how many rebuilds.
fn counted(service: &Service) -> (u64, u64) {
    let headers = format!("authorization: Bearer {METRICS}\r\n");
    let text = service.send("/metrics", &headers).body;
    let sum = |begin: &str| -> u64 {
        let lines = text.lines().filter(|it| it.starts_with(begin));
        lines
            .map(|it| it.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    (
        sum("codex_storage_call_seconds_count"),
        sum("codex_rebuilds_total"),
    )
}

#[test]
fn what_an_editor_does_is_in_the_next_plain_read() {
    let data = tempfile::tempdir().unwrap();
    let folder = tasks(data.path());
    fs::write(folder.join("0000-Eins.md"), task("Eins")).unwrap();
    let service = service(data.path());
    assert!(shows(&service, "Eins"));

    // In place, as some editors save.
    fs::write(folder.join("0000-Eins.md"), task("Zwei")).unwrap();
    eventually("saved in place", || shows(&service, "Zwei"));
    // Beside it and over it, as others do.
    fs::write(folder.join(".0000-Eins.md.swp"), task("Drei")).unwrap();
    fs::rename(
        folder.join(".0000-Eins.md.swp"),
        folder.join("0000-Eins.md"),
    )
    .unwrap();
    eventually("saved by a rename", || shows(&service, "Drei"));
    fs::write(folder.join("0001-Vier.md"), task("Vier")).unwrap();
    eventually("made", || shows(&service, "Vier"));
    fs::rename(folder.join("0001-Vier.md"), folder.join("0002-Fünf.md")).unwrap();
    eventually("renamed", || {
        shows(&service, "0002-F") && !shows(&service, "0001-Vier")
    });
    fs::remove_file(folder.join("0002-Fünf.md")).unwrap();
    eventually("removed", || !shows(&service, "0002-F"));
    // All of it at once.
    fs::rename(&folder, data.path().join("raw/local/away")).unwrap();
    eventually("moved away", || !shows(&service, "Drei"));
    fs::rename(data.path().join("raw/local/away"), &folder).unwrap();
    eventually("and back", || shows(&service, "Drei"));
    fs::remove_dir_all(data.path().join("raw/local")).unwrap();
    eventually("removed whole", || !shows(&service, "Drei"));
    let folder = tasks(data.path());
    fs::write(folder.join("0005-Neu.md"), task("Neu")).unwrap();
    eventually("in a folder that is new", || shows(&service, "Neu"));
}

#[test]
fn what_was_edited_while_nobody_served_is_in_the_first_reads() {
    let data = tempfile::tempdir().unwrap();
    let folder = tasks(data.path());
    fs::write(folder.join("0000-Eins.md"), task("Eins")).unwrap();
    let first = service(data.path());
    assert!(shows(&first, "Eins"));
    let artifact = data.path().join("artifacts/local/timeline.json");
    eventually("the artifact is there", || artifact.exists());
    first.kill();
    fs::write(folder.join("0000-Eins.md"), task("Zwei")).unwrap();
    let second = service(data.path());
    eventually("edited meanwhile", || shows(&second, "Zwei"));
}

#[test]
fn a_folder_that_takes_the_place_of_the_watched_one_is_watched() {
    let data = tempfile::tempdir().unwrap();
    let folder = tasks(data.path());
    fs::write(folder.join("0000-Eins.md"), task("Eins")).unwrap();
    let service = service(data.path());
    assert!(shows(&service, "Eins"));
    let raw = data.path().join("raw");
    fs::rename(&raw, data.path().join("before")).unwrap();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("0000-Eins.md"), task("Zwei")).unwrap();
    eventually("in its place", || shows(&service, "Zwei"));
    fs::write(folder.join("0000-Eins.md"), task("Drei")).unwrap();
    eventually("and followed", || shows(&service, "Drei"));
}

#[test]
fn two_processes_over_one_folder_both_see_it() {
    let data = tempfile::tempdir().unwrap();
    let folder = tasks(data.path());
    fs::write(folder.join("0000-Eins.md"), task("Eins")).unwrap();
    let (a, b) = (service(data.path()), service(data.path()));
    for turn in 0..5 {
        assert!(shows(&a, "0000") && shows(&b, "0000"));
        let title = format!("Runde {turn}");
        fs::write(folder.join("0000-Eins.md"), task(&title)).unwrap();
        eventually("at one", || shows(&a, &title));
        eventually("at the other", || shows(&b, &title));
    }
}

#[test]
fn what_the_service_writes_itself_wakes_nobody() {
    let data = tempfile::tempdir().unwrap();
    fs::write(tasks(data.path()).join("0000-Eins.md"), task("Eins")).unwrap();
    let (a, b) = (service(data.path()), service(data.path()));
    assert!(shows(&a, "Eins") && shows(&b, "Eins"));
    // What follows the answers, and the looks at the beginning.
    sleep(REST);
    let before = counted(&b);
    for number in 0..3 {
        let new = format!(r#"{{"kategorie":"arbeit","title":"Neu {number}"}}"#);
        let made = a.send_json("POST", "/api/tasks", &new);
        assert_eq!(made.status, 201, "{}", made.body);
    }
    // One look at each file.
    eventually("looked at", || counted(&b).0 - before.0 >= 3);
    sleep(REST);
    let (storage, rebuilds) = counted(&a);
    let week = a.get("/codex");
    assert_eq!(week.header("x-codex-cache"), "memory");
    assert!(week.body.contains("Neu 2"));
    assert_eq!(
        counted(&a),
        (storage, rebuilds),
        "its next read costs nothing"
    );
    let after = counted(&b);
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 0));
}
