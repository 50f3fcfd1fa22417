//! Tokens of a managed identity: how often they are asked for, who waits for them, and what comes of none.

use std::time::{Duration, Instant};

use codex_miroir::store::azure::AzureStore;
use codex_miroir::store::{BlobStore, GetIf, Got, StoreError};
use futures::future::join_all;

use super::{created, key};
use crate::support::azurite::azurite;
use crate::support::identity::{IdentityEndpoint, Manner};

const NO_TOKEN: &str = ": there is no token to enter it with";

const A_DAY: Duration = Duration::from_secs(24 * 3600);

fn opened() -> (IdentityEndpoint, AzureStore) {
    let endpoint = IdentityEndpoint::start();
    let store = endpoint.store(&azurite().container());
    (endpoint, store)
}

async fn get(store: &AzureStore) -> Result<Got, StoreError> {
    let answer = store.get(&key(), GetIf::Any).await?;
    Ok(answer.value)
}

/// How long it takes until so many requests at once know that there is no token.
async fn refused(store: &AzureStore, requests: usize) -> Duration {
    let began = Instant::now();
    for answer in join_all((0..requests).map(|_| get(store))).await {
        match answer {
            Err(error @ StoreError::Unavailable { .. }) => {
                assert!(error.to_string().ends_with(NO_TOKEN), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_of_a_start_and_of_a_day_share_one_token() {
    let (endpoint, store) = opened();
    for _ in 0..2 {
        for answer in join_all((0..50).map(|_| get(&store))).await {
            answer.unwrap();
        }
    }
    assert_eq!(endpoint.asked(), [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_assigned_identity_asks_for_its_own() {
    let endpoint = IdentityEndpoint::start();
    let id = "1f7a0c2e-0000-0000-0000-000000000000";
    let store = endpoint.store_as(Some(id), &azurite().container());
    created(&store).await;
    assert_eq!(endpoint.asked(), [Some(id.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_token_may_be_a_number() {
    let (endpoint, store) = opened();
    endpoint.set(Manner::GrantsInNumbers(A_DAY));
    created(&store).await;
    get(&store).await.unwrap();
    assert_eq!(endpoint.asked().len(), 1);
}

/// The emulator takes no token that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_token_is_renewed_before_its_end_and_not_per_request() {
    let (endpoint, store) = opened();
    let life = Duration::from_secs(10);
    endpoint.set(Manner::Grants(life));
    created(&store).await;
    let began = Instant::now();
    let mut requests = 1;
    while began.elapsed() < 2 * life {
        get(&store).await.unwrap();
        requests += 1;
    }
    let asked = endpoint.asked().len();
    println!("{requests} requests in 20 s, {asked} tokens of 10 s");
    // One lives five seconds until it is renewed, and what is left of the second a request was begun in counts, too.
    assert!((3..=9).contains(&asked), "{asked} tokens");
    assert!(requests > 4 * asked, "{requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_for_a_renewal_while_the_token_is_good() {
    let (endpoint, store) = opened();
    endpoint.set(Manner::Grants(Duration::from_secs(16)));
    created(&store).await;
    endpoint.set(Manner::Waits);
    let began = Instant::now();
    while endpoint.asked().len() < 2 {
        get(&store).await.unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "it isn't renewed"
        );
    }
    // The endpoint has been asked and is silent; the token is good for some seconds more.
    for answer in join_all((0..20).map(|_| get(&store))).await {
        answer.unwrap();
    }
    assert_eq!(endpoint.tokens().len(), 1, "nobody has waited for another");
    assert_eq!(endpoint.asked().len(), 2, "and one asks for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_serves_to_its_end_while_it_cannot_be_renewed_and_a_new_one_comes_after() {
    let (endpoint, store) = opened();
    endpoint.set(Manner::Grants(Duration::from_secs(8)));
    created(&store).await;
    endpoint.set(Manner::Refuses(500));
    let began = Instant::now();
    let mut served = Duration::ZERO;
    loop {
        match get(&store).await {
            Ok(_) => served = began.elapsed(),
            // The emulator refuses what has ended on the way to it.
            Err(StoreError::Denied { .. }) => {}
            Err(error) => break assert!(error.to_string().ends_with(NO_TOKEN), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(served > Duration::from_secs(2), "only for {served:?}");
    // Three tries each, and no more often than the rest of the token's life halves.
    let asked = endpoint.asked().len();
    assert!(asked <= 1 + 3 * 5, "{asked}");
    endpoint.set(Manner::Grants(A_DAY));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    get(&store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_is_asked_again_before_anybody_hears_of_it() {
    let (endpoint, store) = opened();
    endpoint.set(Manner::Refuses(503));
    let (answer, ()) = tokio::join!(get(&store), async {
        while endpoint.asked().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        endpoint.set(Manner::Grants(A_DAY));
    });
    answer.unwrap();
    assert_eq!(endpoint.tokens().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_endpoint_is_asked_once_for_all_that_wait() {
    let (endpoint, store) = opened();
    endpoint.set(Manner::Refuses(400));
    let took = refused(&store, 20).await;
    // Nobody asks again within a second.
    assert!(
        endpoint.asked().len() as u64 <= 1 + took.as_secs(),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_endpoint_keeps_nobody_for_long() {
    let (endpoint, store) = opened();
    endpoint.set(Manner::Waits);
    let took = refused(&store, 20).await;
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_token_is_none() {
    for text in [
        "<!DOCTYPE html><title>Sign in</title>",
        r#"{"access_token":"t","expires_on":"09/14/2017 00:00:00 PM +00:00"}"#,
        r#"{"access_token":"t"}"#,
    ] {
        let (endpoint, store) = opened();
        endpoint.set(Manner::Says(text));
        refused(&store, 1).await;
    }
}

/// A clock that is ahead of the endpoint's sees each token end before it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_by_the_local_clock_is_not_asked_for_per_request() {
    let (endpoint, store) = opened();
    endpoint.set(Manner::Grants(Duration::ZERO));
    let began = Instant::now();
    for _ in 0..20 {
        // Storage says what it thinks of the token.
        let _ = get(&store).await;
    }
    let most = 2 + began.elapsed().as_secs();
    assert!(
        endpoint.asked().len() as u64 <= most,
        "{}",
        endpoint.asked().len()
    );
}
