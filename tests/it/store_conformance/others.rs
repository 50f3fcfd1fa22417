//! Something is there that is no file. How it comes there is each store's own business; what is said of it isn't.

use codex_miroir::store::StoreError;

use super::*;
use crate::support::azurite::azurite;
use crate::support::memory_store::MemoryStore;

/// Of each of these names: it is neither absent nor free, and it is told of.
async fn neither_absent_nor_free(store: &dyn BlobStore, user: &UserId, names: &[&str]) {
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

#[tokio::test]
async fn in_memory() {
    let store = MemoryStore::new(chrono::Utc::now());
    store.obstruct("raw/ada/tasks/0002.md", true);
    neither_absent_nor_free(&store, &user("ada"), &["0002.md"]).await;
}

/// A folder, with something in it and without, a link that leads nowhere, one to itself, one to a folder, a socket.
#[cfg(unix)]
#[tokio::test]
async fn in_a_directory() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let store =
        codex_miroir::store::directory::DirectoryStore::open(folder.path(), chrono::Utc::now);
    let tasks = folder.path().join("raw/ada/tasks");
    std::fs::create_dir_all(tasks.join("0002.md")).unwrap();
    std::fs::create_dir_all(tasks.join("0003.md")).unwrap();
    std::fs::write(tasks.join("0003.md/0004.md"), "deeper").unwrap();
    symlink("nowhere", tasks.join("0005.md")).unwrap();
    symlink("0006.md", tasks.join("0006.md")).unwrap();
    symlink(folder.path(), tasks.join("0007.md")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tasks.join("0008.md")).unwrap();
    let names = [
        "0002.md", "0003.md", "0005.md", "0006.md", "0007.md", "0008.md",
    ];
    neither_absent_nor_free(&store.unwrap(), &user("ada"), &names).await;
}

/// Accounts with a hierarchical namespace have folders, which are shown as empty blobs with this mark.
#[tokio::test]
async fn on_azure() {
    let container = azurite().container();
    let store = azurite().store(&container);
    let any = written(
        &store,
        &raw(&user("bob"), "0001.md"),
        bytes("x"),
        PutIf::Absent,
    )
    .await;
    assert!(!any.as_str().is_empty());
    let path = format!("{container}/raw/ada/tasks/0002.md");
    let headers = "x-ms-blob-type: BlockBlob\r\nx-ms-meta-hdi_isfolder: true\r\n";
    let answer = azurite().send("PUT", &path, headers).await;
    assert!(answer.starts_with("http/1.1 201"), "{answer}");
    neither_absent_nor_free(&store, &user("ada"), &["0002.md"]).await;
}
