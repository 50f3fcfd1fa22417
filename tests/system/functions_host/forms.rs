//! Every function, in both forms in which a host forwards a request.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;

use insta::assert_snapshot;
use serde_json::Value;

use super::{HOOK_SECRET, Place};
use crate::support::functions_host::{FORMS, Form, FunctionsHost, Trigger};
use crate::support::github::{http_client, sign};
use crate::support::process::{Answer, Asked};
use crate::support::scene::task;

/// A request, and the function that it targets.
struct Case {
    function: &'static str,
    method: &'static str,
    path: &'static str,
    headers: String,
    body: &'static str,
}

/// A request for every function and method, in an order in which each finds the data it needs. A new route template
/// needs a line here.
fn cases() -> Vec<Case> {
    let ping = r#"{"zen":"Speak like a human."}"#;
    let signature = sign(HOOK_SECRET, ping.as_bytes());
    let hook = format!("x-github-event: ping\r\nx-hub-signature-256: {signature}\r\n");
    let preflight = "origin: https://app.example\r\naccess-control-request-method: PATCH\r\n";
    let slot = r#"{"datum":"02.03.2026","zeit":"morgens"}"#;
    let new = r#"{"kategorie":"arbeit","title":"Neu","body":"Text"}"#;
    let rows = [
        ("createTask", "POST", "/api/tasks", new),
        ("preview", "POST", "/api/preview", r##"{"body":"# Neu"}"##),
        ("listTasks", "GET", "/api/tasks?kategorie=arbeit&q=neu", ""),
        ("getTask", "GET", "/api/tasks/0000", ""),
        (
            "updateTask",
            "PATCH",
            "/api/tasks/0000",
            r#"{"tags":["a"]}"#,
        ),
        (
            "updateTask",
            "PUT",
            "/api/tasks/0000-Neu",
            r#"{"tags":["b"]}"#,
        ),
        ("renderCodex", "GET", "/codex", ""),
        ("renderCodex", "GET", "/codex?format=html&bodies=true", ""),
        ("completeTask", "POST", "/api/tasks/0000/complete", slot),
        ("deleteTask", "DELETE", "/api/tasks/0000-Neu", ""),
        ("calendar", "POST", "/api/calendar", ""),
        ("calendar", "DELETE", "/api/calendar", ""),
        ("web", "GET", "/calendar/anna.ics", ""),
        ("sync", "GET", "/sync", ""),
        ("sync", "POST", "/sync", ""),
        ("githubWebhook", "POST", "/github/webhook", ping),
        ("authGithub", "GET", "/auth/github", ""),
        (
            "authGithubCallback",
            "GET",
            "/auth/github/callback?code=a&state=b",
            "",
        ),
        ("session", "GET", "/auth/me", ""),
        ("session", "POST", "/auth/logout", ""),
        ("web", "GET", "/", ""),
        ("web", "GET", "/healthz", ""),
        ("web", "GET", "/readyz", ""),
        ("web", "GET", "/sw.js", ""),
        ("web", "GET", "/login", ""),
        ("web", "GET", "/create-task.html", ""),
        ("web", "HEAD", "/healthz", ""),
        ("web", "OPTIONS", "/api/tasks/0000", ""),
    ];
    let cases = rows.map(|(function, method, path, body)| Case {
        function,
        method,
        path,
        headers: match (function, method) {
            ("githubWebhook", _) => hook.clone(),
            (_, "OPTIONS") => preflight.to_owned(),
            _ => String::new(),
        },
        body,
    });
    cases.into()
}

impl Case {
    fn send(&self, host: &FunctionsHost) -> Answer {
        let headers = format!("content-type: application/json\r\n{}", self.headers);
        host.send(self.method, self.path, &headers, self.body)
    }
}

/// Matched case-insensitively, as the host matches routes; the host forwards the path unchanged.
#[test]
fn a_path_in_any_letter_case_and_with_a_last_slash_is_its_routes() {
    let ping = r#"{"zen":"Speak like a human."}"#;
    let signature = sign(HOOK_SECRET, ping.as_bytes());
    let hook = format!("x-github-event: ping\r\nx-hub-signature-256: {signature}\r\n");
    for form in FORMS {
        let place = Place::new();
        let host = place.host(form);
        for path in ["/codex/", "/Codex", "/API/Tasks/", "/Auth/Me/", "/SYNC"] {
            let answer = host.get(path);
            assert_eq!(answer.status, 200, "{form:?} {path}: {}", answer.body);
        }
        for path in ["/github/webhook/", "/GitHub/WebHook", "/GITHUB/WEBHOOK/"] {
            let headers = format!("content-type: application/json\r\n{hook}");
            let answer = host.send("POST", path, &headers, ping);
            assert_eq!(answer.status, 200, "{form:?} {path}: {}", answer.body);
        }
    }
}

/// Members that differ between processes, moments or repositories.
const VARYING_MEMBERS: [&str; 11] = [
    "cacheCreatedAt",
    "generatedAt",
    "gitPending",
    "gitPushed",
    "head",
    "rateLimit",
    "syncedAt",
    "unpushed",
    "url",
    "validUntil",
    "version",
];

/// Headers that differ in the same way.
const VARYING_HEADERS: [&str; 6] = [
    "connection",
    "date",
    "content-length",
    "server-timing",
    "x-codex-version",
    "x-request-id",
];

/// A document without the members of [`VARYING_MEMBERS`].
fn stable(body: &str) -> String {
    match serde_json::from_str(body) {
        Ok(Value::Object(mut document)) => {
            document.retain(|name, _| !VARYING_MEMBERS.contains(&name.as_str()));
            Value::Object(document).to_string()
        }
        _ => body.to_owned(),
    }
}

/// The parts of an answer that are the same every time.
#[derive(Debug, PartialEq)]
struct StableAnswer {
    request: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl StableAnswer {
    fn of(case: &Case, answer: &Answer) -> Self {
        let headers = answer.headers();
        let kept = headers
            .iter()
            .filter(|(name, _)| !VARYING_HEADERS.contains(&name.as_str()));
        let mut headers: Vec<(String, String)> = kept
            .map(|(name, value)| {
                let value = value.to_str().unwrap();
                let cookie = value.split('=').next().filter(|_| name == "set-cookie");
                (name.to_string(), cookie.unwrap_or(value).to_owned())
            })
            .collect();
        headers.sort();
        Self {
            request: format!("{} {}", case.method, case.path),
            status: answer.status,
            headers,
            body: stable(&answer.body),
        }
    }

    /// The answer as a line, without what every answer has and what depends on the day.
    fn line(&self) -> String {
        let told = ["cache-control", "content-type", "location", "set-cookie"];
        let only_named = ["clear-site-data", "etag", "referrer-policy"];
        let headers = self.headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            let told = told.contains(&name).then(|| value.clone());
            told.or_else(|| only_named.contains(&name).then(|| name.to_owned()))
        });
        let headers: Vec<String> = headers.collect();
        let line = format!("{} {}", self.request, self.status);
        std::iter::once(line)
            .chain(headers)
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

#[test]
fn every_function_answers_and_by_either_form_the_same() {
    let [proxied, legacy] = FORMS.map(|form| {
        let place = Place::new();
        let host = place.host(form);
        let told = cases().into_iter().map(|case| {
            let reached = host.function_of(case.method, case.path);
            let answer = case.send(&host);
            let told = StableAnswer::of(&case, &answer);
            assert_eq!(reached, Some(case.function), "{}", told.request);
            let by_process = !answer.header("x-request-id").is_empty();
            assert!(by_process, "{told:?}");
            told
        });
        told.collect::<Vec<_>>()
    });
    assert_eq!(proxied, legacy);
    let lines: Vec<String> = proxied.iter().map(StableAnswer::line).collect();
    assert_snapshot!(lines.join("\n"), @r"
    POST /api/tasks 201 | private, no-cache | application/json; charset=utf-8 | etag | /api/tasks/0000-Neu | codex_version
    POST /api/preview 200 | private, no-cache | application/json; charset=utf-8
    GET /api/tasks?kategorie=arbeit&q=neu 200 | private, no-cache | application/json; charset=utf-8
    GET /api/tasks/0000 200 | private, no-cache | application/json; charset=utf-8 | etag
    PATCH /api/tasks/0000 200 | private, no-cache | application/json; charset=utf-8 | etag | codex_version
    PUT /api/tasks/0000-Neu 200 | private, no-cache | application/json; charset=utf-8 | etag | codex_version
    GET /codex 200 | private, no-cache | application/json; charset=utf-8 | etag
    GET /codex?format=html&bodies=true 200 | private, no-cache | text/html; charset=utf-8 | etag
    POST /api/tasks/0000/complete 200 | private, no-cache | application/json; charset=utf-8 | etag | codex_version
    DELETE /api/tasks/0000-Neu 200 | private, no-cache | application/json; charset=utf-8 | codex_version
    POST /api/calendar 200 | no-store | application/json; charset=utf-8
    DELETE /api/calendar 200 | no-store | application/json; charset=utf-8
    GET /calendar/anna.ics 404 | no-store | application/json; charset=utf-8
    GET /sync 200 | private, no-cache | application/json; charset=utf-8
    POST /sync 200 | private, no-cache | application/json; charset=utf-8 | codex_version
    POST /github/webhook 200 | private, no-cache | application/json; charset=utf-8
    GET /auth/github 409 | no-store | application/json; charset=utf-8
    GET /auth/github/callback?code=a&state=b 409 | no-store | application/json; charset=utf-8 | referrer-policy
    GET /auth/me 200 | no-store | application/json; charset=utf-8
    POST /auth/logout 200 | no-store | clear-site-data | application/json; charset=utf-8 | codex_session | codex_sign_in | codex_version | session
    GET / 200 | application/json; charset=utf-8
    GET /healthz 200 | application/json; charset=utf-8
    GET /readyz 200 | application/json; charset=utf-8
    GET /sw.js 200 | no-cache | text/javascript; charset=utf-8 | etag
    GET /login 302 | no-store | / | referrer-policy
    GET /create-task.html 302 | no-store | /#/new | referrer-policy
    HEAD /healthz 200 | application/json; charset=utf-8
    OPTIONS /api/tasks/0000 200
    ");
}

#[test]
fn every_method_of_every_template_has_a_request_above() {
    let place = Place::new();
    let host = place.host(Form::Proxied);
    let templates = host.functions().iter().flat_map(|function| {
        let methods = match &function.trigger {
            Trigger::Http { methods, .. } => methods.clone(),
            Trigger::Timer { .. } => vec![],
        };
        let name = &function.name;
        methods
            .into_iter()
            .map(move |method| format!("{name} {method}"))
    });
    let templates: BTreeSet<String> = templates.collect();
    let cases = cases();
    let covered = cases
        .iter()
        .map(|it| format!("{} {}", it.function, it.method));
    assert_eq!(covered.collect::<BTreeSet<_>>(), templates);
}

#[test]
fn an_unchanged_week_is_304_by_either_form_and_a_changed_one_isnt() {
    for form in FORMS {
        let place = Place::new();
        place.save("0000-Da.md", &task("Da"));
        let host = place.host(form);
        let since = |path: &str, tag: &str| {
            let known = format!("if-none-match: {tag}\r\n");
            host.send("GET", path, &known, "")
        };
        let paths = ["/codex", "/codex?format=html"];
        let tags = paths.map(|path| {
            let week = host.get(path);
            let tag = week.header("etag").to_owned();
            assert!(week.status == 200 && tag.starts_with("W/\""), "{tag}");
            let again = since(path, &tag);
            assert_eq!((again.status, again.header("etag")), (304, &*tag));
            assert_eq!(again.body, "");
            tag
        });
        let created = host.send_json("POST", "/api/tasks", r#"{"kategorie":"arbeit"}"#);
        assert_eq!(created.status, 201, "{}", created.body);
        for (path, tag) in paths.iter().zip(&tags) {
            assert_eq!(since(path, tag).status, 200);
        }
        let shown = host.get("/api/tasks/0001");
        let tag = format!("\"{}\"", shown.json()["etag"].as_str().unwrap());
        assert_eq!(shown.header("etag"), tag);
    }
}

#[test]
fn bytes_that_are_packed_come_through_as_they_are() {
    let place = Place::new();
    place.save("0000-Da.md", &task("Da"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for form in FORMS {
        let host = place.host(form);
        let packed = |address: String| {
            runtime.block_on(async {
                let request = http_client().get(format!("http://{address}/codex?format=html"));
                let answer = request
                    .header("accept-encoding", "gzip")
                    .send()
                    .await
                    .unwrap();
                let encoding = answer.headers()["content-encoding"].clone();
                (encoding, answer.bytes().await.unwrap())
            })
        };
        let through = packed(host.address.clone());
        assert_eq!(through.0, "gzip");
        assert_eq!(through, packed(host.past()));
    }
}

/// A request whose body has no declared length.
fn chunked(host: &FunctionsHost) -> Answer {
    let mut stream = TcpStream::connect(&host.address).unwrap();
    let head = "POST /api/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for piece in [
        r#"{"kategorie":"#,
        r#""arbeit","title":"In"#,
        r#" Stücken"}"#,
    ] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        stream.write_all(chunk.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    Answer::read(Asked::on(stream, "POST", "/api/tasks"))
}

#[test]
fn a_task_whose_length_isnt_told_is_created_by_a_host_that_proxies() {
    let place = Place::new();
    let host = place.host(Form::Proxied);
    let created = chunked(&host);
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.json()["filename"], "0000-In-Stücken.md");
}

#[test]
fn an_older_host_loses_it_and_the_answer_says_what_is_missing() {
    let place = Place::new();
    let host = place.host(Form::Legacy);
    let refused = chunked(&host);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(
        refused.body.contains(r#""field":"kategorie""#),
        "{}",
        refused.body
    );
    assert!(!place.data.path().join("raw/anna/tasks").exists());
}

/// The older form omits the host name that the client used, so only the newer one can refuse a request by it.
#[test]
fn a_name_that_isnt_this_machines_is_refused_where_the_host_tells_it() {
    let place = Place::new();
    let foreign = |host: &FunctionsHost| {
        let mut stream = TcpStream::connect(&host.address).unwrap();
        let request = "GET /codex HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(Asked::on(stream, "GET", "/codex"))
    };
    let refused = foreign(&place.host(Form::Proxied));
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("host_not_allowed"),
        "{}",
        refused.body
    );
    assert_eq!(foreign(&place.host(Form::Legacy)).status, 200);
}

#[test]
fn a_query_arrives_as_it_was_or_from_an_older_host_with_its_names_joined() {
    let place = Place::new();
    place.save("0000-Da.md", &task("Da & dort"));
    let path = "/api/tasks?q=da%20%26+dort&kategorie=arbeit";
    let twice = "/codex?format=json&format=json";
    for form in FORMS {
        let host = place.host(form);
        let found = host.get(path).json();
        assert_eq!(found["tasks"].as_array().unwrap().len(), 1, "{found}");
        let joined = host.get(twice);
        match form {
            Form::Proxied => assert_eq!(joined.status, 200, "{}", joined.body),
            Form::Legacy => assert!(
                joined.body.contains(r#""field":"format""#),
                "{}",
                joined.body
            ),
        }
    }
}
