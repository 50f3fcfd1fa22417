//! App Service Authentication (Easy Auth): identities asserted by the platform's headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Town, get, request, said};
use crate::support::easyauth::{NAME_IDENTIFIER, OBJECT_IDENTIFIER, github, principal};

pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("CODEX_AUTH", "easyauth"),
    ("WEBSITE_AUTH_ENABLED", "True"),
    ("WEBSITE_SITE_NAME", "app"),
    ("CODEX_DATA_DIR", "d"),
];

#[tokio::test]
async fn the_platforms_word_is_taken_for_githubs_login_and_number() {
    let town = Town::new();
    let service = town.service_with(SETTINGS);
    let ask = |principal: &str| get("/auth/me").header("x-ms-client-principal", principal);
    let me = service.send(&town, ask(&github("Anna", "1001"))).await;
    assert_eq!(
        me.ok(),
        json!({"ok": true, "login": "Anna", "userId": "Anna", "auth": "easyauth", "allowed": true, "storage": "folder"})
    );
    assert_eq!(
        town.owner("Anna").unwrap(),
        r#"{"format":"1.0","githubId":1001,"sessionGeneration":1773039600}"#
    );
    for (principal, wanted) in [
        (github("Anna", "7"), "403 login_reassigned"),
        (github("berta", "1002"), "403 login_not_allowed"),
        (github("", "1001"), "401 not_signed_in"),
        (github("anna", "x"), "401 not_signed_in"),
        (github("../anna", "1001"), "401 not_signed_in"),
        (
            principal(
                "google",
                &[(NAME_IDENTIFIER, "1001"), ("urn:github:login", "anna")],
            ),
            "401 not_signed_in",
        ),
        (
            principal("github", &[(NAME_IDENTIFIER, "1001")]),
            "401 not_signed_in",
        ),
        (
            principal(
                "github",
                &[
                    (NAME_IDENTIFIER, "1001"),
                    ("urn:github:login", "berta"),
                    ("urn:github:login", "anna"),
                ],
            ),
            "401 not_signed_in",
        ),
        ("%%%".to_owned(), "401 not_signed_in"),
        (STANDARD.encode("[]"), "401 not_signed_in"),
        (String::new(), "401 not_signed_in"),
    ] {
        let answer = service.send(&town, ask(&principal)).await;
        assert_eq!(said(&answer), wanted, "{principal}");
    }
    let twice =
        ask(&github("Anna", "1001")).header("x-ms-client-principal", github("Anna", "1001"));
    assert_eq!(said(&service.send(&town, twice).await), "401 not_signed_in");
}

#[tokio::test]
async fn without_the_platforms_header_nobody_is_anybody() {
    let town = Town::new();
    let service = town.service_with(SETTINGS);
    let token = town.github.personal_token("anna");
    for (name, value) in [
        ("accept", "application/json".to_owned()),
        ("authorization", format!("Bearer {token}")),
        ("x-ms-client-principal-name", "anna".to_owned()),
        ("x-ms-client-principal-id", "1001".to_owned()),
        ("x-ms-client-principal-idp", "github".to_owned()),
    ] {
        let answer = service.send(&town, get("/codex").header(name, value)).await;
        assert_eq!(said(&answer), "401 not_signed_in", "{name}");
    }
    assert_eq!(town.github.requests().len(), 0);
    let sign_in = service.send(&town, get("/auth/github")).await;
    assert_eq!(said(&sign_in), "409 oauth_not_configured");
    let logout = request("POST", "/auth/logout").header("origin", super::ORIGIN);
    let logout = service.send(&town, logout).await;
    assert_eq!(logout.ok(), json!({"ok": true, "next": "/.auth/logout"}));
}

