//! The session cookie, `/auth/me`, and how a session ends.

use std::time::Duration;

use cookie::{Cookie, CookieJar, Key};
use insta::assert_snapshot;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{CLIENT, Jar, ORIGIN, SESSION, Town, begin, get, request, said, sign_in};

const DAY: u64 = 24 * 3600;
const KEY: &str = "the-first-key-of-32-characters-or-more";
const OTHER_KEY: &str = "another-key-of-32-characters-or-so-too";

/// Derives the cookie key as the service does, so that a test can forge cookies with the right key.
fn key(secret: &str) -> Key {
    let seed = Sha256::new_with_prefix("codex-miroir cookies 1\0").chain_update(secret);
    Key::derive_from(&seed.finalize())
}

fn sealed(secret: &str, name: &str, text: &str) -> String {
    let mut jar = CookieJar::new();
    jar.private_mut(&key(secret))
        .add(Cookie::new(name.to_owned(), text.to_owned()));
    format!("{SESSION}={}", jar.get(name).unwrap().value())
}

fn opened(secret: &str, value: &str) -> String {
    let cookie = Cookie::new(SESSION, value.to_owned());
    let jar = CookieJar::new();
    let opened = jar.private(&key(secret)).decrypt(cookie).unwrap();
    opened.value().to_owned()
}

#[tokio::test]
async fn a_session_holds_who_and_when_and_no_token() {
    let town = Town::new();
    let service = town.service();
    let jar = sign_in(&town, &service).await;
    let now = town.scene.now().utc.timestamp();
    assert_eq!(
        opened(super::SECRET, jar.get(SESSION)),
        format!("2.1001.{now}.{now}.{now}.anna"),
        "the generation is the time of owner.json"
    );
    town.github.clear_requests();
    let me = service
        .send(&town, get("/auth/me").header("cookie", jar.header()))
        .await;
    assert_eq!(
        me.ok(),
        json!({"ok": true, "login": "anna", "userId": "anna", "auth": "github", "allowed": true, "storage": "folder"})
    );
    assert_eq!(service.by_cookie(&town, &jar.header()).await, "200");
    assert_eq!(
        town.github.requests().len(),
        0,
        "GitHub isn't needed any more"
    );
    assert_eq!(me.header("set-cookie"), "", "nothing to renew yet");
}

#[tokio::test]
async fn a_session_ends_after_seven_days_without_use_and_after_thirty_in_any_case() {
    let town = Town::new();
    let service = town.service();
    let first = sign_in(&town, &service).await;
    town.scene.pass_seconds(7 * DAY - 1);
    assert_eq!(service.by_cookie(&town, &first.header()).await, "200");
    town.scene.pass_seconds(1);
    assert_eq!(
        service.by_cookie(&town, &first.header()).await,
        "401 not_signed_in"
    );

    let mut jar = sign_in(&town, &service).await;
    let mut days = 0;
    loop {
        let read = get("/codex").header("cookie", jar.header());
        let read = service.send(&town, read).await;
        if read.status != 200 {
            break;
        }
        jar.take(&read.headers);
        town.scene.pass(Duration::from_secs(DAY));
        days += 1;
    }
    assert_eq!(days, 30, "used every day");
}

#[tokio::test]
async fn a_session_in_use_is_sealed_anew_once_an_hour_and_not_with_every_answer() {
    let town = Town::new();
    let service = town.service();
    let mut jar = sign_in(&town, &service).await;
    let mut renewals = Vec::new();
    for minute in (0..200).step_by(20) {
        let read = get("/codex").header("cookie", jar.header());
        let read = service.send(&town, read).await;
        if !read.header("set-cookie").is_empty() {
            renewals.push(minute);
            jar.take(&read.headers);
        }
        town.scene.pass_seconds(20 * 60);
    }
    assert_eq!(renewals, [60, 120, 180]);
    let parts = opened(super::SECRET, jar.get(SESSION));
    let parts: Vec<i64> = parts
        .split('.')
        .skip(2)
        .take(2)
        .map(|it| it.parse().unwrap())
        .collect();
    assert_eq!(parts[1] - parts[0], 3 * 3600, "when it began stays");
}

