//! Lost requests and lost answers, on a real connection (src/user_state/README.md, "Lost answers").

use super::*;

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_refused_and_recognised() {
    let (store, proxy, etag) = proxied_with_blob().await;
    proxy.plan("PUT", 1, Fault::LoseAnswer);
    let written = store
        .put(&key(), put("new", 2), PutIf::Same(etag))
        .await
        .unwrap()
        .value;
    assert_eq!(
        (written, proxy.take_requests().len()),
        (PutOutcome::Refused, 2)
    );
    assert!(writes(&store).await.contains(WriteId(2)));
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_refused_and_recognised() {
    let (store, proxy, etag) = proxied_with_blob().await;
    assert_eq!(
        store.delete(&key(), &etag).await.unwrap().value,
        DeleteOutcome::Done
    );
    proxy.plan("PUT", 1, Fault::LoseAnswer);
    let written = store
        .put(&key(), put("new", 2), PutIf::Absent)
        .await
        .unwrap()
        .value;
    assert_eq!(written, PutOutcome::Refused);
    assert!(writes(&store).await.contains(WriteId(2)));
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_leaves_nothing() {
    let (store, proxy, etag) = proxied_with_blob().await;
    proxy.plan("DELETE", 1, Fault::LoseAnswer);
    let deleted = store.delete(&key(), &etag).await.unwrap().value;
    assert!(matches!(
        deleted,
        DeleteOutcome::Refused | DeleteOutcome::Absent
    ));
    assert!(matches!(
        store.get(&key(), GetIf::Any).await.unwrap().value,
        GetOutcome::Absent
    ));
}

#[tokio::test]
async fn a_write_whose_every_answer_is_lost_is_unavailable_and_recognised() {
    let (store, proxy, etag) = proxied_with_blob().await;
    for nth in 1..=3 {
        proxy.plan("PUT", nth, Fault::LoseAnswer);
    }
    let lost = store.put(&key(), put("new", 2), PutIf::Same(etag)).await;
    assert!(
        matches!(
            lost,
            Err(StoreError::Unavailable {
                operation: "put",
                ..
            })
        ),
        "{lost:?}"
    );
    assert!(writes(&store).await.contains(WriteId(2)));
}

#[tokio::test]
async fn a_write_that_never_got_there_is_sent_again() {
    let (store, proxy, etag) = proxied_with_blob().await;
    proxy.plan("PUT", 1, Fault::Refuse);
    proxy.plan("PUT", 2, Fault::Refuse);
    done(
        store
            .put(&key(), put("new", 2), PutIf::Same(etag))
            .await
            .unwrap()
            .value,
    );
    assert_eq!(proxy.take_requests().len(), 3);
}

#[tokio::test]
async fn a_try_that_hangs_is_given_up_and_sent_again() {
    let (store, proxy, _) = proxied_with_blob().await;
    proxy.plan("GET", 1, Fault::Hang);
    assert!(writes(&store).await.contains(WriteId(1)));
    assert_eq!(proxy.take_requests().len(), 2);
}

#[tokio::test]
async fn an_outage_is_unavailable_and_passes() {
    let (store, proxy, _) = proxied_with_blob().await;
    proxy.set_down(Some(Fault::Refuse));
    let down = store.list(&Prefix::raw(&ada())).await;
    assert!(
        matches!(
            down,
            Err(StoreError::Unavailable {
                operation: "list",
                ..
            })
        ),
        "{down:?}"
    );
    proxy.set_down(None);
    assert_eq!(
        store
            .list(&Prefix::raw(&ada()))
            .await
            .unwrap()
            .value
            .blobs
            .len(),
        1
    );
}
