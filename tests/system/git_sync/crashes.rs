//! `kill -9` between every two storage requests by which a file is taken from Git or pushed to it, while the repository
//! moves on: a half-finished transfer must not be taken for an edit.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::azurite::azurite;
use crate::support::mirror::{Mirror, create, tick};
use crate::support::process::{Service, begin, eventually};
use crate::support::scene::task;
use crate::support::tcp_proxy::{Fault, TcpProxy};

/// Cases that run at a time: most of the time is spent waiting.
const CONCURRENT_CASES: usize = 4;

/// A request: its method, a part of its path, and which of several such ones.
type WriteRequest = (&'static str, &'static str, usize);

/// The writes of a delivery that brings one new file, in order.
const DELIVERY_WRITES: [WriteRequest; 10] = [
    ("PUT", "git.json", 1),
    ("PUT", "/queue/anna", 1),
    ("PUT", "git.json", 2),
    ("PUT", "state.json", 1),
    ("PUT", "/queue/anna", 2),
    ("PUT", "/raw/", 1),
    ("PUT", "git.json", 3),
    ("PUT", "state.json", 2),
    ("PUT", ".github.json", 1),
    ("DELETE", "/queue/anna", 1),
];

/// The writes of a push of one edit, in order, starting with the edit's own write intent.
const PUSH_WRITES: [WriteRequest; 5] = [
    ("PUT", "state.json", 2),
    ("PUT", "git.json", 1),
    ("PUT", "git.json", 2),
    ("PUT", ".github.json", 1),
    ("DELETE", "/queue/anna", 1),
];

/// The writes of a deletion and its push, in order, and whether the task is gone if the process dies while that request
/// isn't there yet, and after it was. The hint is put beside the file.
const DELETION_WRITES: [(WriteRequest, [Option<bool>; 2]); 7] = [
    (("PUT", "state.json", 1), [Some(false), Some(false)]),
    (("DELETE", "/raw/", 1), [Some(false), Some(true)]),
    (("PUT", "/queue/anna", 1), [None, None]),
    (("PUT", "state.json", 2), [Some(true), Some(true)]),
    (("PUT", "git.json", 1), [Some(true), Some(true)]),
    (("PUT", ".github.json", 1), [Some(true), Some(true)]),
    (("DELETE", "/queue/anna", 1), [Some(true), Some(true)]),
];

/// A mirror, a service behind a connection that can be cut, and a task that both sides have.
async fn set_up() -> (Mirror, TcpProxy, Service) {
    let mirror = Mirror::over_azurite().with("CODEX_PENDING_EXPIRY_SECONDS", "1");
    let proxy = TcpProxy::start(azurite().port()).await;
    let mut command = mirror.command();
    command.env("AZURE_BLOB_CONN", azurite().with_key(proxy.port()));
    let service = Service::start(&mut command);
    create(&service, "Hier");
    mirror.until_equal(&service).await;
    mirror.taken_in(&service).await;
    (mirror, proxy, service)
}

fn cuts<const N: usize>(steps: [WriteRequest; N]) -> impl Iterator<Item = (WriteRequest, Fault)> {
    steps
        .into_iter()
        .flat_map(|step| [Fault::Hang, Fault::HangAnswer].map(|cut| (step, cut)))
}

/// Runs all cases, each in a runtime of its own: the proxy must go on while the case blocks.
fn run_all(cases: impl Iterator<Item: Future> + Send) {
    let cases = Mutex::new(cases);
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_CASES {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().next() else {
                        return;
                    };
                    Runtime::new().unwrap().block_on(case);
                }
            });
        }
    });
}

#[test]
fn what_was_being_taken_when_the_process_died_is_not_taken_for_an_edit() {
    let cases = cuts(DELIVERY_WRITES).map(async |((method, path, nth), cut)| {
        let (mirror, proxy, service) = set_up().await;
        mirror.commit(&[("0005-Neu.md", Some(&task("Neu")))], "Add");
        let delivery = mirror.github.take_deliveries().pop().unwrap();
        proxy.plan_at(method, path, nth, cut);
        let url = format!("http://{}/github/webhook", service.address);
        let (_, ()) = tokio::join!(mirror.github.deliver(&delivery, &url), async {
            eventually("the request is cut", || proxy.hangs());
            service.kill();
        });
        mirror.commit(&[("0005-Neu.md", None)], "Take it away again");
        mirror.github.drop_deliveries();
        let service = mirror.service();
        service
            .send_json("PATCH", "/api/tasks/0000", r#"{"tags": ["weiter"]}"#)
            .json();
        tick_until_equal(&mirror, &service).await;
        let files = mirror.in_git();
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            ["0000-Hier.md"],
            "{method} {path} {nth}, {cut:?}"
        );
        assert!(files["0000-Hier.md"].contains("weiter"));
        println!("taking, killed at {method} {path} {nth}, {cut:?}: as it should be");
    });
    run_all(cases);
}

