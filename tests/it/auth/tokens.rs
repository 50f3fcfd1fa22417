//! Tokens in `Authorization: Bearer`.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::json;

use super::{Town, bearer, get, request, said};
use crate::support::github::Fault;
use crate::support::scene::task;

#[tokio::test]
async fn a_personal_token_opens_its_owners_week_in_githubs_spelling() {
    let town = Town::new();
    town.github.add_user("Carla-X", 1_003);
    town.scene
        .store
        .foreign_write("raw/Carla-X/tasks/0000-Brief.md", task("Brief").as_bytes());
    let service = town.service_with(&[("CODEX_ALLOWED_LOGINS", "anna, CARLA-x")]);
    let token = town.github.personal_token("carla-x");
    let week = service.send(&town, bearer(get("/codex"), &token)).await;
    let document = week.json();
    assert_eq!(document["userId"], "Carla-X");
    assert_eq!(
        document["timeline"][0]["slots"][0]["task"]["title"],
        "Brief"
    );
    assert_eq!(
        town.owner("Carla-X").unwrap(),
        r#"{"format":"1.0","githubId":1003,"sessionGeneration":1773039600}"#
    );
    let me = service.send(&town, bearer(get("/auth/me"), &token)).await;
    assert_eq!(
        me.ok(),
        json!({"ok": true, "login": "Carla-X", "userId": "Carla-X", "auth": "github", "allowed": true, "storage": "folder"})
    );
    assert_eq!(me.header("cache-control"), "no-store");
}

#[tokio::test]
async fn without_anything_it_is_a_401_that_says_what_to_do() {
    let town = Town::new();
    let service = town.service();
    let refused = service.send(&town, get("/codex")).await;
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    assert_snapshot!(refused.refusal(), @r#"401 {"ok":false,"code":"not_signed_in","error":"Nobody is signed in: send Authorization: Bearer with a GitHub token, or sign in at /auth/github."}"#);
    let unknown = bearer(get("/api/tasks"), "ghp_nobodys");
    let unknown = service.send(&town, unknown).await;
    assert_eq!(unknown.header("www-authenticate"), "Bearer");
    assert_snapshot!(unknown.refusal(), @r#"401 {"ok":false,"code":"token_invalid","error":"GitHub doesn't know this token: make a new one, or sign in again."}"#);
    let not_allowed = town.github.personal_token("berta");
    let not_allowed = service
        .send(&town, bearer(get("/codex"), &not_allowed))
        .await;
    assert_snapshot!(not_allowed.refusal(), @r#"403 {"ok":false,"code":"login_not_allowed","error":"This login may not enter: ask the operator to name it in CODEX_ALLOWED_LOGINS."}"#);
    assert_eq!(service.instance.took(), "", "nothing of it asks the store");
}

#[tokio::test]
async fn what_cant_be_a_token_isnt_asked_about() {
    let town = Town::new();
    let service = town.service();
    let long = "x".repeat(2_000);
    for header in [
        "Bearer",
        "Bearer ",
        "bearer ghp_a b",
        "Bearer ghp_ä",
        &format!("Bearer {long}"),
    ] {
        let request = get("/codex").header("authorization", header.as_bytes());
        let refused = service.send(&town, request).await;
        assert_eq!(said(&refused), "401 token_invalid", "{header}");
    }
    let twice = bearer(bearer(get("/codex"), "ghp_a"), "ghp_b");
    assert_eq!(said(&service.send(&town, twice).await), "401 token_invalid");
    // An installation token and a refresh token identify no user.
    assert_eq!(service.by_token(&town, "ghs_x").await, "401 token_invalid");
    assert_eq!(service.by_token(&town, "ghr_x").await, "401 token_invalid");
    let basic = get("/codex").header("authorization", "Basic YTpi");
    assert_eq!(said(&service.send(&town, basic).await), "401 not_signed_in");
    assert_eq!(town.github.requests().len(), 0);
}

#[tokio::test]
async fn ten_thousand_reads_by_one_token_ask_github_once() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    assert_eq!(service.by_token(&town, &token).await, "200");
    for _ in 1..10_000 {
        assert_eq!(service.flood(&town, &token).await, "200");
    }
    assert_eq!(town.github.requests().len(), 1);
    assert_snapshot!(service.instance.took(), @"1 get artifacts, 3 get state, 2 list raw, 1 list state, 1 put artifacts, 2 put state");
}

#[tokio::test]
async fn fifty_at_once_by_an_unknown_token_share_one_question() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    let hold = town.github.hold("GET", "/user");
    let all = async {
        let requests = (0..50).map(|_| service.by_token(&town, &token));
        futures::future::join_all(requests).await
    };
    let release = async {
        hold.reached().await;
        hold.release();
    };
    let (answers, ()) = futures::future::join(all, release).await;
    assert!(answers.iter().all(|it| it == "200"), "{answers:?}");
    assert_eq!(town.asked(), 1);
}

#[tokio::test]
async fn made_up_tokens_dont_use_up_the_machines_connections() {
    let town = Town::new();
    let service = town.service();
    town.github.fail(Fault::Hang);
    let tokens: Vec<String> = (0..100).map(|number| format!("ghp_{number}")).collect();
    let all = tokens.iter().map(|token| service.by_token(&town, token));
    let recover = async {
        while town.github.hanging() < 64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(town.github.hanging(), 64);
        town.github.recover();
    };
    let (answers, ()) = futures::future::join(futures::future::join_all(all), recover).await;
    let (away, asked): (Vec<_>, Vec<_>) =
        answers.iter().partition(|it| *it == "503 auth_unavailable");
    assert_eq!((away.len(), asked.len()), (64, 36));
    assert!(asked.iter().all(|it| *it == "401 token_invalid"));
}

#[tokio::test]
async fn who_gives_up_waiting_doesnt_take_the_answer_from_others() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    let hold = town.github.hold("GET", "/user");
    tokio::select! {
        _ = service.by_token(&town, &token) => panic!("it is held"),
        () = hold.reached() => {}
    }
    assert_eq!(service.by_token(&town, &token).await, "200");
}

