//! Scaling: random reads from memory with 1, 1,000 and 100,000 people cached; memory while one client walks
//! through all of them; and one person's requests with 10 to 9,999 tasks. Real processes over TCP, on folders.
//!
//! `cargo bench --bench scale -- [seconds per run, default 3] [pairs, default 7]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "support/bare.rs"]
#[allow(dead_code)]
mod bare;
#[path = "support/client.rs"]
mod client;
#[path = "support/light_client.rs"]
#[allow(dead_code)]
mod light_client;
#[path = "support/people.rs"]
mod people;
#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "support/samples.rs"]
mod samples;

use std::path::Path;
use std::time::{Duration, Instant};

use bare::{answer, serve_bare_to, start_bare_to};
use client::{Client, header};
use light_client::Figures;
use people::{account, person, principal, resident_mib, start, until_idle, week_of};
use process::{Process, median};
use samples::write_samples;
use tempfile::NamedTempFile;

/// Tasks of each person.
const TASKS: usize = 20;

const MANY: usize = 100_000;

/// Settings under which memory entries are neither evicted nor revalidated during a run.
const LONG_TTLS: [(&str, &str); 3] = [
    ("CODEX_MEMORY_MAX_BYTES", "8589934592"),
    ("CODEX_MEMORY_TTL_SECONDS", "86400"),
    ("CODEX_REVALIDATE_SECONDS", "86400"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["bare", recorded, people] => {
            let people = 0..people.parse().unwrap();
            return serve_bare_to(people.map(principal), recorded);
        }
        ["client", address, seconds, requests] => {
            return light_client::client(address, seconds, requests);
        }
        _ => {}
    }
    let arguments: Vec<u64> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let number = |at: usize, default| arguments.get(at).copied().unwrap_or(default);
    let span = Duration::from_secs(number(0, 3));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let data = tempfile::tempdir().unwrap();
    prepare_population(&runtime, data.path());
    cached(&runtime, data.path(), span, number(1, 7));
    walk(&runtime, data.path());
    drop(data);
    println!("One person, in milliseconds: the median, and from how many");
    for tasks in [10, 100, 1_000, 9_999] {
        one_person(&runtime, tasks);
    }
}

/// Starts the service on this folder, and waits until it has compared every user's files with the artifact, which it
/// does in the background.
fn start_service(folder: &Path, settings: &[(&str, &str)]) -> Process {
    let folder = folder.to_string_lossy();
    let mut all = vec![("CODEX_DATA_DIR", &*folder)];
    all.extend_from_slice(settings);
    let service = start(&all);
    until_idle(service.child.id());
    service
}

