//! Processes that are killed, stopped and restarted under load, over a store that fails, while clients record
//! everything they do and see; afterwards the promises are checked over the whole history.
//!
//! `tests/run` has a short form; `tests/run ordeal ROUNDS` is the long one.

mod history;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use codex_miroir::task::TOMBSTONE_FILE;
use serde_json::{Value, json};

use crate::support::azurite::azurite;
use crate::support::process::{Answer, Asked, Service, codex_miroir, eventually, other_clock};
use crate::support::redis::RedisServer;
use crate::support::tcp_proxy::TcpProxy;
use history::{History, Read, Shown, Write};

const CLIENTS: usize = 6;

/// The tasks of one client; all of them fit on one page of the list.
const TASKS: usize = 40;

/// The maximum age of an answer in this test, in seconds.
const MAX_AGE: u64 = 1;

/// The same with a shared cache, which answers nothing that may be older by the second by which clocks may differ.
const SHARED_MAX_AGE: u64 = 4;

/// The time after which other processes settle the intents that a process left, in seconds.
const EXPIRY: u64 = 2;

/// How often a client tries a change before giving up.
const TRIES: usize = 40;

/// How long a process stays stopped: longer than its write intents last.
const STOP_TIME: Duration = Duration::from_secs(3);

/// Once in a long run: longer than a store or a client waits for anything.
const LONG_STOP_TIME: Duration = Duration::from_secs(30);

/// The number of rounds from which a run counts as long.
const LONG_RUN: usize = 20;

/// Offsets from the right time to which the second process's clock may jump over a folder. Less than a day apart, since
/// a key is remembered for a day by the storage's clock, which is each process's own here: for a process whose clock is
/// a day ahead that day is over at once, and a repeated create is a new one.
const CLOCKS: [&str; 5] = ["+1h", "-20m", "+11h", "-11h", "+0"];

/// The storage that the processes share.
enum Place {
    Azurite {
        container: String,
        line: TcpProxy,
    },
    /// The file sets the second process's clock, which jumps while the process runs.
    Folder(tempfile::TempDir, tempfile::NamedTempFile),
    /// Azurite as above, and a Redis server, which meets faults of its own.
    Shared {
        azurite: Box<Place>,
        redis: Mutex<RedisServer>,
    },
}

impl Place {
    fn folder() -> Self {
        let place = Self::Folder(
            tempfile::tempdir().unwrap(),
            tempfile::NamedTempFile::new().unwrap(),
        );
        place.set_clock(CLOCKS[0]);
        place
    }

    /// A process rereads the file at most a second later.
    fn set_clock(&self, offset: &str) {
        if let Self::Folder(_, clock) = self {
            std::fs::write(clock.path(), offset).unwrap();
        }
    }

    /// How old an answer may be.
    fn max_age(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Shared { .. } => SHARED_MAX_AGE,
            _ => MAX_AGE,
        })
    }

    fn command(&self, at: usize) -> Command {
        if let Self::Shared { azurite, redis } = self {
            let mut command = azurite.command(at);
            let port = redis.lock().unwrap().port();
            command
                .env("CODEX_REVALIDATE_SECONDS", SHARED_MAX_AGE.to_string())
                .env("CODEX_REDIS_URL", format!("redis://127.0.0.1:{port}"));
            if at == 1 {
                // Without memory every read asks Redis.
                command.env("CODEX_MEMORY_MAX_BYTES", "0");
            }
            return command;
        }
        let mut command = codex_miroir();
        command
            .env("CODEX_REVALIDATE_SECONDS", MAX_AGE.to_string())
            .env("CODEX_PENDING_EXPIRY_SECONDS", EXPIRY.to_string())
            .env("CODEX_REBUILDS_PER_MINUTE", "1000000")
            .env("CODEX_WRITES_PER_MINUTE", "1000000");
        match self {
            Self::Azurite { container, line } => {
                command
                    .env("AZURE_BLOB_CONN", azurite().with_key(line.port()))
                    .env("AZURE_BLOB_CONTAINER", container);
            }
            Self::Folder(folder, clock) => {
                command.env("CODEX_DATA_DIR", folder.path());
                if at == 1 {
                    command
                        .env("LD_PRELOAD", other_clock())
                        .env("FAKETIME_TIMESTAMP_FILE", clock.path())
                        .env("FAKETIME_CACHE_DURATION", "1")
                        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
                }
            }
            Self::Shared { .. } => unreachable!("answered above"),
        }
        command
    }

    fn set_bad(&self, percent: u32, seed: u64) {
        match self {
            Self::Azurite { line, .. } => line.set_bad(percent, seed),
            Self::Folder(..) => {}
            Self::Shared { azurite, .. } => azurite.set_bad(percent, seed),
        }
    }

    /// Something happens to the Redis server, if there is one, while requests run. Returns what.
    fn disturb_redis(&self, random: &mut fastrand::Rng) -> Option<&'static str> {
        let Self::Shared { redis, .. } = self else {
            return None;
        };
        let mut redis = redis.lock().unwrap();
        // A command may find the line full, or the server gone with the connection that asked it to end others.
        Some(match random.u32(0..5) {
            0 => {
                redis.restart();
                "killed"
            }
            1 => {
                redis.signal("STOP");
                thread::sleep(Duration::from_millis(random.u64(50..1_500)));
                redis.signal("CONT");
                "stopped"
            }
            2 => {
                let _ = redis.run::<()>(&["FLUSHALL"]);
                "emptied"
            }
            3 => {
                let _ = redis.run::<i64>(&["CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES"]);
                "cut"
            }
            _ => {
                let _ = redis.run::<i64>(&["CLIENT", "KILL", "TYPE", "PUBSUB"]);
                "channel cut"
            }
        })
    }
}

