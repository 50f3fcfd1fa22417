//! The component costs of a read and a write: parse, place, edit, rebuild.
//!
//! `cargo bench --bench core`
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/operations.rs"]
mod operations;
#[path = "support/samples.rs"]
mod samples;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use codex_miroir::codex::{Codex, Consistency, Layer, ReadRequest};
use codex_miroir::now::Now;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::store::{BlobKey, BlobStore, Put, PutIf};
use codex_miroir::task::{Edit, FileName, FileRecord, Status, TaskTable, edit, git_sha, parse};
use codex_miroir::timeline::place;
use codex_miroir::user::UserId;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use operations::codex;
use samples::{sample_file, write_samples};

fn table(count: usize) -> TaskTable {
    let records = (0..count).map(sample_file).map(|(name, text)| FileRecord {
        content: parse(&name.parse::<FileName>().unwrap(), text.as_bytes()),
        sha: Some(git_sha(text.as_bytes())),
        etag: "0x8DD0000000000000".to_owned(),
        name,
    });
    TaskTable::new(records.collect())
}

fn pure(criterion: &mut Criterion) {
    let (name, text) = sample_file(7);
    let name: FileName = name.parse().unwrap();
    criterion.bench_function("parse a task file", |bench| {
        bench.iter(|| parse(&name, black_box(text.as_bytes())))
    });
    let complete = Edit {
        status: Some(Status::Abgeschlossen),
        ..Edit::default()
    };
    criterion.bench_function("edit a task file", |bench| {
        bench.iter(|| edit(&name, black_box(&text), &complete))
    });
    for count in [50, 200, 500] {
        let table = table(count);
        let now = Utc::now();
        let place = |table: &TaskTable| place(table, now, chrono_tz::Europe::Berlin);
        criterion.bench_function(&format!("place {count} tasks"), |bench| {
            bench.iter(|| place(black_box(&table)))
        });
    }
}

/// 500 files on disk, and a cache on them.
struct DiskFixture {
    _folder: tempfile::TempDir,
    store: Arc<DirectoryStore>,
}

impl DiskFixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_samples(folder.path(), "local", 500);
        let store = Arc::new(DirectoryStore::open(folder.path(), Utc::now).unwrap());
        Self {
            _folder: folder,
            store,
        }
    }

    fn codex(&self) -> Codex {
        codex(&self.store)
    }

    async fn change_one(&self) {
        let (name, text) = sample_file(250);
        let key = BlobKey::raw(&user(), &name).unwrap();
        self.store
            .put(
                &key,
                Put {
                    bytes: text.into(),
                    ..Put::default()
                },
                PutIf::Any,
            )
            .await
            .unwrap();
    }

    /// Deletes the artifact, so that the next rebuild fetches every file.
    fn delete_artifact(&self) {
        let artifact = self.store.root().join("artifacts");
        if Path::new(&artifact).exists() {
            std::fs::remove_dir_all(artifact).unwrap();
        }
    }
}

fn user() -> UserId {
    UserId::parse("local").unwrap()
}

async fn rebuild(codex: &Codex) {
    let now = Now::from_clocks(Utc::now(), std::time::Instant::now());
    let read_request = ReadRequest {
        user: user(),
        seen: None,
        consistency: Consistency::Rebuilt,
        now,
    };
    assert_eq!(
        codex.reader().week(&read_request).await.unwrap().layer,
        Layer::Rebuild
    );
}

fn rebuilds(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let disk = DiskFixture::new();
    let quiet = || std::thread::sleep(Duration::from_millis(30));
    criterion.bench_function("rebuild 500 files, all fetched", |bench| {
        let fresh = || {
            quiet();
            disk.delete_artifact();
            disk.codex()
        };
        bench.iter_batched(
            fresh,
            |codex| runtime.block_on(rebuild(&codex)),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function("rebuild 500 files, 1 changed", |bench| {
        let codex = disk.codex();
        runtime.block_on(rebuild(&codex));
        let change = || {
            runtime.block_on(disk.change_one());
            quiet();
        };
        bench.iter_batched(
            change,
            |()| runtime.block_on(rebuild(&codex)),
            BatchSize::PerIteration,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(4)).without_plots();
    targets = pure, rebuilds
}
criterion_main!(benches);
