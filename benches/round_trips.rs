//! The promises' price where every storage call takes 10 ms: how many such calls' time a read, a change and a
//! rebuild take. In one process, two instances over a folder, each call held up; beside it the call alone.
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
use codex_miroir::codex::{Codex, CodexSettings, Freshness, Layer, Read, Want};
use codex_miroir::now::Now;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::store::{
    Answer, BlobStore, Contents, Deleted, ETag, GetIf, Got, Key, Listing, Prefix, Put, PutIf,
    StoreError, Written,
};
use codex_miroir::task::{Kategorie, NewTask, Status};
use codex_miroir::user::UserId;
use process::median;
use samples::write_samples;

/// What a storage account in the same region takes.
const CALL: Duration = Duration::from_millis(10);

/// A store that is as far away as a storage account.
struct Far(DirectoryStore);

async fn travel() {
    tokio::time::sleep(CALL).await;
}

#[async_trait]
impl BlobStore for Far {
    async fn get(&self, key: &Key, condition: GetIf) -> Result<Answer<Got>, StoreError> {
        travel().await;
        self.0.get(key, condition).await
    }

    async fn put(
        &self,
        key: &Key,
        blob: Put,
        condition: PutIf,
    ) -> Result<Answer<Written>, StoreError> {
        travel().await;
        self.0.put(key, blob, condition).await
    }

    async fn delete(&self, key: &Key, if_match: &ETag) -> Result<Answer<Deleted>, StoreError> {
        travel().await;
        self.0.delete(key, if_match).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Answer<Listing>, StoreError> {
        travel().await;
        self.0.list(prefix).await
    }

    async fn contents(&self, prefix: &Prefix) -> Result<Answer<Contents>, StoreError> {
        travel().await;
        self.0.contents(prefix).await
    }
}

fn store(folder: &Path) -> Arc<Far> {
    Arc::new(Far(DirectoryStore::open(folder, Utc::now).unwrap()))
}

/// An instance as the settings make it by default, without limits.
fn instance(store: &Arc<Far>) -> Codex {
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
    };
    Codex::new(
        Arc::clone(store) as _,
        CodexSettings {
            cache,
            rebuilds_per_minute: u32::MAX,
            writes_per_minute: u32::MAX,
            git: None,
        },
    )
}

fn want(freshness: Freshness) -> Want {
    Want {
        user: UserId::parse("local").unwrap(),
        seen: None,
        known: None,
        freshness,
        now: Now::of_clocks(Utc::now(), Instant::now()),
    }
}

async fn read(codex: &Codex, freshness: Freshness) -> Read {
    codex.week(&want(freshness)).await.unwrap()
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
        .create(&want(Freshness::Bounded), task, None)
        .await
        .unwrap();
}

/// The median time of `times` runs, in milliseconds; what comes before a run isn't counted.
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
    let far = store(folder.path());
    let (one, other) = (instance(&far), instance(&far));
    for codex in [&one, &other] {
        read(codex, Freshness::Bounded).await;
    }
    let key = Key::state(&UserId::parse("local").unwrap());
    let call = timed(
        times,
        async || (),
        async |()| far.get(&key, GetIf::Any).await.unwrap(),
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
        async |()| read(&one, Freshness::Bounded).await,
    )
    .await;
    row("read from memory", took);
    let took = timed(
        times,
        async || (),
        async |()| read(&one, Freshness::Strict).await,
    )
    .await;
    row("strict read, nothing new", took);
    let changed = async || {
        create(&one).await;
        one.finish_writes().await;
    };
    let took = timed(times, changed, async |()| {
        let read = read(&other, Freshness::Strict).await;
        assert_eq!(read.layer, Layer::Artifact);
        read
    })
    .await;
    row("read after another instance's finished change", took);
    let took = timed(
        times,
        async || instance(&far),
        async |fresh: Codex| {
            let read = read(&fresh, Freshness::Bounded).await;
            assert_eq!(read.layer, Layer::Artifact);
            fresh
        },
    )
    .await;
    row("first read of an instance, valid artifact", took);

    let files = tempfile::tempdir().unwrap();
    write_samples(files.path(), "local", 500);
    let far = store(files.path());
    let nothing_known = async || {
        for place in ["artifacts", "state"] {
            let _ = std::fs::remove_dir_all(files.path().join(place));
        }
        instance(&far)
    };
    let took = timed(times.min(15), nothing_known, async |fresh: Codex| {
        let read = read(&fresh, Freshness::Bounded).await;
        assert_eq!(read.layer, Layer::Rebuild);
        fresh
    })
    .await;
    row("rebuild of 500 files, nothing known", took);
}
