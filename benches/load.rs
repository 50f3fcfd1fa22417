//! Load of thousands of users with a Zipf distribution: real processes over TCP, 95 % reads and 5 % writes, on a
//! folder, on Azurite, and on Azurite with a delay on every storage call (median 10 ms, 1 % above 50 ms). Prints
//! throughput, latencies by operation and by the layer that answered, storage requests, CPU and memory; for
//! comparison, a bare axum handler under the same clients. Every client sends the version it has seen, and checks
//! that reads are monotonic.
//!
//! `cargo bench --bench load -- [seconds per row, default 10]`, or
//! `cargo bench --bench load -- soak MINUTES`: one row at half load, its first quarter beside its last.
//! Needs Azurite where `tests/run` installs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "../tests/support/azurite.rs"]
#[allow(dead_code, unreachable_pub)]
mod azurite;
#[path = "support/bare.rs"]
mod bare;
#[path = "support/client.rs"]
mod client;
#[path = "support/people.rs"]
#[allow(dead_code)]
mod people;
#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/slow_line.rs"]
mod slow_line;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use azurite::azurite;
use bare::{answer, serve_bare, start_bare};
use client::{Client, header};
use codex_miroir::store::{BlobKey, BlobStore, Put, PutIf, WriteId, WriteIds};
use codex_miroir::user::UserId;
use futures::stream::StreamExt;
use people::{cpu_seconds, person, principal, resident_mib, week_of};
use process::{Process, median};
use samples::{sample_file, write_samples};

/// Concurrent clients; each sends every request as another person.
const CLIENTS: usize = 32;

/// Tasks of each person at the start.
const TASKS: usize = 20;

/// The percentage of requests that write.
const WRITES: u32 = 5;

/// The token for the service's `GET /metrics`.
const METRICS_TOKEN: &str = "counts-for-the-soak";

