//! Signing out ends all sessions of the user, including copies of a cookie, at every instance.

use futures::future::join;
use http::request::Builder;

use super::{Jar, ORIGIN, SESSION, Town, get, request, said, sign_in};
use crate::support::losing_store::Loss;

const OWNER: &str = "state/anna/owner.json";
const STATE: &str = "state/anna/state.json";

/// The seconds within which every instance has read `owner.json` again.
const BOUND: u64 = 20 * 60 + 1;

/// The session generation in `owner.json`.
fn generation(town: &Town) -> u64 {
    let owner: serde_json::Value = serde_json::from_str(&town.owner("anna").unwrap()).unwrap();
    owner["sessionGeneration"].as_u64().unwrap()
}

fn sign_out(cookie: &str) -> Builder {
    request("POST", "/auth/logout")
        .header("origin", ORIGIN)
        .header("cookie", cookie)
}

#[tokio::test]
async fn a_copy_of_an_ended_session_opens_nothing() {
    let town = Town::new();
    let (a, b) = (town.service(), town.service());
    let copy = sign_in(&town, &a).await.header();
    let first = generation(&town);
    let elsewhere = sign_in(&town, &b).await.header();
    assert_eq!(b.by_cookie(&town, &copy).await, "200");
    assert_eq!(said(&a.send(&town, sign_out(&copy)).await), "200");
    for ended in [&copy, &elsewhere] {
        assert_eq!(a.by_cookie(&town, ended).await, "401 not_signed_in");
        assert_eq!(
            town.service().by_cookie(&town, ended).await,
            "401 not_signed_in"
        );
    }
    // An instance that had accepted the session before and got no request with it since.
    town.scene.pass_seconds(BOUND);
    assert_eq!(b.by_cookie(&town, &copy).await, "401 not_signed_in");
    assert_eq!(generation(&town), first + 1);
}

#[tokio::test]
async fn in_use_a_copy_is_found_out_sooner() {
    let town = Town::new();
    let (a, b) = (town.service(), town.service());
    let copy = sign_in(&town, &a).await.header();
    assert_eq!(b.by_cookie(&town, &copy).await, "200");
    assert_eq!(said(&a.send(&town, sign_out(&copy)).await), "200");
    town.scene.pass_seconds(601);
    assert_eq!(b.by_cookie(&town, &copy).await, "200", "looks again");
    assert_eq!(b.by_cookie(&town, &copy).await, "401 not_signed_in");
}

#[tokio::test]
async fn a_session_that_begins_after_a_sign_out_is_known_everywhere() {
    let town = Town::new();
    let (a, b) = (town.service(), town.service());
    let first = sign_in(&town, &a).await.header();
    assert_eq!(b.by_cookie(&town, &first).await, "200");
    assert_eq!(said(&a.send(&town, sign_out(&first)).await), "200");
    // Signed in at an instance that still has the previous generation cached.
    let second = sign_in(&town, &b).await.header();
    for service in [&a, &b, &town.service()] {
        assert_eq!(service.by_cookie(&town, &second).await, "200");
    }
    // The other way round: the session's generation is newer than the one the instance has cached.
    assert_eq!(said(&b.send(&town, sign_out(&second)).await), "200");
    let third = sign_in(&town, &b).await.header();
    assert_eq!(a.by_cookie(&town, &third).await, "200");
    assert_eq!(a.by_cookie(&town, &second).await, "401 not_signed_in");
    // The user's data is deleted, including `owner.json`.
    town.scene.store.foreign_delete(OWNER);
    town.scene.pass_seconds(1);
    let later = town.service();
    for ended in [&first, &third] {
        assert_eq!(later.by_cookie(&town, ended).await, "401 not_signed_in");
    }
    assert_eq!(town.owner("anna"), None, "a session makes no owner");
    let anew = sign_in(&town, &later).await.header();
    assert_eq!(later.by_cookie(&town, &anew).await, "200");
    for ended in [&first, &third] {
        assert_eq!(
            town.service().by_cookie(&town, ended).await,
            "401 not_signed_in"
        );
    }
}

#[tokio::test]
async fn a_renewal_that_is_under_way_sets_no_cookie_after_the_sign_out() {
    let town = Town::new();
    let service = town.service();
    let cookie = sign_in(&town, &service).await.header();
    assert_eq!(service.by_cookie(&town, &cookie).await, "200");
    let read = async |out: bool| {
        town.scene.pass_seconds(3_600);
        let held = service.instance.gate.hold_next("get", STATE);
        let week = get("/codex").header("cookie", &cookie);
        let (week, ()) = join(service.send(&town, week), async {
            held.reached().await;
            if out {
                let out = service.send(&town, sign_out(&cookie)).await;
                assert_eq!(said(&out), "200");
            }
            held.release();
        })
        .await;
        assert_eq!(said(&week), "200");
        week.header("set-cookie").starts_with(SESSION)
    };
    assert!(read(false).await, "it is renewed otherwise");
    assert!(!read(true).await);
}