/// State shared by all clients.
struct Shared {
    addresses: Vec<RwLock<String>>,
    over: AtomicBool,
    refused: AtomicUsize,
}

impl Shared {
    /// Sends a request to one of the processes; `None` if the process has gone.
    fn send(
        &self,
        at: usize,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Option<Answer> {
        let address = self.addresses[at].read().unwrap().clone();
        let mut stream = TcpStream::connect(&address).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let answer = Answer::try_read(Asked::on(stream, method, path))?;
        // An answer that broke off with its process doesn't count.
        let whole = answer.header("content-length").parse() == Ok(answer.body.len());
        whole.then_some(answer)
    }
}

/// One client, with its tasks and the reads it has seen.
struct Client<'a> {
    number: usize,
    shared: &'a Shared,
    random: fastrand::Rng,
    seen: u64,
    /// Title, id and the state that the client has brought the task to.
    tasks: Vec<(String, String, Shown)>,
    history: History,
}

impl Client<'_> {
    fn work(mut self) -> History {
        while !self.shared.over.load(Ordering::Relaxed) {
            match self.random.u32(0..10) {
                0 | 1 if self.tasks.len() < TASKS => self.create(),
                0..=4 if !self.tasks.is_empty() => self.change(),
                _ => self.read(),
            }
        }
        self.history
    }

    fn pick(&mut self) -> usize {
        self.random.usize(0..self.shared.addresses.len())
    }

    /// Tries a change at any process until it is acknowledged, and records it.
    fn write(
        &mut self,
        task: &str,
        after: Shown,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Option<Value> {
        let began = Instant::now();
        let mut acknowledged = None;
        let mut said = None;
        for _ in 0..TRIES {
            let at = self.pick();
            match self.shared.send(at, method, path, headers, body) {
                Some(answer) if matches!(answer.status, 200 | 201) => {
                    let version = answer.header("x-codex-version").parse().unwrap();
                    self.seen = self.seen.max(version);
                    acknowledged = Some((version, Instant::now()));
                    said = Some(answer.json());
                    break;
                }
                Some(answer) => {
                    // An earlier try may have taken effect; any other status is a defect.
                    assert!(
                        matches!(answer.status, 503 | 409),
                        "{method} {path}: {} {}",
                        answer.status,
                        answer.body
                    );
                    self.shared.refused.fetch_add(1, Ordering::Relaxed);
                }
                None => {}
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.history.writes.push(Write {
            task: task.to_owned(),
            after,
            began,
            acknowledged,
        });
        said
    }

    fn create(&mut self) {
        let title = format!("c{}n{}", self.number, self.history.writes.len());
        let key = format!("idempotency-key: {title}\r\n");
        let after = Shown::default();
        let body = json!({"kategorie": "arbeit", "title": title, "tags": ["r0"]}).to_string();
        if let Some(said) = self.write(&title, after, "POST", "/api/tasks", &key, &body) {
            let id = said["id"].as_str().unwrap().to_owned();
            self.tasks.push((title, id, after));
        }
    }

    fn change(&mut self) {
        let at = self.random.usize(0..self.tasks.len());
        let (title, id, mut after) = self.tasks[at].clone();
        let seen = format!("x-codex-version: {}\r\n", self.seen);
        if self.random.u32(0..8) == 0 {
            after.done = true;
            let path = format!("/api/tasks/{id}/complete");
            self.write(&title, after, "POST", &path, &seen, "");
        } else {
            after.revision += 1;
            let body = json!({"tags": [format!("r{}", after.revision)]}).to_string();
            let path = format!("/api/tasks/{id}");
            self.write(&title, after, "PATCH", &path, &seen, &body);
        }
        self.tasks[at].2 = after;
    }

    fn read(&mut self) {
        let strict = self.random.u32(0..6) == 0;
        let is_new = self.random.u32(0..4) == 0;
        self.read_as(is_new, strict);
    }

    /// Somebody who comes for the first time (`is_new`) brings no version.
    fn read_as(&mut self, is_new: bool, strict: bool) {
        let at = self.pick();
        let (mut headers, seen) = match is_new {
            true => (String::new(), 0),
            false => (format!("x-codex-version: {}\r\n", self.seen), self.seen),
        };
        if strict {
            headers += "cache-control: no-cache\r\n";
        }
        let began = Instant::now();
        let path = "/api/tasks?status=alle&limit=500";
        let Some(answer) = self.shared.send(at, "GET", path, &headers, "") else {
            return;
        };
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{}", answer.body);
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let version = answer.header("x-codex-version").parse().unwrap();
        if !is_new {
            self.seen = self.seen.max(version);
        }
        let document = answer.json();
        assert_eq!(document["nextCursor"], Value::Null);
        let tasks = document["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(shown)
            .collect();
        let layer = answer.header("x-codex-cache");
        let stale = layer == "stale";
        let from = format!("process {at}, {layer}, version {version}");
        let client = match is_new {
            true => (self.number + 1) * 1_000_000 + self.history.reads.len(),
            false => self.number,
        };
        let ended = Instant::now();
        self.history.reads.push(Read {
            client,
            began,
            ended,
            seen,
            strict,
            stale,
            from,
            tasks,
        });
    }
}

fn shown(task: &Value) -> (String, Shown) {
    let revision = task["tags"][0].as_str().unwrap().strip_prefix('r').unwrap();
    let shown = Shown {
        revision: revision.parse().unwrap(),
        done: task["status"] == "abgeschlossen",
    };
    (task["title"].as_str().unwrap().to_owned(), shown)
}

fn signal(service: &Service, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &service.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// The faults of a run.
#[derive(Debug, Default)]
struct Events {
    killed: usize,
    stopped: usize,
    clock_jumps: usize,
    redis: BTreeMap<&'static str, usize>,
}

/// Kills or stops a process under load `rounds` times; returns the history and the faults.
fn run_with_faults(place: &Place, rounds: usize, seed: u64) -> (History, Events, usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut services: Vec<Service> = (0..2)
        .map(|at| Service::start(&mut place.command(at)))
        .collect();
    let shared = Shared {
        addresses: services
            .iter()
            .map(|it| RwLock::new(it.address.clone()))
            .collect(),
        over: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
    };
    let mut events = Events::default();
    let history = Mutex::new(History::default());
    thread::scope(|scope| {
        // Ends the clients on every exit from this scope.
        let _over = SetOnDrop(&shared.over);
        for number in 0..CLIENTS {
            let (shared, history) = (&shared, &history);
            let random = fastrand::Rng::with_seed(seed + number as u64);
            scope.spawn(move || {
                let client = Client {
                    number,
                    shared,
                    random,
                    seen: 0,
                    tasks: Vec::new(),
                    history: History::default(),
                };
                let mine = client.work();
                history.lock().unwrap().add(mine);
            });
        }
        for round in 0..rounds {
            place.set_bad(8, seed + 1_000 + round as u64);
            if let Place::Folder(..) = place {
                place.set_clock(CLOCKS[(round + 1) % CLOCKS.len()]);
                events.clock_jumps += 1;
            }
            thread::sleep(Duration::from_millis(random.u64(300..1_500)));
            if let Some(what) = place.disturb_redis(&mut random) {
                *events.redis.entry(what).or_default() += 1;
            }
            let at = random.usize(0..services.len());
            // The first round stops a process, so that each run has both kinds of fault.
            if round == 0 || random.u32(0..4) == 0 {
                signal(&services[at], "-STOP");
                thread::sleep(match round == 0 && rounds >= LONG_RUN {
                    true => LONG_STOP_TIME,
                    false => STOP_TIME,
                });
                signal(&services[at], "-CONT");
                events.stopped += 1;
            } else {
                let (before, now) = (services.remove(at), || {
                    Service::start(&mut place.command(at))
                });
                before.kill();
                services.insert(at, now());
                *shared.addresses[at].write().unwrap() = services[at].address.clone();
                events.killed += 1;
            }
            place.set_bad(0, 0);
            thread::sleep(Duration::from_millis(random.u64(100..400)));
        }
    });
    let mut history = history.into_inner().unwrap();
    history.reads.extend(last_reads(&shared, &history));
    (history, events, shared.refused.load(Ordering::Relaxed))
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Once all is quiet, every process shows the same tasks, including everything acknowledged.
fn last_reads(shared: &Shared, history: &History) -> Vec<Read> {
    let acknowledged = history.writes.iter().filter_map(|it| it.acknowledged);
    let seen = acknowledged.map(|(version, _)| version).max().unwrap_or(0);
    let reads: Vec<Read> = (0..shared.addresses.len())
        .map(|at| {
            let client = Client {
                number: CLIENTS + at,
                shared,
                random: fastrand::Rng::with_seed(0),
                seen,
                tasks: Vec::new(),
                history: History::default(),
            };
            let began = Instant::now();
            let headers = format!("x-codex-version: {seen}\r\ncache-control: no-cache\r\n");
            let answer =
                client
                    .shared
                    .send(at, "GET", "/api/tasks?status=alle&limit=500", &headers, "");
            let answer = answer.expect("it is there");
            assert_eq!(answer.status, 200, "{}", answer.body);
            let document = answer.json();
            let mut tasks: Vec<_> = document["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .map(shown)
                .collect();
            tasks.sort_by(|a, b| a.0.cmp(&b.0));
            let (ended, number) = (Instant::now(), client.number);
            Read {
                client: number,
                began,
                ended,
                seen,
                strict: true,
                stale: false,
                from: format!("process {at}, at the end"),
                tasks,
            }
        })
        .collect();
    assert!(
        reads.windows(2).all(|pair| pair[0].tasks == pair[1].tasks),
        "processes differ"
    );
    reads
}

/// The number of rounds: `CODEX_TEST_ROUNDS`, else few.
fn rounds() -> usize {
    std::env::var("CODEX_TEST_ROUNDS")
        .map_or(4, |it| it.parse().expect("CODEX_TEST_ROUNDS is a number"))
}

fn report(
    (name, place): (&str, &Place),
    history: &History,
    events: &Events,
    refused: usize,
    faults: &BTreeMap<&str, usize>,
) {
    let acknowledged = history.writes.iter().filter(|it| it.acknowledged.is_some());
    let stale = history.reads.iter().filter(|it| it.stale);
    let shared = history.reads.iter().filter(|it| it.from.contains("redis"));
    let violations = history.violations(place.max_age());
    println!(
        "{name}: {} changes, {} acknowledged; {} reads, {} of them stale, {} from Redis; {refused} refusals; {events:?}; faults {faults:?}; violations {}",
        history.writes.len(),
        acknowledged.count(),
        history.reads.len(),
        stale.count(),
        shared.count(),
        violations.len()
    );
    assert!(
        violations.is_empty(),
        "{:#?}",
        &violations[..violations.len().min(10)]
    );
}

#[test]
fn over_a_store_that_fails_nothing_acknowledged_is_lost_and_nothing_doubled() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let line = runtime.block_on(TcpProxy::start(azurite().port()));
    let place = Place::Azurite {
        container: azurite().container(),
        line: line.clone(),
    };
    let (history, events, refused) = run_with_faults(&place, rounds(), 7);
    report(
        ("Azurite", &place),
        &history,
        &events,
        refused,
        &line.happened(),
    );
    assert!(line.happened().len() >= 5, "{:?}", line.happened());
}

#[test]
fn over_a_folder_with_clocks_that_disagree_and_jump_neither() {
    let place = Place::folder();
    let (history, events, refused) = run_with_faults(&place, rounds(), 8);
    report(
        ("folder", &place),
        &history,
        &events,
        refused,
        &BTreeMap::new(),
    );
}

fn over_azurite_with_redis() -> Place {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let line = runtime.block_on(TcpProxy::start(azurite().port()));
    // Its line goes on for as long as the test process.
    std::mem::forget(runtime);
    let container = azurite().container();
    Place::Shared {
        azurite: Box::new(Place::Azurite { container, line }),
        redis: Mutex::new(RedisServer::start(&[])),
    }
}

#[test]
fn over_a_store_and_a_redis_that_fail_neither() {
    let place = over_azurite_with_redis();
    let (history, events, refused) = run_with_faults(&place, rounds(), 11);
    report(
        ("Redis", &place),
        &history,
        &events,
        refused,
        &BTreeMap::new(),
    );
    let shared = history.reads.iter().filter(|it| it.from.contains("redis"));
    assert!(shared.count() > 0, "it has answered nothing");
}

/// An older snapshot that says it was confirmed just now: the checker must notice.
#[test]
fn over_a_redis_that_is_made_the_truth_the_checker_sees_it() {
    let place = over_azurite_with_redis();
    let Place::Shared { redis, .. } = &place else {
        unreachable!("made so above");
    };
    let run = |command: &[&str]| redis.lock().unwrap().run::<Vec<String>>(command);
    let mut service = Service::start(&mut place.command(0));
    let shared = Shared {
        addresses: vec![RwLock::new(service.address.clone())],
        over: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
    };
    let mut client = Client {
        number: 0,
        shared: &shared,
        random: fastrand::Rng::with_seed(12),
        seen: 0,
        tasks: Vec::new(),
        history: History::default(),
    };
    client.create();
    // The one with the task, which is put there after the answer; all its fields at once, or they are of two.
    let created = format!("{:020}", client.seen).into_bytes();
    let fields = ["format", "version", "etag", "listed", "state", "index"];
    let (key, older) = loop {
        if let [key] = &run(&["KEYS", "codex:*:snapshot"]).unwrap()[..] {
            let command = [&["HMGET", key], &fields[..]].concat();
            let values: Vec<Vec<u8>> = redis.lock().unwrap().run(&command).unwrap();
            if values[1] == created {
                let named = fields.iter().map(ToString::to_string).zip(values);
                break (key.clone(), named.collect::<Vec<_>>());
            }
        }
        // If Redis answered too late to take it, a read that asks the store offers it again.
        client.read_as(true, true);
        thread::sleep(Duration::from_millis(10));
    };
    client.change();
    // Longer than any answer may be old.
    thread::sleep(place.max_age() + Duration::from_secs(1));
    let mut found = Vec::new();
    // On a busy machine the server may answer later than a read waits for it.
    for _ in 0..5 {
        service.kill();
        service = Service::start(&mut place.command(0));
        *shared.addresses[0].write().unwrap() = service.address.clone();
        // Once its connection has heard the server's time, before memory knows more.
        eventually("it is connected", || {
            let list = redis.lock().unwrap().run::<String>(&["CLIENT", "LIST"]);
            list.is_ok_and(|list| list.contains("cmd=time"))
        });
        // Just before the read, however long the start took: what it says was confirmed now.
        let time = run(&["TIME"]).unwrap();
        let confirmed = format!("{}000000", time[0]);
        {
            let redis = redis.lock().unwrap();
            redis.set_hash(&key, &older, ("confirmed", &confirmed));
        }
        client.read_as(true, false);
        found = client.history.violations(place.max_age());
        if !found.is_empty() {
            break;
        }
    }
    println!("planted: {found:#?}");
    assert!(found.iter().any(|it| it.starts_with("P2")), "{found:?}");
}

/// A file is removed behind the service's back: the checker must notice.
#[test]
fn the_checker_sees_a_task_that_was_really_lost() {
    let place = Place::folder();
    let Place::Folder(folder, _) = &place else {
        panic!("it is a folder");
    };
    let tasks = folder.path().join("raw/local/tasks");
    let (mut history, ..) = run_with_faults(&place, 1, 9);
    assert_eq!(
        history.violations(Duration::from_secs(MAX_AGE)),
        Vec::<String>::new()
    );
    let lost = first_file(&tasks);
    std::fs::remove_file(lost).unwrap();
    let service = Service::start(&mut place.command(0));
    let shared = Shared {
        addresses: vec![RwLock::new(service.address.clone())],
        over: AtomicBool::new(true),
        refused: AtomicUsize::new(0),
    };
    thread::sleep(Duration::from_secs(MAX_AGE));
    // Only `nocache` shows another program's change at once.
    shared
        .send(0, "GET", "/codex?nocache=true", "", "")
        .unwrap();
    history.reads.extend(last_reads(&shared, &history));
    let found = history.violations(Duration::from_secs(MAX_AGE));
    println!("planted: {found:#?}");
    assert!(found.iter().any(|it| it.starts_with("P1")), "{found:?}");
}

fn first_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path());
    // A create that was killed before its PUT has left a tombstone, which nobody misses.
    let is_task = |path: &PathBuf| {
        let is_file = path.extension().is_some_and(|it| it == "md");
        is_file && std::fs::read_to_string(path).unwrap() != TOMBSTONE_FILE
    };
    files.filter(is_task).min().unwrap()
}
