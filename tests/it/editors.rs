//! Saves by an editor in the folder of a real process: the next plain read shows them, and the service's own writes
//! trigger no rebuild.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use chrono::Utc;
use codex_miroir::store::directory::{ChangedPath, DirectoryStore, FolderWatcher};
use tokio::time::timeout;

use crate::support::process::{Service, codex_miroir, eventually};
use crate::support::scene::{anna, task};

const METRICS: &str = "a-token-for-metrics";

/// Longer than the background work after a response or a change takes.
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

fn service(data: &Path) -> Service {
    Service::start(
        codex_miroir()
            .env("CODEX_DATA_DIR", data)
            .env("CODEX_METRICS_TOKEN", METRICS)
            // Only the watch of the folder can invalidate the snapshot.
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

/// The storage requests and the rebuilds so far.
fn requests_and_rebuilds(service: &Service) -> (u64, u64) {
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

    // Saved in place, as some editors do.
    fs::write(folder.join("0000-Eins.md"), task("Zwei")).unwrap();
    eventually("saved in place", || shows(&service, "Zwei"));
    // Saved to a new file that is renamed over the old one, as others do.
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
    // The whole folder at once.
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
    // Waits for the background work after the responses, and for the requests at startup.
    sleep(SETTLE_TIME);
    let before = requests_and_rebuilds(&b);
    for number in 0..3 {
        let new = format!(r#"{{"kategorie":"arbeit","title":"Neu {number}"}}"#);
        let made = a.send_json("POST", "/api/tasks", &new);
        assert_eq!(made.status, 201, "{}", made.body);
    }
    // One request for each file.
    eventually("looked at", || requests_and_rebuilds(&b).0 - before.0 >= 3);
    sleep(SETTLE_TIME);
    let (storage, rebuilds) = requests_and_rebuilds(&a);
    let week = a.get("/codex");
    assert_eq!(week.header("x-codex-cache"), "memory");
    assert!(week.body.contains("Neu 2"));
    assert_eq!(
        requests_and_rebuilds(&a),
        (storage, rebuilds),
        "its next read costs nothing"
    );
    let after = requests_and_rebuilds(&b);
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 0));
}

/// The service looks every few seconds whether the folder is still the one that is watched, also while it waits until a
/// save is complete.
#[tokio::test]
async fn an_edit_is_kept_when_the_wait_for_its_end_is_given_up() {
    let data = tempfile::tempdir().unwrap();
    DirectoryStore::open(data.path(), Utc::now).unwrap();
    let folder = data.path().join("raw/anna/tasks");
    fs::create_dir_all(&folder).unwrap();
    let mut watch = FolderWatcher::begin(data.path()).unwrap();
    fs::write(folder.join("0000-Eins.md"), task("Eins")).unwrap();
    // Less than a save must be over for.
    let begun = timeout(Duration::from_millis(100), watch.next()).await;
    let touched = match begun {
        Ok(touched) => touched,
        Err(_) => timeout(Duration::from_secs(20), watch.next())
            .await
            .unwrap(),
    };
    let file = ChangedPath::File(anna(), "0000-Eins.md".to_owned());
    assert!(touched.unwrap().contains(&file));
}
