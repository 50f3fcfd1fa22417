//! The address of a calendar where people sign in: it opens what the account that got it may read, and only as long.

use super::{ORIGIN, Service, Town, bearer, get, request, said, sign_in};
use crate::support::scene::task;

/// Gets an address for `anna`, by a token; its path.
async fn address(town: &Town, service: &Service) -> String {
    let token = town.github.personal_token("anna");
    let created = bearer(request("POST", "/api/calendar"), &token);
    let created = service.send(town, created).await.ok();
    let url = created["url"].as_str().unwrap();
    url.strip_prefix(ORIGIN).unwrap().to_owned()
}

async fn read(town: &Town, service: &Service, path: &str) -> String {
    said(&service.send(town, get(path)).await)
}

#[tokio::test]
async fn it_needs_no_credentials_and_credentials_open_none() {
    let town = Town::new();
    town.scene.file("0000-A.md", &task("A"));
    let service = town.service();
    assert_eq!(
        read(&town, &service, "/api/calendar").await,
        "405 method_not_allowed"
    );
    for method in ["POST", "DELETE"] {
        let reply = service.send(&town, request(method, "/api/calendar")).await;
        assert_eq!(said(&reply), "403 cross_origin");
        let own = request(method, "/api/calendar").header("origin", ORIGIN);
        assert_eq!(said(&service.send(&town, own).await), "401 not_signed_in");
    }
    let path = address(&town, &service).await;
    let reply = service.send(&town, get(&path)).await;
    assert!(reply.text().contains("SUMMARY:A\r\n"), "{}", reply.text());
    assert!(!reply.headers.contains_key("set-cookie"));
    // What it opens is the calendar alone.
    let secret = path.rsplit('/').next().unwrap();
    for credential in [secret, secret.trim_end_matches(".ics")] {
        let week = bearer(get("/codex"), credential);
        assert!(said(&service.send(&town, week).await).starts_with("401"));
    }
    assert_eq!(read(&town, &service, "/codex").await, "401 not_signed_in");

    let cookie = sign_in(&town, &service).await.header();
    let unknown = "/calendar/anna.0123456789abcdef0123456789abcdef.ics";
    let with_cookie = get(unknown).header("cookie", &cookie);
    let token = town.github.personal_token("anna");
    for wrong in [with_cookie, bearer(get(unknown), &token)] {
        assert_eq!(said(&service.send(&town, wrong).await), "404 not_found");
    }
    let own = |method: &str| {
        let request = request(method, "/api/calendar").header("origin", ORIGIN);
        request.header("cookie", &cookie)
    };
    assert_eq!(said(&service.send(&town, own("POST")).await), "200");
    assert_eq!(
        read(&town, &service, &path).await,
        "404 not_found",
        "the one before"
    );
    assert_eq!(said(&service.send(&town, own("DELETE")).await), "200");
}

/// Who isn't allowed any more, or doesn't own the login any more, reads no calendar either.
#[tokio::test]
async fn it_ends_with_its_accounts_access() {
    let town = Town::new();
    let service = town.service();
    let path = address(&town, &service).await;
    assert_eq!(read(&town, &service, &path).await, "200");
    let others = town.service_with(&[("CODEX_ALLOWED_LOGINS", "berta")]);
    assert_eq!(read(&town, &others, &path).await, "404 not_found");
    let cold = town.service();
    assert_eq!(read(&town, &cold, &path).await, "200");
    let of_calendar = cold.instance.requests.take_requests().into_iter();
    let of_calendar: Vec<String> = of_calendar
        .map(|it| it.path)
        .filter(|it| !it.contains("/tasks/"))
        .collect();
    assert_eq!(
        of_calendar[..2],
        ["state/anna/calendar.json", "state/anna/owner.json"]
    );
    let other = br#"{"format":"1.0","githubId":2001}"#;
    town.scene
        .store
        .foreign_write("state/anna/owner.json", other);
    town.scene.pass_seconds(20 * 60 + 1);
    assert_eq!(read(&town, &service, &path).await, "404 not_found");
}

/// That takes somebody who has authenticated.
#[tokio::test]
async fn it_binds_no_login() {
    let town = Town::new();
    let path = address(&town, &town.service()).await;
    let store = &town.scene.store;
    assert!(store.foreign_delete("state/anna/owner.json"));
    let cold = town.service();
    assert_eq!(read(&town, &cold, &path).await, "404 not_found");
    assert!(store.peek("state/anna/owner.json").is_none());
}
