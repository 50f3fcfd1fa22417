//! Fixtures for the janitor, and one test that it tidies up every store alike.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use codex_miroir::codex::{JanitorReport, Version};
use codex_miroir::now::Now;
use codex_miroir::store::{
    BlobKey, BlobStore, GetIf, GetOutcome, Prefix, Put, PutIf, WriteId, WriteIds,
};
use codex_miroir::user::UserId;
use codex_miroir::user_state::{ChangeKind, IdempotencyRecord, PendingFile, PendingOp, State};
use serde_json::Map;

use super::later_store::LaterStore;
use super::scene::{anna, codex_over, task};

/// The text that settling writes.
pub(crate) const SETTLED: &str = "---\ntyp: settled\n---\n";

/// A write intent on one file.
pub(crate) fn mark(name: &str, kind: ChangeKind, version: u64, at: DateTime<Utc>) -> PendingOp {
    PendingOp {
        version: Version(version),
        at,
        files: vec![PendingFile {
            name: name.to_owned(),
            write_id: WriteId(7).to_string(),
            kind,
            unknown: Map::new(),
        }],
        denied: false,
        unknown: Map::new(),
    }
}

/// The idempotency record of a create.
pub(crate) fn record(op: &str, at: DateTime<Utc>) -> IdempotencyRecord {
    IdempotencyRecord {
        body: "0".repeat(64),
        op: op.to_owned(),
        id: 1,
        file: "0001.md".to_owned(),
        version: Version(1),
        at,
        unknown: Map::new(),
    }
}

async fn put(store: &LaterStore, key: &BlobKey, text: &[u8], writes: WriteIds) {
    let put = Put {
        bytes: text.to_vec().into(),
        writes,
    };
    store.put(key, put, PutIf::Absent).await.unwrap();
}

pub(crate) async fn everything_that_is_expired_goes(inner: Arc<dyn BlobStore>) {
    let store = LaterStore::new(inner);
    let (anna, gone) = (anna(), UserId::parse("weg").unwrap());
    let file = |name| BlobKey::raw(&anna, name).unwrap();
    let none = WriteIds::default;
    put(
        &store,
        &file("0000-Da.md"),
        task("Da").as_bytes(),
        none().with_newest(WriteId(7)),
    )
    .await;
    put(&store, &file("0001-Nie.md"), SETTLED.as_bytes(), none()).await;
    let leftovers = [
        (Prefix::state(&anna), "cacheVersion.txt"),
        (Prefix::state(&anna), "lastHeadSha.txt"),
        (Prefix::all_state(), "cacheVersion.txt"),
        (Prefix::legacy_idempotency(&anna), "a key.txt"),
        (Prefix::artifacts(&anna), "timeline_1_20260308_07.json"),
        (Prefix::all_artifacts(), "timeline_main.json"),
    ];
    for (prefix, name) in &leftovers {
        let key = BlobKey::leftover(prefix, name).unwrap();
        put(&store, &key, b"old", none()).await;
    }
    for user in [&anna, &gone] {
        put(&store, &BlobKey::artifact(user), b"{}", none()).await;
    }
    put(&store, &BlobKey::legacy_next_id(&anna), b"1", none()).await;
    put(&store, &BlobKey::owner(&anna), b"{}", none()).await;
    let now = Utc::now();
    let mut state = State::new(Version(10), 2);
    let landed = mark("0000-Da.md", ChangeKind::Update, 11, now);
    state.pending.insert("left".to_owned(), landed);
    let young = now + TimeDelta::hours(24);
    for (key, op, at) in [("a", "old", now), ("b", "young", young)] {
        state.idempotency.insert(key.repeat(64), record(op, at));
    }
    put(&store, &BlobKey::state(&anna), &state.to_bytes(), none()).await;

    let codex = codex_over(Arc::new(store.clone()));
    let from_clocks = || Now::from_clocks(Utc::now(), std::time::Instant::now());
    let young = codex.janitor().run(from_clocks()).await.unwrap();
    let artifact_only = JanitorReport {
        users: 2,
        artifacts: 1,
        ..JanitorReport::default()
    };
    assert_eq!(young, artifact_only, "all else is young");

    store.pass(TimeDelta::hours(26));
    let report = codex.janitor().run(from_clocks()).await.unwrap();
    let found = (
        report.records,
        report.intents,
        report.tombstones,
        report.leftovers,
    );
    assert_eq!(found, (1, 1, 1, leftovers.len()));
    assert_eq!(report.failed, 0);
    let names = async |prefix: Prefix| {
        let contents = store.contents(&prefix).await.unwrap().value;
        let mut names: Vec<String> = contents.blobs.into_iter().map(|it| it.name).collect();
        names.sort();
        names
    };
    assert_eq!(names(Prefix::raw(&anna)).await, ["0000-Da.md"]);
    let kept = ["nextId.txt", "owner.json", "state.json"];
    assert_eq!(names(Prefix::state(&anna)).await, kept);
    assert_eq!(names(Prefix::artifacts(&anna)).await, ["timeline.json"]);
    assert!(names(Prefix::legacy_idempotency(&anna)).await.is_empty());
    for shared in [
        Prefix::all_state(),
        Prefix::all_artifacts(),
        Prefix::artifacts(&gone),
    ] {
        assert!(names(shared.clone()).await.is_empty(), "{shared}");
    }
    let GetOutcome::Blob(blob) = store
        .get(&BlobKey::state(&anna), GetIf::Any)
        .await
        .unwrap()
        .value
    else {
        panic!("the state is gone");
    };
    let after = State::parse(&blob.bytes).unwrap().unwrap();
    state.pending.clear();
    state.idempotency.remove(&"a".repeat(64));
    assert_eq!(after, state);
}
