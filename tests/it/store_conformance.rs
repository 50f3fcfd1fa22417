//! The contract of every store (src/store/README.md, "The contract"), on the in-memory test store and on a folder.

use codex_miroir::store::directory::DirectoryStore;

use crate::support::memory_store::MemoryStore;
use crate::support::store_conformance::others::neither_absent_nor_free;
use crate::support::store_conformance::{Opened, every_fact_on, user};

every_fact_on!(memory, directory);

fn memory() -> Opened {
    Opened::of(MemoryStore::new(chrono::Utc::now()))
}

fn directory() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), chrono::Utc::now).unwrap();
    Opened {
        folder: Some(folder),
        ..Opened::of(store)
    }
}

#[tokio::test]
async fn in_memory() {
    let store = MemoryStore::new(chrono::Utc::now());
    store.obstruct("raw/ada/tasks/0002.md", true);
    neither_absent_nor_free(&store, &user("ada"), &["0002.md"]).await;
}

/// An empty folder and a non-empty one, a dangling symlink, one to itself, one to a folder, and a socket.
#[cfg(unix)]
#[tokio::test]
async fn in_a_directory() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path(), chrono::Utc::now);
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
