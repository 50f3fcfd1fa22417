//! Writes as their users experience them: real processes over Azurite and over a folder, and `kill -9`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use codex_miroir::store::BlobKey;
use codex_miroir::task::TOMBSTONE_FILE;
use codex_miroir::user::UserId;
use codex_miroir::user_state::State;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::place::Place;
use crate::support::process::{Answer, Service, begin, codex_miroir, eventually};
use crate::support::scene::titles;
use crate::support::tcp_proxy::{Fault, TcpProxy};

fn local() -> UserId {
    UserId::parse("local").unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn create(service: &Service, title: &str) -> Answer {
    let body = json!({"kategorie": "arbeit", "title": title}).to_string();
    service.send_json("POST", "/api/tasks", &body)
}

fn complete(service: &Service, id: &str) -> Answer {
    service.send_json("POST", &format!("/api/tasks/{id}/complete"), "")
}

fn with_version(answer: &Answer) -> String {
    format!("x-codex-version: {}\r\n", answer.header("x-codex-version"))
}

/// Creates `count` tasks concurrently over all `services`, with this many clients, and checks that each got a number of
/// its own, without gaps.
fn create_at_once(services: &[Service], count: usize, threads: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let next = Arc::clone(&next);
            let addresses: Vec<String> = services.iter().map(|it| it.address.clone()).collect();
            thread::spawn(move || {
                let mut ids = vec![];
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return ids;
                    }
                    let body = json!({"kategorie": "arbeit", "title": format!("Aufgabe {number}")});
                    let headers = "content-type: application/json\r\n";
                    let address = &addresses[number % addresses.len()];
                    let answer = Answer::read(begin(
                        address,
                        "POST",
                        "/api/tasks",
                        headers,
                        &body.to_string(),
                    ));
                    assert_eq!(answer.status, 201, "{}", answer.body);
                    ids.push(answer.json()["id"].as_str().unwrap().to_owned());
                }
            })
        })
        .collect();
    let ids: BTreeSet<String> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();
    let expected: BTreeSet<String> = (0..count).map(|number| format!("{number:04}")).collect();
    assert_eq!(ids, expected);
}

/// The total requests of the creates, and those of the state, counted by proxies.
fn count_creates(place: &Place, processes: usize, count: usize) -> (usize, usize) {
    let runtime = runtime();
    let proxies: Vec<TcpProxy> = (0..processes).map(|_| place.proxy(&runtime)).collect();
    let services: Vec<Service> = proxies
        .iter()
        .map(|proxy| Service::start(&mut place.command_by(proxy)))
        .collect();
    for service in &services {
        assert_eq!(service.get("/codex").status, 200);
    }
    eventually("the first artifact is there", || {
        place.blob(&runtime, &BlobKey::artifact(&local())).is_some()
    });
    for proxy in &proxies {
        proxy.take_requests();
    }
    create_at_once(&services, count, 50);
    eventually("every mark is gone", || {
        place.state(&runtime).pending.is_empty()
    });
    // The work that the last create leaves after its answer: the artifact, if anything.
    thread::sleep(Duration::from_millis(200));
    let requests: Vec<String> = proxies.iter().flat_map(TcpProxy::take_requests).collect();
    let of_state = requests.iter().filter(|it| it.contains("/state/")).count();
    for service in &services {
        let week = service.send("/codex", "cache-control: no-cache\r\n").json();
        let shown = titles(&week).len() + week["unplaced"].as_array().unwrap().len();
        assert_eq!(shown, count);
    }
    (requests.len(), of_state)
}

#[test]
fn fifty_creates_at_once_over_two_processes_get_fifty_numbers() {
    let (requests, of_state) = count_creates(&Place::container(), 2, 50);
    println!(
        "50 creates over 2 processes: {requests} storage requests, {of_state} of them for the state"
    );
    assert!(requests <= 50 * 3, "{requests} requests");
}

#[test]
fn five_hundred_creates_over_three_processes_get_five_hundred_numbers() {
    let (requests, of_state) = count_creates(&Place::container(), 3, 500);
    println!(
        "500 creates over 3 processes: {requests} storage requests, {of_state} of them for the state"
    );
    assert!(requests <= 500 * 3, "{requests} requests");
}

/// Over https, without a token request per storage request.
#[test]
fn fifty_creates_at_once_over_three_processes_take_as_few_requests_by_managed_identity() {
    let place = Place::identity();
    let (requests, of_state) = count_creates(&place, 3, 50);
    println!(
        "50 creates over 3 processes, by identity: {requests} storage requests, {of_state} of them for the state"
    );
    assert!(requests <= 50 * 3, "{requests} requests");
    assert_eq!(place.endpoint().unwrap().asked(), [None, None, None]);
}

