//! Sign-in through GitHub's pages (OAuth).

use std::time::Duration;

use insta::assert_snapshot;

use super::{CLIENT, FLIGHT, ORIGIN, SESSION, Service, Town, at_github, begin, get, said, sign_in};
use crate::support::github::{Fault, s256};
use crate::support::http::Reply;

/// The value of a query parameter, decoded.
fn member(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
}

async fn land(town: &Town, service: &Service, back: &str, cookies: &str) -> Reply {
    service
        .send(town, get(back).header("cookie", cookies))
        .await
}

#[tokio::test]
async fn the_whole_way_by_following_redirects() {
    let town = Town::new();
    let service = town.service();
    let page = get("/codex?format=html&bodies=true&code=functions-key")
        .header("accept", "text/html,application/xhtml+xml;q=0.9");
    let asked = service.send(&town, page).await;
    assert_eq!(asked.status, 302);
    assert_snapshot!(asked.header("location"), @"/auth/github?return_to=%2Fcodex%3Fformat%3Dhtml%26bodies%3Dtrue");
    let begun = service.send(&town, get(asked.header("location"))).await;
    assert_eq!(
        (begun.status.as_u16(), begun.header("cache-control")),
        (302, "no-store")
    );
    let cookie = begun.header("set-cookie");
    let (value, attributes) = cookie.split_once(';').unwrap();
    assert!(value.starts_with(FLIGHT));
    assert_snapshot!(attributes, @" Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure");

    let url = begun.header("location");
    let known = [
        "client_id",
        "redirect_uri",
        "response_type",
        "code_challenge_method",
    ];
    let known: Vec<String> = known.iter().map(|name| member(url, name)).collect();
    assert_snapshot!(known.join(" "), @"Iv1.madeup https://codex.example/auth/github/callback code S256");
    assert!(!url.contains("scope="), "who somebody is, is public: {url}");
    assert!(member(url, "state").len() >= 20);

    let back = at_github(url).await;
    let landed = land(&town, &service, &back, value).await;
    assert_eq!(landed.status, 302, "{}", landed.text());
    assert_eq!(landed.header("location"), "/codex?format=html&bodies=true");
    assert_eq!(
        (
            landed.header("referrer-policy"),
            landed.header("cache-control")
        ),
        ("no-referrer", "no-store")
    );
    let set: Vec<String> = landed
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|it| {
            let text = it.to_str().unwrap();
            let (pair, attributes) = text.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            format!(
                "{name}={}; {attributes}",
                if value.is_empty() { "" } else { "…" }
            )
        })
        .collect();
    assert_snapshot!(set.join("\n"), @r#"
    __Host-codex_session=…;  Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure
    __Host-codex_sign_in=;  Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure
    "#);
    assert_eq!(town.asked(), 1);
}

#[tokio::test]
async fn pkce_is_really_used() {
    let town = Town::new();
    let service = town.service();
    // The GitHub double checks the verifier against the challenge: the verifier of another sign-in fails.
    let (first, jar) = begin(&town, &service, "").await;
    let challenge = member(&first, "code_challenge");
    assert_eq!(challenge.len(), s256("").len());
    let back = at_github(&first.replace(&challenge, &s256("an attacker's"))).await;
    let refused = land(&town, &service, &back, &jar.header()).await;
    assert_eq!(said(&refused), "400 sign_in_failed");
    let (second, _) = begin(&town, &service, "").await;
    assert_ne!(member(&second, "code_challenge"), challenge);
    assert_ne!(member(&second, "state"), member(&first, "state"));
}

#[tokio::test]
async fn a_sign_in_ends_once() {
    let town = Town::new();
    let service = town.service();
    let (url, jar) = begin(&town, &service, "").await;
    let back = at_github(&url).await;
    assert_eq!(
        land(&town, &service, &back, &jar.header()).await.status,
        302
    );
    town.github.clear_requests();
    let again = land(&town, &service, &back, &jar.header()).await;
    assert_eq!(said(&again), "400 sign_in_expired");
    assert_eq!(town.github.requests().len(), 0);
    let elsewhere = land(&town, &town.service(), &back, &jar.header()).await;
    assert_eq!(
        said(&elsewhere),
        "400 sign_in_failed",
        "GitHub takes the code once, too"
    );
}

