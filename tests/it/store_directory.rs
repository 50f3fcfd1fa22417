//! The directory store beside other stores and editors, and after crashes (src/store/README.md, "The folder").

#[cfg(unix)]
mod unix;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::Utc;
use codex_miroir::store::directory::DirectoryStore;
use codex_miroir::store::{
    Blob, BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, ListedBlob, Prefix, Put,
    PutIf, PutOutcome, StoreError, WriteId, WriteIds,
};
use codex_miroir::user::UserId;
use tempfile::TempDir;

use crate::support::process::eventually;

/// A store in its own folder, and the key of its only user's raw file `0001.md`.
struct Fixture {
    folder: TempDir,
    store: DirectoryStore,
    user: UserId,
    key: BlobKey,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(folder.path(), Utc::now).unwrap();
        let user = UserId::parse("ada").unwrap();
        let key = BlobKey::raw(&user, "0001.md").unwrap();
        Self {
            folder,
            store,
            user,
            key,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.key.path())
    }

    fn tasks(&self) -> PathBuf {
        self.folder.path().join("raw/ada/tasks")
    }

    async fn put(&self, text: &str, condition: PutIf) -> PutOutcome {
        let writes = WriteIds::default().with_newest(WriteId(1));
        let put = Put {
            bytes: text.to_owned().into(),
            writes,
        };
        self.store
            .put(&self.key, put, condition)
            .await
            .unwrap()
            .value
    }

    async fn written(&self, text: &str) -> ETag {
        match self.put(text, PutIf::Any).await {
            PutOutcome::Done(etag) => etag,
            PutOutcome::Refused => panic!("refused"),
        }
    }

    async fn read(&self) -> Blob {
        match self.store.get(&self.key, GetIf::Any).await.unwrap().value {
            GetOutcome::Blob(blob) => blob,
            other => panic!("{other:?}"),
        }
    }

    async fn listed(&self) -> Vec<ListedBlob> {
        let mut blobs = self
            .store
            .list(&Prefix::raw(&self.user))
            .await
            .unwrap()
            .value
            .blobs;
        blobs.sort_by(|a, b| a.name.cmp(&b.name));
        blobs
    }

    async fn names(&self) -> Vec<String> {
        self.listed()
            .await
            .into_iter()
            .map(|listed| listed.name)
            .collect()
    }
}

#[tokio::test]
async fn an_editors_save_in_place_is_another_version_without_write_ids() {
    let fixture = Fixture::new();
    let etag = fixture.written("ours").await;
    fs::write(fixture.path(), "hers").unwrap();
    let read = fixture.read().await;
    assert_eq!(read.bytes, "hers");
    assert_ne!(read.etag, etag);
    assert!(read.writes.is_empty());
    assert_eq!(fixture.listed().await[0].etag, read.etag);
    assert_eq!(
        fixture.put("ours again", PutIf::Same(etag)).await,
        PutOutcome::Refused
    );
}

#[tokio::test]
async fn an_editors_save_by_rename_is_another_version_without_write_ids() {
    let fixture = Fixture::new();
    let etag = fixture.written("ours").await;
    let draft = fixture.tasks().join(".0001.md.swp");
    fs::write(&draft, "hers").unwrap();
    fs::rename(&draft, fixture.path()).unwrap();
    let read = fixture.read().await;
    assert_eq!((&*read.bytes, read.writes.is_empty()), (&b"hers"[..], true));
    assert_ne!(read.etag, etag);
}

