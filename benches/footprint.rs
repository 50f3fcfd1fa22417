//! Time from process start to the first response, memory when idle, and memory per cached user; and memory and threads
//! around a burst of one person's requests, on a folder and on Azurite.
//!
//! `cargo bench --bench footprint`, or `cargo bench --bench footprint -- burst`, which needs Azurite where `tests/run`
//! installs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "../tests/support/azurite.rs"]
#[allow(dead_code, unreachable_pub)]
mod azurite;
#[path = "support/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "support/operations.rs"]
mod operations;
#[path = "support/people.rs"]
#[allow(dead_code)]
mod people;
#[path = "support/process.rs"]
mod process;
#[path = "support/samples.rs"]
mod samples;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use azurite::azurite;
use chrono::Utc;
use client::Client;
use codex_miroir::codex::{Codex, Consistency, Encoding, Layer, PageFormat, ReadRequest};
use codex_miroir::now::Now;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::store::{BlobKey, BlobStore, Put, PutIf};
use codex_miroir::user::UserId;
use futures::stream::{self, StreamExt};
use operations::codex;
use people::{person, principal, resident_mib};
use process::{Process, median, resident_kib};
use samples::{sample_file, write_samples};

const USERS: usize = 2_000;
const TASKS: usize = 200;
const STARTS: usize = 11;

/// Task files of the person in a burst, how often all of them are written anew and read again, and the creates.
const BURST_FILES: usize = 500;
const BURST_READS: usize = 5;
const BURST_CREATES: usize = 200;
const BURST_CLIENTS: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with("--bench"))
        .collect();
    if let [role, folder, encodings] = arguments.as_slice()
        && role == "users"
    {
        return measure_cached_users(Path::new(folder), encodings);
    }
    if arguments == ["burst"] {
        return bursts();
    }
    measure_ready();
    start_and_idle();
    users();
}

/// From process start to the first response to `GET /`, the Functions host's readiness check: on a folder, and
/// with an unreachable storage account.
fn measure_ready() {
    let folder = tempfile::tempdir().unwrap();
    let unused_port = free_port();
    let unreachable = format!(
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=AAAA;\
         BlobEndpoint=http://127.0.0.1:{unused_port}/devstoreaccount1"
    );
    let data = folder.path().to_str().unwrap();
    for (what, variable, value) in [
        ("over a folder", "CODEX_DATA_DIR", data),
        ("with the storage away", "AZURE_BLOB_CONN", &unreachable),
    ] {
        let mut milliseconds: Vec<f64> = (0..STARTS)
            .map(|_| time_to_ready(variable, value))
            .collect();
        let longest = milliseconds.iter().copied().fold(0.0, f64::max);
        println!(
            "process start to ready, {what}: median {:.1} ms of {STARTS}, longest {longest:.1} ms",
            median(&mut milliseconds)
        );
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn time_to_ready(variable: &str, value: &str) -> f64 {
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
    command.env_clear().env(variable, value);
    command
        .env("CODEX_AUTH", "dev")
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut answer = String::new();
    while !answer.starts_with("HTTP/1.1 200") {
        assert!(began.elapsed() < Duration::from_secs(10), "{answer}");
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        };
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            .unwrap();
        answer.clear();
        let _ = stream.read_to_string(&mut answer);
    }
    let took = began.elapsed().as_secs_f64() * 1e3;
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

/// A service on 200 tasks with the artifact on disk: time to the first week, and memory when idle.
fn start_and_idle() {
    let folder = tempfile::tempdir().unwrap();
    write_samples(folder.path(), "local", TASKS);
    warm(folder.path());
    let mut milliseconds = Vec::new();
    let mut resident = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let service = Process::service(folder.path(), &[]);
        let answer = get(&service.address);
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
        assert!(answer.contains("x-codex-cache: artifact"), "{answer}");
        std::thread::sleep(Duration::from_millis(200));
        resident.push(resident_kib(service.child.id()) as f64);
    }
    println!(
        "process start to first 200, artifact on disk: median {:.1} ms of {STARTS}",
        median(&mut milliseconds)
    );
    println!(
        "resident when idle after it: median {:.1} MB",
        median(&mut resident) / 1024.0
    );
}

/// Runs a process once, so that state document and artifact exist.
fn warm(folder: &Path) {
    let service = Process::service(folder, &[]);
    get(&service.address);
    let artifact = folder.join("artifacts/local/timeline.json");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !artifact.exists() {
        assert!(
            Instant::now() < deadline,
            "the artifact is written after the first answer"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /codex HTTP/1.1\r\nhost: {address}\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// Copies one user's state and artifact for many users, then measures a process that reads them all.
fn users() {
    let folder = tempfile::tempdir().unwrap();
    write_samples(folder.path(), "local", TASKS);
    warm(folder.path());
    let artifact =
        std::fs::read_to_string(folder.path().join("artifacts/local/timeline.json")).unwrap();
    let state = std::fs::read_to_string(folder.path().join("state/local/state.json")).unwrap();
    for user in (0..USERS).map(name) {
        let own = artifact.replace("\"userId\":\"local\"", &format!("\"userId\":\"{user}\""));
        assert_ne!(own, artifact);
        for (kind, file, text) in [
            ("artifacts", "timeline.json", &own),
            ("state", "state.json", &state),
        ] {
            let place = folder.path().join(kind).join(&user);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join(file), text).unwrap();
        }
    }
    for encodings in ["gzip", "gzip,identity"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command
            .arg("users")
            .arg(folder.path())
            .arg(encodings)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        print!("{}", String::from_utf8(output.stdout).unwrap());
    }
}

fn name(number: usize) -> String {
    format!("user{number:05}")
}

/// In a child process: its memory growth by reading every user's week.
fn measure_cached_users(folder: &Path, encodings: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let codex = codex(&Arc::new(DirectoryStore::open(folder, Utc::now).unwrap()));
        // One user first, to exclude one-time allocations.
        read_week(&codex, &name(0), encodings).await;
        let before = resident_kib(std::process::id());
        for user in (1..USERS).map(name) {
            read_week(&codex, &user, encodings).await;
        }
        let after = resident_kib(std::process::id());
        let (held, weighed) = codex.memory_size();
        assert_eq!(held as usize, USERS, "none was evicted");
        println!(
            "{USERS} cached users of {TASKS} open tasks, asked for {encodings}: {:.1} KB resident each, {:.1} KB by the cache's own weighing",
            (after - before) as f64 / (USERS - 1) as f64,
            weighed as f64 / 1024.0 / USERS as f64
        );
    });
}

async fn read_week(codex: &Codex, user: &str, encodings: &str) {
    let now = Now::from_clocks(Utc::now(), Instant::now());
    let read_request = ReadRequest {
        user: UserId::parse(user).unwrap(),
        seen: None,
        consistency: Consistency::Bounded,
        now,
    };
    let read = codex.reader().week(&read_request).await.unwrap();
    assert_eq!(read.layer, Layer::Artifact);
    for encoding in encodings.split(',') {
        let encoding = if encoding == "gzip" {
            Encoding::Gzip
        } else {
            Encoding::Identity
        };
        codex.reader().page(&read.entry, PageFormat::Json, encoding);
    }
}

fn bursts() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), Utc::now).unwrap();
    let data = folder.path().to_str().unwrap();
    runtime.block_on(burst("folder", &store, &[("CODEX_DATA_DIR", data)]));
    let container = azurite().container();
    let connection = azurite().with_key(azurite().port());
    let settings = [
        ("AZURE_BLOB_CONN", &*connection),
        ("AZURE_BLOB_CONTAINER", &*container),
    ];
    let store = azurite().store(&container);
    runtime.block_on(burst("Azurite", &store, &settings));
}