#[tokio::test]
async fn only_the_browser_that_began_can_end_it() {
    let town = Town::new();
    let service = town.service();
    let (url, jar) = begin(&town, &service, "").await;
    let (other_url, other_jar) = begin(&town, &service, "").await;
    let back = at_github(&url).await;
    let wrong = back.replace("state=", "state=x");
    let cookies = jar.header();
    let sealed_by_others = format!("{FLIGHT}=AAAA");
    let gone = format!("{FLIGHT}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
    for (back, cookies, set) in [
        (back.as_str(), "", ""),
        (&back, &other_jar.header(), ""),
        (&back, &sealed_by_others, &gone),
        (&wrong, &cookies, ""),
        ("/auth/github/callback", &cookies, ""),
        ("/auth/github/callback?code=x", &cookies, ""),
    ] {
        let refused = land(&town, &service, back, cookies).await;
        assert_eq!(said(&refused), "400 sign_in_expired", "{back}");
        assert_eq!(refused.header("set-cookie"), set, "{back}");
        assert_eq!(refused.header("referrer-policy"), "no-referrer");
    }
    assert_eq!(town.github.calls("POST", "/login/oauth/access_token"), 0);
    // The sign-in in the other window still succeeds.
    let other = land(
        &town,
        &service,
        &at_github(&other_url).await,
        &other_jar.header(),
    )
    .await;
    assert_eq!(other.status, 302);
    town.scene.pass_seconds(600);
    let late = land(&town, &service, &back, &cookies).await;
    assert_eq!(said(&late), "400 sign_in_expired");
    assert_eq!(late.header("set-cookie"), gone);
}

#[tokio::test]
async fn a_refusal_is_a_page_for_a_person() {
    let town = Town::new();
    let service = town.service();
    town.github.deny_sign_in();
    let (url, jar) = begin(&town, &service, "").await;
    let back = at_github(&url).await;
    let refused = get(&back)
        .header("cookie", jar.header())
        .header("accept", "text/html");
    let refused = service.send(&town, refused).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("content-type")),
        (403, "text/html; charset=utf-8")
    );
    let page = refused.text();
    assert!(page.contains("<html lang=\"de\">"), "{page}");
    assert!(page.contains("Beginne noch einmal, und erlaube sie dort."));
    assert!(page.contains("href=\"/login\""));
    assert!(
        refused
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert!(refused.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(refused.header("referrer-policy"), "no-referrer");
    let odd = get("/auth/github?return_to=x").header("accept", "text/html");
    let odd = service.send(&town, odd).await;
    assert_eq!(
        (odd.status.as_u16(), odd.header("referrer-policy")),
        (400, "no-referrer")
    );
    let (url, jar) = begin(&town, &service, "").await;
    let refused = land(&town, &service, &at_github(&url).await, &jar.header()).await;
    assert_eq!(said(&refused), "403 access_denied");
}

/// Every error page explains in the reader's language what to do, is styled, and names no setting, as only the operator
/// can change those.
#[tokio::test]
async fn a_page_of_a_refusal_is_for_its_reader() {
    let town = Town::new();
    let service = town.service();
    let tokens_only = town.service_with(&[
        ("GITHUB_OAUTH_CLIENT_ID", ""),
        ("GITHUB_OAUTH_CLIENT_SECRET", ""),
    ]);
    for (service, path, status) in [
        (&service, "/nirgends", 404),
        (&service, "/auth/github?return_to=x", 400),
        (&service, "/auth/github/callback?code=x&state=y", 400),
        (
            &service,
            "/auth/github/callback?error=access_denied&state=y",
            400,
        ),
        (&tokens_only, "/auth/github", 409),
        (&tokens_only, "/login", 409),
        (&tokens_only, "/codex", 401),
        (&service, "/auth/logout", 405),
        (&service, "/assets/gone.js", 404),
    ] {
        for (wished, language) in [("de-DE,de;q=0.9", "de"), ("en-GB,en;q=0.9", "en")] {
            let asked = get(path)
                .header("accept", "text/html,*/*;q=0.8")
                .header("accept-language", wished);
            let page = service.send(&town, asked).await;
            assert_eq!(page.status, status, "{path}");
            let policy = page.header("content-security-policy").to_owned();
            assert!(policy.contains("style-src 'sha256-"), "{policy}");
            let text = page.text();
            assert!(
                text.contains(&format!("<html lang=\"{language}\">")),
                "{text}"
            );
            assert!(text.contains("<style>") && text.contains("<a class=\"first\""));
            let is_setting = |word: &str| {
                let upper = |c: char| c.is_ascii_uppercase() || c == '_';
                word.contains('_') && word.chars().all(upper)
            };
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            assert_eq!(words.find(|word| is_setting(word)), None, "{text}");
        }
        let program = service.send(&town, get(path).header("accept", "*/*")).await;
        assert!(program.text().starts_with("{\"ok\":false"), "{path}");
    }
}

#[tokio::test]
async fn who_may_not_enter_gets_no_session() {
    let town = Town::new();
    let service = town.service();
    town.github.sign_in("berta");
    let (url, jar) = begin(&town, &service, "").await;
    let refused = land(&town, &service, &at_github(&url).await, &jar.header()).await;
    assert_eq!(said(&refused), "403 login_not_allowed");
    assert!(!refused.header("set-cookie").contains(SESSION));
    assert_eq!(town.scene.store.paths().len(), 0);
}

#[tokio::test]
async fn while_github_is_away_nobody_new_signs_in_and_it_says_so() {
    let town = Town::new();
    let service = town.service();
    for path in ["/login/oauth/access_token", "/user"] {
        for fault in [
            Fault::Status(502),
            Fault::Status(429),
            Fault::Reset,
            Fault::Html,
        ] {
            let (url, jar) = begin(&town, &service, "").await;
            let back = at_github(&url).await;
            town.github.fail_at("*", path, fault.clone());
            let refused = land(&town, &service, &back, &jar.header()).await;
            assert_eq!(said(&refused), "503 auth_unavailable", "{path} {fault:?}");
            town.github.recover();
        }
    }
    sign_in(&town, &service).await;
    let wrong = town.service_with(&[("GITHUB_OAUTH_CLIENT_SECRET", "wrong")]);
    let (url, jar) = begin(&town, &wrong, "").await;
    let refused = land(&town, &wrong, &at_github(&url).await, &jar.header()).await;
    assert_eq!(said(&refused), "503 auth_unavailable");
}

#[tokio::test]
async fn without_a_code_github_isnt_asked() {
    let town = Town::new();
    let service = town.service();
    for code in ["", "code=&"] {
        let (url, jar) = begin(&town, &service, "").await;
        let back = format!(
            "/auth/github/callback?{code}state={}",
            member(&url, "state")
        );
        let refused = land(&town, &service, &back, &jar.header()).await;
        assert_eq!(said(&refused), "400 sign_in_failed");
    }
    assert_eq!(town.github.requests().len(), 0);
}

/// Code exchanges have their own limit (64 in flight): lookups of made-up tokens don't block sign-ins, and codes can't
/// use up the machine's connections either.
#[tokio::test]
async fn codes_have_turns_of_their_own() {
    let town = Town::new();
    let service = town.service();
    let mut landings = vec![];
    for _ in 0..70 {
        let (url, jar) = begin(&town, &service, "").await;
        landings.push((at_github(&url).await, jar.header()));
    }
    town.github.fail(Fault::Hang);
    let tokens: Vec<String> = (0..64).map(|number| format!("ghp_{number}")).collect();
    let tokens = tokens.iter().map(|token| service.by_token(&town, token));
    let landings = landings
        .iter()
        .map(|(back, cookies)| land(&town, &service, back, cookies));
    let recover = async {
        while town.github.hanging() < 128 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(town.github.hanging(), 128);
        assert_eq!(town.github.calls("POST", "/login/oauth/access_token"), 64);
        town.github.recover();
    };
    let (_, landed, ()) = futures::join!(
        futures::future::join_all(tokens),
        futures::future::join_all(landings),
        recover
    );
    let landed: Vec<u16> = landed.iter().map(|it| it.status.as_u16()).collect();
    let of = |status| landed.iter().filter(|it| **it == status).count();
    assert_eq!((of(503), of(302)), (64, 6), "{landed:?}");
}

#[tokio::test]
async fn return_to_leads_nowhere_else() {
    let town = Town::new();
    let service = town.service();
    let encode = |path: &str| form_urlencoded::byte_serialize(path.as_bytes()).collect::<String>();
    for path in [
        "/",
        "/codex",
        "/codex?format=html&bodies=true#montag",
        "/%2F/evil.example",
    ] {
        let (url, jar) = begin(&town, &service, &format!("?return_to={}", encode(path))).await;
        let landed = land(&town, &service, &at_github(&url).await, &jar.header()).await;
        assert_eq!(landed.header("location"), path);
    }
    for path in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/\n/evil.example",
        "/a\r\nset-cookie: x=y",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "codex",
        "@evil.example",
        "",
        "/\u{0}",
        "/ä",
        &format!("/{}", "x".repeat(2_000)),
    ] {
        let query = format!("/auth/github?return_to={}", encode(path));
        let refused = service.send(&town, get(&query)).await;
        assert_eq!(said(&refused), "400 invalid_query", "{path:?}");
        assert_eq!(refused.json()["field"], "return_to");
    }
}

