//! Paths occupied by something other than a file. How it got there is specific to each store; the errors are the same.

use codex_miroir::store::StoreError;

use super::*;

/// Each of these names is neither absent nor free, and a listing reports it.
pub(crate) async fn neither_absent_nor_free(store: &dyn BlobStore, user: &UserId, names: &[&str]) {
    let file = raw(user, "0001.md");
    let etag = written(store, &file, bytes("x"), PutIf::Absent).await;
    for name in names {
        let key = raw(user, name);
        for condition in [
            GetIf::Any,
            GetIf::Changed(etag.clone()),
            GetIf::Same(etag.clone()),
        ] {
            let got = store.get(&key, condition.clone()).await;
            let refused = matches!(
                (&got, &condition),
                (Err(StoreError::NotAFile { key: of }), _) if of == key.path()
            );
            // A read of a known version may answer that the version differs.
            let changed = matches!(
                (&got, &condition),
                (Ok(answer), GetIf::Same(_)) if matches!(answer.value, GetOutcome::Changed)
            );
            assert!(refused || changed, "{key}, {condition:?}: {got:?}");
        }
        for condition in [PutIf::Absent, PutIf::Same(etag.clone())] {
            let put = put(store, &key, by("y", first(1)), condition).await;
            assert_eq!(put, PutOutcome::Refused, "{key}");
        }
        let deleted = store.delete(&key, &etag).await.unwrap().value;
        assert_eq!(deleted, DeleteOutcome::Refused, "{key}");
    }
    let listing = store.list(&Prefix::raw(user)).await.unwrap().value;
    let mut others = listing.others;
    others.sort();
    assert_eq!(others, names);
    let blobs: Vec<String> = listing.blobs.into_iter().map(|blob| blob.name).collect();
    assert_eq!(blobs, ["0001.md"]);
}
