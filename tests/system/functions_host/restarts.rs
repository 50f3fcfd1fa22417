//! Processes that end: killed under load, or unable to start.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::over;
use crate::support::azurite::azurite;
use crate::support::functions_host::{Form, FunctionsHost, Level, Standing};
use crate::support::process::{Answer, begin, eventually};

/// The number of concurrent writers.
const WRITERS: usize = 6;

/// The number of writes acknowledged between two kills, so that each kill hits writes in flight.
const WRITES_BETWEEN_KILLS: usize = 25;

/// Writers, and the outcomes of their writes.
#[derive(Default)]
struct Load {
    number: AtomicUsize,
    over: AtomicBool,
    /// Titles by id.
    acknowledged: Mutex<BTreeMap<String, String>>,
    /// Requests that the process didn't answer.
    cut_off: AtomicUsize,
}

/// Ends the writers, also when the test fails in between.
struct EndWriters<'a>(&'a Load);

impl Drop for EndWriters<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

impl Load {
    /// Creates tasks until `over` is set.
    fn write(&self, host: &FunctionsHost) {
        while !self.over.load(Ordering::SeqCst) {
            let title = format!("Aufgabe {}", self.number.fetch_add(1, Ordering::SeqCst));
            match create(host, &title) {
                Some(id) => {
                    let before = self.acknowledged.lock().unwrap().insert(id, title);
                    assert_eq!(before, None, "a number was handed out twice");
                }
                None => {
                    self.cut_off.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    /// Waits for [`WRITES_BETWEEN_KILLS`] more acknowledged writes.
    fn wait_for_writes(&self) {
        let count = || self.acknowledged.lock().unwrap().len();
        let wanted = count() + WRITES_BETWEEN_KILLS;
        eventually("writes are acknowledged", || count() >= wanted);
    }

    /// Kills the process twice under writes, the most that a host tolerates.
    fn kill_under_load(&self, host: &FunctionsHost) {
        thread::scope(|scope| {
            let _ending = EndWriters(self);
            for _ in 0..WRITERS {
                scope.spawn(|| self.write(host));
            }
            for kills in 1..=2 {
                self.wait_for_writes();
                host.kill();
                let again = || host.starts().len() == 1 + kills;
                eventually("the host starts it again", again);
            }
            self.wait_for_writes();
        });
        assert_eq!(host.standing(), Standing::Ready);
    }
}

/// The id, if the task was acknowledged.
fn create(host: &FunctionsHost, title: &str) -> Option<String> {
    let body = json!({"kategorie": "arbeit", "title": title}).to_string();
    let headers = "content-type: application/json\r\n";
    let sent = begin(&host.address, "POST", "/api/tasks", headers, &body);
    let answer = Answer::try_read(sent).filter(|answer| answer.status == 201)?;
    let document: Value = serde_json::from_str(&answer.body).ok()?;
    Some(document["id"].as_str()?.to_owned())
}

fn nothing_is_lost(what: &str, settings: &[(&str, &str)]) {
    let host = FunctionsHost::start(Form::Proxied, settings);
    let load = Load::default();
    load.kill_under_load(&host);
    let acknowledged = load.acknowledged.into_inner().unwrap();
    let cut_off = load.cut_off.into_inner();
    assert!(cut_off > 0, "the kills met no write");
    for (id, title) in &acknowledged {
        let task = host.get(&format!("/api/tasks/{id}"));
        assert_eq!(
            task.status, 200,
            "{id} {title} was acknowledged: {}",
            task.body
        );
        assert_eq!(&task.json()["title"], title);
    }
    let week = host.send("GET", "/codex", "cache-control: no-cache\r\n", "");
    assert_eq!(week.json()["problems"], json!([]));
    println!(
        "{what}: {} writes acknowledged around two kills that cut off {cut_off}, none lost; ready after {:?}",
        acknowledged.len(),
        host.starts()
    );
}

#[test]
fn killed_under_load_over_a_folder_it_serves_again_and_nothing_acknowledged_is_lost() {
    let data = tempfile::tempdir().unwrap();
    nothing_is_lost("folder", &over(&data));
}

#[test]
fn killed_under_load_over_azurite_it_serves_again_and_nothing_acknowledged_is_lost() {
    let (connection, container) = (azurite().with_key(azurite().port()), azurite().container());
    let settings = [
        ("CODEX_AUTH", "dev"),
        ("AzureWebJobsStorage", connection.as_str()),
        ("AZURE_BLOB_CONTAINER", &container),
    ];
    nothing_is_lost("Azurite", &settings);
}

#[test]
fn an_older_host_starts_a_killed_process_again_too() {
    let data = tempfile::tempdir().unwrap();
    let host = FunctionsHost::start(Form::Legacy, &over(&data));
    host.kill();
    eventually("the host starts it again", || host.starts().len() == 2);
    assert_eq!(host.get("/codex").status, 200);
}

#[test]
fn a_wrong_setting_is_one_error_a_start_and_the_third_stops_the_host() {
    let data = tempfile::tempdir().unwrap();
    let mut settings = over(&data);
    settings.push(("CODEX_TIME_ZONE", "Berlin"));
    let host = FunctionsHost::start(Form::Proxied, &settings);
    assert_eq!(host.standing(), Standing::Stopped);
    assert!(host.starts().is_empty(), "it never answered");
    let said: Vec<_> = host
        .lines()
        .into_iter()
        .map(|it| {
            let line: Value = serde_json::from_str(&it.text).unwrap();
            (it.level, line["message"].as_str().unwrap().to_owned())
        })
        .collect();
    let line = "CODEX_TIME_ZONE is \"Berlin\"; it must be a zone as in Europe/Berlin";
    assert_eq!(said, [(); 3].map(|()| (Level::Error, line.to_owned())));
    let nobody = host.get("/codex");
    assert_eq!((nobody.status, nobody.header("x-request-id")), (503, ""));
}

/// On SIGTERM while the host keeps running, the process exits with a code that requests a restart: after 0 the host
/// wouldn't start it again.
#[test]
fn what_was_told_to_end_is_started_again_without_an_error() {
    let data = tempfile::tempdir().unwrap();
    let host = FunctionsHost::start(Form::Proxied, &over(&data));
    assert_eq!(host.standing(), Standing::Ready);
    host.terminate();
    eventually("the host starts it again", || host.starts().len() == 2);
    eventually("it is ready", || host.standing() == Standing::Ready);
    assert_eq!(host.get("/codex").status, 200);
}
