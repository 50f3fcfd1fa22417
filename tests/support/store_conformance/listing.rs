//! The contents of a listing.

use super::*;

pub(crate) async fn an_unknown_user_has_an_empty_listing(store: &dyn BlobStore, user: &UserId) {
    let listing = store.list(&Prefix::raw(user)).await.unwrap().value;
    assert_eq!((listing.blobs.len(), listing.requests), (0, 1));
}

pub(crate) async fn a_listing_has_the_etags_of_get_and_put(store: &dyn BlobStore, user: &UserId) {
    let mut expected = Vec::new();
    for name in ["0001.md", "0002-b.md", "notes.txt"] {
        let etag = written(store, &raw(user, name), by(name, first(1)), PutIf::Absent).await;
        assert_eq!(blob(store, &raw(user, name)).await.etag, etag);
        expected.push(ListedBlob {
            name: name.to_owned(),
            etag,
            size: name.len() as u64,
            modified: None,
        });
    }
    let listed = listed(store, user).await.into_iter();
    let untimed = listed.map(|blob| ListedBlob {
        modified: None,
        ..blob
    });
    assert_eq!(untimed.collect::<Vec<_>>(), expected);
}

/// Azure's times have whole seconds, and a directory's time may be slightly ahead of the clock.
pub(crate) async fn a_listing_says_when_a_blob_was_last_written(
    store: &dyn BlobStore,
    user: &UserId,
) {
    let key = raw(user, "0001.md");
    let before = store.get(&key, GetIf::Any).await.unwrap().date;
    written(store, &key, bytes("x"), PutIf::Absent).await;
    let after = store.get(&key, GetIf::Any).await.unwrap().date;
    let second = TimeDelta::seconds(1);
    let of_list = listed(store, user).await[0].modified.unwrap();
    let contents = store.contents(&Prefix::state(user)).await.unwrap().value;
    assert!(contents.blobs.is_empty());
    written(store, &BlobKey::state(user), bytes("{}"), PutIf::Absent).await;
    let contents = store.contents(&Prefix::state(user)).await.unwrap();
    let (of_contents, later) = (contents.value.blobs[0].modified.unwrap(), contents.date);
    assert!(before - second <= of_list && of_list <= after + second);
    assert!(of_list <= of_contents && of_contents <= later + second);
    let blob = &contents.value.blobs[0];
    assert!(!blob.is_older_than(TimeDelta::minutes(1), later));
    assert!(blob.is_older_than(TimeDelta::minutes(1), later + TimeDelta::minutes(2)));
}

pub(crate) async fn the_contents_of_a_prefix_are_its_blobs_and_folders(
    store: &dyn BlobStore,
    user: &UserId,
) {
    let contents = store.contents(&Prefix::state(user)).await.unwrap().value;
    assert_eq!((contents.folders.len(), contents.blobs.len()), (0, 0));
    // In this order a page has a folder between two blobs.
    let record = BlobKey::leftover(&Prefix::legacy_idempotency(user), "key one.txt").unwrap();
    for key in [BlobKey::git(user), record.clone(), BlobKey::state(user)] {
        written(store, &key, bytes("{}"), PutIf::Absent).await;
    }
    let contents = store.contents(&Prefix::state(user)).await.unwrap().value;
    let mut blobs = contents.blobs;
    blobs.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = blobs.iter().map(|blob| blob.name.as_str()).collect();
    assert_eq!(names, ["git.json", "state.json"]);
    assert_eq!(contents.folders.iter().collect::<Vec<_>>(), ["idempotency"]);
    assert_eq!(contents.requests, 1);
    let state = blob(store, &BlobKey::state(user)).await;
    assert_eq!((&blobs[1].etag, blobs[1].size), (&state.etag, 2));
    let records = Prefix::legacy_idempotency(user);
    let records = store.contents(&records).await.unwrap().value;
    assert_eq!(records.blobs[0].name, "key one.txt");
    let etag = &records.blobs[0].etag;
    let deleted = store.delete(&record, etag).await.unwrap().value;
    assert_eq!(deleted, DeleteOutcome::Done);
}

pub(crate) async fn every_users_folder_is_in_the_contents_above(
    store: &dyn BlobStore,
    user: &UserId,
) {
    let longer = UserId::parse(&format!("{user}-b")).unwrap();
    for user in [user, &longer] {
        written(store, &raw(user, "0001.md"), bytes("x"), PutIf::Absent).await;
        written(store, &BlobKey::state(user), bytes("{}"), PutIf::Absent).await;
        written(store, &BlobKey::artifact(user), bytes("{}"), PutIf::Absent).await;
    }
    for above in [
        Prefix::all_raw(),
        Prefix::all_state(),
        Prefix::all_artifacts(),
    ] {
        let folders = store.contents(&above).await.unwrap().value.folders;
        for user in [user, &longer] {
            assert!(folders.contains(user.as_str()), "{above}: {folders:?}");
        }
        assert!(
            !folders.iter().any(|name| name.contains('/')),
            "{folders:?}"
        );
    }
    // A removed blob leaves none.
    let key = raw(&longer, "0001.md");
    let etag = blob(store, &key).await.etag;
    let removed = store.delete(&key, &etag).await.unwrap().value;
    assert_eq!(removed, DeleteOutcome::Done);
    let folders = store.contents(&Prefix::all_raw()).await.unwrap();
    let folders = folders.value.folders;
    assert!(folders.contains(user.as_str()), "{folders:?}");
    assert!(!folders.contains(longer.as_str()), "{folders:?}");
}

pub(crate) async fn a_listing_shows_no_other_user(store: &dyn BlobStore, user: &UserId) {
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
        GetOutcome::Absent
    ));
}

pub(crate) async fn a_listing_shows_raw_files_only(store: &dyn BlobStore, user: &UserId) {
    written(store, &raw(user, "0001.md"), bytes("x"), PutIf::Absent).await;
    written(store, &BlobKey::state(user), bytes("{}"), PutIf::Absent).await;
    written(store, &BlobKey::artifact(user), bytes("{}"), PutIf::Absent).await;
    assert_eq!(names(store, user).await, ["0001.md"]);
}

pub(crate) async fn a_deleted_blob_leaves_the_listing(store: &dyn BlobStore, user: &UserId) {
    let etag = written(store, &raw(user, "0001.md"), bytes("x"), PutIf::Absent).await;
    written(store, &raw(user, "0002.md"), bytes("y"), PutIf::Absent).await;
    store.delete(&raw(user, "0001.md"), &etag).await.unwrap();
    assert_eq!(names(store, user).await, ["0002.md"]);
}
