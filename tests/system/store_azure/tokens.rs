//! Tokens of a managed identity: how often the store requests them, which requests wait for one, and what happens when
//! there is none.

use std::time::{Duration, Instant};

use codex_miroir::store::azure::AzureStore;
use codex_miroir::store::{BlobStore, GetIf, GetOutcome, PutIf, StoreError};
use futures::future::{join, join_all};
use serde_json::json;

use super::{created, done, key, put};
use crate::support::azurite::azurite;
use crate::support::identity::{IdentityEndpoint, Manner};
use crate::support::tcp_proxy::{Fault, TcpProxy};
use crate::support::tls::{authority, secure_azurite};

const NO_TOKEN: &str = ": there is no token to enter it with";

/// Azure's answer to a token that it doesn't accept.
const REFUSAL: Fault = Fault::Storage(401, "InvalidAuthenticationInfo");

const A_DAY: Duration = Duration::from_secs(24 * 3600);

fn set_up() -> (IdentityEndpoint, AzureStore) {
    let endpoint = IdentityEndpoint::start();
    let store = endpoint.store(&azurite().container());
    (endpoint, store)
}

/// [`set_up`] through a proxy that can refuse requests; the blob exists.
async fn proxied() -> (IdentityEndpoint, AzureStore, TcpProxy) {
    let proxy = TcpProxy::start(authority().http_before(secure_azurite().port())).await;
    let endpoint = IdentityEndpoint::start();
    let line = authority().https_before(proxy.port());
    let store = endpoint.store_at(line, None, &azurite().container());
    created(&store).await;
    proxy.take_requests();
    (endpoint, store, proxy)
}

async fn get(store: &AzureStore) -> Result<GetOutcome, StoreError> {
    let answer = store.get(&key(), GetIf::Any).await?;
    Ok(answer.value)
}

/// How long it takes until this many concurrent requests have failed for lack of a token.
async fn time_to_refusal(store: &AzureStore, requests: usize) -> Duration {
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
    let (endpoint, store) = set_up();
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
    let (endpoint, store) = set_up();
    endpoint.set(Manner::GrantsInNumbers(A_DAY));
    created(&store).await;
    get(&store).await.unwrap();
    assert_eq!(endpoint.asked().len(), 1);
}

