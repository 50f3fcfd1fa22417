//! What the cache that instances share saves, with a Redis server on loopback: the first read at another instance after a
//! change, how long a change stays unseen there, reads and writes while the server hangs, refuses, is full or has a wrong
//! clock, and the storage requests that reads cost at a fixed rate of arrivals. Needs `redis-server` and libfaketime.
//!
//! `cargo bench --bench shared_cache -- [changes, default 200] [seconds of each rate, default 60]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "../tests/support/later_store.rs"]
#[allow(dead_code)]
mod later_store;

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{Codex, CodexSettings, Consistency, ReadRequest, Version};
use codex_miroir::config::{RedisConfig, RedisLogin};
use codex_miroir::metrics::SharedCacheMetrics;
use codex_miroir::net::TrustStore;
use codex_miroir::now::Now;
use codex_miroir::rules::Rules;
use codex_miroir::shared_cache::{RedisCache, RedisSettings, SharedCache};
use codex_miroir::store::BlobStore;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::task::{Edit, TaskRef};
use codex_miroir::user::UserId;
use later_store::LaterStore;

/// The latency of a storage account in the same region.
const CALL_LATENCY: Duration = Duration::from_millis(10);

/// People at the fixed rate, and their instances.
const PEOPLE: usize = 2_000;
const INSTANCES: usize = 3;

/// Requests per second at the fixed rate, of which one in twenty changes a task.
const RATE: u32 = 1_000;

/// The file of which each person's changes are made.
const FILE: &str = "0000-Aufgabe.md";

/// A server on a free port, which ends with this value.
struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    fn start() -> Self {
        Self::start_with(&[], &[])
    }

    fn start_with(settings: &[&str], environment: &[(&str, &OsStr)]) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--port",
                &port.to_string(),
            ])
            .args(settings)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { process, port }
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.unwrap().success());
    }

    fn config(&self) -> RedisConfig {
        RedisConfig {
            variable: "CODEX_REDIS_URL",
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: false,
            database: 0,
            login: RedisLogin::None,
        }
    }
}