#[tokio::test]
async fn without_an_app_nobody_signs_in_by_a_browser() {
    let town = Town::new();
    let service = town.service_with(&[
        ("GITHUB_OAUTH_CLIENT_ID", ""),
        ("GITHUB_OAUTH_CLIENT_SECRET", ""),
    ]);
    let refused = service.send(&town, get("/auth/github")).await;
    assert_snapshot!(refused.refusal(), @r#"409 {"ok":false,"code":"oauth_not_configured","error":"Nobody signs in by GitHub's pages here: that takes CODEX_AUTH=github and GITHUB_OAUTH_CLIENT_ID with its secret."}"#);
    let back = service
        .send(&town, get("/auth/github/callback?code=x&state=y"))
        .await;
    assert_eq!(said(&back), "409 oauth_not_configured");
    let page = get("/codex").header("accept", "text/html");
    let page = service.send(&town, page).await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains("Du bist nicht angemeldet."));
    assert!(
        !page.text().contains("/login"),
        "no way back to where it fails"
    );
    let program = service.send(&town, get("/codex")).await;
    assert_snapshot!(program.refusal(), @r#"401 {"ok":false,"code":"not_signed_in","error":"Nobody is signed in: send Authorization: Bearer with a personal access token of GitHub."}"#);
    let app_token = super::bearer(get("/codex"), "gho_of-an-app");
    let app_token = service.send(&town, app_token).await;
    assert_snapshot!(app_token.refusal(), @r#"401 {"ok":false,"code":"token_foreign","error":"Tokens of apps aren't taken here: use a personal access token of GitHub."}"#);
    let begun = get("/auth/github").header("accept", "text/html");
    let begun = service.send(&town, begun).await;
    assert!(
        !begun.text().contains("/auth/github") && !begun.text().contains("/login"),
        "no way back to where it fails"
    );
}

#[tokio::test]
async fn only_a_browser_is_sent_to_sign_in() {
    let town = Town::new();
    let service = town.service();
    let json = get("/codex").header("accept", "application/json");
    assert_eq!(said(&service.send(&town, json).await), "401 not_signed_in");
    let by_token = super::bearer(get("/codex"), "ghp_wrong").header("accept", "text/html");
    let by_token = service.send(&town, by_token).await;
    assert_eq!(by_token.status, 401);
    assert!(
        by_token
            .text()
            .contains("GitHub hat die Anmeldung nicht bestätigt.")
    );
    let page = get("/codex").header("accept", "text/html");
    let page = service.send(&town, page).await;
    assert_eq!(page.header("location"), "/auth/github?return_to=%2Fcodex");
    let api = get("/api/tasks").header("accept", "text/html");
    assert_eq!(said(&service.send(&town, api).await), "401 not_signed_in");
}

#[tokio::test]
async fn the_callback_is_where_the_settings_say() {
    let town = Town::new();
    let named = format!("{ORIGIN}/auth/github/callback?from=github");
    town.github.add_oauth_app(CLIENT, super::SECRET, &named);
    let service = town.service_with(&[("GITHUB_OAUTH_REDIRECT_URI", &named)]);
    let (url, jar) = begin(&town, &service, "").await;
    assert_eq!(member(&url, "redirect_uri"), named);
    let landed = land(&town, &service, &at_github(&url).await, &jar.header()).await;
    assert_eq!(landed.status, 302);
}

/// `/login`, to which the web app's page redirects users who aren't signed in.
#[tokio::test]
async fn login_leads_to_where_people_sign_in_here() {
    let town = Town::new();
    let login = "/login?return_to=%2F%23%2Ftask%2F0042";
    let by_github = town.service();
    let answer = by_github.send(&town, get(login)).await;
    assert_snapshot!(answer.header("location"), @"/auth/github?return_to=%2F%23%2Ftask%2F0042");
    let by_tokens = town.service_with(&[
        ("GITHUB_OAUTH_CLIENT_ID", ""),
        ("GITHUB_OAUTH_CLIENT_SECRET", ""),
        ("CODEX_AUTH", "github"),
    ]);
    let answer = by_tokens.send(&town, get(login)).await;
    assert_eq!(said(&answer), "409 oauth_not_configured");
    let by_platform = town.service_with(super::easyauth::SETTINGS);
    let answer = by_platform.send(&town, get(login)).await;
    assert_snapshot!(answer.header("location"), @"/.auth/login/github?post_login_redirect_uri=%2F%23%2Ftask%2F0042");
}
