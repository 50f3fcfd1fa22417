//! That the host of these tests does as `src/functions/README.md` says.

use std::fs;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::BodyExt;
use insta::assert_snapshot;

use super::{over, package_in};
use crate::support::functions_host::{
    Failure, Fate, Form, FunctionsHost, Restarts, Route, hand_on, outcome,
};

#[test]
fn a_process_that_fails_for_the_third_time_in_half_an_hour_stops_the_host() {
    let start = Instant::now();
    let minute = |count: u64| start + Duration::from_secs(count * 60);
    let mut restarts = Restarts::default();
    assert_eq!(restarts.after(Some(0), start), Fate::Rest);
    for second in 0..5 {
        let then = start + Duration::from_secs(second);
        assert_eq!(restarts.after(Some(200), then), Fate::Restart, "no error");
    }
    assert_eq!(restarts.after(Some(1), minute(1)), Fate::Restart);
    assert_eq!(restarts.after(None, minute(2)), Fate::Restart);
    assert_eq!(
        restarts.after(Some(101), minute(40)),
        Fate::Restart,
        "the first again"
    );
    assert_eq!(restarts.after(Some(137), minute(41)), Fate::Restart);
    assert_eq!(restarts.after(Some(1), minute(42)), Fate::Stop);
}

#[test]
fn a_literal_segment_is_preferred_to_a_parameter_and_that_to_the_rest() {
    let mut routes = [
        "{*path}",
        "auth/{action}",
        "auth/github/callback",
        "auth/github",
    ];
    routes.sort_by_key(|it| Route::parse("", it).precedence());
    let best = |path: &str| {
        let fits = routes.iter().find(|it| Route::parse("", it).fits(path));
        *fits.unwrap()
    };
    for (path, route) in [
        ("/auth/github", "auth/github"),
        ("/AUTH/GitHub/", "auth/github"),
        ("/auth/git%68ub", "auth/github"),
        ("/auth/x/../github", "auth/github"),
        ("/auth/github/callback", "auth/github/callback"),
        ("/auth/me", "auth/{action}"),
        ("/auth/a%2fb", "auth/{action}"),
        ("/auth", "{*path}"),
        ("/auth//", "{*path}"),
        ("/auth/a/b", "{*path}"),
        ("/", "{*path}"),
    ] {
        assert_eq!(best(path), route, "{path}");
    }
    assert!(Route::parse("api", "codex").fits("/api/codex"));
    assert!(!Route::parse("api", "codex").fits("/codex"));
}

#[test]
fn only_an_answer_in_its_form_ends_a_timers_run_well() {
    let good = r#"{"Outputs":{},"Logs":["line"],"ReturnValue":null}"#;
    let told = |status: u16, kind: &'static str, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", kind.parse().unwrap());
        outcome(status.try_into().unwrap(), &headers, body.as_bytes())
    };
    let json = "application/json";
    assert_eq!(told(200, json, good).unwrap().logs, ["line"]);
    assert!(told(204, "application/json; charset=utf-8", good).is_ok());
    assert_eq!(
        told(404, json, good),
        Err(Failure::Status(StatusCode::NOT_FOUND))
    );
    assert_eq!(told(200, json, ""), Err(Failure::Nothing));
    assert_eq!(told(200, json, "null"), Err(Failure::Nothing));
    assert_eq!(
        told(200, "text/plain", good),
        Err(Failure::NotJson("text/plain".to_owned()))
    );
    assert!(matches!(told(200, json, "done"), Err(Failure::NotJson(_))));
}

/// A process that says what it was told.
async fn tell(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8_lossy(&body);
    let told = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let mut told: Vec<String> = told.collect();
    told.sort();
    let text = format!("{method} {uri}\n{}\n\n{body}", told.join("\n"));
    let answer = Response::builder()
        .header("x-own", "stays")
        .header("x-hop", "goes");
    let answer = answer
        .header("connection", "x-hop")
        .header("keep-alive", "timeout=5");
    answer.status(207).body(text.into()).unwrap()
}

