//! The platform's word: App Service Authentication.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Town, get, request, said};

pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("CODEX_AUTH", "easyauth"),
    ("WEBSITE_AUTH_ENABLED", "True"),
    ("WEBSITE_SITE_NAME", "app"),
    ("CODEX_DATA_DIR", "d"),
];

const NAME_IDENTIFIER: &str =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
const OBJECT_IDENTIFIER: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";

fn principal(provider: &str, claims: &[(&str, &str)]) -> String {
    let claims: Vec<Value> = claims
        .iter()
        .map(|(typ, val)| json!({"typ": typ, "val": val}))
        .collect();
    let document = json!({
        "auth_typ": provider, "claims": claims,
        "name_typ": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "role_typ": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
    });
    STANDARD.encode(document.to_string())
}

pub(super) fn github(login: &str, number: &str) -> String {
    principal(
        "github",
        &[(NAME_IDENTIFIER, number), ("urn:github:login", login)],
    )
}

#[tokio::test]
async fn the_platforms_word_is_taken_for_githubs_login_and_number() {
    let town = Town::new();
    let service = town.service_with(SETTINGS);
    let ask = |principal: &str| get("/auth/me").header("x-ms-client-principal", principal);
    let me = service.send(&town, ask(&github("Anna", "1001"))).await;
    assert_eq!(
        me.ok(),
        json!({"ok": true, "login": "Anna", "userId": "Anna", "auth": "easyauth", "allowed": true})
    );
    assert_eq!(
        town.owner("Anna").unwrap(),
        r#"{"format":"1.0","githubId":1001}"#
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
        ("accept", "text/html".to_owned()),
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
    // An address is nothing that identifies: at some providers people write it themselves.
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