/// The library that gives a process another clock (libfaketime).
fn other_clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let libraries = folders.map(|it| it.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.into_iter().find(|it| it.exists());
    found.expect("libfaketime is installed")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn person(number: usize) -> UserId {
    UserId::parse(&format!("person-{number}")).unwrap()
}

fn write_tasks(folder: &Path, people: usize, tasks: usize) {
    for number in 0..people {
        let tasks_folder = folder.join(format!("raw/{}/tasks", person(number)));
        std::fs::create_dir_all(&tasks_folder).unwrap();
        for task in 0..tasks {
            let text = "---\ntyp: task\nkategorie: arbeit\nstatus: offen\n---\n\n# Aufgabe\n";
            std::fs::write(tasks_folder.join(format!("{task:04}-Aufgabe.md")), text).unwrap();
        }
    }
}

/// An instance that answers from memory for `revalidate`, with the shared cache on `server` if there is one.
async fn instance(
    store: &Arc<dyn BlobStore>,
    revalidate: Duration,
    server: Option<&RedisServer>,
) -> Codex {
    let cache = CacheSettings {
        memory_ttl: Duration::from_secs(300),
        artifact_ttl: Duration::from_secs(900),
        revalidate,
        stale_if_error: Duration::from_secs(3600),
        memory_max_bytes: 256 << 20,
        deadline: Duration::from_secs(30),
        pending_expiry: Duration::from_secs(60),
        zone: chrono_tz::Europe::Berlin,
        ids: || getrandom::u64().expect("the operating system gives random numbers"),
        rules: Rules::default(),
    };
    let client = server.map(|server| {
        RedisCache::new(RedisSettings {
            server: server.config(),
            scope: "bench".to_owned(),
            life: Duration::from_secs(900),
            trust: TrustStore::default(),
            metrics: SharedCacheMetrics::default(),
            clock: Now::read,
        })
        .unwrap()
    });
    let (shared, hints) = client.unzip();
    let codex = Codex::new(
        Arc::clone(store),
        CodexSettings {
            cache,
            rebuilds_per_minute: u32::MAX,
            writes_per_minute: u32::MAX,
            git: None,
            shared: shared.clone().map(|shared| shared as Arc<dyn SharedCache>),
        },
    );
    if let (Some(shared), Some(mut hints)) = (shared, hints) {
        tokio::spawn(Arc::clone(&shared).run_in_background());
        let hearing = codex.clone();
        tokio::spawn(async move {
            while let Some(hint) = hints.recv().await {
                hearing.hear(&hint);
            }
        });
        while shared.time_at(Now::read().mono).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    codex
}

fn request(user: UserId, seen: Option<Version>) -> ReadRequest {
    ReadRequest {
        seen,
        ..ReadRequest::new(user, Consistency::Bounded, Now::read())
    }
}

/// Changes the person's task; the version.
async fn change(codex: &Codex, user: UserId, seen: Option<Version>, count: u64) -> Version {
    let edit = Edit {
        body: Some(format!("Stand {count}\n")),
        ..Edit::default()
    };
    let task = TaskRef::File(FILE.parse().unwrap());
    let request = request(user, seen);
    let changed = codex.writer().update(&request, &task, edit, None).await;
    changed.unwrap().version
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3
}

fn print_times(name: &str, mut times: Vec<Duration>) {
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!(
        "  {name:<58} p50 {p50:>9.2} ms   p99 {p99:>9.2} ms   ({} times)",
        times.len()
    );
}

/// The first read at the other instance after each of so many changes.
async fn first_reads(changes: usize, server: Option<&RedisServer>) {
    let folder = tempfile::tempdir().unwrap();
    write_tasks(folder.path(), 1, 200);
    let store = Arc::new(DirectoryStore::open(folder.path(), Utc::now).unwrap());
    let store: Arc<dyn BlobStore> = Arc::new(LaterStore::slow(store, CALL_LATENCY));
    let bound = Duration::from_secs(5);
    let a = instance(&store, bound, server).await;
    let b = instance(&store, bound, server).await;
    for codex in [&a, &b] {
        codex
            .reader()
            .week(&request(person(0), None))
            .await
            .unwrap();
    }
    println!(
        "{} shared cache",
        if server.is_some() {
            "With a"
        } else {
            "Without"
        }
    );
    for (name, pause) in [
        (
            "read with the version, right after the change's answer",
            Duration::ZERO,
        ),
        (
            "read with the version, 100 ms after it",
            Duration::from_millis(100),
        ),
    ] {
        let mut times = vec![];
        for count in 0..changes {
            let version = change(&a, person(0), None, count as u64).await;
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            let read = b
                .reader()
                .week(&request(person(0), Some(version)))
                .await
                .unwrap();
            times.push(began.elapsed());
            assert!(read.entry.bounds.hi >= version);
            // Until nothing is pending any more.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        print_times(name, times);
    }
    let mut times = vec![];
    // Without hints it takes up to the bound.
    let changes = if server.is_some() {
        changes
    } else {
        changes / 20
    };
    for count in 0..changes {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..200))).await;
        b.reader().week(&request(person(0), None)).await.unwrap();
        let version = change(&a, person(0), None, count as u64).await;
        let began = Instant::now();
        loop {
            let read = b.reader().week(&request(person(0), None)).await.unwrap();
            if read.entry.bounds.hi >= version {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(began.elapsed());
    }
    print_times("until it is in a read without the version", times);
}

/// Pairs of instances, one with a faulty server and one without any: medians of the ratios of the 99th percentiles.
async fn with_a_faulty_server(name: &str, server: &RedisServer, break_it: impl Fn(&RedisServer)) {
    const PAIRS: usize = 7;
    let folder = tempfile::tempdir().unwrap();
    write_tasks(folder.path(), 1, 50);
    let store = Arc::new(DirectoryStore::open(folder.path(), Utc::now).unwrap());
    let store: Arc<dyn BlobStore> = Arc::new(LaterStore::slow(store, CALL_LATENCY));
    // Memory answers nothing, so that every read asks further.
    let faulty = instance(&store, Duration::ZERO, Some(server)).await;
    let alone = instance(&store, Duration::ZERO, None).await;
    break_it(server);
    // The server is left alone after three failures.
    for codex in [&faulty, &alone] {
        p99_of_reads_and_writes(codex, 5).await;
    }
    let mut ratios = [vec![], vec![]];
    for _ in 0..PAIRS {
        let with = p99_of_reads_and_writes(&faulty, 100).await;
        let without = p99_of_reads_and_writes(&alone, 100).await;
        for (ratios, (with, without)) in ratios.iter_mut().zip(with.into_iter().zip(without)) {
            ratios.push(with / without);
        }
    }
    let [reads, writes] = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[PAIRS / 2]
    });
    println!("  {name:<14} p99 with it, of that without: reads {reads:.3}, writes {writes:.3}");
}