/// A client that edits a file just taken from Git can't know that its base wasn't recorded.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_what_was_just_taken_is_an_edit_of_that() {
    let old = "---\ntyp: task\nkategorie: arbeit\nstatus: offen\ntags: [alt]\n---\n\nText\n";
    let new = old.replace("[alt]", "[neu]");
    for tags in [["alt"], ["anders"]] {
        let (mirror, proxy, service) = set_up().await;
        mirror.commit(&[("0005-Da.md", Some(old))], "Add");
        mirror.taken_in(&service).await;
        mirror.commit(&[("0005-Da.md", Some(&new))], "Edit");
        let delivery = mirror.github.take_deliveries().pop().unwrap();
        // The file is taken, but its base isn't recorded.
        proxy.plan_at("PUT", "git.json", 3, Fault::Hang);
        let url = format!("http://{}/github/webhook", service.address);
        let (_, ()) = tokio::join!(mirror.github.deliver(&delivery, &url), async {
            eventually("the request is cut", || proxy.hangs());
            service.kill();
        });
        let service = mirror.service_without_github();
        assert!(mirror.in_store().await["0005-Da.md"].contains("neu"));
        let body = json!({"tags": tags}).to_string();
        service.send_json("PATCH", "/api/tasks/0005", &body).json();
        drop(service);
        let service = mirror.service();
        service.send_json("POST", "/sync", "").json();
        tick_until_equal(&mirror, &service).await;
        let text = mirror.in_git()["0005-Da.md"].clone();
        assert!(text.contains(tags[0]), "{text}");
        let week = service.get("/codex?nocache=true").json();
        assert_eq!(week["problems"], json!([]), "{tags:?}");
    }
}

/// A take that was recorded in advance and never happened doesn't keep edits from Git.
#[tokio::test(flavor = "multi_thread")]
async fn a_take_that_never_happened_holds_nothing_up() {
    let (mirror, proxy, service) = set_up().await;
    mirror.deliver(&service).await;
    let before = mirror.in_git()["0000-Hier.md"].clone();
    mirror.commit(
        &[("0000-Hier.md", Some(&format!("{before}Mehr\n")))],
        "Edit",
    );
    let delivery = mirror.github.take_deliveries().pop().unwrap();
    proxy.plan_at("PUT", "/raw/", 1, Fault::Hang);
    let url = format!("http://{}/github/webhook", service.address);
    let (_, ()) = tokio::join!(mirror.github.deliver(&delivery, &url), async {
        eventually("the request is cut", || proxy.hangs());
        service.kill();
    });
    mirror.commit(&[("0000-Hier.md", Some(&before))], "Take it back");
    let service = mirror.service();
    let body = r#"{"tags": ["weiter"]}"#;
    service.send_json("PATCH", "/api/tasks/0000", body).json();
    tick_until_equal(&mirror, &service).await;
    assert!(mirror.in_git()["0000-Hier.md"].contains("weiter"));
}

#[test]
fn what_was_being_pushed_when_the_process_died_is_no_conflict() {
    let cases = cuts(PUSH_WRITES).map(async |((method, path, nth), cut)| {
        let (mirror, proxy, service) = set_up().await;
        proxy.plan_at(method, path, nth, cut);
        let body = json!({"tags": ["eins"]}).to_string();
        let headers = "content-type: application/json\r\n";
        let answer = begin(&service.address, "PATCH", "/api/tasks/0000", headers, &body);
        eventually("the request is cut", || proxy.hangs());
        service.kill();
        drop(answer);
        let service = mirror.service();
        let edit = service.send_json("PATCH", "/api/tasks/0000", r#"{"deadline": "31.12.2026"}"#);
        edit.json();
        tick_until_equal(&mirror, &service).await;
        let text = mirror.in_git()["0000-Hier.md"].clone();
        assert!(
            text.contains("eins") && text.contains("31.12.2026"),
            "{text}"
        );
        let week = service.get("/codex?nocache=true").json();
        assert_eq!(
            week["problems"],
            json!([]),
            "{method} {path} {nth}, {cut:?}"
        );
        println!("pushing, killed at {method} {path} {nth}, {cut:?}: as it should be");
    });
    run_all(cases);
}

#[test]
fn what_was_being_deleted_when_the_process_died_is_on_both_sides_or_on_none() {
    let cases = DELETION_WRITES.into_iter().flat_map(|(request, gone)| {
        [Fault::Hang, Fault::HangAnswer]
            .into_iter()
            .zip(gone)
            .map(move |(cut, gone)| (request, cut, gone))
    });
    let cases = cases.map(async |((method, path, nth), cut, gone)| {
        let (mirror, proxy, service) = set_up().await;
        create(&service, "Bleibt");
        mirror.until_equal(&service).await;
        mirror.taken_in(&service).await;
        proxy.plan_at(method, path, nth, cut);
        let answer = begin(&service.address, "DELETE", "/api/tasks/0000", "", "");
        eventually("the request is cut", || proxy.hangs());
        service.kill();
        drop(answer);
        let service = mirror.service();
        let edit = r#"{"deadline": "31.12.2026"}"#;
        service.send_json("PATCH", "/api/tasks/0001", edit).json();
        tick_until_equal(&mirror, &service).await;
        let files = mirror.in_git();
        let what = format!("{method} {path} {nth}, {cut:?}");
        assert!(files["0001-Bleibt.md"].contains("31.12.2026"), "{what}");
        if let Some(gone) = gone {
            assert_eq!(!files.contains_key("0000-Hier.md"), gone, "{what}");
        }
        println!("deleting, killed at {what}: as it should be");
    });
    run_all(cases);
}

/// Calls the timer until both sides are equal.
async fn tick_until_equal(mirror: &Mirror, service: &Service) {
    for _ in 0..40 {
        tick(service);
        if mirror.queue().await.is_empty() && mirror.in_store().await == mirror.in_git() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    mirror.until_equal(service).await;
}
