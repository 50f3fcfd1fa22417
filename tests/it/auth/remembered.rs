//! Credentials that are remembered by their bytes: another byte is another credential.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Builder;

use super::{SESSION, Town, bearer, get, said, sign_in};
use crate::support::easyauth::NAME_IDENTIFIER;

/// `text` with another character at `at`, of the kind that may stand there.
fn with_another(text: &str, at: usize) -> String {
    let other = if &text[at..=at] == "B" { "C" } else { "B" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

/// Every credential that is `good` but for one character, one less or one more.
fn neighbours(good: &str) -> Vec<String> {
    let changed = (0..good.len()).map(|at| with_another(good, at));
    let cut = [good[1..].to_owned(), good[..good.len() - 1].to_owned()];
    changed.chain(cut).chain([format!("{good}A")]).collect()
}

/// Asks with `good` until it is remembered, then with each neighbour: it is refused, as by an instance that has never seen
/// `good`.
async fn check_neighbours(
    town: &Town,
    settings: &[(&str, &str)],
    good: &str,
    ask: impl Fn(&str) -> Builder,
) {
    let (warm, cold) = (town.service_with(settings), town.service_with(settings));
    for _ in 0..3 {
        assert_eq!(said(&warm.send(town, ask(good)).await), "200");
    }
    for other in neighbours(good) {
        let by_warm = said(&warm.send(town, ask(&other)).await);
        let by_cold = said(&cold.send(town, ask(&other)).await);
        assert_eq!(by_warm, by_cold, "{other}");
        assert_ne!(by_warm, "200", "{other}");
    }
    assert_eq!(said(&warm.send(town, ask(good)).await), "200");
}

#[tokio::test]
async fn a_session_cookie_with_another_byte_is_another_cookie() {
    let town = Town::new();
    let good = sign_in(&town, &town.service()).await;
    check_neighbours(&town, &[], good.get(SESSION), |cookie| {
        get("/auth/me").header("cookie", format!("{SESSION}={cookie}"))
    })
    .await;
}

/// Nothing is remembered then: each request proves its credential anew.
#[tokio::test]
async fn without_memory_a_session_is_judged_all_the_same() {
    let town = Town::new();
    let settings = [("CODEX_MEMORY_MAX_BYTES", "0")];
    let good = sign_in(&town, &town.service_with(&settings)).await;
    check_neighbours(&town, &settings, good.get(SESSION), |cookie| {
        get("/auth/me").header("cookie", format!("{SESSION}={cookie}"))
    })
    .await;
}

#[tokio::test]
async fn of_several_session_cookies_the_first_good_one_counts_remembered_or_not() {
    let town = Town::new();
    let service = town.service_with(&[("CODEX_ALLOWED_LOGINS", "anna, berta")]);
    let anna = sign_in(&town, &service).await.header();
    town.github.sign_in("berta");
    let berta = sign_in(&town, &service).await.header();
    let bad = format!("{SESSION}=made-up");
    for _ in 0..2 {
        for (cookies, login) in [
            ([&bad, &anna, &berta], "anna"),
            ([&berta, &bad, &anna], "berta"),
            ([&anna, &berta, &bad], "anna"),
        ] {
            let line = cookies.map(String::as_str).join("; ");
            let me = service
                .send(&town, get("/auth/me").header("cookie", line))
                .await;
            assert_eq!(me.ok()["login"], login);
        }
    }
}

#[tokio::test]
async fn a_token_with_another_byte_is_another_token() {
    let town = Town::new();
    let good = town.github.personal_token("anna");
    check_neighbours(&town, &[], &good, |token| bearer(get("/auth/me"), token)).await;
}

#[tokio::test]
async fn a_principal_with_another_byte_is_another_principal() {
    let town = Town::new();
    // Without the parts that say nothing here.
    let good = STANDARD.encode(format!(
        r#"{{"auth_typ":"github","claims":[{{"typ":"{NAME_IDENTIFIER}","val":"1001"}},{{"typ":"urn:github:login","val":"anna"}}]}}"#
    ));
    let ask = |principal: &str| get("/auth/me").header("x-ms-client-principal", principal);
    check_neighbours(&town, super::easyauth::SETTINGS, &good, ask).await;
}

#[tokio::test]
async fn a_host_with_another_byte_is_another_host() {
    let town = Town::new();
    let settings = [
        ("CODEX_AUTH", "dev"),
        ("CODEX_DEV_USER", "anna"),
        ("CODEX_PUBLIC_URL", ""),
    ];
    for good in ["localhost", "127.0.0.1"] {
        check_neighbours(&town, &settings, good, |host| {
            http::Request::builder()
                .uri("/auth/me")
                .header("host", host)
        })
        .await;
    }
}
