//! The test stores that other tests rely on.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use codex_miroir::store::{
    BlobKey, BlobStore, DeleteOutcome, GetIf, GetOutcome, Prefix, Put, PutIf, PutOutcome,
    StoreError, WriteId, WriteIds,
};
use codex_miroir::user::UserId;

use crate::support::counting_store::CountingStore;
use crate::support::losing_store::{LosingStore, Loss};
use crate::support::memory_store::MemoryStore;

fn ada() -> UserId {
    UserId::parse("ada").unwrap()
}

fn key() -> BlobKey {
    BlobKey::raw(&ada(), "0001.md").unwrap()
}

fn put() -> Put {
    Put {
        bytes: "x".into(),
        writes: WriteIds::default().with_newest(WriteId(1)),
    }
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_kind() {
    let store = CountingStore::new(Arc::new(MemoryStore::new(Utc::now())));
    store
        .get(&BlobKey::state(&ada()), GetIf::Any)
        .await
        .unwrap();
    store
        .get(&BlobKey::artifact(&ada()), GetIf::Any)
        .await
        .unwrap();
    store
        .get(&BlobKey::state(&ada()), GetIf::Any)
        .await
        .unwrap();
    let PutOutcome::Done(etag) = store.put(&key(), put(), PutIf::Any).await.unwrap().value else {
        panic!()
    };
    store.list(&Prefix::raw(&ada())).await.unwrap();
    store.delete(&key(), &etag).await.unwrap();

    let counts = store.counts();
    assert_eq!(
        counts.to_string(),
        "1 delete raw, 1 get artifacts, 2 get state, 1 list raw, 1 put raw"
    );
    assert_eq!(
        (
            counts.of_kind("get", "state"),
            counts.of_kind("put", "state")
        ),
        (2, 0)
    );
    assert_eq!(counts.total(), 6);
    assert_eq!(store.take(), counts);
    assert_eq!(store.take().total(), 0);
}

#[tokio::test]
async fn a_listing_counts_once_a_page() {
    let memory = MemoryStore::new(Utc::now());
    for number in 0..5_001 {
        memory.foreign_write(&format!("raw/ada/tasks/{number:04}.md"), b"");
    }
    let store = CountingStore::new(Arc::new(memory));
    let listing = store.list(&Prefix::raw(&ada())).await.unwrap().value;
    assert_eq!((listing.blobs.len(), listing.requests), (5_001, 2));
    let requests = store.take_requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests
            .iter()
            .all(|r| r.operation == "list" && r.path == "raw/ada/tasks/")
    );
}

#[tokio::test]
async fn a_lost_request_does_nothing_and_a_lost_answer_tells_nothing() {
    let memory = MemoryStore::new(Utc::now());
    let store = LosingStore::new(Arc::new(memory.clone()));
    for (loss, happened) in [(Loss::Request, false), (Loss::StoreResponse, true)] {
        store.lose_next("put", "raw/ada", loss);
        let lost = store.put(&key(), put(), PutIf::Absent).await;
        assert!(matches!(
            lost,
            Err(StoreError::Unavailable {
                operation: "put",
                ..
            })
        ));
        assert_eq!(memory.peek(key().path()).is_some(), happened);
    }
}

#[tokio::test]
async fn a_lost_first_answer_makes_a_success_look_refused() {
    let store = LosingStore::new(Arc::new(MemoryStore::new(Utc::now())));
    store.lose_next("put", "raw/", Loss::FirstAnswer);
    store.lose_next("delete", "raw/", Loss::FirstAnswer);
    let refused = store.put(&key(), put(), PutIf::Absent).await.unwrap().value;
    assert_eq!(refused, PutOutcome::Refused);
    let GetOutcome::Blob(blob) = store.get(&key(), GetIf::Any).await.unwrap().value else {
        panic!()
    };
    assert!(blob.writes.contains(WriteId(1)));
    let deleted = store.delete(&key(), &blob.etag).await.unwrap().value;
    assert_eq!(deleted, DeleteOutcome::Absent);
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_over() {
    let store = LosingStore::new(Arc::new(MemoryStore::new(Utc::now())));
    store.set_outage(true);
    assert!(store.get(&key(), GetIf::Any).await.is_err());
    assert!(store.list(&Prefix::raw(&ada())).await.is_err());
    store.set_outage(false);
    assert!(store.get(&key(), GetIf::Any).await.is_ok());
}

#[tokio::test]
async fn memory_has_a_clock_and_lets_others_write() {
    let start = Utc::now();
    let memory = MemoryStore::new(start);
    memory.advance(Duration::from_secs(60));
    assert_eq!(memory.now(), start + Duration::from_secs(60));
    assert_eq!(
        memory.get(&key(), GetIf::Any).await.unwrap().date,
        memory.now()
    );

    let etag = memory.foreign_write(key().path(), b"hers");
    let blob = memory.peek(key().path()).unwrap();
    assert_eq!((blob.etag, blob.writes.is_empty()), (etag, true));
    assert_eq!(memory.paths(), [key().path()]);
    assert!(memory.foreign_delete(key().path()));
    assert!(memory.paths().is_empty());
}