/// Writes everyone's state, artifact and owner record: copies of what the service wrote for the first person, whose
/// task files are everyone's.
fn prepare_population(runtime: &tokio::runtime::Runtime, folder: &Path) {
    let first = person(0);
    write_samples(folder, &first, TASKS);
    let service = start_service(folder, &[]);
    runtime.block_on(async {
        let mut connection = Client::connect(&service.address).await;
        connection.send(week_of(0).as_bytes()).await;
        // The artifact is written after the response.
        let artifact = folder.join("artifacts").join(&first).join("timeline.json");
        while !artifact.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    drop(service);
    for (kind, name) in [("state", "state.json"), ("artifacts", "timeline.json")] {
        let kind = folder.join(kind);
        let text = std::fs::read_to_string(kind.join(&first).join(name)).unwrap();
        for number in 1..MANY {
            let theirs = kind.join(person(number));
            std::fs::create_dir_all(&theirs).unwrap();
            std::fs::write(theirs.join(name), text.replace(&first, &person(number))).unwrap();
        }
    }
    for number in 1..MANY {
        std::os::unix::fs::symlink(&first, folder.join("raw").join(person(number))).unwrap();
        let owner = serde_json::json!({"format": "1.0", "githubId": account(number)});
        let file = folder.join("state").join(person(number)).join("owner.json");
        std::fs::write(file, owner.to_string()).unwrap();
    }
}

/// Reads the weeks of the first `people` once each; every response must be from `layer`.
async fn visit(address: &str, people: usize, layer: &str) {
    let mut connection = Client::connect(address).await;
    for number in 0..people {
        let (head, _) = connection.send(week_of(number).as_bytes()).await;
        let head = std::str::from_utf8(head).unwrap();
        assert_eq!(header(head, "x-codex-cache"), Some(layer), "{head}");
    }
}

/// A server with so many people's weeks in memory, the requests to it, and its figures.
struct Row {
    name: String,
    server: Process,
    /// As many for every row, so that picking one costs the client the same.
    requests: NamedTempFile,
    figures: Vec<Figures>,
}

fn cached(runtime: &tokio::runtime::Runtime, folder: &Path, span: Duration, pairs: u64) {
    let recorded = NamedTempFile::new().unwrap();
    let mut rows = Vec::new();
    for people in [1, 1_000, MANY] {
        let service = start_service(folder, &LONG_TTLS);
        runtime.block_on(visit(&service.address, people, "artifact"));
        // Each form of a response is rendered at the first request for it; the second visit finds all cached.
        runtime.block_on(visit(&service.address, people, "memory"));
        let (head, body) = runtime.block_on(answer(&service.address, &week_of(0)));
        let bare = start_bare_to(people, recorded.path(), &head, &body);
        for (name, server) in [("service", service), ("bare", bare)] {
            let requests = NamedTempFile::new().unwrap();
            let all: String = (0..MANY).map(|it| week_of(it % people)).collect();
            std::fs::write(requests.path(), all).unwrap();
            rows.push(Row {
                name: format!("{people:7} people, {name:7}"),
                server,
                requests,
                figures: Vec::new(),
            });
        }
    }
    // The first round warms up.
    for _ in 0..=pairs {
        for row in &mut rows {
            let figures = light_client::run(&row.server, row.requests.path(), span);
            row.figures.push(figures);
        }
    }
    println!(
        "GET /codex from memory, {TASKS} tasks each, 32 connections, {pairs} rounds of {span:?}; bare: an axum \
         handler that finds each one's answer in a HashMap"
    );
    for row in &rows {
        let ratio = |to: &Row, of: fn(&Figures) -> f64| {
            let pairs = row.figures.iter().zip(&to.figures).skip(1);
            median(&mut pairs.map(|(it, to)| of(it) / of(to)).collect::<Vec<_>>())
        };
        let middle = |of: fn(&Figures) -> f64| {
            median(&mut row.figures.iter().skip(1).map(of).collect::<Vec<_>>())
        };
        let one = rows
            .iter()
            .find(|it| it.name.ends_with(&row.name[14..]))
            .unwrap();
        println!(
            "  {}: {:7.0} requests/s ({:.3} of one person's), p99 {:5.0} µs ({:.3}), {:.2} µs of processor each ({:.3}); {:4.0} MiB",
            row.name,
            middle(|it| it.per_second),
            ratio(one, |it| it.per_second),
            middle(|it| it.p99),
            ratio(one, |it| it.p99),
            middle(|it| it.server_cpu),
            ratio(one, |it| it.server_cpu),
            resident_mib(row.server.child.id())
        );
    }
    for (people, pair) in [1, 1_000, MANY].iter().zip(rows.chunks(2)) {
        let ratio = |of: fn(&Figures) -> f64| {
            let rounds = pair[0].figures.iter().zip(&pair[1].figures).skip(1);
            let ratios = rounds.map(|(service, bare)| of(service) / of(bare));
            median(&mut ratios.collect::<Vec<_>>())
        };
        println!(
            "  {people:7} people, service to bare: {:.3} of the requests/s, {:.3} of the p99, {:.3} of the processor time",
            ratio(|it| it.per_second),
            ratio(|it| it.p99),
            ratio(|it| it.server_cpu),
        );
    }
}

/// One client reads everyone's week in turn, with the default memory limit.
fn walk(runtime: &tokio::runtime::Runtime, folder: &Path) {
    let service = start_service(folder, &[]);
    println!("A walk through {MANY} people, 128 MiB allowed for entries:");
    for quarter in 1..=4 {
        let began = Instant::now();
        let peak = runtime.block_on(async {
            let mut connection = Client::connect(&service.address).await;
            let mut peak: f64 = 0.0;
            for number in (quarter - 1) * MANY / 4..quarter * MANY / 4 {
                connection.send(week_of(number).as_bytes()).await;
                if number % 500 == 0 {
                    peak = peak.max(resident_mib(service.child.id()));
                }
            }
            peak
        });
        println!(
            "  after {:6}: {:5.0} MiB resident, at most {peak:5.0} MiB; {:.0} requests/s by one client",
            quarter * MANY / 4,
            resident_mib(service.child.id()),
            (MANY / 4) as f64 / began.elapsed().as_secs_f64()
        );
    }
}

/// The latencies of one person's requests with so many tasks.
fn one_person(runtime: &tokio::runtime::Runtime, tasks: usize) {
    let folder = tempfile::tempdir().unwrap();
    write_samples(folder.path(), &person(0), tasks);
    let week = week_of(0);
    let mut instance_with_nothing = Vec::new();
    for _ in 0..5 {
        let _ = std::fs::remove_dir_all(folder.path().join("artifacts"));
        let service = start_service(folder.path(), &LONG_TTLS);
        let (time, layer, _) = runtime.block_on(timed(&service.address, &week));
        assert_eq!(layer, "rebuild");
        instance_with_nothing.push(time);
    }
    let artifact = folder
        .path()
        .join("artifacts")
        .join(person(0))
        .join("timeline.json");
    let mut instance_with_artifact = Vec::new();
    let mut size = 0;
    for _ in 0..5 {
        // Written after the response, so the instance is kept until the file exists.
        let service = start_service(folder.path(), &LONG_TTLS);
        runtime.block_on(timed(&service.address, &week));
        while !artifact.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(service);
        let service = start_service(folder.path(), &LONG_TTLS);
        let (time, layer, bytes) = runtime.block_on(timed(&service.address, &week));
        assert_eq!(layer, "artifact");
        instance_with_artifact.push(time);
        size = bytes;
    }
    let service = start_service(folder.path(), &LONG_TTLS);
    runtime.block_on(timed(&service.address, &week));
    let (mut memory, mut changes, mut after, mut creates) = (vec![], vec![], vec![], vec![]);
    runtime.block_on(async {
        for _ in 0..501 {
            memory.push(timed(&service.address, &week).await.0);
        }
        for change in 0..21 {
            let body = format!(r#"{{"tags":["neu-{change}"]}}"#);
            let task = change % tasks;
            let path = format!("/api/tasks/{task:04}");
            changes.push(
                timed(&service.address, &write_request("PATCH", &path, &body))
                    .await
                    .0,
            );
            after.push(timed(&service.address, &week).await.0);
        }
        // Close to 9,999 tasks no numbers are left.
        if tasks < 9_000 {
            for number in 0..21 {
                let body = format!(r#"{{"kategorie":"arbeit","title":"Neu {number}"}}"#);
                creates.push(
                    timed(
                        &service.address,
                        &write_request("POST", "/api/tasks", &body),
                    )
                    .await
                    .0,
                );
            }
        }
    });
    let artifact = std::fs::metadata(&artifact).unwrap().len();
    println!(
        "  {tasks:5} tasks: read from memory {:7.3} (501), after a change {:7.3} (21); change {:7.3} (21), create {}; \
         new instance by the artifact {:7.2} (5), by all files {:8.2} (5); answer {:.1} KB gzip, artifact {:.1} KB, {:.0} MiB",
        median(&mut memory),
        median(&mut after),
        median(&mut changes),
        match creates.as_mut_slice() {
            [] => "none left".to_owned(),
            creates => format!("{:7.3} (21)", median(creates)),
        },
        median(&mut instance_with_artifact),
        median(&mut instance_with_nothing),
        size as f64 / 1e3,
        artifact as f64 / 1e3,
        resident_mib(service.child.id())
    );
}

/// A write request of the first person.
fn write_request(method: &str, path: &str, body: &str) -> String {
    let head = week_of(0).replacen("GET /codex", &format!("{method} {path}"), 1);
    let more = format!(
        "\r\norigin: https://codex.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    format!("{}{more}", head.trim_end())
}

/// The latency in milliseconds, the layer that answered, and the body's size.
async fn timed(address: &str, request: &str) -> (f64, String, usize) {
    let mut connection = Client::connect(address).await;
    let sent = Instant::now();
    let (head, body) = connection.send(request.as_bytes()).await;
    let time = sent.elapsed().as_secs_f64() * 1e3;
    let head = std::str::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 20"), "{head}");
    let layer = header(head, "x-codex-cache").unwrap_or_default();
    (time, layer.to_owned(), body.len())
}
