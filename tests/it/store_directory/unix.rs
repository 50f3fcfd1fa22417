//! Features of Unix file systems only: symlinks, sockets, permissions, names that are not UTF-8.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

#[tokio::test]
async fn sockets_are_skipped_and_names_that_are_not_utf8_are_escaped() {
    let fixture = Fixture::new();
    fixture.written("x").await;
    let _socket = UnixListener::bind(fixture.tasks().join("0002.md")).unwrap();
    fs::write(
        fixture
            .tasks()
            .join(OsStr::from_bytes(b"0003-\xff\xfe\xc3\xa4.md")),
        "y",
    )
    .unwrap();
    assert_eq!(fixture.names().await, ["0001.md", "0003-\\xff\\xfeä.md"]);
}

#[tokio::test]
async fn a_linked_tasks_folder_is_used_where_it_is() {
    let fixture = Fixture::new();
    let notes = tempfile::tempdir().unwrap();
    fs::create_dir_all(fixture.folder.path().join("raw/ada")).unwrap();
    symlink(notes.path(), fixture.tasks()).unwrap();
    let etag = fixture.written("x").await;
    assert_eq!(fs::read(notes.path().join("0001.md")).unwrap(), b"x");
    assert_eq!(
        (fixture.names().await, fixture.read().await.etag),
        (vec!["0001.md".to_owned()], etag)
    );

    drop(notes);
    assert!(
        fixture
            .store
            .list(&Prefix::raw(&fixture.user))
            .await
            .is_err()
    );
    assert!(fixture.store.get(&fixture.key, GetIf::Any).await.is_err());
}

#[tokio::test]
async fn a_linked_file_stays_a_link() {
    let fixture = Fixture::new();
    let notes = tempfile::tempdir().unwrap();
    let real = notes.path().join("steuer.md");
    fs::write(&real, "old").unwrap();
    fs::create_dir_all(fixture.tasks()).unwrap();
    symlink(&real, fixture.path()).unwrap();
    let old = fixture.read().await.etag;
    assert_eq!(fixture.listed().await[0].etag, old);
    assert!(matches!(
        fixture.put("new", PutIf::Same(old)).await,
        PutOutcome::Done(_)
    ));
    assert_eq!(fs::read(&real).unwrap(), b"new");
    assert!(fixture.path().is_symlink());
}

#[tokio::test]
async fn a_files_permissions_stay() {
    let fixture = Fixture::new();
    fixture.written("old").await;
    fs::set_permissions(fixture.path(), fs::Permissions::from_mode(0o600)).unwrap();
    fixture.written("new").await;
    assert_eq!(
        fs::metadata(fixture.path()).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_name_too_long_for_the_disk_is_absent_and_can_not_be_written() {
    let fixture = Fixture::new();
    let key = BlobKey::raw(&fixture.user, &format!("0001-{}.md", "x".repeat(300))).unwrap();
    assert!(matches!(
        fixture.store.get(&key, GetIf::Any).await.unwrap().value,
        GetOutcome::Absent
    ));
    let refused = fixture
        .store
        .put(&key, Put::default(), PutIf::Absent)
        .await
        .err();
    assert!(
        matches!(refused, Some(StoreError::Denied { .. })),
        "{refused:?}"
    );
}

/// `/sys` is a folder that refuses writes even to root.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_read_only_folder_is_read_and_refuses_writes() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.folder.path().join("raw/ada")).unwrap();
    symlink("/sys", fixture.tasks()).unwrap();
    assert_eq!(fixture.names().await, Vec::<String>::new());
    let put = Put {
        bytes: "x".into(),
        writes: WriteIds::default(),
    };
    let refused = fixture
        .store
        .put(&fixture.key, put, PutIf::Absent)
        .await
        .err();
    assert!(
        matches!(
            refused,
            Some(StoreError::Denied {
                operation: "put",
                ..
            })
        ),
        "{refused:?}"
    );
}