#[tokio::test]
async fn an_apps_token_must_be_this_apps() {
    let town = Town::new();
    let service = town.service();
    let ours = town.github.app_token(super::CLIENT, "anna", &[]);
    let theirs = town.github.app_token("Iv1.another", "anna", &["repo"]);
    assert_eq!(service.by_token(&town, &ours).await, "200");
    assert_eq!(service.by_token(&town, &theirs).await, "401 token_foreign");
    assert_eq!(
        service.by_token(&town, &"0123456789abcdef".repeat(3)).await,
        "401 token_foreign",
        "tokens from before there were prefixes may be any app's"
    );
    assert_eq!(town.asked(), 1);
    let without = town.service_with(&[
        ("GITHUB_OAUTH_CLIENT_ID", ""),
        ("GITHUB_OAUTH_CLIENT_SECRET", ""),
    ]);
    assert_eq!(without.by_token(&town, &ours).await, "401 token_foreign");
    let personal = town.github.personal_token("anna");
    assert_eq!(without.by_token(&town, &personal).await, "200");
}

#[tokio::test]
async fn a_wrong_secret_of_the_app_is_no_refusal_of_a_token() {
    let town = Town::new();
    let service = town.service();
    let ours = town.github.app_token(super::CLIENT, "anna", &[]);
    let path = format!("/applications/{}/token", super::CLIENT);
    town.github.fail_at("POST", &path, Fault::Status(401));
    assert_eq!(service.by_token(&town, &ours).await, "503 auth_unavailable");
}

#[tokio::test]
async fn only_a_200_that_names_this_app_says_that_a_token_is_its() {
    let town = Town::new();
    let path = format!("/applications/{}/token", super::CLIENT);
    for (fault, wanted) in [
        (Fault::Status(202), "503 auth_unavailable"),
        (Fault::Html, "503 auth_unavailable"),
        (Fault::Status(404), "401 token_foreign"),
        (Fault::Status(422), "401 token_foreign"),
    ] {
        let service = town.service();
        let ours = town.github.app_token(super::CLIENT, "anna", &[]);
        town.github.fail_at("POST", &path, fault.clone());
        assert_eq!(service.by_token(&town, &ours).await, wanted, "{fault:?}");
        town.github.recover();
        assert_eq!(town.asked(), 0);
    }
    // The app's own client id in another letter case is another app's.
    let other = super::CLIENT.to_uppercase();
    town.github.answer_for_app(super::CLIENT, &other);
    let ours = town.github.app_token(super::CLIENT, "anna", &[]);
    let said = town.service().by_token(&town, &ours).await;
    assert_eq!(said, "401 token_foreign");
    assert_eq!(town.asked(), 0);
}