#[tokio::test]
async fn a_browser_is_sent_to_the_platforms_sign_in_and_others_are_told_of_it() {
    let town = Town::new();
    let mut settings = SETTINGS.to_vec();
    settings.push(("CODEX_EASYAUTH_IDP", "GitHub"));
    let service = town.service_with(&settings);
    let browser = |path: &str| get(path).header("accept", "text/html,*/*;q=0.8");
    let page = browser("/codex?format=html&bodies=true&code=functions-key");
    let page = service.send(&town, page).await;
    assert_eq!(page.status, 302);
    assert_snapshot!(page.header("location"), @"/.auth/login/github?post_login_redirect_uri=%2Fcodex%3Fformat%3Dhtml%26bodies%3Dtrue");
    // A user whom the platform signed in by another provider isn't redirected: the platform would send them right back.
    let other = principal("aad", &[(NAME_IDENTIFIER, "1001")]);
    let other = browser("/codex").header("x-ms-client-principal", other);
    let other = service.send(&town, other).await;
    assert_eq!(other.status, 401);
    assert!(other.text().contains("Du bist nicht angemeldet."));
    let api = service.send(&town, browser("/api/tasks")).await;
    assert_snapshot!(api.refusal(), @r#"401 {"ok":false,"code":"not_signed_in","error":"Nobody is signed in by github: sign in at /.auth/login/github."}"#);
    let change = service.send(&town, request("POST", "/api/preview")).await;
    assert_snapshot!(change.refusal(), @r#"403 {"ok":false,"code":"cross_origin","error":"A page of another site can't change tasks: open this service's own page."}"#);
}

#[tokio::test]
async fn the_older_services_cookie_is_expired_here_too() {
    let town = Town::new();
    let service = town.service_with(SETTINGS);
    let me = get("/auth/me")
        .header("cookie", "session=gho_older")
        .header("x-ms-client-principal", github("anna", "1001"));
    let me = service.send(&town, me).await;
    assert_eq!(
        (me.status.as_u16(), me.header("set-cookie")),
        (
            200,
            "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        )
    );
}

#[tokio::test]
async fn claims_that_arent_texts_are_passed_over() {
    let town = Town::new();
    let service = town.service_with(SETTINGS);
    let me = async |login: Value| {
        let document = json!({"auth_typ": "GitHub", "claims": [
            {"typ": "site_admin", "val": false},
            {"typ": "teams", "val": ["a", 1]},
            {"typ": "urn:github:bio", "val": null},
            {"typ": 7},
            {},
            {"typ": NAME_IDENTIFIER, "val": "1001", "more": {}},
            {"typ": "urn:github:login", "val": login},
        ]});
        let principal = STANDARD.encode(document.to_string());
        let me = get("/auth/me").header("x-ms-client-principal", principal);
        said(&service.send(&town, me).await)
    };
    assert_eq!(me("anna".into()).await, "200");
    for login in [json!(7), json!(null), json!(["anna"]), json!({"a": "anna"})] {
        assert_eq!(me(login).await, "401 not_signed_in");
    }
}

#[tokio::test]
async fn where_the_platform_isnt_asked_its_header_says_nothing() {
    let town = Town::new();
    let service = town.service();
    let forged = get("/codex").header("x-ms-client-principal", github("anna", "1001"));
    assert_eq!(
        said(&service.send(&town, forged).await),
        "401 not_signed_in"
    );
}

#[tokio::test]
async fn other_providers_people_are_known_by_their_lasting_id() {
    let town = Town::new();
    let with = |logins: &str| {
        let mut settings = SETTINGS.to_vec();
        settings.extend([
            ("CODEX_EASYAUTH_IDP", "aad"),
            ("CODEX_ALLOWED_LOGINS", logins),
        ]);
        town.service_with(&settings)
    };
    let oid = "0b1e3c5a-1111-2222-3333-444455556666";
    let ask = |claims: &[(&str, &str)]| {
        get("/auth/me").header("x-ms-client-principal", principal("aad", claims))
    };
    let both = [(OBJECT_IDENTIFIER, oid), (NAME_IDENTIFIER, "pairwise")];
    let me = with(oid).send(&town, ask(&both)).await;
    assert_eq!(me.ok()["userId"], oid);
    assert_eq!(
        town.owner(oid).unwrap(),
        format!(r#"{{"format":"1.0","provider":"aad","subject":"{oid}"}}"#)
    );
    // An e-mail address doesn't identify an account: some providers let users choose it freely.
    let by_address = [
        (OBJECT_IDENTIFIER, "other"),
        ("preferred_username", "anna@example.org"),
    ];
    let answer = with("anna@example.org").send(&town, ask(&by_address)).await;
    assert_eq!(said(&answer), "403 login_not_allowed");
    let odd = with("sub|äöü")
        .send(&town, ask(&[(NAME_IDENTIFIER, "sub|äöü")]))
        .await;
    let user = odd.ok()["userId"].as_str().unwrap().to_owned();
    assert!(
        user.len() == 32 && user.bytes().all(|it| it.is_ascii_hexdigit()),
        "{user}"
    );
    let same = with(&user)
        .send(&town, ask(&[(NAME_IDENTIFIER, "sub|äöü")]))
        .await;
    assert_eq!(same.ok()["userId"], user.as_str());
    let none = with("*").send(&town, ask(&[("name", "anna")])).await;
    assert_eq!(said(&none), "401 not_signed_in");
}