#[tokio::test]
async fn a_cookie_that_was_touched_or_made_by_others_opens_nothing() {
    let town = Town::new();
    let service = town.service();
    let jar = sign_in(&town, &service).await;
    let good = jar.get(SESSION);
    assert_eq!(
        service.by_cookie(&town, &format!("{SESSION}={good}")).await,
        "200"
    );
    let now = town.scene.now().utc.timestamp();
    let text = format!("2.1001.{now}.{now}.{now}.anna");
    assert_eq!(
        service
            .by_cookie(&town, &sealed(super::SECRET, SESSION, &text))
            .await,
        "200",
        "the forger's tool is right"
    );
    let mut bad = vec![
        format!("{SESSION}="),
        format!("{SESSION}={text}"),
        format!("codex_session={good}"),
        format!("session={good}"),
        sealed(OTHER_KEY, SESSION, &text),
        sealed(super::SECRET, super::FLIGHT, &text),
        sealed(super::SECRET, SESSION, &text.replacen('2', "3", 1)),
        sealed(super::SECRET, SESSION, &format!("1.1001.{now}.{now}.anna")),
        sealed(super::SECRET, SESSION, &format!("{text}.")),
        sealed(super::SECRET, SESSION, "1.1001.anna"),
        sealed(super::SECRET, SESSION, ""),
    ];
    bad.extend(
        (1..good.len())
            .step_by(7)
            .map(|cut| format!("{SESSION}={}", &good[..cut])),
    );
    bad.extend((0..good.len()).step_by(5).map(|at| {
        let other = if &good[at..=at] == "A" { "B" } else { "A" };
        format!("{SESSION}={}{other}{}", &good[..at], &good[at + 1..])
    }));
    for cookie in bad {
        assert_eq!(
            service.by_cookie(&town, &cookie).await,
            "401 not_signed_in",
            "{cookie}"
        );
    }
}

#[tokio::test]
async fn keys_can_be_changed_without_signing_anybody_out() {
    let town = Town::new();
    let (old, new) = (KEY, OTHER_KEY);
    let with = |keys: &str| town.service_with(&[("CODEX_SESSION_KEY", keys)]);
    let by_old = sign_in(&town, &with(old)).await.header();
    let both = with(&format!("{new},{old}"));
    assert_eq!(both.by_cookie(&town, &by_old).await, "200");
    let by_new = sign_in(&town, &both).await;
    assert!(
        opened(new, by_new.get(SESSION)).contains("anna"),
        "the first key seals"
    );
    assert_eq!(with(new).by_cookie(&town, &by_new.header()).await, "200");
    assert_eq!(
        with(new).by_cookie(&town, &by_old).await,
        "401 not_signed_in"
    );
    assert_eq!(
        town.service().by_cookie(&town, &by_old).await,
        "401 not_signed_in",
        "the app's secret is no key where there is another"
    );
}

#[tokio::test]
async fn instances_agree_without_a_key_of_their_own() {
    let town = Town::new();
    let cookie = sign_in(&town, &town.service()).await.header();
    assert_eq!(town.service().by_cookie(&town, &cookie).await, "200");
}

