//! The pure decisions of the HTTP layer: what the headers ask for, which paths the log shows, how a sign-in goes on.

use std::fmt;

use codex_miroir::codex::Encoding::{Gzip, Identity};
use codex_miroir::http::auth::callback::{
    CallbackQuery, CallbackStep, PendingSignIn, SignInCookie, decide,
};
use codex_miroir::http::negotiate::Representation::{Full, NotModified};
use codex_miroir::http::negotiate::{
    Representation, accepted_encoding, cookies, if_match, wants_page,
};
use codex_miroir::http::route_table::RouteTable;
use codex_miroir::now::Now;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::support::contract::DOCUMENT;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::try_from(*value).unwrap();
        (HeaderName::from_static(name), value)
    };
    lines.iter().map(line).collect()
}

#[test]
fn what_a_conditional_request_for_content_gets() {
    let etag = "W/\"a\"";
    for (if_none_match, expected) in [
        (None, Full(Gzip)),
        (Some("W/\"b\""), Full(Gzip)),
        (Some(""), Full(Gzip)),
        (Some("a"), Full(Gzip)),
        (Some("W/\"a\""), NotModified),
        (Some("\"a\""), NotModified),
        (Some("\"b\" , W/\"a\""), NotModified),
        (Some("*"), NotModified),
    ] {
        let sent: Vec<_> = if_none_match
            .map(|it| ("if-none-match", it))
            .into_iter()
            .collect();
        let given = Representation::of(&headers(&sent), etag, Gzip);
        assert_eq!(given, expected, "{if_none_match:?}");
    }
    let given = Representation::of(&HeaderMap::new(), etag, Identity);
    assert_eq!(given, Full(Identity));
}

#[test]
fn which_coding_a_client_accepts() {
    for (accepted, expected) in [
        (&[][..], Identity),
        (&["gzip"], Gzip),
        (&["gzip, deflate, br, zstd"], Gzip),
        (&["gzip;q=0, deflate"], Identity),
        (&["gzipx"], Identity),
        (&["GZIP;q=0.1"], Gzip),
        (&["gzip;q=0"], Identity),
        (&["gzip; q=0.0, *"], Identity),
        (&["*"], Gzip),
        (&["*;q=0"], Identity),
        (&["br, deflate"], Identity),
        (&["br", "gzip"], Gzip),
        (&["gzip;level=9"], Gzip),
    ] {
        let lines: Vec<_> = accepted.iter().map(|it| ("accept-encoding", *it)).collect();
        assert_eq!(
            accepted_encoding(&headers(&lines)),
            expected,
            "{accepted:?}"
        );
    }
}

#[test]
fn which_cookies_a_request_has() {
    for (lines, expected) in [
        (&[][..], vec![]),
        (&["a=1"], vec!["1"]),
        (&["b=1; a=2;a=3 ; aa=4"], vec!["2", "3"]),
        (&["a=", "a=5"], vec!["", "5"]),
        (&["A=1; a =2; xa=3; a"], vec![]),
        (&["a=1=2;;"], vec!["1=2"]),
        // Another program's cookie doesn't hide this one.
        (&["x=ü; a=6; a=ü"], vec!["6"]),
    ] {
        let lines: Vec<_> = lines.iter().map(|it| ("cookie", *it)).collect();
        let headers = headers(&lines);
        let expected: Vec<_> = expected.iter().map(|it| it.as_bytes()).collect();
        let given: Vec<_> = cookies(&headers, "a").collect();
        assert_eq!(given, expected, "{lines:?}");
    }
}

/// A path as the log shows it, given the routes of the document.
struct Shown<'a>(&'a RouteTable, &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_loggable(self.1, f)
    }
}

fn routes() -> RouteTable {
    let paths = DOCUMENT["paths"].as_object().unwrap().keys();
    RouteTable::of(paths.map(String::as_str))
}

fn normalized(routes: &RouteTable, path: &str) -> String {
    let request = http::Request::get(path).body(axum::body::Body::empty());
    routes.normalize(request.unwrap()).uri().to_string()
}

#[test]
fn which_paths_the_log_shows() {
    let routes = routes();
    for (path, expected) in [
        ("/", "/"),
        ("/codex", "/codex"),
        ("/codex/", "…"),
        ("/CODEX", "…"),
        ("//codex", "…"),
        ("", "…"),
        ("/index.html", "…"),
        ("/assets/0042-Steuer", "/assets/…"),
        ("/calendar/anna.0123.ics", "/calendar/…"),
        ("/calendar/a/b", "…"),
        ("/api/tasks", "/api/tasks"),
        ("/api/tasks/", "…"),
        ("/api/tasks/0042", "/api/tasks/0042"),
        ("/api/tasks/0042-", "/api/tasks/0042…"),
        ("/api/tasks/0042-Steuer", "/api/tasks/0042…"),
        ("/api/tasks/0042/complete", "/api/tasks/0042/complete"),
        (
            "/api/tasks/0042-Steuer/complete",
            "/api/tasks/0042…/complete",
        ),
        ("/api/tasks/0042-a/b", "…"),
        ("/api/tasks/0042-a/b/complete", "…"),
        ("/api/tasks/0042x", "…"),
        ("/api/tasks/42", "…"),
        ("/api/tasks/Steuer", "…"),
        ("/api/tasks/complete", "…"),
    ] {
        assert_eq!(Shown(&routes, path).to_string(), expected, "{path}");
    }
}

