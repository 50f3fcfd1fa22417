//! Many concurrent callers.

use futures::future::join_all;

use super::*;

/// The number of concurrent callers.
const MANY: usize = 20;

pub(crate) async fn of_many_updates_one_wins(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let etag = written(store, &key, bytes("old"), PutIf::Absent).await;
    assert_one_wins(store, &key, PutIf::Same(etag)).await;
}

pub(crate) async fn of_many_creates_one_wins(store: &dyn BlobStore, user: &UserId) {
    assert_one_wins(store, &raw(user, "0001.md"), PutIf::Absent).await;
}

async fn assert_one_wins(store: &dyn BlobStore, key: &BlobKey, condition: PutIf) {
    let texts: Vec<String> = (0..MANY).map(|i| format!("writer {i}")).collect();
    let outcomes = join_all(
        texts
            .iter()
            .map(|text| put(store, key, bytes(text), condition.clone())),
    )
    .await;
    let won: Vec<_> = outcomes
        .iter()
        .zip(&texts)
        .filter(|(outcome, _)| **outcome != PutOutcome::Refused)
        .collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    let read = blob(store, key).await;
    assert_eq!(
        (&PutOutcome::Done(read.etag), &read.bytes),
        (won[0].0, &Bytes::from(won[0].1.clone()))
    );
}

pub(crate) async fn of_many_deletes_one_wins(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let etag = written(store, &key, bytes("x"), PutIf::Absent).await;
    let outcomes = join_all((0..MANY).map(|_| store.delete(&key, &etag))).await;
    let outcomes: Vec<DeleteOutcome> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().value)
        .collect();
    let done = outcomes
        .iter()
        .filter(|outcome| **outcome == DeleteOutcome::Done)
        .count();
    assert_eq!(done, 1, "{outcomes:?}");
}

pub(crate) async fn a_reader_sees_whole_versions_only(store: &dyn BlobStore, user: &UserId) {
    let key = raw(user, "0001.md");
    let text = |i: u64| i.to_string().repeat(1 + 1_000 * (i as usize % 7));
    written(store, &key, by(&text(1), first(1)), PutIf::Absent).await;
    let write = async {
        for i in 2..40 {
            written(store, &key, by(&text(i), first(i)), PutIf::Any).await;
        }
    };
    let read = async {
        for _ in 0..40 {
            let read = blob(store, &key).await;
            let of = (1..40)
                .find(|i| read.writes == first(*i))
                .expect("ids of one write");
            assert_eq!(read.bytes, text(of));
        }
    };
    futures::join!(write, read);
}

pub(crate) async fn users_do_not_wait_for_each_other(store: &dyn BlobStore, user: &UserId) {
    let users: Vec<UserId> = (0..MANY)
        .map(|i| UserId::parse(&format!("{user}-{i}")).unwrap())
        .collect();
    join_all(users.iter().map(|user| async {
        let key = BlobKey::state(user);
        let mut etag = written(store, &key, bytes("0"), PutIf::Absent).await;
        for _ in 0..5 {
            etag = written(store, &key, bytes("1"), PutIf::Same(etag)).await;
        }
    }))
    .await;
}