#[tokio::test]
async fn while_the_store_is_away_nobody_is_signed_out_by_halves() {
    let town = Town::new();
    let service = town.service();
    let mut jar: Jar = sign_in(&town, &service).await;
    let cookie = jar.header();
    service.instance.line.set_outage(true);
    let refused = service.send(&town, sign_out(&cookie)).await;
    assert_eq!(said(&refused), "503 storage_unavailable");
    jar.take(&refused.headers);
    assert_eq!(jar.header(), cookie, "to try again with");
    service.instance.line.set_outage(false);
    assert_eq!(said(&service.send(&town, sign_out(&cookie)).await), "200");
    assert_eq!(service.by_cookie(&town, &cookie).await, "401 not_signed_in");
    assert_eq!(
        said(&service.send(&town, sign_out(&cookie)).await),
        "200",
        "again"
    );
}

#[tokio::test]
async fn whatever_gets_lost_a_sign_out_that_is_acknowledged_has_ended_the_session() {
    for (loss, first) in [
        (Loss::Request, "503 storage_unavailable"),
        (Loss::StoreResponse, "503 storage_unavailable"),
        (Loss::FirstAnswer, "200"),
    ] {
        let town = Town::new();
        let service = town.service();
        let cookie = sign_in(&town, &service).await.header();
        let before = generation(&town);
        service.instance.line.lose_next("put", OWNER, loss);
        let out = service.send(&town, sign_out(&cookie)).await;
        assert_eq!(said(&out), first, "{loss:?}");
        let out = service.send(&town, sign_out(&cookie)).await;
        assert_eq!(said(&out), "200", "{loss:?}");
        let later = town.service().by_cookie(&town, &cookie).await;
        assert_eq!(later, "401 not_signed_in", "{loss:?}");
        assert_eq!(generation(&town), before + 1, "{loss:?}");
    }
}

#[tokio::test]
async fn two_sign_outs_at_once_end_one_generation_and_keep_what_they_do_not_know() {
    let town = Town::new();
    let owner = br#"{"format":"1.3","githubId":1001,"later":{"a":[1]}}"#;
    town.scene.store.foreign_write(OWNER, owner);
    let (a, b) = (town.service(), town.service());
    let cookie = sign_in(&town, &a).await.header();
    let held = a.instance.gate.hold_next("put", OWNER);
    let (slow, quick) = join(a.send(&town, sign_out(&cookie)), async {
        held.reached().await;
        let quick = b.send(&town, sign_out(&cookie)).await;
        held.release();
        quick
    })
    .await;
    assert_eq!(
        (said(&slow).as_str(), said(&quick).as_str()),
        ("200", "200")
    );
    assert_eq!(
        town.owner("anna").unwrap(),
        r#"{"format":"1.3","githubId":1001,"later":{"a":[1]},"sessionGeneration":1}"#
    );
}

#[tokio::test]
async fn signing_out_of_a_login_that_was_reassigned_succeeds() {
    let town = Town::new();
    let service = town.service();
    let cookie = sign_in(&town, &service).await.header();
    town.scene
        .store
        .foreign_write(OWNER, br#"{"format":"1.0","githubId":7}"#);
    assert_eq!(said(&service.send(&town, sign_out(&cookie)).await), "200");
    assert!(
        town.owner("anna").unwrap().contains('7'),
        "it isn't theirs to write"
    );
}

#[tokio::test]
async fn a_renewal_asks_whether_the_session_was_ended_elsewhere() {
    let town = Town::new();
    let (a, b) = (town.service(), town.service());
    let cookie = sign_in(&town, &a).await.header();
    town.scene.pass_seconds(3_599);
    assert_eq!(b.by_cookie(&town, &cookie).await, "200");
    assert_eq!(said(&a.send(&town, sign_out(&cookie)).await), "200");
    // B read `owner.json` a moment ago, but the session is due for renewal, which reads it again.
    town.scene.pass_seconds(1);
    assert_eq!(b.by_cookie(&town, &cookie).await, "401 not_signed_in");
}

#[tokio::test]
async fn after_an_outage_the_bound_is_as_before() {
    let town = Town::new();
    let (a, b) = (town.service(), town.service());
    let copy = sign_in(&town, &a).await.header();
    assert_eq!(b.by_cookie(&town, &copy).await, "200");
    town.scene.pass_seconds(601);
    b.instance.line.set_outage(true);
    assert_eq!(b.by_cookie(&town, &copy).await, "200");
    b.instance.line.set_outage(false);
    assert_eq!(said(&a.send(&town, sign_out(&copy)).await), "200");
    town.scene.pass_seconds(BOUND - 600);
    assert_eq!(b.by_cookie(&town, &copy).await, "401 not_signed_in");
}

#[tokio::test]
async fn signing_out_ends_the_sessions_in_each_folder_of_the_login() {
    let town = Town::new();
    let owner = br#"{"format":"1.0","githubId":1001}"#;
    town.scene
        .store
        .foreign_write("state/Anna/owner.json", owner);
    town.scene.store.foreign_write(OWNER, owner);
    let service = town.service();
    let first = sign_in(&town, &service).await.header();
    town.github.rename_user("anna", "Anna");
    town.github.sign_in("Anna");
    let second = sign_in(&town, &service).await.header();
    assert_eq!(said(&service.send(&town, sign_out(&second)).await), "200");
    for ended in [&first, &second] {
        assert_eq!(service.by_cookie(&town, ended).await, "401 not_signed_in");
    }
}