#[test]
fn fifty_creates_at_once_over_two_processes_and_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let services = [Service::over(folder.path()), Service::over(folder.path())];
    create_at_once(&services, 50, 50);
    let files = std::fs::read_dir(folder.path().join("raw/local/tasks")).unwrap();
    assert_eq!(files.count(), 50);
}

/// P1, on every instance, with header or cookie; and on the writing instance without any storage request.
#[test]
fn a_change_is_seen_at_once_by_whoever_brings_its_version() {
    for place in Place::all() {
        let services = [place.service(), place.service(), place.service()];
        for service in &services {
            service.get("/codex");
        }
        for round in 0..10 {
            let (a, b, c) = (
                &services[round % 3],
                &services[(round + 1) % 3],
                &services[(round + 2) % 3],
            );
            let created = create(a, &format!("Runde {round}"));
            assert_eq!(created.status, 201, "{}", created.body);
            let id = created.json()["id"].as_str().unwrap().to_owned();
            let title = format!("Runde {round}");
            assert!(titles(&b.send("/codex", &with_version(&created)).json()).contains(&title));
            let cookie = created.header("set-cookie").split(';').next().unwrap();
            let by_cookie = c
                .send("/codex", &format!("cookie: x=y; {cookie}\r\n"))
                .json();
            assert!(titles(&by_cookie).contains(&title));
            let done = complete(b, &id);
            assert_eq!(done.status, 200, "{}", done.body);
            for service in [c, a, b] {
                let seen = service.send("/codex", &with_version(&done)).json();
                assert!(
                    !titles(&seen).contains(&title),
                    "the old state on another instance"
                );
            }
        }
    }
}

/// P2: with the default of five seconds, and at once for a strong read.
#[test]
fn a_change_is_seen_without_its_version_within_five_seconds_and_strictly_at_once() {
    let places = Place::all();
    let pairs: Vec<[Service; 2]> = places
        .iter()
        .map(|place| [place.service(), place.service()])
        .collect();
    for [a, b] in &pairs {
        create(a, "Neu");
        b.send("/codex", "cache-control: no-cache\r\n");
        assert_eq!(titles(&b.get("/codex").json()), ["Neu"]);
        assert_eq!(complete(a, "0000").status, 200);
    }
    thread::sleep(Duration::from_millis(5_050));
    for [a, b] in &pairs {
        assert!(titles(&b.get("/codex").json()).is_empty());
        create(a, "Noch eine");
        let strict = b.send("/codex", "cache-control: no-cache\r\n").json();
        assert_eq!(titles(&strict), ["Noch eine"]);
    }
}

/// The text of a task file, if there is one.
fn text(place: &Place, runtime: &Runtime, name: &str) -> Option<String> {
    let bytes = place.blob(runtime, &BlobKey::raw(&local(), name).unwrap())?;
    Some(String::from_utf8(bytes).unwrap())
}

/// An operation, its request, and its effect on the file.
#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    file: &'static str,
    /// In the file once the operation has taken effect.
    marker: &'static str,
    /// Every storage request that it makes, including its completion: the method, the folder, and the ordinal.
    requests: &'static [(&'static str, &'static str, usize)],
}

const CREATE: &[(&str, &str, usize)] = &[
    ("PUT", "/state/", 1),
    ("PUT", "/raw/", 1),
    ("PUT", "/state/", 2),
    ("PUT", "/artifacts/", 1),
];

/// The first two are sent concurrently.
const CHANGE: &[(&str, &str, usize)] = &[
    ("PUT", "/state/", 1),
    ("GET", "/raw/", 1),
    ("PUT", "/raw/", 1),
    ("PUT", "/state/", 2),
    ("PUT", "/artifacts/", 1),
];

const OPERATIONS: [Operation; 3] = [
    Operation {
        name: "create",
        method: "POST",
        path: "/api/tasks",
        body: r#"{"kategorie":"arbeit","title":"Neu"}"#,
        file: "0001-Neu.md",
        marker: "# Neu",
        requests: CREATE,
    },
    Operation {
        name: "update",
        method: "PATCH",
        path: "/api/tasks/0000",
        body: r#"{"tags":["neu"]}"#,
        file: "0000-Alt.md",
        marker: "tags: [neu]",
        requests: CHANGE,
    },
    Operation {
        name: "complete",
        method: "POST",
        path: "/api/tasks/0000/complete",
        body: r#"{"datum":"01.02.2026","zeit":"abends"}"#,
        file: "0000-Alt.md",
        marker: "status: abgeschlossen",
        requests: CHANGE,
    },
];

