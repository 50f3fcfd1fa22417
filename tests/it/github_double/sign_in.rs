//! Apps, their tokens, and signing in on the web.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::{Client, Heard, hear, text};
use crate::support::github::{GitHub, app_private_key, s256};

const CALLBACK: &str = "http://127.0.0.1:7071/auth/github/callback";
const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more-made-up";

fn with_app() -> GitHub {
    let github = GitHub::start();
    github.add_oauth_app("Iv1.madeup", "made-up-secret", CALLBACK);
    github.add_user("berta", 1_002);
    github.sign_in("berta");
    github
}

/// Where the sign-in page sends the browser.
async fn authorize(github: &GitHub, more: &str) -> String {
    let challenge = s256(VERIFIER);
    let path = format!(
        "/login/oauth/authorize?client_id=Iv1.madeup&state=s%201&scope=read:user\
         &code_challenge={challenge}&code_challenge_method=S256{more}"
    );
    let heard = Client::nobody(github).get(&path).await;
    assert_eq!(heard.status, 302, "{}", heard.text());
    heard.header("location").to_owned()
}

async fn code(github: &GitHub) -> String {
    let to = authorize(github, "").await;
    let (callback, query) = to.split_once("?code=").unwrap();
    assert_eq!(callback, CALLBACK);
    let (code, state) = query.split_once('&').unwrap();
    assert_eq!(state, "state=s+1");
    code.to_owned()
}

async fn turn_in(github: &GitHub, code: &str, secret: &str, verifier: &str) -> Value {
    let form =
        format!("client_id=Iv1.madeup&client_secret={secret}&code={code}&code_verifier={verifier}");
    let request = Client::nobody(github).request(Method::POST, "/login/oauth/access_token");
    let request = request
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded");
    hear(request.body(form)).await.json(200)
}

#[test]
fn a_challenge_is_that_of_rfc_7636() {
    let challenge = s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[tokio::test]
async fn signing_in_gives_a_token_of_that_person_and_app() {
    let github = with_app();
    let code = code(&github).await;
    let given = turn_in(&github, &code, "made-up-secret", VERIFIER).await;
    assert_eq!(
        (&given["token_type"], &given["scope"]),
        (&json!("bearer"), &json!("read:user"))
    );
    let token = text(&given["access_token"]);
    assert!(token.starts_with("gho_"));
    let client = Client::with(&github, &token);
    assert_eq!(client.get("/user").await.json(200)["login"], "berta");
    // So small a scope opens no private repository.
    client.get("git/ref/heads/main").await.json(404);
    let again = turn_in(&github, &code, "made-up-secret", VERIFIER).await;
    assert_eq!(again["error"], "bad_verification_code");
}

#[tokio::test]
async fn a_code_needs_its_secret_its_verifier_and_its_ten_minutes() {
    let github = with_app();
    let first = code(&github).await;
    let wrong = turn_in(&github, &first, "another", VERIFIER).await;
    assert_eq!(wrong["error"], "incorrect_client_credentials");
    let unproved = turn_in(&github, &first, "made-up-secret", "another").await;
    assert_eq!(unproved["error"], "bad_verification_code");
    let second = code(&github).await;
    github.advance(Duration::from_secs(601));
    let late = turn_in(&github, &second, "made-up-secret", VERIFIER).await;
    assert_eq!(late["error"], "bad_verification_code");
}

#[tokio::test]
async fn a_refusal_goes_back_to_the_app() {
    let github = with_app();
    let to = authorize(&github, "&redirect_uri=http://127.0.0.1:9/").await;
    assert!(
        to.starts_with(&format!("{CALLBACK}?error=redirect_uri_mismatch")),
        "{to}"
    );
    github.deny_sign_in();
    let to = authorize(&github, "").await;
    assert!(
        to.contains("error=access_denied") && to.ends_with("&state=s+1"),
        "{to}"
    );
}

#[tokio::test]
async fn an_app_recognises_its_own_tokens() {
    let github = with_app();
    github.add_oauth_app("Iv1.other", "other-secret", "http://127.0.0.1/");
    let token = github.app_token("Iv1.madeup", "berta", &["repo"]);
    let check = async |client: &str, secret: &str, token: &str| -> Heard {
        let basic = STANDARD.encode(format!("{client}:{secret}"));
        let request = Client {
            authorization: Some(format!("Basic {basic}")),
            ..Client::nobody(&github)
        };
        let path = format!("/applications/{client}/token");
        request.post(&path, json!({ "access_token": token })).await
    };
    let known = check("Iv1.madeup", "made-up-secret", &token)
        .await
        .json(200);
    assert_eq!(known["user"]["id"], 1_002);
    check("Iv1.other", "other-secret", &token).await.json(404);
    check("Iv1.madeup", "made-up-secret", "gho_unknown")
        .await
        .json(404);
    check("Iv1.madeup", "wrong", &token).await.json(404);
    let own = github.personal_token("berta");
    check("Iv1.madeup", "made-up-secret", &own).await.json(404);
}

/// A claim of app 77, signed with its key.
fn claim(claims: &Value) -> String {
    let pem: String = app_private_key()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let key = RsaKeyPair::from_der(&STANDARD.decode(pem).unwrap()).unwrap();
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn an_installation_has_a_token_for_an_hour() {
    let github = GitHub::start();
    github.add_github_app(77, 880);
    let ask = async |claims: &Value, installation: u64| {
        let client = Client::with(&github, &claim(claims));
        let path = format!("/app/installations/{installation}/access_tokens");
        client.post(&path, json!({})).await
    };
    let now = chrono::Utc::now().timestamp();
    let good = json!({ "iat": now - 60, "exp": now + 540, "iss": "77" });
    let given = ask(&good, 880).await.json(201);
    let token = text(&given["token"]);
    assert!(token.starts_with("ghs_"));
    ask(&good, 881).await.json(404);
    let long = json!({ "iat": now, "exp": now + 700, "iss": 77 });
    assert!(
        ask(&long, 880)
            .await
            .message(401)
            .contains("too far in the future")
    );
    ask(&json!({ "exp": now + 60, "iss": 77 }), 880)
        .await
        .json(401);
    let other = json!({ "iat": now, "exp": now + 60, "iss": 78 });
    assert_eq!(ask(&other, 880).await.message(404), "Integration not found");
    let mut forged = claim(&good);
    forged.replace_range(forged.len() - 9..forged.len() - 5, "AAAA");
    let forger = Client::with(&github, &forged);
    let refused = forger
        .post("/app/installations/880/access_tokens", json!({}))
        .await;
    assert_eq!(
        refused.message(401),
        "A JSON web token could not be decoded"
    );

    let client = Client::with(&github, &token);
    client.get("git/ref/heads/main").await.json(200);
    client.get("/user").await.json(403);
    github.advance(Duration::from_secs(3_601));
    client.get("git/ref/heads/main").await.json(401);
    github.set_installation_token_life(Duration::from_secs(90));
    let late = chrono::Utc::now().timestamp() + 3_601;
    let again = json!({ "iat": late, "exp": late + 60, "iss": 77 });
    let given = ask(&again, 880).await.json(201);
    let expires = chrono::DateTime::parse_from_rfc3339(&text(&given["expires_at"])).unwrap();
    assert!((expires.timestamp() - late - 90).abs() < 30);
}
