//! The account that a login belongs to: `owner.json`, and its cache in memory.

use codex_miroir::admin::{self, AdminError, RebindReport};
use codex_miroir::config::Config;
use codex_miroir::owners::AccountIdentity;
use futures::future::{join, join_all};
use insta::assert_snapshot;

use super::{Service, Town, bearer, get, said};
use crate::support::losing_store::Loss;

const OWNER: &str = "state/anna/owner.json";

/// Reassigns the login to the account with this number, as an operator does.
fn hand_over(town: &Town, number: u64) {
    let record = format!(r#"{{"format":"1.0","githubId":{number}}}"#);
    town.scene.store.foreign_write(OWNER, record.as_bytes());
}

/// The requests for `owner.json` since the last call.
fn owner_reads(service: &Service) -> usize {
    let requests = service.instance.requests.take_requests();
    requests.iter().filter(|it| it.path == OWNER).count()
}

#[tokio::test]
async fn who_is_known_sees_the_last_week_for_as_long_as_it_stands_in() {
    let town = Town::new();
    let service = town.service();
    let cookie = super::sign_in(&town, &service).await.header();
    assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    town.scene.pass_seconds(1_800);
    assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    service.instance.line.set_outage(true);
    town.scene.pass_seconds(3_590);
    let week = get("/codex").header("cookie", &cookie);
    let week = service.send(&town, week).await;
    assert_eq!(
        (week.status.as_u16(), week.header("x-codex-cache")),
        (200, "stale"),
        "{}",
        week.text()
    );
}

#[tokio::test]
async fn during_an_outage_the_store_is_asked_every_ten_seconds_and_nobody_waits_for_it() {
    let town = Town::new();
    let service = town.service();
    let cookie = super::sign_in(&town, &service).await.header();
    town.scene.pass_seconds(601);
    service.instance.line.set_outage(true);
    owner_reads(&service);
    let me = async || {
        let me = get("/auth/me").header("cookie", &cookie);
        said(&service.send(&town, me).await)
    };
    for _ in 0..5 {
        let requests = (0..20).map(|_| me());
        assert!(join_all(requests).await.iter().all(|it| it == "200"));
        assert_eq!(owner_reads(&service), 1);
        town.scene.pass_seconds(11);
    }
    town.scene.pass_seconds(4 * 3_600);
    assert_eq!(me().await, "503 storage_unavailable", "not for good");
    service.instance.line.set_outage(false);
    town.scene.pass_seconds(3);
    assert_eq!(me().await, "200");
}

#[tokio::test]
async fn looking_again_delays_no_read() {
    let town = Town::new();
    let service = town.service();
    let cookie = super::sign_in(&town, &service).await.header();
    assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    owner_reads(&service);
    town.scene.pass_seconds(599);
    assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    assert_eq!(owner_reads(&service), 0);
    town.scene.pass_seconds(2);
    let held = service.instance.gate.hold_next("get", OWNER);
    for _ in 0..3 {
        assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    }
    held.reached().await;
    assert_eq!(owner_reads(&service), 1);
    held.release();
    crate::support::scene::settle().await;
    town.scene.pass_seconds(599);
    assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    assert_eq!(owner_reads(&service), 0);
}

#[tokio::test]
async fn a_login_that_is_handed_over_is_the_new_owners_within_ten_minutes() {
    let town = Town::new();
    let service = town.service();
    let former = super::sign_in(&town, &service).await.header();
    hand_over(&town, 2_001);
    town.scene.pass_seconds(601);
    assert_eq!(
        service.by_cookie(&town, &former).await,
        "200",
        "looks again"
    );
    assert_eq!(
        service.by_cookie(&town, &former).await,
        "403 login_reassigned"
    );
    town.github.reassign_login("anna", 2_001);
    let new = town.github.personal_token("anna");
    assert_eq!(service.by_token(&town, &new).await, "200");
    assert!(
        town.owner("anna").unwrap().contains("2001"),
        "the former owner's reads write nothing"
    );
}

#[tokio::test]
async fn a_login_that_the_operator_rebinds_is_followed_by_a_running_instance() {
    let town = Town::new();
    let service = town.service();
    let former = super::sign_in(&town, &service).await.header();
    let owner = r#"{"format":"1.1","githubId":1001,"later":{"a":[1]}}"#;
    town.scene.store.foreign_write(OWNER, owner.as_bytes());
    let user = crate::support::scene::anna();
    let rebound = admin::rebind(&town.scene.store, &user, 2_001, false).await;
    let (was, now) = (1_001, 2_001);
    assert_eq!(
        rebound.unwrap(),
        RebindReport {
            before: Some(AccountIdentity::GitHub { number: was }),
            number: now,
            written: true,
        }
    );
    assert_snapshot!(town.owner("anna").unwrap(), @r#"{"format":"1.1","githubId":2001,"later":{"a":[1]}}"#);
    town.scene.pass_seconds(31);
    town.github.reassign_login("anna", 2_001);
    let new = town.github.personal_token("anna");
    assert_eq!(service.by_token(&town, &new).await, "200");
    assert_eq!(
        service.by_cookie(&town, &former).await,
        "403 login_reassigned"
    );
}

#[tokio::test]
async fn rebinding_writes_only_what_was_looked_at() {
    let town = Town::new();
    let (store, user) = (&town.scene.store, crate::support::scene::anna());
    let none = admin::rebind(store, &user, 1, false).await;
    assert!(matches!(none, Err(AdminError::NoOwner(_))));
    assert_eq!(town.owner("anna"), None);
    let instance = town.scene.instance();
    instance.line.lose_next("put", OWNER, Loss::FirstAnswer);
    let made = admin::rebind(&instance.requests, &user, 1_001, true).await;
    assert!(made.unwrap().written, "its own success is no conflict");
    let held = instance.gate.hold_next("put", OWNER);
    let (slow, of) = (instance.requests.clone(), user.clone());
    let slow = tokio::spawn(async move { admin::rebind(&slow, &of, 3, false).await });
    held.reached().await;
    admin::rebind(store, &user, 2_001, false).await.unwrap();
    held.release();
    assert!(matches!(slow.await.unwrap(), Err(AdminError::Changed)));
    assert!(town.owner("anna").unwrap().contains("2001"));
    store.foreign_write(OWNER, br#"{"format":"2.0","githubId":1}"#);
    let newer = admin::rebind(store, &user, 3, true).await;
    assert!(matches!(newer, Err(AdminError::NewerOwner)));
    store.foreign_write(OWNER, b"damaged");
    let mended = admin::rebind(store, &user, 3, false).await.unwrap();
    assert_eq!((mended.before, mended.written), (None, true));
}

#[test]
fn what_owner_json_means_depends_on_the_sign_in() {
    let behind = |settings: &[(&str, &str)]| {
        let found = |name: &str| settings.iter().find(|(it, _)| *it == name);
        let lookup = |name: &str| found(name).map(|(_, value)| (*value).to_owned());
        let auth = Config::from_lookup(lookup).unwrap().auth;
        admin::owner_file_effect(&auth).map_err(|error| error.to_string())
    };
    let easy = [
        ("CODEX_AUTH", "easyauth"),
        ("WEBSITE_AUTH_ENABLED", "true"),
        ("WEBSITE_SITE_NAME", "codex"),
        ("CODEX_ALLOWED_LOGINS", "anna"),
        ("AZURE_BLOB_CONN", "UseDevelopmentStorage=true"),
    ];
    assert!(behind(&[]).unwrap().contains("(dev)"));
    assert!(behind(&easy).unwrap().contains("10 more minutes"));
    let other = [&easy[..], &[("CODEX_EASYAUTH_IDP", "aad")]].concat();
    assert!(behind(&other).unwrap_err().starts_with("behind aad"));
}

#[tokio::test]
async fn an_operator_who_gives_a_login_to_its_new_owner_waits_half_a_minute() {
    let town = Town::new();
    let service = town.service();
    hand_over(&town, 7);
    let token = town.github.personal_token("anna");
    assert_eq!(
        service.by_token(&town, &token).await,
        "403 login_reassigned"
    );
    hand_over(&town, 1_001);
    town.scene.pass_seconds(31);
    assert_eq!(service.by_token(&town, &token).await, "200");
}

#[tokio::test]
async fn fifty_first_requests_ask_once() {
    let town = Town::new();
    let token = town.github.personal_token("anna");
    let fifty = async |service: &Service| {
        let me = || service.send(&town, bearer(get("/auth/me"), &token));
        let all = join_all((0..50).map(|_| me())).await;
        let mut said: Vec<String> = all.iter().map(said).collect();
        said.dedup();
        (said, owner_reads(service))
    };
    hand_over(&town, 1_001);
    let (answers, times) = fifty(&town.service()).await;
    assert_eq!((answers.join(" "), times), ("200".to_owned(), 1));

    town.scene.store.foreign_write(OWNER, b"{");
    let service = town.service();
    let (answers, times) = fifty(&service).await;
    assert_eq!(
        (answers.join(" "), times),
        ("503 owner_unreadable".to_owned(), 1)
    );
    hand_over(&town, 1_001);
    town.scene.pass_seconds(3);
    assert_eq!(fifty(&service).await.0, ["200"]);

    let service = town.service();
    service.instance.line.set_outage(true);
    let (answers, times) = fifty(&service).await;
    assert_eq!(
        (answers.join(" "), times),
        ("503 storage_unavailable".to_owned(), 1)
    );
}

#[tokio::test]
async fn a_file_that_was_damaged_meanwhile_opens_nothing() {
    let town = Town::new();
    let service = town.service();
    let cookie = super::sign_in(&town, &service).await.header();
    town.scene.store.foreign_write(OWNER, b"{");
    town.scene.pass_seconds(601);
    assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    for _ in 0..2 {
        assert_eq!(
            service.by_cookie(&town, &cookie).await,
            "503 owner_unreadable"
        );
        town.scene.pass_seconds(3);
    }
}

#[tokio::test]
async fn a_login_that_changed_hands_finds_nothing_of_its_former_owner() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    assert_eq!(service.by_token(&town, &token).await, "200");
    town.github.reassign_login("anna", 2_001);
    let new = town.github.personal_token("anna");
    let refused = service.send(&town, bearer(get("/codex"), &new)).await;
    assert_snapshot!(refused.refusal(), @r#"403 {"ok":false,"code":"login_reassigned","error":"This login belonged to another account when its tasks were made: ask the operator whose they are."}"#);
    assert_eq!(
        town.service().by_token(&town, &new).await,
        "403 login_reassigned"
    );
    // Once GitHub is asked again, the former owner's token resolves to their new login, which isn't allowed.
    town.scene.pass_seconds(301);
    assert_eq!(
        service.by_token(&town, &token).await,
        "403 login_not_allowed"
    );
    assert_eq!(
        town.owner("anna").unwrap(),
        r#"{"format":"1.0","githubId":1001,"sessionGeneration":1773039600}"#
    );
}

#[tokio::test]
async fn whose_the_login_is_must_be_readable() {
    let town = Town::new();
    let token = town.github.personal_token("anna");
    let owner = |text: &str| {
        town.scene
            .store
            .foreign_write("state/anna/owner.json", text.as_bytes());
    };
    for (text, said) in [
        (r#"{"format":"1.7","githubId":1001,"since":"2020"}"#, "200"),
        (r#"{"format":"2.0","account":[1001]}"#, "503 newer_format"),
        (r#"{"format":"2.0","githubId":1001}"#, "503 newer_format"),
        (
            r#"{"format":"1.0","githubId":"1001"}"#,
            "503 owner_unreadable",
        ),
        (r#"{"githubId":1001}"#, "503 owner_unreadable"),
        ("", "503 owner_unreadable"),
        (r#"{"format":"1.0","githubId":7}"#, "403 login_reassigned"),
        (
            r#"{"format":"1.0","provider":"aad","subject":"1001"}"#,
            "403 login_reassigned",
        ),
    ] {
        owner(text);
        assert_eq!(town.service().by_token(&town, &token).await, said, "{text}");
        assert_eq!(town.owner("anna").unwrap(), text, "it is never rewritten");
    }
}

#[tokio::test]
async fn without_the_store_nobody_new_is_let_in_and_who_is_known_stays() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    service.instance.line.set_outage(true);
    assert_eq!(
        service.by_token(&town, &token).await,
        "503 storage_unavailable"
    );
    service.instance.line.set_outage(false);
    town.scene.pass_seconds(3);
    assert_eq!(service.by_token(&town, &token).await, "200");
    service.instance.line.set_outage(true);
    town.scene.pass_seconds(310);
    assert_eq!(service.by_token(&town, &token).await, "200");
    assert_eq!(town.asked(), 2);
}

#[tokio::test]
async fn two_spellings_of_a_login_on_a_store_that_ignores_case_are_one_folder_of_one_account() {
    let town = Town::new();
    let service = town.service_with(&[("CODEX_ALLOWED_LOGINS", "*")]);
    assert_eq!(
        service
            .by_token(&town, &town.github.personal_token("anna"))
            .await,
        "200"
    );
    // On a case-insensitive store both spellings name the same blob.
    let owner = town.owner("anna").unwrap();
    town.github.reassign_login("anna", 2_001);
    town.github.rename_user("anna", "Anna");
    town.scene
        .store
        .foreign_write("state/Anna/owner.json", owner.as_bytes());
    let other = town.github.personal_token("Anna");
    assert_eq!(
        service.by_token(&town, &other).await,
        "403 login_reassigned"
    );
}

#[tokio::test]
async fn the_first_account_gets_the_login_whatever_gets_lost_or_comes_at_once() {
    let town = Town::new();
    let token = town.github.personal_token("anna");
    for (loss, first) in [
        (Loss::Request, "503 storage_unavailable"),
        (Loss::StoreResponse, "503 storage_unavailable"),
        (Loss::FirstAnswer, "200"),
    ] {
        town.scene.store.foreign_delete(OWNER);
        let service = town.service();
        service.instance.line.lose_next("put", OWNER, loss);
        assert_eq!(service.by_token(&town, &token).await, first, "{loss:?}");
        town.scene.pass_seconds(3);
        assert_eq!(service.by_token(&town, &token).await, "200", "{loss:?}");
        assert!(town.owner("anna").unwrap().contains("1001"));
    }

    let town = Town::new();
    let (a, b) = (
        town.service_with(super::easyauth::SETTINGS),
        town.service_with(super::easyauth::SETTINGS),
    );
    let ask = async |service: &Service, number: &str| {
        let principal = crate::support::easyauth::github("anna", number);
        let me = get("/auth/me").header("x-ms-client-principal", principal);
        said(&service.send(&town, me).await)
    };
    let held = a.instance.gate.hold_next("put", OWNER);
    let (first, second) = join(ask(&a, "1001"), async {
        held.reached().await;
        let second = ask(&b, "2001").await;
        held.release();
        second
    })
    .await;
    assert_eq!(
        (first.as_str(), second.as_str()),
        ("403 login_reassigned", "200")
    );
}