#[tokio::test]
async fn a_refusal_is_remembered_for_thirty_seconds_and_a_yes_for_five_minutes() {
    let town = Town::new();
    let service = town.service();
    for (passed, asked) in [(0, 1), (29, 1), (2, 2), (29, 2)] {
        town.scene.pass_seconds(passed);
        assert_eq!(
            service.by_token(&town, "ghp_unknown").await,
            "401 token_invalid"
        );
        assert_eq!(town.asked(), asked);
    }
    town.github.clear_requests();
    let token = town.github.personal_token("anna");
    for (passed, asked) in [(0, 1), (299, 1), (2, 2)] {
        town.scene.pass_seconds(passed);
        assert_eq!(service.by_token(&town, &token).await, "200");
        assert_eq!(town.asked(), asked);
    }
    town.github.revoke(&token);
    assert_eq!(service.by_token(&town, &token).await, "200");
    town.scene.pass_seconds(301);
    assert_eq!(service.by_token(&town, &token).await, "401 token_invalid");
}

#[tokio::test]
async fn while_github_is_away_a_known_token_stays_good_for_an_hour() {
    let town = Town::new();
    let token = town.github.personal_token("anna");
    for fault in [
        Fault::Status(500),
        Fault::Status(403),
        Fault::Status(429),
        Fault::Reset,
        Fault::Html,
    ] {
        let service = town.service();
        assert_eq!(service.by_token(&town, &token).await, "200");
        town.github.fail(fault.clone());
        let unknown = bearer(get("/codex"), "ghp_unknown");
        let unknown = service.send(&town, unknown).await;
        assert_eq!(said(&unknown), "503 auth_unavailable", "{fault:?}");
        assert!(unknown.header("retry-after").parse::<u32>().unwrap() >= 1);
        town.scene.pass_seconds(50 * 60);
        assert_eq!(service.by_token(&town, &token).await, "200", "{fault:?}");
        town.github.clear_requests();
        town.scene.pass_seconds(5);
        assert_eq!(service.by_token(&town, &token).await, "200");
        assert_eq!(town.asked(), 0, "not every request waits for the outage");
        town.scene.pass_seconds(11 * 60);
        assert_eq!(
            service.by_token(&town, &token).await,
            "503 auth_unavailable",
            "{fault:?}"
        );
        town.github.recover();
        town.scene.pass_seconds(120);
        assert_eq!(service.by_token(&town, &token).await, "200");
        assert_eq!(
            service.by_token(&town, "ghp_unknown").await,
            "401 token_invalid"
        );
    }
}

#[tokio::test]
async fn while_github_hangs_a_known_token_waits_for_it_once_and_the_others_dont() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    assert_eq!(service.by_token(&town, &token).await, "200");
    town.scene.pass_seconds(301);
    town.github.fail(Fault::Hang);
    let hanging = async || {
        while town.github.hanging() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let others = async || {
        let began = Instant::now();
        let all = futures::future::join_all((0..20).map(|_| service.by_token(&town, &token))).await;
        assert!(all.iter().all(|it| it == "200"), "{all:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "they wait");
        assert_eq!(town.github.hanging(), 1);
    };
    let meanwhile = async {
        hanging().await;
        others().await;
        town.github.recover();
    };
    let (asker, ()) = futures::future::join(service.by_token(&town, &token), meanwhile).await;
    assert_eq!(asker, "200");

    // The last lookup failed, so no request waits for the next one.
    town.github.fail(Fault::Hang);
    town.scene.pass_seconds(20);
    let (asker, ()) = futures::future::join(service.by_token(&town, &token), hanging()).await;
    assert_eq!(asker, "200");
    others().await;
    // A successful lookup ends that.
    town.github.recover();
    town.scene.pass_seconds(20);
    town.github.clear_requests();
    for _ in 0..200 {
        assert_eq!(service.by_token(&town, &token).await, "200");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(town.asked(), 1);
    town.github.revoke(&token);
    town.scene.pass_seconds(301);
    assert_eq!(service.by_token(&town, &token).await, "401 token_invalid");
}

#[tokio::test]
async fn a_limit_of_github_is_no_refusal_and_says_when_to_come_back() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    town.github.exhaust_rate_limit(Duration::from_secs(1_000));
    let refused = service.send(&town, bearer(get("/codex"), &token)).await;
    assert_eq!(said(&refused), "503 auth_unavailable");
    let after = refused.header("retry-after").parse::<u32>().unwrap();
    assert!((900..=1_000).contains(&after), "{after}");
}

#[tokio::test]
async fn the_list_is_asked_on_every_request() {
    let town = Town::new();
    let token = town.github.personal_token("anna");
    let cookie = super::sign_in(&town, &town.service()).await.header();
    for (logins, said) in [
        ("ANNA", "200"),
        ("*", "200"),
        ("berta", "403 login_not_allowed"),
    ] {
        let service = town.service_with(&[("CODEX_ALLOWED_LOGINS", logins)]);
        for _ in 0..2 {
            assert_eq!(service.by_token(&town, &token).await, said, "{logins}");
            assert_eq!(service.by_cookie(&town, &cookie).await, said, "{logins}");
        }
    }
}

#[tokio::test]
async fn a_token_decides_even_where_a_cookie_would_open() {
    let town = Town::new();
    let service = town.service();
    let cookie = super::sign_in(&town, &service).await.header();
    let both = bearer(get("/codex"), "ghp_wrong").header("cookie", &cookie);
    assert_eq!(said(&service.send(&town, both).await), "401 token_invalid");
    let berta = town.github.personal_token("berta");
    let both = bearer(get("/codex"), &berta).header("cookie", &cookie);
    assert_eq!(
        said(&service.send(&town, both).await),
        "403 login_not_allowed"
    );
}

#[tokio::test]
async fn a_change_by_token_needs_no_page() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    for origin in [None, Some("https://app.example")] {
        let change = bearer(request("POST", "/api/preview"), &token);
        let change = match origin {
            Some(origin) => change
                .header("origin", origin)
                .header("sec-fetch-site", "cross-site"),
            None => change,
        };
        assert_eq!(said(&service.send(&town, change).await), "200");
    }
}