/// One person's files are read, five times all of them anew, and many clients create tasks. Prints the service's memory
/// and threads before, right after it and later.
async fn burst(name: &str, store: &dyn BlobStore, settings: &[(&str, &str)]) {
    write_all(store).await;
    let service = people::start(settings);
    let print = |when: &str| {
        let id = service.child.id();
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let (resident, threads) = (resident_mib(id), threads.count());
        println!("burst, {name}, {when}: {resident:.1} MiB resident, {threads} threads");
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    print("idle");
    let mut reader = Client::connect(&service.address).await;
    send(&mut reader, "GET", "/codex", "").await;
    let mut milliseconds = Vec::new();
    for _ in 0..BURST_READS {
        write_all(store).await;
        let began = Instant::now();
        send(&mut reader, "GET", "/codex?nocache=true", "").await;
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let began = Instant::now();
    let clients = (0..BURST_CLIENTS).map(|first| {
        let address = &service.address;
        async move {
            let mut connection = Client::connect(address).await;
            for number in (first..BURST_CREATES).step_by(BURST_CLIENTS) {
                let body = format!(r#"{{"kategorie":"arbeit","title":"Neu {number}"}}"#);
                send(&mut connection, "POST", "/api/tasks", &body).await;
            }
        }
    });
    futures::future::join_all(clients).await;
    println!(
        "burst, {name}: {BURST_FILES} files read in {:.0} ms, {BURST_CREATES} creates in {:.0} ms",
        median(&mut milliseconds),
        began.elapsed().as_secs_f64() * 1e3
    );
    print("right after it");
    tokio::time::sleep(Duration::from_secs(15)).await;
    print("15 s later");
    tokio::time::sleep(Duration::from_secs(30)).await;
    print("45 s later");
}

/// Writes the first person's files anew, each as a new version.
async fn write_all(store: &dyn BlobStore) {
    let user = UserId::parse(&person(0)).unwrap();
    stream::iter((0..BURST_FILES).map(sample_file))
        .for_each_concurrent(16, |(name, text)| {
            let key = BlobKey::raw(&user, &name).unwrap();
            let put = Put {
                bytes: text.into(),
                ..Put::default()
            };
            async move { drop(store.put(&key, put, PutIf::Any).await.unwrap()) }
        })
        .await;
}

/// Sends a request of the first person, which must succeed.
async fn send(connection: &mut Client, method: &str, path: &str, body: &str) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: codex.example\r\nx-ms-client-principal: {}\r\n\
         origin: https://codex.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        principal(0),
        body.len()
    );
    let (head, answer) = connection.send(request.as_bytes()).await;
    assert!(
        head.starts_with(b"HTTP/1.1 20"),
        "{}",
        String::from_utf8_lossy(answer)
    );
}
