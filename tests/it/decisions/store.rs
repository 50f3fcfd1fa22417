//! What the protocol is built on: a blob's compare-and-swap, the deadline of a call, what exists for one user only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use codex_miroir::per_user::PerUser;
use codex_miroir::store::deadline::{CALL_DEADLINE, Deadline};
use codex_miroir::store::{
    Blob, BlobKey, BlobStore, BlobStoreExt, BlobUpdate, ETag, GetIf, Prefix, Put, PutIf, StoreError,
};
use codex_miroir::user::UserId;
use tokio::time::{Instant, timeout};

use super::{monday, rows};
use crate::support::gate_store::GateStore;
use crate::support::memory_store::MemoryStore;
use crate::support::scene::anna;

/// Why an update failed: the caller's reason, or the store's.
#[derive(Debug)]
enum Failed {
    No,
    Store,
}

impl From<StoreError> for Failed {
    fn from(_: StoreError) -> Self {
        Self::Store
    }
}

/// Runs an update with three attempts that writes `new`, keeps or refuses, as other writers come before the first
/// `lost` PUTs. Returns its result, the contents it saw, and the blob then.
async fn update(before: &str, decision: &str, lost: usize) -> (String, String, String) {
    let (store, key) = (MemoryStore::new(monday()), BlobKey::git(&anna()));
    match before {
        "-" => {}
        "/" => store.obstruct(key.path(), true),
        text => drop(store.foreign_write(key.path(), text.as_bytes())),
    }
    let text = |blob: Option<Blob>| {
        blob.map_or("-".to_owned(), |it| {
            String::from_utf8(it.bytes.to_vec()).unwrap()
        })
    };
    let mut seen = vec![];
    let updated = store.update(&key, 3, |blob| {
        seen.push(text(blob));
        if seen.len() <= lost {
            store.foreign_write(key.path(), format!("other {}", seen.len()).as_bytes());
        }
        match decision {
            "write" => Ok(BlobUpdate::Write("new".into(), seen.len())),
            "keep" => Ok(BlobUpdate::Keep(seen.len())),
            _ => Err(Failed::No),
        }
    });
    let updated = format!("{:?}", updated.await);
    (updated, seen.join(", "), text(store.peek(key.path())))
}

/// What is there (`/`: no file), the decision, how many PUTs are lost; the result, all that was seen, what is there then.
const UPDATES: &str = "
-   | write  | 0 | Ok(Some(1)) | -                     | new
old | write  | 0 | Ok(Some(1)) | old                   | new
-   | keep   | 0 | Ok(Some(1)) | -                     | -
old | keep   | 1 | Ok(Some(1)) | old                   | other 1
old | refuse | 0 | Err(No)     | old                   | old
-   | write  | 1 | Ok(Some(2)) | -, other 1            | new
old | write  | 1 | Ok(Some(2)) | old, other 1          | new
old | write  | 2 | Ok(Some(3)) | old, other 1, other 2 | new
old | write  | 3 | Ok(None)    | old, other 1, other 2 | other 3
/   | write  | 0 | Err(Store)  |                       | -
";

#[tokio::test]
async fn an_update_writes_what_was_decided_of_what_is_there() {
    for [before, decision, lost, result, seen, after] in rows(UPDATES) {
        let updated = update(before, decision, lost.parse().unwrap()).await;
        let expected = (result.to_owned(), seen.to_owned(), after.to_owned());
        assert_eq!(updated, expected, "{decision} {before}");
    }
}

const CALLS: [&str; 6] = ["put", "get", "list", "contents", "delete", "get"];

/// One call, and its response as text.
async fn call(store: &dyn BlobStore, what: &str) -> Result<String, StoreError> {
    let key = BlobKey::git(&anna());
    let folder = Prefix::state(&anna());
    let put = Put {
        bytes: "text".into(),
        ..Put::default()
    };
    Ok(match what {
        "put" => format!("{:?}", store.put(&key, put, PutIf::Absent).await?),
        "get" => format!("{:?}", store.get(&key, GetIf::Any).await?),
        "list" => format!("{:?}", store.list(&folder).await?),
        "contents" => format!("{:?}", store.contents(&folder).await?),
        _ => format!(
            "{:?}",
            store.delete(&key, &ETag::new("0x000000000001")).await?
        ),
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let gate = GateStore::new(Arc::new(MemoryStore::new(monday())));
    let inner: Arc<dyn BlobStore> = Arc::new(gate.clone());
    let store = Deadline::wrap(&inner, CALL_DEADLINE);
    for what in CALLS {
        let (named, path) = match what {
            "list" | "contents" => ("list", "state/anna/"),
            _ => (what, "state/anna/git.json"),
        };
        let _never = gate.hold_next(named, path);
        let began = Instant::now();
        let ended = timeout(2 * CALL_DEADLINE, call(&*store, what)).await;
        match ended.expect(what) {
            Err(StoreError::Unavailable { operation, key, .. }) => {
                assert_eq!((operation, &*key), (named, path))
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(began.elapsed().as_secs(), CALL_DEADLINE.as_secs(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_changes_no_answer_that_comes_in_time() {
    let plain = MemoryStore::new(monday());
    let memory = MemoryStore::new(monday());
    let inner: Arc<dyn BlobStore> = Arc::new(memory.clone());
    let limited = Deadline::wrap(&inner, CALL_DEADLINE);
    for what in CALLS {
        assert_eq!(
            call(&*limited, what).await.unwrap(),
            call(&plain, what).await.unwrap(),
            "{what}"
        );
    }
    memory.obstruct("state/anna/git.json", true);
    assert!(matches!(
        call(&*limited, "get").await,
        Err(StoreError::NotAFile { .. })
    ));
}

#[test]
fn what_a_user_has_is_shared_by_its_handles_and_goes_with_the_last() {
    let (users, bob) = (
        PerUser::<AtomicUsize>::default(),
        UserId::parse("bob").unwrap(),
    );
    assert!(users.is_empty());
    let first = users.open(&anna());
    let second = users.clone().open(&anna());
    first.store(7, Ordering::Relaxed);
    let others = users.open(&bob);
    assert_eq!(
        (
            second.load(Ordering::Relaxed),
            others.load(Ordering::Relaxed)
        ),
        (7, 0)
    );
    assert_eq!(
        (first.user(), others.user(), users.len()),
        (&anna(), &bob, 2)
    );
    drop((first, others));
    let third = second.clone();
    drop(second);
    assert_eq!((third.load(Ordering::Relaxed), users.len()), (7, 1));
    drop(third);
    assert!(users.is_empty());
    assert_eq!(users.open(&anna()).load(Ordering::Relaxed), 0, "a new one");
}

/// A handle that is dropped must not take away what another thread has just opened.
#[test]
fn handles_opened_and_dropped_at_once_share_one_value() {
    let users = PerUser::<AtomicUsize>::default();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let (first, second) = (users.open(&anna()), users.open(&anna()));
                    assert!(std::ptr::eq(&raw const *first, &raw const *second));
                }
            });
        }
    });
    assert!(users.is_empty());
}
