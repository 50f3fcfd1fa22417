//! Bytes, names and dates.

use super::*;

pub(crate) async fn bytes_come_back_as_written(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001-Steuer.md");
    let content = Bytes::from_static(b"\xef\xbb\xbf---\r\nkategorie: privat\r\n---\r\n\x00\xff\n");
    let put = Put {
        bytes: content.clone(),
        writes: WriteIds::default(),
    };
    let etag = written(store, &key, put, PutIf::Absent).await;
    let read = blob(store, &key).await;
    assert_eq!((read.bytes, read.etag), (content, etag));
    assert!(read.writes.is_empty());
}

pub(crate) async fn an_empty_blob_comes_back_empty(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let etag = written(store, &key, by("", first(7)), PutIf::Absent).await;
    let read = blob(store, &key).await;
    assert_eq!(
        (read.bytes.len(), &read.etag, read.writes),
        (0, &etag, first(7))
    );
    assert!(matches!(
        get(store, &key, GetIf::Changed(etag.clone())).await,
        GetOutcome::Unchanged
    ));
    assert!(matches!(
        get(store, &key, GetIf::Same(etag)).await,
        GetOutcome::Blob(_)
    ));
}

pub(crate) async fn a_big_blob_comes_back_whole(store: &dyn BlobStore, user: &UserId) {
    let key = BlobKey::artifact(user);
    let content: Vec<u8> = (0..3 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let put = Put {
        bytes: content.clone().into(),
        writes: WriteIds::default(),
    };
    written(store, &key, put, PutIf::Any).await;
    assert!(blob(store, &key).await.bytes == content);
}

pub(crate) async fn odd_names_name_their_own_blob(store: &dyn BlobStore, user: &UserId) {
    let odd = [
        "0001-mit Leerzeichen.md",
        "0002-100%.md",
        "0003-%2e%2E%2f.md",
        "0004-was?.md",
        "0005-#eins.md",
        "0006-Äpfel & Öl.md",
        "0007-a+b.md",
        "0008-Ende...",
        "0009-日本語-🦀.md",
        "0010-<q>\"'&amp;.md",
        "0011-;=:@,$!*().md",
        "0012-[x]{y}|~^`.md",
        "...md",
        " .md",
    ];
    for name in odd {
        written(store, &raw(user, name), bytes(name), PutIf::Absent).await;
    }
    for name in odd {
        assert_eq!(
            blob(store, &raw(user, name)).await.bytes,
            name.as_bytes(),
            "{name}"
        );
    }
    let mut sorted: Vec<String> = odd.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(names(store, user).await, sorted);
}

pub(crate) async fn every_kind_of_key_works(store: &dyn BlobStore, user: &UserId) {
    let keys = [
        raw(user, "0001.md"),
        BlobKey::artifact(user),
        BlobKey::state(user),
        BlobKey::legacy_next_id(user),
    ];
    for key in &keys {
        let etag = written(store, key, bytes(key.path()), PutIf::Absent).await;
        assert_eq!(blob(store, key).await.bytes, key.path().as_bytes());
        assert_eq!(
            store.delete(key, &etag).await.unwrap().value,
            DeleteOutcome::Done
        );
    }
    assert!(matches!(
        get(store, &BlobKey::probe(), GetIf::Any).await,
        GetOutcome::Absent
    ));
}

pub(crate) async fn a_date_is_the_stores_time(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let absent = store.get(&key, GetIf::Any).await.unwrap().date;
    let put = store
        .put(&key, bytes("x"), PutIf::Absent)
        .await
        .unwrap()
        .date;
    let refused = store
        .put(&key, bytes("x"), PutIf::Absent)
        .await
        .unwrap()
        .date;
    let etag = blob(store, &key).await.etag;
    let unchanged = store
        .get(&key, GetIf::Changed(etag.clone()))
        .await
        .unwrap()
        .date;
    let listed = store.list(&Prefix::raw(user)).await.unwrap().date;
    let deleted = store.delete(&key, &etag).await.unwrap().date;
    let dates = [absent, put, refused, unchanged, listed, deleted];
    assert!(dates.is_sorted(), "{dates:?}");
    assert!((chrono::Utc::now() - absent).num_seconds().abs() < 60);
}