#[tokio::test]
async fn two_saves_in_one_tick_never_leave_the_first_under_the_seconds_version() {
    let fixture = Fixture::new();
    fixture.written("0").await;
    for round in 0..20 {
        fs::write(fixture.path(), format!("first  {round:04}")).unwrap();
        let (read, ()) = futures::join!(fixture.read(), async {
            fs::write(fixture.path(), format!("second {round:04}")).unwrap();
        });
        let now = fixture.read().await;
        assert!(
            read.etag != now.etag || read.bytes == now.bytes,
            "{read:?} {now:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_saved_all_the_time_is_read_and_settles() {
    let fixture = Fixture::new();
    fixture.written("a").await;
    let path = fixture.path();
    let editor = std::thread::spawn(move || {
        for round in 0..60_u8 {
            let letter = char::from(b'a' + round % 26);
            fs::write(
                &path,
                letter.to_string().repeat(40_000 + usize::from(round)),
            )
            .unwrap();
            std::thread::sleep(Duration::from_millis(3));
        }
    });
    let mut last = None;
    while !editor.is_finished() {
        if let Ok(answer) = fixture.store.get(&fixture.key, GetIf::Any).await {
            let GetOutcome::Blob(blob) = answer.value else {
                panic!("gone")
            };
            last = Some(blob);
        }
    }
    editor.join().unwrap();
    let settled = fixture.read().await;
    assert_eq!(settled.bytes.len(), 40_059);
    if let Some(last) = last.filter(|last| last.etag == settled.etag) {
        assert_eq!(last.bytes, settled.bytes);
    }
}

#[tokio::test]
async fn an_editors_new_file_is_never_overwritten_by_a_create() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.tasks()).unwrap();
    fs::write(fixture.path(), "hers").unwrap();
    assert_eq!(
        fixture.put("ours", PutIf::Absent).await,
        PutOutcome::Refused
    );
    assert_eq!(fs::read(fixture.path()).unwrap(), b"hers");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_folder_take_turns() {
    let fixture = Fixture::new();
    let other = DirectoryStore::open(fixture.folder.path(), Utc::now).unwrap();
    let key = BlobKey::state(&fixture.user);
    let count = async |store: &DirectoryStore| {
        for _ in 0..50 {
            increment(store, &key).await;
        }
    };
    futures::join!(
        count(&fixture.store),
        count(&other),
        count(&fixture.store),
        count(&other)
    );
    let GetOutcome::Blob(blob) = other.get(&key, GetIf::Any).await.unwrap().value else {
        panic!("absent")
    };
    assert_eq!(blob.bytes, "200");
}

/// Increments the number in the blob by compare-and-swap.
async fn increment(store: &DirectoryStore, key: &BlobKey) {
    loop {
        let (number, condition) = match store.get(key, GetIf::Any).await.unwrap().value {
            GetOutcome::Blob(blob) => {
                let number: u32 = std::str::from_utf8(&blob.bytes).unwrap().parse().unwrap();
                (number + 1, PutIf::Same(blob.etag))
            }
            _ => (1, PutIf::Absent),
        };
        let put = Put {
            bytes: number.to_string().into(),
            writes: WriteIds::default(),
        };
        if store.put(key, put, condition).await.unwrap().value != PutOutcome::Refused {
            return;
        }
    }
}

#[tokio::test]
async fn a_missing_root_is_an_outage_and_not_an_empty_store() {
    let fixture = Fixture::new();
    let etag = fixture.written("x").await;
    fs::remove_dir_all(fixture.folder.path()).unwrap();
    assert_all_unavailable(&fixture, &etag).await;
    // An empty mount point is an outage, too.
    fs::create_dir(fixture.folder.path()).unwrap();
    assert_all_unavailable(&fixture, &etag).await;
    assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 0);
}

async fn assert_all_unavailable(fixture: &Fixture, etag: &ETag) {
    let unavailable =
        |error: Option<StoreError>| matches!(error, Some(StoreError::Unavailable { .. }));
    let (store, key) = (&fixture.store, &fixture.key);
    assert!(unavailable(store.get(key, GetIf::Any).await.err()));
    assert!(unavailable(
        store.get(&BlobKey::probe(), GetIf::Any).await.err()
    ));
    assert!(unavailable(
        store.put(key, Put::default(), PutIf::Absent).await.err()
    ));
    assert!(unavailable(store.delete(key, etag).await.err()));
    assert!(unavailable(
        store.list(&Prefix::raw(&fixture.user)).await.err()
    ));
}

#[tokio::test]
async fn a_missing_root_is_made_when_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new/codex-data");
    let store = DirectoryStore::open(&root, Utc::now).unwrap();
    assert!(root.is_dir());
    assert_eq!(store.root(), root);
}

#[tokio::test]
async fn what_a_crash_leaves_is_ignored_and_later_removed() {
    let fixture = Fixture::new();
    let etag = fixture.written("kept").await;
    let (young, old) = (
        leftover(&fixture.tasks(), 1, 60),
        leftover(&fixture.tasks(), 2, 7200),
    );
    assert_eq!(fixture.names().await, ["0001.md"]);
    assert_eq!((young.exists(), old.exists()), (true, false));

    let elsewhere = leftover(
        &fixture
            .folder
            .path()
            .join(".codex-miroir/writes/raw/ada/tasks"),
        3,
        7200,
    );
    DirectoryStore::open(fixture.folder.path(), Utc::now).unwrap();
    eventually("the sweep beside the opening removes it", || {
        !elsewhere.exists()
    });
    assert!(young.exists());
    assert_eq!(fixture.read().await.etag, etag);
}

fn leftover(folder: &Path, number: u8, age_seconds: u64) -> PathBuf {
    let path = folder.join(format!(".codex-miroir-{number:016x}.tmp"));
    let file = File::create(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(age_seconds))
        .unwrap();
    path
}

#[tokio::test]
async fn a_sidecar_written_before_a_crash_takes_nothing_from_the_version_that_is_there() {
    let fixture = Fixture::new();
    fixture.written("kept").await;
    let sidecar = fixture
        .folder
        .path()
        .join(".codex-miroir/writes")
        .join(fixture.key.path());
    let current = fs::read_to_string(&sidecar).unwrap();
    fs::write(&sidecar, format!("1-2-3 {}\n{current}", WriteId(9))).unwrap();
    assert_eq!(
        fixture.read().await.writes,
        WriteIds::default().with_newest(WriteId(1))
    );

    fs::write(&sidecar, "1-2-3 0000000000000009\n\u{0}garbage").unwrap();
    assert!(fixture.read().await.writes.is_empty());
}

#[tokio::test]
async fn a_delete_takes_the_sidecar_along() {
    let fixture = Fixture::new();
    let etag = fixture.written("x").await;
    let sidecar = fixture
        .folder
        .path()
        .join(".codex-miroir/writes")
        .join(fixture.key.path());
    assert!(sidecar.exists());
    assert_eq!(
        fixture
            .store
            .delete(&fixture.key, &etag)
            .await
            .unwrap()
            .value,
        DeleteOutcome::Done
    );
    assert!(!sidecar.exists());
}