/// Of so many reads, and of half as many writes, in milliseconds.
async fn p99_of_reads_and_writes(codex: &Codex, reads: usize) -> [f64; 2] {
    let mut times = [vec![], vec![]];
    for _ in 0..reads {
        let began = Instant::now();
        let read = codex.reader().week(&request(person(0), None)).await;
        read.unwrap();
        times[0].push(began.elapsed());
    }
    for count in 0..reads / 2 {
        let began = Instant::now();
        change(codex, person(0), None, count as u64).await;
        times[1].push(began.elapsed());
        // Until nothing is pending any more.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    times.map(|mut times| percentile(&mut times, 99))
}

/// Storage requests that the reads of `seconds` cost, for a thousand of them; the first `warm` seconds aren't counted.
async fn requests_per_thousand_reads(
    (warm, seconds): (u64, u64),
    bound: Duration,
    server: Option<&RedisServer>,
) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    write_tasks(folder.path(), PEOPLE, 5);
    let store: Arc<dyn BlobStore> =
        Arc::new(DirectoryStore::open(folder.path(), Utc::now).unwrap());
    let mut instances = vec![];
    for _ in 0..INSTANCES {
        instances.push(instance(&store, bound, server).await);
    }
    let seen = Arc::new(Mutex::new(vec![None::<Version>; PEOPLE]));
    let (reads, costs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let total = (warm + seconds) * u64::from(RATE);
    for count in 0..total {
        ticks.tick().await;
        let at = fastrand::usize(..PEOPLE);
        let codex = instances[fastrand::usize(..INSTANCES)].clone();
        let (seen, reads, costs) = (Arc::clone(&seen), Arc::clone(&reads), Arc::clone(&costs));
        let is_counted = count >= warm * u64::from(RATE);
        let changes = fastrand::u8(..20) == 0;
        tokio::spawn(async move {
            let known = seen.lock().unwrap()[at];
            let version = if changes {
                change(&codex, person(at), known, count).await
            } else {
                let read = codex
                    .reader()
                    .week(&request(person(at), known))
                    .await
                    .unwrap();
                if is_counted {
                    reads.fetch_add(1, Ordering::Relaxed);
                    costs.fetch_add(u64::from(read.requests.reads), Ordering::Relaxed);
                }
                read.entry.bounds.hi
            };
            let known = &mut seen.lock().unwrap()[at];
            *known = (*known).max(Some(version));
        });
    }
    let rate = total as f64 / began.elapsed().as_secs_f64();
    let cost = costs.load(Ordering::Relaxed) as f64 * 1e3 / reads.load(Ordering::Relaxed) as f64;
    let name = if server.is_some() { "with" } else { "without" };
    println!(
        "  {name:<8} bound {:>2} s: {rate:>6.0} requests/s, {cost:>7.1} storage requests for 1,000 reads",
        bound.as_secs()
    );
    cost
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|it| it != "--bench");
    let changes = arguments
        .next()
        .map_or(200, |it| it.parse().expect("a number"));
    let seconds = arguments
        .next()
        .map_or(60, |it| it.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = RedisServer::start();
        first_reads(changes, None).await;
        first_reads(changes, Some(&server)).await;
        println!("With a faulty server, each storage call {CALL_LATENCY:?}");
        let hangs = |server: &RedisServer| server.signal("-STOP");
        with_a_faulty_server("hangs", &RedisServer::start(), hangs).await;
        let refuses = |server: &RedisServer| server.signal("-KILL");
        with_a_faulty_server("refuses", &RedisServer::start(), refuses).await;
        let full = ["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"];
        let stays = |_: &RedisServer| {};
        with_a_faulty_server("is full", &RedisServer::start_with(&full, &[]), stays).await;
        for (name, offset) in [("a minute ahead", "+60s"), ("a minute back", "-60s")] {
            let clock = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(clock.path(), "+0").unwrap();
            // Debian's server calls jemalloc, which asks for the time before libfaketime can answer; libc's allocator
            // doesn't.
            let mut libraries = other_clock().into_os_string();
            libraries.push(":libc.so.6");
            let environment = [
                ("LD_PRELOAD", libraries.as_os_str()),
                ("FAKETIME_TIMESTAMP_FILE", clock.path().as_os_str()),
                ("FAKETIME_CACHE_DURATION", OsStr::new("1")),
                ("FAKETIME_DONT_FAKE_MONOTONIC", OsStr::new("1")),
            ];
            let server = RedisServer::start_with(&[], &environment);
            let jumps = |_: &RedisServer| {
                std::fs::write(clock.path(), offset).unwrap();
                // Until it has reread the file.
                std::thread::sleep(Duration::from_secs(2));
            };
            with_a_faulty_server(name, &server, jumps).await;
        }
        println!("{PEOPLE} people, {INSTANCES} instances, one change in 20 requests");
        let (five, sixty) = (Duration::from_secs(5), Duration::from_secs(60));
        let without = requests_per_thousand_reads((15, seconds), five, None).await;
        for bound in [five, sixty] {
            let server = RedisServer::start();
            // Until everybody's bound has passed once.
            let warm = bound.as_secs() + 15;
            let with = requests_per_thousand_reads((warm, seconds), bound, Some(&server)).await;
            println!("  of those without: {:.3}", with / without);
        }
    });
}
