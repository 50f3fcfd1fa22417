//! The conditions under which a read returns bytes and a write takes effect.

use super::*;

pub(crate) async fn an_absent_blob_is_absent_in_every_form(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let other = written(store, &raw(user, "0002.md"), bytes("x"), PutIf::Absent).await;
    for condition in [GetIf::Any, GetIf::Changed(other.clone())] {
        assert!(matches!(
            get(store, &key, condition).await,
            GetOutcome::Absent
        ));
    }
    let same = get(store, &key, GetIf::Same(other.clone())).await;
    assert!(matches!(same, GetOutcome::Absent | GetOutcome::Changed));
    assert_eq!(
        put(store, &key, bytes("y"), PutIf::Same(other.clone())).await,
        PutOutcome::Refused
    );
    assert_ne!(
        store.delete(&key, &other).await.unwrap().value,
        DeleteOutcome::Done
    );
    assert!(matches!(
        get(store, &key, GetIf::Any).await,
        GetOutcome::Absent
    ));
}

pub(crate) async fn changed_gives_only_news(store: &dyn BlobStore, user: &UserId) {
    let key = BlobKey::state(user);
    let old = written(store, &key, bytes("old"), PutIf::Absent).await;
    assert!(matches!(
        get(store, &key, GetIf::Changed(old.clone())).await,
        GetOutcome::Unchanged
    ));
    let new = written(store, &key, bytes("new"), PutIf::Any).await;
    let GetOutcome::Blob(read) = get(store, &key, GetIf::Changed(old)).await else {
        panic!("no news")
    };
    assert_eq!((&*read.bytes, read.etag), (&b"new"[..], new));
}

pub(crate) async fn same_gives_only_that_version(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let old = written(store, &key, bytes("old"), PutIf::Absent).await;
    let GetOutcome::Blob(read) = get(store, &key, GetIf::Same(old.clone())).await else {
        panic!("not given")
    };
    assert_eq!((&*read.bytes, &read.etag), (&b"old"[..], &old));
    written(store, &key, bytes("new"), PutIf::Same(old.clone())).await;
    assert!(matches!(
        get(store, &key, GetIf::Same(old)).await,
        GetOutcome::Changed
    ));
}

pub(crate) async fn create_needs_a_free_name(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let etag = written(store, &key, bytes("first"), PutIf::Absent).await;
    assert_eq!(
        put(store, &key, bytes("second"), PutIf::Absent).await,
        PutOutcome::Refused
    );
    assert_eq!(blob(store, &key).await.bytes, "first");
    assert_eq!(
        store.delete(&key, &etag).await.unwrap().value,
        DeleteOutcome::Done
    );
    written(store, &key, bytes("third"), PutIf::Absent).await;
}

pub(crate) async fn update_needs_the_named_version(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let one = written(store, &key, bytes("one"), PutIf::Absent).await;
    let two = written(store, &key, bytes("two"), PutIf::Same(one.clone())).await;
    assert_eq!(
        put(store, &key, bytes("three"), PutIf::Same(one)).await,
        PutOutcome::Refused
    );
    let read = blob(store, &key).await;
    assert_eq!((&*read.bytes, read.etag), (&b"two"[..], two));
}

pub(crate) async fn any_overwrites(store: &dyn BlobStore, user: &UserId) {
    let key = BlobKey::artifact(user);
    written(store, &key, bytes("a longer text"), PutIf::Any).await;
    let etag = written(store, &key, bytes("short"), PutIf::Any).await;
    let read = blob(store, &key).await;
    assert_eq!((&*read.bytes, read.etag), (&b"short"[..], etag));
}

pub(crate) async fn the_same_bytes_again_are_another_version(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let mut etags = vec![written(store, &key, bytes("same"), PutIf::Absent).await];
    for _ in 0..10 {
        let last = etags.last().unwrap().clone();
        etags.push(written(store, &key, bytes("same"), PutIf::Same(last)).await);
    }
    assert_all_different(etags);
}

pub(crate) async fn a_version_never_comes_back(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let mut etags = Vec::new();
    for _ in 0..10 {
        let etag = written(store, &key, bytes("same"), PutIf::Absent).await;
        assert_eq!(
            store.delete(&key, &etag).await.unwrap().value,
            DeleteOutcome::Done
        );
        etags.push(etag);
    }
    assert_all_different(etags);
}

pub(crate) async fn delete_needs_the_named_version(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let old = written(store, &key, bytes("old"), PutIf::Absent).await;
    let new = written(store, &key, bytes("new"), PutIf::Same(old.clone())).await;
    assert_eq!(
        store.delete(&key, &old).await.unwrap().value,
        DeleteOutcome::Refused
    );
    assert_eq!(blob(store, &key).await.bytes, "new");
    assert_eq!(
        store.delete(&key, &new).await.unwrap().value,
        DeleteOutcome::Done
    );
    assert!(matches!(
        get(store, &key, GetIf::Any).await,
        GetOutcome::Absent
    ));
    assert_ne!(
        store.delete(&key, &new).await.unwrap().value,
        DeleteOutcome::Done
    );
}

pub(crate) async fn etags_count_quoted_or_not(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let etag = written(store, &key, bytes("x"), PutIf::Absent).await;
    let quoted = ETag::new(&etag.quoted());
    assert_eq!(quoted, etag);
    assert!(!etag.as_str().contains('"'));
    assert!(matches!(
        get(store, &key, GetIf::Changed(quoted.clone())).await,
        GetOutcome::Unchanged
    ));
    assert_eq!(
        store.delete(&key, &quoted).await.unwrap().value,
        DeleteOutcome::Done
    );
}

fn assert_all_different(etags: Vec<ETag>) {
    let distinct: std::collections::HashSet<_> = etags.iter().cloned().collect();
    assert_eq!(distinct.len(), etags.len(), "{etags:?}");
}
