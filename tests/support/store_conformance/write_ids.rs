//! Whether a write can be recognised afterwards (src/user_state/README.md, "Task files and write ids").

use super::*;

pub(crate) async fn write_ids_come_back(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let ids = first(u64::MAX)
        .with_newest(WriteId(0))
        .with_newest(WriteId(0xfeed));
    written(store, &key, by("x", ids.clone()), PutIf::Absent).await;
    assert_eq!(blob(store, &key).await.writes, ids);
}

pub(crate) async fn write_ids_are_replaced_by_each_write(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let etag = written(store, &key, by("one", first(1)), PutIf::Absent).await;
    let ids = blob(store, &key).await.writes.with_newest(WriteId(2));
    written(store, &key, by("two", ids.clone()), PutIf::Same(etag)).await;
    let writes = blob(store, &key).await.writes;
    assert_eq!(writes, ids);
    assert!(
        writes.contains(WriteId(1)) && writes.contains(WriteId(2)) && !writes.contains(WriteId(3))
    );
}

pub(crate) async fn only_sixteen_write_ids_are_kept(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let mut etag = written(store, &key, by("0", first(0)), PutIf::Absent).await;
    for id in 1..=16 {
        let ids = blob(store, &key).await.writes.with_newest(WriteId(id));
        etag = written(store, &key, by("again", ids), PutIf::Same(etag)).await;
    }
    let writes = blob(store, &key).await.writes;
    assert!(!writes.contains(WriteId(0)));
    assert!((1..=16).all(|id| writes.contains(WriteId(id))));
}

pub(crate) async fn a_write_without_ids_loses_them(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    written(store, &key, by("ours", first(1)), PutIf::Absent).await;
    written(store, &key, bytes("theirs"), PutIf::Any).await;
    assert!(blob(store, &key).await.writes.is_empty());
}

/// As when the SDK repeats a write whose first answer was lost.
pub(crate) async fn a_repeated_update_is_recognised(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let old = written(store, &key, by("old", first(1)), PutIf::Absent).await;
    let update = by("new", first(1).with_newest(WriteId(2)));
    let condition = PutIf::Same(old);
    let etag = written(store, &key, update.clone(), condition.clone()).await;
    assert_eq!(
        put(store, &key, update, condition).await,
        PutOutcome::Refused
    );
    let read = blob(store, &key).await;
    assert!(read.writes.contains(WriteId(2)));
    assert_eq!(read.etag, etag);
}

pub(crate) async fn a_repeated_create_is_recognised(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let create = by("x", first(0xabc));
    written(store, &key, create.clone(), PutIf::Absent).await;
    assert_eq!(
        put(store, &key, create, PutIf::Absent).await,
        PutOutcome::Refused
    );
    assert!(blob(store, &key).await.writes.contains(WriteId(0xabc)));
}

pub(crate) async fn a_create_after_a_delete_has_only_its_own_id(
    store: &dyn BlobStore,
    user: &UserId,
) {
    let key = raw(user, "0001.md");
    let etag = written(store, &key, by("x", first(1)), PutIf::Absent).await;
    store.delete(&key, &etag).await.unwrap();
    written(store, &key, by("x", first(2)), PutIf::Absent).await;
    assert_eq!(blob(store, &key).await.writes, first(2));
}