/// The storage under test.
#[derive(Clone)]
enum StorageLocation {
    Folder(Arc<tempfile::TempDir>),
    Azurite { container: String, port: u16 },
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with("--bench"))
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bare", recorded] => serve_bare(recorded),
        ["soak", minutes] => soak(minutes.parse().expect("minutes")),
        [] => rows(Duration::from_secs(10)),
        [seconds] => rows(Duration::from_secs(seconds.parse().expect("seconds"))),
        _ => panic!("no such form"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn rows(span: Duration) {
    let runtime = runtime();
    let folder = folder(2_000);
    for instances in 1..=3 {
        row("folder", &runtime, &folder, 2_000, instances, span);
    }
    compare_with_bare(&runtime, span);
    let people = 100;
    let near = runtime.block_on(container(people, azurite().port()));
    for instances in [1, 3] {
        row("Azurite", &runtime, &near, people, instances, span);
    }
    let slow = runtime.block_on(slow_line::start(azurite().port()));
    let far = runtime.block_on(container(people, slow));
    for instances in [1, 3] {
        row(
            "Azurite, 10 ms away",
            &runtime,
            &far,
            people,
            instances,
            span,
        );
    }
}

fn folder(people: usize) -> StorageLocation {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..people {
        write_samples(folder.path(), &person(number), TASKS);
    }
    StorageLocation::Folder(Arc::new(folder))
}

/// A container with everyone's files.
async fn container(people: usize, port: u16) -> StorageLocation {
    let container = azurite().container();
    let store = &azurite().store(&container);
    let files = (0..people).flat_map(|who| (0..TASKS).map(move |task| (who, sample_file(task))));
    futures::stream::iter(files)
        .for_each_concurrent(16, |(who, (name, text))| async move {
            let key = BlobKey::raw(&UserId::parse(&person(who)).unwrap(), &name).unwrap();
            let put = Put {
                bytes: text.into(),
                writes: WriteIds::default().with_newest(WriteId(1)),
            };
            store.put(&key, put, PutIf::Any).await.unwrap();
        })
        .await;
    StorageLocation::Azurite { container, port }
}

fn start(place: &StorageLocation) -> Process {
    match place {
        StorageLocation::Folder(folder) => people::start(&[
            ("CODEX_DATA_DIR", &folder.path().to_string_lossy()),
            ("CODEX_METRICS_TOKEN", METRICS_TOKEN),
        ]),
        StorageLocation::Azurite { container, port } => people::start(&[
            ("AZURE_BLOB_CONN", &azurite().with_key(*port)),
            ("AZURE_BLOB_CONTAINER", container),
        ]),
    }
}

/// The state that all clients share.
struct Population {
    addresses: Vec<String>,
    principals: Vec<String>,
    /// The highest version seen of each person's tasks, by any client.
    seen: Vec<AtomicU64>,
    /// Cumulative Zipf weights: the sums of 1/1, 1/2, 1/3, …
    cumulative_weights: Vec<f64>,
    /// Responses with an older version than was seen before the request.
    regressions: AtomicUsize,
}

impl Population {
    fn new(addresses: Vec<String>, people: usize) -> Self {
        let mut sum = 0.0;
        let cumulative_weights = (1..=people).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self {
            addresses,
            principals: (0..people).map(principal).collect(),
            seen: (0..people).map(|_| AtomicU64::new(0)).collect(),
            cumulative_weights: cumulative_weights.collect(),
            regressions: AtomicUsize::new(0),
        }
    }

    fn pick(&self, random: &mut fastrand::Rng) -> usize {
        let at = random.f64() * self.cumulative_weights.last().unwrap();
        self.cumulative_weights
            .partition_point(|sum| *sum < at)
            .min(self.cumulative_weights.len() - 1)
    }
}

/// One completed request.
struct Sample {
    kind: String,
    seconds: f64,
    /// Storage requests before the response, by `Server-Timing`.
    storage: u32,
    at: Duration,
}

/// One client: sends requests for `span`, with `pause` between a response and the next request.
async fn client(
    population: &Population,
    seed: u64,
    span: Duration,
    pause: Duration,
) -> Vec<Sample> {
    // A soak run has pauses, and its data must not grow.
    let creates = pause.is_zero();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut connections = Vec::new();
    for address in &population.addresses {
        connections.push(Client::connect(address).await);
    }
    let mut samples = Vec::with_capacity(1 << 14);
    let began = Instant::now();
    while began.elapsed() < span {
        let who = population.pick(&mut random);
        let at = random.usize(0..connections.len());
        let write = random.u32(0..100) < WRITES;
        let create = write && creates && random.bool();
        let (method, path, body) = if create {
            let title = format!("Neu {}", random.u64(..));
            let body = format!(r#"{{"kategorie":"arbeit","title":"{title}"}}"#);
            ("POST", "/api/tasks".to_owned(), body)
        } else if write {
            let task = random.usize(0..TASKS);
            let body = format!(r#"{{"tags":["neu-{}"]}}"#, random.u32(..));
            ("PATCH", format!("/api/tasks/{task:04}"), body)
        } else {
            ("GET", "/codex".to_owned(), String::new())
        };
        let seen = population.seen[who].load(Ordering::Acquire);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: codex.example\r\naccept-encoding: gzip\r\nx-ms-client-principal: {}\r\n\
             x-codex-version: {seen}\r\norigin: https://codex.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            population.principals[who],
            body.len()
        );
        let sent = Instant::now();
        let (head, response) = connections[at].send(request.as_bytes()).await;
        let seconds = sent.elapsed().as_secs_f64();
        let head = std::str::from_utf8(head).unwrap();
        let status = &head["HTTP/1.1 ".len()..][..3];
        assert!(
            status == "200" || status == "201",
            "{head}\n{}",
            String::from_utf8_lossy(response)
        );
        let version: u64 = header(head, "x-codex-version").unwrap().parse().unwrap();
        if version < seen {
            population.regressions.fetch_add(1, Ordering::Relaxed);
        }
        population.seen[who].fetch_max(version, Ordering::AcqRel);
        let kind = match (create, write) {
            (true, _) => "create".to_owned(),
            (_, true) => "change".to_owned(),
            _ => format!("read, {}", header(head, "x-codex-cache").unwrap()),
        };
        let storage = header(head, "server-timing").map_or(0, storage_requests);
        samples.push(Sample {
            kind,
            seconds,
            storage,
            at: began.elapsed(),
        });
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    samples
}

/// The sum of the counts in `reads;desc="2", writes;desc="0"`.
fn storage_requests(timing: &str) -> u32 {
    let numbers = timing.split('"').skip(1).step_by(2);
    numbers.filter_map(|it| it.parse::<u32>().ok()).sum()
}

async fn run_clients(population: &Population, span: Duration, pause: Duration) -> Vec<Sample> {
    let clients = (0..CLIENTS).map(|seed| client(population, seed as u64, span, pause));
    futures::future::join_all(clients)
        .await
        .into_iter()
        .flatten()
        .collect()
}

/// Reads everyone's week once on every instance; the latencies in seconds.
async fn visit(population: &Population, people: usize) -> Vec<f64> {
    let mut times = Vec::new();
    for address in &population.addresses {
        let mut connection = Client::connect(address).await;
        for who in 0..people {
            let request = week_of(who);
            let sent = Instant::now();
            connection.send(request.as_bytes()).await;
            times.push(sent.elapsed().as_secs_f64());
        }
    }
    times
}

fn row(
    name: &str,
    runtime: &tokio::runtime::Runtime,
    place: &StorageLocation,
    people: usize,
    instances: usize,
    span: Duration,
) {
    let processes: Vec<Process> = (0..instances).map(|_| start(place)).collect();
    let addresses = processes.iter().map(|it| it.address.clone()).collect();
    let population = Population::new(addresses, people);
    let mut cold = runtime.block_on(visit(&population, people));
    let cpu = |process: &Process| cpu_seconds(process.child.id());
    let before: f64 = processes.iter().map(cpu).sum();
    let samples = runtime.block_on(run_clients(&population, span, Duration::ZERO));
    let spent = processes.iter().map(cpu).sum::<f64>() - before;
    let memory = processes.iter().map(|it| resident_mib(it.child.id()));
    println!(
        "{name}: {people} people, {instances} instance(s), {span:?}: {:.0} requests/s; {:.2} cores, at most {:.0} MiB each; times backwards: {}",
        samples.len() as f64 / span.as_secs_f64(),
        spent / span.as_secs_f64(),
        memory.fold(0.0, f64::max),
        population.regressions.load(Ordering::Relaxed)
    );
    print_times("  first read of a person by an instance", &mut cold, None);
    print_kinds(&samples);
}

fn print_kinds(samples: &[Sample]) {
    let mut kinds = BTreeMap::<&str, (Vec<f64>, u32)>::new();
    for sample in samples {
        let (seconds, storage) = kinds.entry(&sample.kind).or_default();
        seconds.push(sample.seconds);
        *storage += sample.storage;
    }
    for (kind, (mut seconds, storage)) in kinds {
        let each = f64::from(storage) / seconds.len() as f64;
        print_times(&format!("  {kind}"), &mut seconds, Some(each));
    }
}

fn print_times(name: &str, seconds: &mut [f64], storage: Option<f64>) {
    seconds.sort_by(f64::total_cmp);
    let at = |part: f64| seconds[((seconds.len() - 1) as f64 * part) as usize] * 1e3;
    let storage = storage.map_or(String::new(), |it| {
        format!(", {it:.2} storage requests before the answer")
    });
    println!(
        "{name:42} {:8} ×, ms p50 {:8.3}, p99 {:8.3}, p99.9 {:8.3}{storage}",
        seconds.len(),
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// Reads of one person's week, from the service and from a bare handler.
fn compare_with_bare(runtime: &tokio::runtime::Runtime, span: Duration) {
    let place = folder(1);
    let service = start(&place);
    let request = week_of(0);
    runtime.block_on(answer(&service.address, &request));
    let (head, body) = runtime.block_on(answer(&service.address, &request));
    let recorded = tempfile::NamedTempFile::new().unwrap();
    let bare = start_bare(recorded.path(), &head, &body);
    let load = |address: &str| {
        runtime.block_on(async {
            let clients = (0..CLIENTS).map(|_| async {
                let mut connection = Client::connect(address).await;
                let mut seconds = Vec::with_capacity(1 << 16);
                let began = Instant::now();
                while began.elapsed() < span {
                    let sent = Instant::now();
                    connection.send(request.as_bytes()).await;
                    seconds.push(sent.elapsed().as_secs_f64());
                }
                seconds
            });
            let times = futures::future::join_all(clients).await;
            times.into_iter().flatten().collect::<Vec<f64>>()
        })
    };
    for (name, address) in [
        ("this service", &service.address),
        ("a bare axum handler", &bare.address),
    ] {
        let mut seconds = load(address);
        println!(
            "{name}, one person's week read and nothing else: {:.0} requests/s",
            seconds.len() as f64 / span.as_secs_f64()
        );
        print_times("  read", &mut seconds, None);
    }
}

/// Half the load for so many minutes on two instances and a folder, to reveal leaks.
fn soak(minutes: u64) {
    let runtime = runtime();
    let people = 500;
    let place = folder(people);
    let processes = [start(&place), start(&place)];
    let population = Population::new(
        processes.iter().map(|it| it.address.clone()).collect(),
        people,
    );
    runtime.block_on(visit(&population, people));
    runtime.block_on(change_all(&population, people));
    // A pause as long as a response under full load halves the load.
    let probe = runtime.block_on(run_clients(
        &population,
        Duration::from_secs(5),
        Duration::ZERO,
    ));
    let mut seconds: Vec<f64> = probe.iter().map(|it| it.seconds).collect();
    let pause = Duration::from_secs_f64(median(&mut seconds)).max(Duration::from_millis(1));
    let span = Duration::from_secs(minutes * 60);
    let watched = async {
        let over = tokio::time::sleep(span);
        let mut seen = Vec::new();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        tokio::pin!(over);
        loop {
            tokio::select! {
                _ = seconds.tick() => seen.push(ResourceUsage::of(&processes, &place).await),
                () = &mut over => return seen,
            }
        }
    };
    let (samples, seen) =
        runtime.block_on(async { tokio::join!(run_clients(&population, span, pause), watched) });
    println!(
        "{minutes} minutes, {people} people, 2 instances over a folder: {:.0} requests/s",
        samples.len() as f64 / span.as_secs_f64()
    );
    let quarter = seen.len() / 4;
    for (name, part, from) in [
        ("first quarter", &seen[..quarter], 0),
        ("last quarter", &seen[seen.len() - quarter..], 3),
    ] {
        let of = |figure: fn(&ResourceUsage) -> f64| {
            median(&mut part.iter().map(figure).collect::<Vec<_>>())
        };
        let mut seconds: Vec<f64> = samples
            .iter()
            .filter(|it| it.at >= span * from / 4 && it.at < span * (from + 1) / 4)
            .map(|it| it.seconds)
            .collect();
        println!(
            "{name}: {:.1} and {:.1} MiB resident, {} threads, {} asynchronous tasks, {} open files, {} files in the folder, \
             {} of them temporary",
            of(|it| it.resident[0]),
            of(|it| it.resident[1]),
            of(|it| it.threads),
            of(|it| it.tasks),
            of(|it| it.open),
            of(|it| it.files),
            of(|it| it.temporary)
        );
        print_times("  requests", &mut seconds, None);
    }
    println!(
        "times backwards: {}",
        population.regressions.load(Ordering::Relaxed)
    );
}

/// Changes every task once: the store keeps a write-id file beside each file the service has written, and these
/// must exist before files are counted.
async fn change_all(population: &Population, people: usize) {
    let clients = (0..CLIENTS).map(|first| async move {
        let mut connection = Client::connect(&population.addresses[first % population.addresses.len()]).await;
        for who in (first..people).step_by(CLIENTS) {
            for task in 0..TASKS {
                let body = r#"{"tags":["neu"]}"#;
                let request = format!(
                    "PATCH /api/tasks/{task:04} HTTP/1.1\r\nhost: codex.example\r\nx-ms-client-principal: {}\r\n\
                     origin: https://codex.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    population.principals[who],
                    body.len()
                );
                let (head, _) = connection.send(request.as_bytes()).await;
                assert!(head.starts_with(b"HTTP/1.1 200"));
            }
        }
    });
    futures::future::join_all(clients).await;
}

/// The resources that the processes use at one point in time.
struct ResourceUsage {
    resident: [f64; 2],
    threads: f64,
    tasks: f64,
    open: f64,
    files: f64,
    temporary: f64,
}

impl ResourceUsage {
    async fn of(processes: &[Process; 2], place: &StorageLocation) -> Self {
        let ids = processes.each_ref().map(|it| it.child.id());
        let count = |what: &str| -> f64 {
            let each = ids.iter().map(|id| {
                std::fs::read_dir(format!("/proc/{id}/{what}"))
                    .unwrap()
                    .count()
            });
            each.sum::<usize>() as f64
        };
        let StorageLocation::Folder(folder) = place else {
            panic!("a soak runs on a folder");
        };
        let mut tasks = 0.0;
        for process in processes {
            tasks += alive_tasks(&process.address).await;
        }
        let folder = Arc::clone(folder);
        let counted = tokio::task::spawn_blocking(move || files(folder.path()));
        let (files, temporary) = counted.await.unwrap();
        Self {
            resident: ids.map(resident_mib),
            threads: count("task"),
            tasks,
            open: count("fd"),
            files: files as f64,
            temporary: temporary as f64,
        }
    }
}

/// The asynchronous tasks of a service, by its own metrics.
async fn alive_tasks(address: &str) -> f64 {
    let mut connection = Client::connect(address).await;
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: codex.example\r\nauthorization: Bearer {METRICS_TOKEN}\r\n\r\n"
    );
    let (_, counts) = connection.send(request.as_bytes()).await;
    let counts = std::str::from_utf8(counts).unwrap();
    let line = counts
        .lines()
        .find_map(|it| it.strip_prefix("codex_alive_tasks "));
    line.unwrap().parse().unwrap()
}

/// The number of files below `root`, and of the temporary ones among them.
fn files(root: &Path) -> (usize, usize) {
    let Ok(entries) = std::fs::read_dir(root) else {
        return (0, 0);
    };
    let mut sum = (0, 0);
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            let (files, temporary) = files(&entry.path());
            sum = (sum.0 + files, sum.1 + temporary);
        } else {
            let temporary = entry.file_name().to_string_lossy().starts_with('.');
            sum = (sum.0 + 1, sum.1 + usize::from(temporary));
        }
    }
    sum
}