#[tokio::test]
async fn a_login_that_changed_hands_opens_nothing_by_a_cookie_either() {
    let town = Town::new();
    let cookie = sign_in(&town, &town.service()).await.header();
    town.github.reassign_login("anna", 2_001);
    town.github.sign_in("anna");
    let service = town.service();
    let (url, jar) = begin(&town, &service, "").await;
    let back = get(&super::at_github(&url).await).header("cookie", jar.header());
    let refused = service.send(&town, back).await;
    assert_eq!(said(&refused), "403 login_reassigned");
    let mut jar = jar;
    jar.take(&refused.headers);
    assert_eq!(jar.header(), "", "no session");
    assert_eq!(
        service.by_cookie(&town, &cookie).await,
        "200",
        "the former owner is"
    );
    // An operator hands the tasks over to the new owner.
    let owner = br#"{"format":"1.0","githubId":2001}"#;
    town.scene
        .store
        .foreign_write("state/anna/owner.json", owner);
    let later = town.service();
    assert_eq!(
        later.by_cookie(&town, &cookie).await,
        "403 login_reassigned"
    );
}

#[tokio::test]
async fn logging_out_takes_everything_from_the_browser() {
    let town = Town::new();
    let service = town.service();
    let cookies = format!(
        "{}; session=gho_older; codex_version=anna:7",
        sign_in(&town, &service).await.header()
    );
    let logout = request("POST", "/auth/logout")
        .header("origin", ORIGIN)
        .header("cookie", &cookies);
    let out = service.send(&town, logout).await;
    assert_eq!(out.ok(), json!({"ok": true}));
    assert_eq!(
        out.header("clear-site-data"),
        r#""cache", "cookies", "storage""#
    );
    let mut set: Vec<&str> = out
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|it| it.to_str().unwrap())
        .collect();
    set.dedup();
    assert_snapshot!(set.join("\n"), @r#"
    __Host-codex_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure
    __Host-codex_sign_in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure
    codex_version=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure
    session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure
    "#);
    let without = request("POST", "/auth/logout").header("sec-fetch-site", "same-origin");
    assert_eq!(
        said(&service.send(&town, without).await),
        "200",
        "without a session, too"
    );
    for elsewhere in [("origin", "https://evil.example"), ("accept", "*/*")] {
        let forged = request("POST", "/auth/logout").header(elsewhere.0, elsewhere.1);
        let forged = forged.header("cookie", &cookies);
        assert_eq!(said(&service.send(&town, forged).await), "403 cross_origin");
    }
}

#[tokio::test]
async fn the_older_services_cookie_is_never_used_only_expired() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    let cookie = format!("session={token}");
    for path in ["/codex", "/auth/me", "/api/tasks", "/auth/github"] {
        let answer = service
            .send(&town, get(path).header("cookie", &cookie))
            .await;
        let set: Vec<&str> = answer
            .headers
            .get_all("set-cookie")
            .iter()
            .map(|it| it.to_str().unwrap())
            .collect();
        let expired = "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure";
        assert!(set.contains(&expired), "{path}: {set:?}");
        assert!(answer.status == 401 || path == "/auth/github");
    }
    assert_eq!(town.github.requests().len(), 0);
}

#[tokio::test]
async fn on_this_machine_cookies_have_other_names_and_need_no_https() {
    let town = Town::new();
    let here = "http://127.0.0.1:7071";
    town.github.add_oauth_app(CLIENT, super::SECRET, here);
    let service = town.service_with(&[("CODEX_PUBLIC_URL", "")]);
    let begun = service.send(&town, get("/auth/github")).await;
    assert!(begun.header("set-cookie").starts_with("codex_sign_in="));
    assert!(
        begun
            .header("set-cookie")
            .ends_with("; HttpOnly; SameSite=Lax")
    );
    let mut jar = Jar::default();
    jar.take(&begun.headers);
    let page = super::http_client().get(begun.header("location"));
    let page = page.send().await.unwrap();
    let back = page.headers()["location"].to_str().unwrap();
    let back = get(back.strip_prefix(here).unwrap()).header("cookie", jar.header());
    let landed = service.send(&town, back).await;
    assert!(landed.header("set-cookie").starts_with("codex_session="));
    jar.take(&landed.headers);
    assert_eq!(service.by_cookie(&town, &jar.header()).await, "200");
}