#[test]
fn how_a_path_is_normalized() {
    let routes = routes();
    for (given, expected) in [
        ("/", "/"),
        ("/CODEX", "/codex"),
        ("/codex/?Format=HTML", "/codex?Format=HTML"),
        ("/API/Tasks/0042-Steuer/", "/api/tasks/0042-Steuer"),
        ("/api/TASKS/0042/Complete", "/api/tasks/0042/complete"),
        ("/Nowhere/", "/Nowhere/"),
        ("/api/tasks//", "/api/tasks//"),
    ] {
        assert_eq!(normalized(&routes, given), expected, "{given}");
    }
}

#[test]
fn which_route_a_path_has() {
    let routes = routes();
    for (path, expected) in [
        ("/", Some("/")),
        ("/codex", Some("/codex")),
        ("/codex/", None),
        ("/api/tasks", Some("/api/tasks")),
        ("/api/tasks/0042-Steuer", Some("/api/tasks/{id}")),
        ("/api/tasks/{id}", Some("/api/tasks/{id}")),
        ("/api/tasks/0042/complete", Some("/api/tasks/{id}/complete")),
        ("/api/tasks/", None),
        ("/calendar/anna.0123.ics", Some("/calendar/{token}")),
        ("/nowhere", None),
        ("", None),
    ] {
        let found = routes.position(path);
        assert_eq!(
            found.and_then(|at| routes.patterns().nth(at)),
            expected,
            "{path}"
        );
    }
}

proptest! {
    #[test]
    fn the_log_shows_no_word_of_a_client(path in "(/(codex|api|tasks|complete|assets|[0-9]{4}(-[A-Z]{1,5})?|[A-Z]{1,5}|)){0,5}") {
        let shown = Shown(&routes(), &path).to_string();
        prop_assert!(!shown.bytes().any(|c| c.is_ascii_uppercase()), "{}", shown);
        prop_assert!(shown == path || shown.contains('…'), "{}", shown);
    }

    #[test]
    fn a_normalized_path_stays(path in "(/(CODEX|api|Tasks|complete|[0-9]{4}-[a-zA-Z]{1,5}|)){1,5}") {
        prop_assume!(!path.starts_with("//"));
        let routes = routes();
        let once = normalized(&routes, &path);
        prop_assert_eq!(normalized(&routes, &once), once);
    }

    #[test]
    fn headers_of_any_kind_are_read(value in "[ -~]{0,30}") {
        let names = ["accept", "accept-encoding", "accept-language", "if-match", "if-none-match", "cache-control", "prefer"];
        let sent = headers(&names.map(|name| (name, value.as_str())));
        let wanted = value.to_ascii_lowercase().contains("text/html");
        prop_assert!(wanted || !wants_page(&sent));
        prop_assert!(if_match(&sent).is_some());
        let etag = format!("\"{}\"", value.replace([',', '"'], ""));
        let known = headers(&[("if-none-match", &etag)]);
        prop_assert_eq!(Representation::of(&known, &etag, Gzip), NotModified);
    }
}

/// What follows from a callback, in words.
fn step(cookie: SignInCookie, query: &str, now: Now) -> String {
    match decide(cookie, &CallbackQuery::parse(Some(query)), now) {
        CallbackStep::Refuse { expires_cookie } => format!("refuse, expire {expires_cookie}"),
        CallbackStep::UseUp { then: Ok(_) } => "use up, redeem".to_owned(),
        CallbackStep::UseUp { then: Err(code) } => format!("use up, {code:?}"),
    }
}

/// A sign-in that was begun `age` seconds ago with the state `s`.
fn begun(age: i64, now: Now) -> SignInCookie {
    let issued = now.utc.timestamp() - age;
    SignInCookie::Opened(PendingSignIn::parse(&format!("1.{issued}.s.v./codex")).unwrap())
}

#[test]
fn how_a_callback_goes_on() {
    let now = Now::read();
    assert_eq!(
        step(SignInCookie::Missing, "code=c&state=s", now),
        "refuse, expire false"
    );
    assert_eq!(
        step(SignInCookie::Unreadable, "code=c&state=s", now),
        "refuse, expire true"
    );
    for (age, query, expected) in [
        (0, "code=c&state=s", "use up, redeem"),
        (599, "code=c&state=s&more=1", "use up, redeem"),
        (600, "code=c&state=s", "refuse, expire true"),
        (0, "code=c&state=other", "refuse, expire false"),
        (600, "code=c&state=other", "refuse, expire false"),
        (0, "code=c", "refuse, expire false"),
        (0, "state=s", "use up, SignInFailed"),
        (0, "code=&state=s", "use up, SignInFailed"),
        (0, "error=access_denied&state=s", "use up, AccessDenied"),
        (
            0,
            "error=access_denied&code=c&state=s",
            "use up, AccessDenied",
        ),
        (
            0,
            "error=server_error&code=c&state=s",
            "use up, SignInFailed",
        ),
        (0, "error=access_denied&state=other", "refuse, expire false"),
    ] {
        assert_eq!(step(begun(age, now), query, now), expected, "{age} {query}");
    }
}

proptest! {
    /// A code is redeemed only for the browser's own sign-in, in time, and if GitHub reports no error.
    #[test]
    fn only_an_own_sign_in_is_redeemed(
        age in 0..1200_i64, state in "[st]", code in "c?", error in proptest::option::of("access_denied|other"),
    ) {
        let now = Now::read();
        let query = CallbackQuery { code, state, error };
        let redeemed = matches!(decide(begun(age, now), &query, now), CallbackStep::UseUp { then: Ok(_) });
        let own = query.state == "s" && age < 600;
        prop_assert_eq!(redeemed, own && !query.code.is_empty() && query.error.is_none());
    }
}