/// The emulator refuses an expired token.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_token_is_renewed_before_its_end_and_not_per_request() {
    let (endpoint, store) = set_up();
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
    // A token is renewed after five of its ten seconds, and the fraction of the second in which a request began counts,
    // too.
    assert!((3..=9).contains(&asked), "{asked} tokens");
    assert!(requests > 4 * asked, "{requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_for_a_renewal_while_the_token_is_good() {
    let (endpoint, store) = set_up();
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
    // The endpoint has received a request and doesn't answer; the token is valid for some seconds more.
    for answer in join_all((0..20).map(|_| get(&store))).await {
        answer.unwrap();
    }
    assert_eq!(endpoint.tokens().len(), 1, "nobody has waited for another");
    assert_eq!(endpoint.asked().len(), 2, "and one asks for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_serves_to_its_end_while_it_cannot_be_renewed_and_a_new_one_comes_after() {
    let (endpoint, store) = set_up();
    endpoint.set(Manner::Grants(Duration::from_secs(8)));
    created(&store).await;
    endpoint.set(Manner::Refuses(500));
    let began = Instant::now();
    let mut served = Duration::ZERO;
    loop {
        match get(&store).await {
            Ok(_) => served = began.elapsed(),
            // The emulator refuses a token that expired on the way.
            Err(StoreError::Denied { .. }) => {}
            Err(error) => break assert!(error.to_string().ends_with(NO_TOKEN), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(served > Duration::from_secs(2), "only for {served:?}");
    // Three tries per renewal, and one renewal each time the token's remaining life has halved.
    let asked = endpoint.asked().len();
    assert!(asked <= 1 + 3 * 5, "{asked}");
    endpoint.set(Manner::Grants(A_DAY));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    get(&store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_is_asked_again_before_anybody_hears_of_it() {
    let (endpoint, store) = set_up();
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
    let (endpoint, store) = set_up();
    endpoint.set(Manner::Refuses(400));
    let took = time_to_refusal(&store, 20).await;
    // There is no token request within a second of the last one.
    assert!(
        endpoint.asked().len() as u64 <= 1 + took.as_secs(),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_endpoint_keeps_nobody_for_long() {
    let (endpoint, store) = set_up();
    endpoint.set(Manner::Waits);
    let took = time_to_refusal(&store, 20).await;
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
        let (endpoint, store) = set_up();
        endpoint.set(Manner::Says(text));
        time_to_refusal(&store, 1).await;
    }
}

/// With a clock that is ahead of the endpoint's, every token has expired before it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_by_the_local_clock_is_not_asked_for_per_request() {
    let (endpoint, store) = set_up();
    endpoint.set(Manner::Grants(Duration::ZERO));
    let began = Instant::now();
    for _ in 0..20 {
        // Storage decides whether the token is valid.
        let _ = get(&store).await;
    }
    let most = 2 + began.elapsed().as_secs();
    assert!(
        endpoint.asked().len() as u64 <= most,
        "{}",
        endpoint.asked().len()
    );
}

/// The emulator checks the real expiry, which is earlier than the endpoint says.
#[tokio::test(flavor = "multi_thread")]
async fn all_requests_whose_token_storage_refuses_share_a_new_one_and_none_fails() {
    let (endpoint, store) = set_up();
    endpoint.set(Manner::Overstates(Duration::from_secs(5)));
    let etag = created(&store).await;
    endpoint.set(Manner::Grants(A_DAY));
    tokio::time::sleep(Duration::from_millis(6_100)).await;
    let readers = join_all((0..50).map(|_| get(&store)));
    let key = key();
    let writer = store.put(&key, put("new", 2), PutIf::Same(etag));
    let (read, written) = join(readers, writer).await;
    done(written.unwrap().value);
    for answer in read {
        answer.unwrap();
    }
    assert_eq!(endpoint.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_costs_a_token_and_one_more_try_and_a_403_for_want_of_a_role_neither() {
    let (endpoint, store, proxy) = proxied().await;
    proxy.plan("GET", 1, Fault::Status(403));
    let denied = get(&store).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
    get(&store).await.unwrap();
    assert_eq!(proxy.take_requests().len(), 2);
    assert_eq!(endpoint.tokens().len(), 1);

    tokio::time::sleep(Duration::from_millis(1_100)).await;
    proxy.plan("PUT", 1, REFUSAL);
    let written = store.put(&key(), put("new", 2), PutIf::Any).await;
    done(written.unwrap().value);
    get(&store).await.unwrap();
    assert_eq!(proxy.take_requests().len(), 3);
    assert_eq!(endpoint.tokens().len(), 2);
}

/// A gateway in between, for example.
#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_without_storages_own_code_costs_no_token() {
    let (endpoint, store, proxy) = proxied().await;
    // From here on another token request would be allowed.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    endpoint.set(Manner::IsBusy(429, "60"));
    for fault in [
        Fault::Status(401),
        Fault::Storage(401, ""),
        Fault::Status(403),
    ] {
        proxy.plan("GET", 1, fault);
        let denied = get(&store).await.unwrap_err();
        assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
        get(&store).await.unwrap();
        assert_eq!(endpoint.asked().len(), 1, "{fault:?}");
    }
}

/// The cost is at worst another refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_tried_again_while_there_is_no_other() {
    let cases = [
        (Manner::IsBusy(429, "60"), 1, 10),
        (Manner::Waits, 1, 1),
        (Manner::Refuses(400), 1, 1),
        (Manner::Refuses(500), 3, 1),
    ];
    join_all(cases.map(async |(manner, tries, pause)| {
        let (endpoint, store, proxy) = proxied().await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        endpoint.set(manner);
        proxy.plan("GET", 1, REFUSAL);
        // A refused request waits for the endpoint, and fails with storage's refusal.
        let denied = get(&store).await.unwrap_err();
        assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            for answer in join_all((0..20).map(|_| get(&store))).await {
                answer.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() < Duration::from_secs(4), "nobody waits");
        assert_eq!(endpoint.asked().len(), 1 + tries);
        // A token that storage accepts again needs no renewal; one that it refuses again does, as soon as a renewal is
        // allowed.
        tokio::time::sleep(Duration::from_secs(pause)).await;
        endpoint.set(Manner::Grants(A_DAY));
        proxy.plan("GET", 1, REFUSAL);
        get(&store).await.unwrap();
        assert_eq!(endpoint.tokens().len(), 2);
    }))
    .await;
}

/// A token of an account in another tenant, for example, or an endpoint that returns a cached token.
#[tokio::test(flavor = "multi_thread")]
async fn while_storage_refuses_every_token_none_is_asked_for_per_request() {
    for the_same in [false, true] {
        let (endpoint, store, proxy) = proxied().await;
        if the_same {
            let end = chrono::Utc::now().timestamp() + 24 * 3600;
            let token = &endpoint.tokens()[0];
            let answer = json!({"access_token": token, "expires_on": end.to_string()});
            endpoint.set(Manner::Says(answer.to_string().leak()));
        }
        proxy.set_down(Some(REFUSAL));
        let began = Instant::now();
        let mut requests = 0;
        while began.elapsed() < Duration::from_secs(4) {
            for answer in join_all((0..20).map(|_| get(&store))).await {
                let denied = answer.unwrap_err();
                assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
                requests += 1;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (asked, sent) = (endpoint.asked().len(), proxy.take_requests().len());
        println!("{requests} requests, {sent} sent, {asked} tokens asked for");
        let seconds = began.elapsed().as_secs() as usize;
        assert!((2..=2 + seconds).contains(&asked), "{asked}");
        // Requests for which a new token arrived are sent once more.
        let again = if the_same { 0 } else { 20 * (asked - 1) };
        assert!((requests..=requests + again).contains(&sent), "{sent}");
        // Reads succeed as soon as storage stops refusing.
        proxy.set_down(None);
        get(&store).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_is_given_the_time_it_asks_for() {
    let (endpoint, store) = set_up();
    endpoint.set(Manner::IsBusy(429, "2"));
    let began = Instant::now();
    let (answer, ()) = join(get(&store), async {
        while endpoint.asked().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        endpoint.set(Manner::Grants(A_DAY));
    })
    .await;
    answer.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(endpoint.asked().len(), 2);
}

/// A request for a token fails at once, and the endpoint is left alone for the time it asks for, but not for a day.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_that_asks_for_more_time_than_anybody_has_is_left_alone_for_it() {
    let cases = [(429, "6", 6), (503, "86400", 10)];
    join_all(cases.map(async |(status, wait, seconds)| {
        let (endpoint, store) = set_up();
        endpoint.set(Manner::IsBusy(status, wait));
        let began = Instant::now();
        let took = time_to_refusal(&store, 20).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(seconds - 2) {
            assert!(time_to_refusal(&store, 1).await < Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(endpoint.asked().len(), 1, "{wait}");
        endpoint.set(Manner::Grants(A_DAY));
        while get(&store).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(seconds + 4), "{wait}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(seconds), "{wait}: {took:?}");
        assert_eq!(endpoint.asked().len(), 2, "{wait}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_may_ask_for_anything() {
    let never = "Fri, 31 Dec 9999 23:59:59 GMT";
    let most = "9223372036854775807";
    for wait in ["0", "-9223372036854775808", "soon", "", most, never] {
        let (endpoint, store) = set_up();
        endpoint.set(Manner::IsBusy(429, wait));
        let took = time_to_refusal(&store, 1).await;
        assert!(took < Duration::from_secs(4), "{wait}: {took:?}");
        let tries = if [most, never].contains(&wait) { 1 } else { 3 };
        assert_eq!(endpoint.asked().len(), tries, "{wait}");
    }
}
