//! What a listing shows.

use super::*;

pub(super) async fn an_unknown_user_has_an_empty_listing(store: &dyn BlobStore, user: &UserId) {
    let listing = store.list(&Prefix::raw(user)).await.unwrap().value;
    assert_eq!((listing.blobs.len(), listing.requests), (0, 1));
}

pub(super) async fn a_listing_has_the_etags_of_get_and_put(store: &dyn BlobStore, user: &UserId) {
    let mut expected = Vec::new();
    for name in ["0001.md", "0002-b.md", "notes.txt"] {
        let etag = written(store, &raw(user, name), by(name, first(1)), PutIf::Absent).await;
        assert_eq!(blob(store, &raw(user, name)).await.etag, etag);
        expected.push(Listed {
            name: name.to_owned(),
            etag,
            size: name.len() as u64,
        });
    }
    assert_eq!(listed(store, user).await, expected);
}

pub(super) async fn a_listing_shows_no_other_user(store: &dyn BlobStore, user: &UserId) {
    let longer = UserId::parse(&format!("{user}b")).unwrap();
    written(store, &raw(user, "0001.md"), bytes("mine"), PutIf::Absent).await;
    written(
        store,
        &raw(&longer, "0002.md"),
        bytes("theirs"),
        PutIf::Absent,
    )
    .await;
    assert_eq!(names(store, user).await, ["0001.md"]);
    assert_eq!(names(store, &longer).await, ["0002.md"]);
    assert!(matches!(
        get(store, &raw(user, "0002.md"), GetIf::Any).await,
        Got::Absent
    ));
}

pub(super) async fn a_listing_shows_raw_files_only(store: &dyn BlobStore, user: &UserId) {
    written(store, &raw(user, "0001.md"), bytes("x"), PutIf::Absent).await;
    written(store, &Key::state(user), bytes("{}"), PutIf::Absent).await;
    written(store, &Key::artifact(user), bytes("{}"), PutIf::Absent).await;
    assert_eq!(names(store, user).await, ["0001.md"]);
}

pub(super) async fn a_deleted_blob_leaves_the_listing(store: &dyn BlobStore, user: &UserId) {
    let etag = written(store, &raw(user, "0001.md"), bytes("x"), PutIf::Absent).await;
    written(store, &raw(user, "0002.md"), bytes("y"), PutIf::Absent).await;
    store.delete(&raw(user, "0001.md"), &etag).await.unwrap();
    assert_eq!(names(store, user).await, ["0002.md"]);
}