/// A task's text; a settled file counts as absent.
fn task_text(place: &Place, runtime: &Runtime, name: &str) -> Option<String> {
    text(place, runtime, name).filter(|text| !text.contains("typ: settled"))
}

/// Creates one task, and waits until no write is in progress.
fn with_one_task(place: &Place, runtime: &Runtime) -> Service {
    let first = place.service();
    assert_eq!(create(&first, "Alt").status, 201);
    eventually("the first create is finished", || {
        let artifact = place.blob(runtime, &BlobKey::artifact(&local()));
        let built_from = artifact.map(|bytes| {
            let artifact: Value = serde_json::from_slice(&bytes).unwrap();
            artifact["builtFrom"].as_u64()
        });
        let state = place.state(runtime);
        state.pending.is_empty() && built_from == Some(Some(state.version.0))
    });
    first
}

/// Kills a process while one of its storage requests is on the way to the store (`Fault::Hang`) or the answer is on the
/// way back (`Fault::HangAnswer`), and checks what it left.
fn kill_at(operation: Operation, at: usize, fault: Fault) -> String {
    let runtime = runtime();
    let place = Place::container();
    let _first = with_one_task(&place, &runtime);
    let before = task_text(&place, &runtime, operation.file);
    let proxy = place.proxy(&runtime);
    let doomed = Service::start(&mut place.command_by(&proxy));
    assert_eq!(doomed.get("/codex").header("x-codex-cache"), "artifact");
    let (method, folder, nth) = operation.requests[at];
    proxy.plan_at(method, folder, nth, fault);
    let running = doomed.begin_json(operation.method, operation.path, operation.body);
    eventually("the request hangs", || proxy.hangs());
    // An answer sent before the fault is already on its way; the rest is cut off.
    thread::sleep(Duration::from_millis(20));
    doomed.kill();
    let answer = Answer::try_read(running).filter(|answer| answer.status < 300);

    let after = Service::start(place.command().env("CODEX_PENDING_EXPIRY_SECONDS", "1"));
    let week = after.get("/codex");
    assert_eq!(week.status, 200, "the next read works at once");
    let whole = task_text(&place, &runtime, operation.file);
    let happened = whole
        .as_ref()
        .is_some_and(|text| text.contains(operation.marker));
    assert!(
        happened || whole == before,
        "{whole:?} is neither before nor after"
    );
    assert!(
        happened || answer.is_none(),
        "an acknowledged {} is lost",
        operation.name
    );
    let next = create(&after, "Danach");
    assert_eq!(
        next.status, 201,
        "the next write works at once: {}",
        next.body
    );
    let seen = after.send("/codex", &with_version(&next)).json();
    assert!(titles(&seen).contains(&"Danach".to_owned()));
    read_until_settled(&after, || place.state(&runtime));
    let settled = task_text(&place, &runtime, operation.file);
    assert_eq!(settled, whole, "settling changes no task");
    format!(
        "{} killed {} {method} {folder} {nth}: {}, {}",
        operation.name,
        if fault == Fault::Hang {
            "before"
        } else {
            "after"
        },
        if happened { "there" } else { "not there" },
        if answer.is_some() {
            "acknowledged"
        } else {
            "not acknowledged"
        },
    )
}

/// Readers settle the intents that were left once these expire; the pause keeps the reads within the limit per minute.
fn read_until_settled(service: &Service, state: impl Fn() -> State) {
    eventually("what was left is settled", || {
        let settled = state().pending.is_empty();
        if !settled {
            thread::sleep(Duration::from_millis(1_100));
            let read = service.send("/codex", "cache-control: no-cache\r\n");
            assert_eq!(read.status, 200, "{}", read.body);
        }
        settled
    });
}

/// Every point between two storage requests, not a sample of them.
#[test]
fn kill_between_any_two_storage_requests_loses_nothing() {
    let cases: Vec<(Operation, usize, Fault)> = OPERATIONS
        .iter()
        .flat_map(|operation| {
            (0..operation.requests.len()).flat_map(|at| {
                [Fault::Hang, Fault::HangAnswer].map(|fault| (*operation, at, fault))
            })
        })
        .collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..7 {
            scope.spawn(|| {
                while let Some((operation, at, fault)) =
                    cases.get(next.fetch_add(1, Ordering::SeqCst))
                {
                    println!("{}", kill_at(*operation, *at, *fault));
                }
            });
        }
    });
}

