//! Something is there that is no file. How it comes there is each store's own business; what is said of it isn't.

use codex_miroir::store::StoreError;

use super::*;

/// Of each of these names: it is neither absent nor free, and it is told of.
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
            // Whoever asks for a version hears that it isn't that one.
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
