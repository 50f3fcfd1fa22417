//! Requests from pages of other origins: what is rejected, and what allowed origins may do.

use http::request::Builder;
use insta::assert_snapshot;

use super::{ORIGIN, Service, Town, bearer, get, request, said, sign_in};
use crate::support::scene::task;

const APP: &str = "https://app.example";

fn with(request: Builder, headers: &[(&str, &str)]) -> Builder {
    headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    })
}

/// Sends changes as a form on another site's page could (each is rejected), and same-origin ones (accepted).
async fn check_origins(town: &Town, service: &Service, by: &[(&str, &str)]) {
    let elsewhere: [&[(&str, &str)]; 9] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://codex.example")],
        &[("origin", "https://codex.example:8443")],
        &[
            ("origin", "https://evil.example"),
            ("x-forwarded-host", "evil.example"),
        ],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
    ];
    for headers in elsewhere {
        for path in ["/api/preview", "/api/tasks/0000/complete", "/auth/logout"] {
            let forged = with(with(request("POST", path), by), headers);
            let refused = service.send(town, forged).await;
            assert_eq!(said(&refused), "403 cross_origin", "{path} {headers:?}");
        }
    }
    for headers in [("origin", ORIGIN), ("sec-fetch-site", "same-origin")] {
        let own = with(with(request("POST", "/api/preview"), by), &[headers]);
        assert_eq!(said(&service.send(town, own).await), "200", "{headers:?}");
        let read = with(
            with(get("/codex"), by),
            &[("origin", "https://evil.example")],
        );
        assert_eq!(
            said(&service.send(town, read).await),
            "200",
            "reading changes nothing"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_by_a_cookie() {
    let town = Town::new();
    let service = town.service();
    let cookie = sign_in(&town, &service).await.header();
    check_origins(&town, &service, &[("cookie", &cookie)]).await;
    let refused = with(request("POST", "/api/preview"), &[("cookie", &cookie)]);
    assert_snapshot!(service.send(&town, refused).await.refusal(), @r#"403 {"ok":false,"code":"cross_origin","error":"A page of another site can't change tasks: open this service's own page, or send Authorization: Bearer."}"#);
}

#[tokio::test]
async fn nor_behind_the_platforms_authentication() {
    let town = Town::new();
    let service = town.service_with(super::easyauth::SETTINGS);
    let principal = crate::support::easyauth::github("anna", "1001");
    check_origins(&town, &service, &[("x-ms-client-principal", &principal)]).await;
}

#[tokio::test]
async fn no_forwarded_header_makes_a_page_the_services_own_or_leads_elsewhere() {
    let town = Town::new();
    let service = town.service();
    let forwarded = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
        ("host", "evil.example"),
    ];
    let begun = service
        .send(&town, with(get("/auth/github"), &forwarded))
        .await;
    assert!(!begun.header("location").contains("evil"));
    assert!(begun.header("set-cookie").starts_with("__Host-"));
    let token = town.github.personal_token("anna");
    let read = bearer(with(get("/codex"), &forwarded), &token);
    assert_eq!(said(&service.send(&town, read).await), "200");
}

#[tokio::test]
async fn without_sign_in_only_this_machine_may_be_named() {
    let town = Town::new();
    let service = town.service_with(&[
        ("CODEX_AUTH", "dev"),
        ("CODEX_DEV_USER", "anna"),
        ("CODEX_PUBLIC_URL", ""),
    ]);
    let named = |host: &str| {
        http::Request::builder()
            .uri("/auth/me")
            .header("host", host)
    };
    for host in ["localhost:7071", "127.0.0.1", "[::1]:7071", "LOCALHOST"] {
        let me = service.send(&town, named(host)).await;
        assert_eq!(me.ok()["auth"], "dev", "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:7071",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:7071, evil.example",
        "localhost:7071,evil.example",
        "localhost,localhost",
        "[::1].evil.example",
        "[::1].evil.example:7071",
        "[::1",
        "::1",
        "localhost:",
        "localhost:70710",
        "localhost:+7071",
        "localhost:7071/evil.example",
        "localhost@evil.example",
        "evil.example@localhost",
        "",
    ] {
        assert_eq!(
            said(&service.send(&town, named(host)).await),
            "403 host_not_allowed"
        );
        let forwarded = named("localhost:7071").header("x-forwarded-host", host);
        assert_eq!(
            said(&service.send(&town, forwarded).await),
            "403 host_not_allowed"
        );
        let by_token = bearer(named(host), "ghp_any");
        assert_eq!(
            said(&service.send(&town, by_token).await),
            "403 host_not_allowed"
        );
    }
    for name in ["host", "x-forwarded-host"] {
        let twice = named("localhost").header("x-forwarded-host", "localhost");
        let twice = service.send(&town, twice.header(name, "127.0.0.1")).await;
        assert_eq!(said(&twice), "403 host_not_allowed", "{name}");
    }
    let begun = named("localhost").uri("/auth/github");
    assert_eq!(
        said(&service.send(&town, begun).await),
        "409 oauth_not_configured"
    );
    let logout = named("localhost").uri("/auth/logout").method("POST");
    assert_eq!(said(&service.send(&town, logout).await), "200");
    for (origin, wanted) in [
        ("http://localhost:7071", "200"),
        ("http://LOCALHOST:7071", "200"),
        ("https://localhost:7071", "403 cross_origin"),
        ("http://localhost", "403 cross_origin"),
        ("http://localhost:7072", "403 cross_origin"),
        ("http://localhost:7071,evil.example", "403 cross_origin"),
        ("null", "403 cross_origin"),
    ] {
        let logout = named("localhost:7071").uri("/auth/logout").method("POST");
        let logout = service.send(&town, logout.header("origin", origin)).await;
        assert_eq!(said(&logout), wanted, "{origin}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_read_nothing_by_default() {
    let town = Town::new();
    let service = town.service();
    let token = town.github.personal_token("anna");
    let read = bearer(get("/codex"), &token).header("origin", APP);
    let read = service.send(&town, read).await;
    assert_eq!(read.header("access-control-allow-origin"), "");
    let preflight = request("OPTIONS", "/api/tasks").header("origin", APP);
    let preflight = preflight.header("access-control-request-method", "POST");
    let preflight = service.send(&town, preflight).await;
    assert_eq!(said(&preflight), "405 method_not_allowed");
}

#[tokio::test]
async fn an_allowed_page_reads_and_changes_by_a_token_and_never_by_a_cookie() {
    let town = Town::new();
    town.scene.file("0000-Brief.md", &task("Brief"));
    let service = town.service_with(&[(
        "CODEX_ALLOWED_ORIGINS",
        "https://other.example, https://app.example",
    )]);
    let shown = |reply: &crate::support::http::Reply| {
        let names = [
            "access-control-allow-origin",
            "access-control-allow-methods",
            "access-control-allow-headers",
            "access-control-allow-credentials",
            "access-control-expose-headers",
            "access-control-max-age",
        ];
        let there = names
            .iter()
            .filter(|name| reply.headers.contains_key(**name));
        let rows: Vec<String> = there
            .map(|name| format!("{name}: {}", reply.header(name)))
            .collect();
        format!("{}\n{}", reply.status.as_u16(), rows.join("\n"))
    };
    let preflight = |origin: &str| {
        request("OPTIONS", "/api/tasks")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
    };
    let asked = service.send(&town, preflight(APP)).await;
    assert_snapshot!(shown(&asked), @r#"
    200
    access-control-allow-origin: https://app.example
    access-control-allow-methods: GET,HEAD,POST,PUT,PATCH,DELETE
    access-control-allow-headers: authorization,content-type,cache-control,if-match,if-none-match,idempotency-key,prefer,x-codex-version
    access-control-max-age: 600
    "#);
    let elsewhere = service.send(&town, preflight("https://evil.example")).await;
    assert_eq!(elsewhere.header("access-control-allow-origin"), "");

    let token = town.github.personal_token("anna");
    let from = |request: Builder| {
        request
            .header("origin", APP)
            .header("sec-fetch-site", "cross-site")
    };
    let read = service
        .send(&town, from(bearer(get("/codex"), &token)))
        .await;
    assert_snapshot!(shown(&read), @r#"
    200
    access-control-allow-origin: https://app.example
    access-control-expose-headers: etag,location,retry-after,x-codex-version,x-codex-cache,x-request-id
    "#);
    let vary: Vec<&str> = read
        .headers
        .get_all("vary")
        .iter()
        .map(|it| it.to_str().unwrap())
        .collect();
    assert!(
        vary.join(",").to_lowercase().contains("origin")
            && vary.join(",").contains("Accept-Encoding")
    );
    let changed = from(bearer(request("POST", "/api/tasks/0000/complete"), &token));
    assert_eq!(said(&service.send(&town, changed).await), "200");

    let cookie = sign_in(&town, &service).await.header();
    let by_cookie = from(request("POST", "/api/tasks/0000/complete")).header("cookie", &cookie);
    let refused = service.send(&town, by_cookie).await;
    assert_eq!(said(&refused), "403 cross_origin");
    let unknown = service.send(&town, from(get("/codex"))).await;
    assert_eq!(
        unknown.header("access-control-allow-origin"),
        APP,
        "refusals can be read, too"
    );
    assert!(!unknown.header("x-request-id").is_empty());
}

#[tokio::test]
async fn the_version_cookie_is_secure_where_browsers_come_by_https() {
    let town = Town::new();
    town.scene.file("0000-Brief.md", &task("Brief"));
    let service = town.service();
    let token = town.github.personal_token("anna");
    let change = bearer(request("POST", "/api/tasks/0000/complete"), &token);
    let changed = service.send(&town, change).await;
    let cookie = changed.header("set-cookie");
    assert!(
        cookie.starts_with("codex_version=anna:") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
}