/// Only tokens that GitHub itself rejected count against the limit on rejections.
#[tokio::test]
async fn made_up_tokens_that_github_is_never_asked_about_keep_nobody_out() {
    let town = Town::new();
    let without_app = town.service_with(&[
        ("GITHUB_OAUTH_CLIENT_ID", ""),
        ("GITHUB_OAUTH_CLIENT_SECRET", ""),
    ]);
    for number in 0..150 {
        let (nobodys, foreign) = (format!("ghs_{number}"), format!("gho_{number}"));
        let said = without_app.by_token(&town, &nobodys).await;
        assert_eq!(said, "401 token_invalid");
        let said = without_app.by_token(&town, &foreign).await;
        assert_eq!(said, "401 token_foreign");
    }
    assert_eq!(town.asked(), 0);
    let token = town.github.personal_token("anna");
    assert_eq!(without_app.by_token(&town, &token).await, "200");
}

/// A token that was accepted before is looked up again even when the limit on rejections is reached.
#[tokio::test]
async fn guesses_hold_back_no_token_that_was_accepted_before() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    assert_eq!(service.by_token(&town, &token).await, "200");
    town.scene.pass_seconds(2 * 3600);
    for number in 0..100 {
        let guess = format!("ghp_{number}");
        assert_eq!(service.by_token(&town, &guess).await, "401 token_invalid");
    }
    let guess = service.by_token(&town, "ghp_one_more").await;
    assert_eq!(guess, "503 auth_unavailable");
    assert_eq!(service.by_token(&town, &token).await, "200");
    town.github.revoke(&token);
    town.scene.pass_seconds(301);
    assert_eq!(service.by_token(&town, &token).await, "401 token_invalid");
}

/// Made-up tokens exhaust neither the cache of tokens nor the limit on lookups in flight.
#[tokio::test]
async fn made_up_tokens_use_up_nothing_that_others_need() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    assert_eq!(service.by_token(&town, &token).await, "200");
    let unasked = (0..30_000).map(|number| format!("ghs_{number}"));
    for made_up in unasked {
        let said = service.flood(&town, &made_up).await;
        assert_eq!(said, "401 token_invalid");
    }
    assert_eq!(service.by_token(&town, &token).await, "200");
    assert_eq!(town.asked(), 1, "it is still remembered");
    // While 64 lookups of made-up tokens hang at GitHub, other tokens are still looked up.
    town.scene.pass_seconds(2 * 3600);
    for nth in 1..=64 {
        town.github.plan("GET", "/user", nth, Fault::Hang);
    }
    let made_up: Vec<String> = (0..64).map(|number| format!("ghp_{number}")).collect();
    let strangers = made_up.iter().map(|token| service.by_token(&town, token));
    let others = async {
        while town.github.hanging() < 64 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(service.by_token(&town, &token).await, "200");
        super::sign_in(&town, &service).await;
        town.github.recover();
    };
    futures::future::join(futures::future::join_all(strangers), others).await;
}