/// A request as a browser sends it to an app, with what shouldn't get through.
fn request(body: Body) -> Request {
    let request = Request::post("/api/x?a=1&b=%20+&a=2").header("host", "codex.example");
    let request = request
        .header("x-own", "stays")
        .header("x-hop", "goes")
        .header("connection", "keep-alive, x-hop")
        .header("te", "trailers")
        .header("proxy-authorization", "Basic x")
        .header("forwarded", "host=evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-azure-functions-invocationid", "made-up")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        );
    request.body(body).unwrap()
}

/// What the process is told of it, without what differs each time.
async fn told(form: Form, request: Request) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(tell)).await });
    let from = "198.51.100.7:4711".parse().unwrap();
    let answer = hand_on(form, port, from, request).await;
    assert_eq!(answer.status(), 207);
    let headers = answer.headers();
    assert_eq!(headers["x-own"], "stays");
    for gone in ["x-hop", "connection", "keep-alive"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec())
        .unwrap()
        .replace(&format!(":{port}"), ":(port)");
    let invocation = after(&text, "x-azure-functions-invocationid: ");
    let span = after(&text, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-");
    assert!(invocation.len() == 36 && span != "00f067aa0ba902b7-01");
    text.replace(invocation, "(new)").replace(span, "(new)")
}

fn after<'a>(text: &'a str, start: &str) -> &'a str {
    text.split(start).nth(1).unwrap().lines().next().unwrap()
}

#[tokio::test]
async fn a_proxied_request_arrives_as_it_was_but_for_what_the_host_says() {
    assert_snapshot!(told(Form::Proxied, request("text".into())).await, @r"
    POST /api/x?a=1&b=%20+&a=2
    content-length: 4
    host: 127.0.0.1:(port)
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-(new)
    x-azure-functions-hostversion: 4.1045.200.25556
    x-azure-functions-invocationid: (new)
    x-forwarded-for: 198.51.100.7
    x-forwarded-host: codex.example
    x-forwarded-proto: http
    x-own: stays

    text
    ");
    let pieces = futures::stream::iter(["te", "xt"].map(Ok::<_, std::io::Error>));
    let streamed = told(Form::Proxied, request(Body::from_stream(pieces))).await;
    assert!(streamed.ends_with("\n\ntext"), "{streamed}");
}

#[tokio::test]
async fn a_forwarded_request_has_each_name_once_and_no_body_of_unknown_length() {
    let mut known = request("text".into());
    known.headers_mut().insert("content-length", 4.into());
    assert_snapshot!(told(Form::Legacy, known).await, @r"
    POST /api/x?a=1%2C2&b=++
    content-length: 4
    forwarded: host=evil.example
    host: 127.0.0.1:(port)
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-(new)
    x-azure-functions-hostversion: 4.1045.200.25556
    x-azure-functions-invocationid: (new)
    x-forwarded-for: 192.0.2.1
    x-forwarded-host: evil.example
    x-own: stays

    text
    ");
    let pieces = futures::stream::iter(["te", "xt"].map(Ok::<_, std::io::Error>));
    let streamed = told(Form::Legacy, request(Body::from_stream(pieces))).await;
    assert!(streamed.ends_with("\n\n"), "{streamed}");
}

#[test]
fn a_function_that_isnt_anonymous_is_401_and_the_first_page_is_the_hosts_unless_disabled() {
    let (data, app) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    package_in(app.path());
    let file = app.path().join("renderCodex/function.json");
    let text = fs::read_to_string(&file).unwrap();
    let closed = text.replace(r#""authLevel": "anonymous","#, "");
    assert_ne!(closed, text);
    fs::write(&file, closed).unwrap();
    let mut settings = over(&data);
    settings.push(("AzureWebJobsDisableHomepage", "false"));
    let host = FunctionsHost::start_in(app.path(), Form::Proxied, &settings);
    let told = ["/codex", "/", "/healthz"].map(|path| {
        let answer = host.get(path);
        (answer.status, !answer.header("x-request-id").is_empty())
    });
    assert_eq!(told, [(401, false), (200, false), (200, true)]);
}
