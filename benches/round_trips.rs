//! Latency of reads, changes and rebuilds in units of a storage call, where every call takes 10 ms. One process,
//! two instances on a folder, each call delayed; the call alone is measured for comparison.
//!
//! `cargo bench --bench round_trips -- [times, default 51]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "support/samples.rs"]
mod samples;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::Utc;
use codex_miroir::cache::CacheSettings;
use codex_miroir::codex::{Codex, CodexSettings, Consistency, Layer, Read, ReadRequest};
use codex_miroir::now::Now;
use codex_miroir::rules::Rules;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, Listing, Prefix, Put, PutIf,
    PutOutcome, StoreAnswer,
};
use codex_miroir::task::{Kategorie, NewTask, Status};
use codex_miroir::user::UserId;
use process::median;
use samples::write_samples;

/// The latency of a storage account in the same region.
const CALL_LATENCY: Duration = Duration::from_millis(10);

/// A store with the latency of a storage account.
struct SlowStore(DirectoryStore);

async fn delay() {
    tokio::time::sleep(CALL_LATENCY).await;
}

#[async_trait]
impl BlobStore for SlowStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        delay().await;
        self.0.get(key, condition).await
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        delay().await;
        self.0.put(key, blob, condition).await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        delay().await;
        self.0.delete(key, if_match).await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        delay().await;
        self.0.list(prefix).await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        delay().await;
        self.0.contents(prefix).await
    }
}

fn store(folder: &Path) -> Arc<SlowStore> {
    Arc::new(SlowStore(DirectoryStore::open(folder, Utc::now).unwrap()))
}

/// An instance with the default settings, without rate limits.
fn instance(store: &Arc<SlowStore>) -> Codex {
    let cache = CacheSettings {
        memory_ttl: Duration::from_secs(300),
        artifact_ttl: Duration::from_secs(900),
        revalidate: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(3600),
        memory_max_bytes: 128 << 20,
        deadline: Duration::from_secs(30),
        pending_expiry: Duration::from_secs(60),
        zone: chrono_tz::Europe::Berlin,
        ids: || getrandom::u64().expect("the operating system gives random numbers"),
        rules: Rules::default(),
    };
    Codex::new(
        Arc::clone(store) as _,
        CodexSettings {
            cache,
            rebuilds_per_minute: u32::MAX,
            writes_per_minute: u32::MAX,
            git: None,
            shared: None,
        },
    )
}

fn read_request(consistency: Consistency) -> ReadRequest {
    ReadRequest {
        user: UserId::parse("local").unwrap(),
        seen: None,
        consistency,
        now: Now::from_clocks(Utc::now(), Instant::now()),
    }
}

async fn read(codex: &Codex, consistency: Consistency) -> Read {
    codex
        .reader()
        .week(&read_request(consistency))
        .await
        .unwrap()
}

async fn create(codex: &Codex) {
    let task = NewTask {
        title: Some("Angebot prüfen".to_owned()),
        kategorie: Kategorie::Arbeit,
        status: Status::Offen,
        tags: Vec::new(),
        deadline: None,
        fixed_slot: None,
        abgeschlossen_am: None,
        body: String::new(),
    };
    codex
        .writer()
        .create(&read_request(Consistency::Bounded), task, None)
        .await
        .unwrap();
}

/// The median time of `times` runs, in milliseconds; `prepare` isn't counted.
async fn timed<P, R>(times: usize, prepare: impl AsyncFn() -> P, run: impl AsyncFn(P) -> R) -> f64 {
    let mut milliseconds = Vec::with_capacity(times);
    for _ in 0..times {
        let prepared = prepare().await;
        let began = Instant::now();
        let kept = run(prepared).await;
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
        drop(kept);
    }
    median(&mut milliseconds)
}

fn main() {
    let times = std::env::args().filter_map(|it| it.parse().ok()).next();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(times.unwrap_or(51)));
}

async fn measure(times: usize) {
    let folder = tempfile::tempdir().unwrap();
    write_samples(folder.path(), "local", 200);
    let slow_store = store(folder.path());
    let (one, other) = (instance(&slow_store), instance(&slow_store));
    for codex in [&one, &other] {
        read(codex, Consistency::Bounded).await;
    }
    let key = BlobKey::state(&UserId::parse("local").unwrap());
    let call = timed(
        times,
        async || (),
        async |()| slow_store.get(&key, GetIf::Any).await.unwrap(),
    )
    .await;
    println!("a storage call takes {call:.1} ms; medians of {times}");
    let row = |name: &str, took: f64| {
        println!("  {name:50} {took:7.1} ms, {:5.2} calls' time", took / call)
    };

    let quiet = async || one.finish_writes().await;
    let took = timed(times, quiet, async |()| create(&one).await).await;
    row("create, acknowledged", took);
    let took = timed(times, async || (), async |()| create(&one).await).await;
    row("create, right after the one before", took);
    one.finish_writes().await;
    let took = timed(
        times,
        async || (),
        async |()| read(&one, Consistency::Bounded).await,
    )
    .await;
    row("read from memory", took);
    let took = timed(
        times,
        async || (),
        async |()| read(&one, Consistency::Strict).await,
    )
    .await;
    row("strict read, nothing new", took);
    let changed = async || {
        create(&one).await;
        one.finish_writes().await;
    };
    let took = timed(times, changed, async |()| {
        let read = read(&other, Consistency::Strict).await;
        assert_eq!(read.layer, Layer::Artifact);
        read
    })
    .await;
    row("read after another instance's finished change", took);
    let took = timed(
        times,
        async || instance(&slow_store),
        async |fresh: Codex| {
            let read = read(&fresh, Consistency::Bounded).await;
            assert_eq!(read.layer, Layer::Artifact);
            fresh
        },
    )
    .await;
    row("first read of an instance, valid artifact", took);

    let files = tempfile::tempdir().unwrap();
    write_samples(files.path(), "local", 500);
    let slow_store = store(files.path());
    let nothing_known = async || {
        for place in ["artifacts", "state"] {
            let _ = std::fs::remove_dir_all(files.path().join(place));
        }
        instance(&slow_store)
    };
    let took = timed(times.min(15), nothing_known, async |fresh: Codex| {
        let read = read(&fresh, Consistency::Bounded).await;
        assert_eq!(read.layer, Layer::Rebuild);
        fresh
    })
    .await;
    row("rebuild of 500 files, nothing known", took);
}