/// The enumeration above is complete: an operation makes these requests, and no others.
#[test]
fn an_op_makes_the_storage_requests_at_which_it_is_killed_and_no_others() {
    let places = || [Place::container(), Place::identity()];
    for (operation, place) in OPERATIONS
        .iter()
        .flat_map(|it| places().map(|place| (it, place)))
    {
        let runtime = runtime();
        let _first = with_one_task(&place, &runtime);
        let proxy = place.proxy(&runtime);
        let service = Service::start(&mut place.command_by(&proxy));
        assert_eq!(service.get("/codex").header("x-codex-cache"), "artifact");
        proxy.take_requests();
        let answer = service.send_json(operation.method, operation.path, operation.body);
        assert!(answer.status < 300, "{}", answer.body);
        let seen = std::cell::RefCell::new(vec![]);
        eventually("the artifact is written", || {
            seen.borrow_mut().extend(proxy.take_requests());
            seen.borrow().iter().any(|it| it.contains("/artifacts/"))
        });
        thread::sleep(Duration::from_millis(100));
        seen.borrow_mut().extend(proxy.take_requests());
        let seen = seen.into_inner();
        let kinds = seen.iter().map(|request: &String| {
            let method = request.split(' ').next().unwrap().to_owned();
            let folder = ["/state/", "/raw/", "/artifacts/"];
            let folder = folder.into_iter().find(|it| request.contains(it)).unwrap();
            format!("{method} {folder}")
        });
        let mut kinds: Vec<String> = kinds.collect();
        let expected = operation.requests.iter();
        let mut expected: Vec<String> = expected
            .map(|(method, folder, _)| format!("{method} {folder}"))
            .collect();
        kinds.sort();
        expected.sort();
        assert_eq!(kinds, expected, "{}", operation.name);
    }
}

/// A folder has no connection to cut; kills at many moments take its place.
#[test]
fn kill_at_many_moments_over_a_folder_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = codex_miroir();
        command.env("CODEX_DATA_DIR", folder.path());
        Service::start(command.env("CODEX_PENDING_EXPIRY_SECONDS", "1"))
    };
    let mut acknowledged = BTreeSet::new();
    for round in 0..40u64 {
        let doomed = start();
        let running: Vec<_> = (0..6)
            .map(|number| {
                let body = json!({"kategorie": "arbeit", "title": format!("R{round}n{number}")});
                doomed.begin_json("POST", "/api/tasks", &body.to_string())
            })
            .collect();
        thread::sleep(Duration::from_millis(round * 2));
        doomed.kill();
        for answer in running.into_iter().filter_map(Answer::try_read) {
            assert_eq!(answer.status, 201, "{}", answer.body);
            let document: Value = serde_json::from_str(&answer.body).unwrap();
            acknowledged.insert(document["filename"].as_str().unwrap().to_owned());
        }
        let next = start();
        assert_eq!(next.get("/codex").status, 200);
        let body = json!({"kategorie": "arbeit", "title": format!("R{round}danach")});
        let created = next.send_json("POST", "/api/tasks", &body.to_string());
        acknowledged.insert(created.json()["filename"].as_str().unwrap().to_owned());
    }
    assert!(
        acknowledged.len() > 40,
        "none of those that were killed had answered"
    );
    let service = start();
    read_until_settled(&service, || {
        let state = std::fs::read(folder.path().join("state/local/state.json")).unwrap();
        State::parse(&state).unwrap().unwrap()
    });
    let tasks = folder.path().join("raw/local/tasks");
    for name in &acknowledged {
        let text = std::fs::read_to_string(tasks.join(name)).unwrap();
        assert!(text.contains("typ: task"), "{name}: {text}");
    }
    whole_files_only(&tasks);
}

/// Every file is a whole task, or settled.
fn whole_files_only(tasks: &Path) {
    for entry in std::fs::read_dir(tasks).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(stem) = name.strip_suffix(".md") {
            let title = &stem[5..];
            let whole = format!(
                "---\ntyp: task\nkategorie: arbeit\nstatus: offen\ntags: []\nfixedSlot: null\n---\n\n# {title}\n"
            );
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text == whole || text == TOMBSTONE_FILE, "{name}: {text:?}");
        }
    }
}
