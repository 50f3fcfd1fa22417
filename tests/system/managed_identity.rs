//! The real binary, accessing storage by a managed identity, as on Azure.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::support::identity::{HEADER, Manner};
use crate::support::place::Place;
use crate::support::process::{Service, eventually};
use crate::support::tcp_proxy::Fault;
use crate::support::tls::says_why;

/// The log lines that say why there is no token.
fn no_token_lines(service: &Service) -> Vec<String> {
    let lines = service.log().into_iter();
    let lines = lines.filter(|line| line.contains("no token from the identity endpoint"));
    lines.collect()
}

/// Readers without a token get refusals, and one log line gives the reason.
fn check_refused(service: &Service, why: &str) {
    let before = no_token_lines(service).len();
    for _ in 0..2 {
        let began = Instant::now();
        let refused = service.get("/codex");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}");
        assert_eq!((refused.status, refused.header("retry-after")), (503, "2"));
        assert!(
            refused.body.contains("storage_unavailable"),
            "{}",
            refused.body
        );
        std::thread::sleep(Duration::from_millis(1_100));
    }
    eventually("the log says why", || {
        no_token_lines(service).len() > before
    });
    let lines = no_token_lines(service);
    assert_eq!(lines.len(), before + 1, "{lines:?}");
    println!("{}", lines[before]);
    assert!(lines[before].contains(why), "{lines:?}");
}

#[test]
fn a_refusing_a_silent_and_an_absent_endpoint_are_one_line_and_503_and_pass() {
    let place = Place::identity();
    let endpoint = place.endpoint().unwrap();
    endpoint.set(Manner::Refuses(400));
    let mut command = place.command();
    let service = Service::start(command.env("RUST_LOG", "trace"));
    assert_eq!(
        service.get("/healthz").status,
        200,
        "it starts all the same"
    );
    check_refused(
        &service,
        "it answers 400: is the identity assigned to this app?",
    );
    endpoint.set(Manner::Waits);
    check_refused(&service, "no answer within 5s");
    endpoint.set(Manner::Says("<title>Sign in</title>"));
    check_refused(&service, "its answer isn't a token and when it ends");
    endpoint.set(Manner::Grants(Duration::from_secs(3600)));
    assert_eq!(service.get("/codex").status, 200);
    let body = r#"{"kategorie":"arbeit","title":"Neu"}"#;
    assert_eq!(service.send_json("POST", "/api/tasks", body).status, 201);
    let tokens = endpoint.tokens();
    assert_eq!(tokens.len(), 1);
    let log = service.log().join("\n");
    assert!(!log.contains(HEADER) && !log.contains(&tokens[0]), "{log}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let url = format!("http://{address}/msi/token");
    let absent = Service::start(place.command().env("IDENTITY_ENDPOINT", url));
    check_refused(&absent, &address);
    assert!(
        no_token_lines(&absent)[0].contains("refused"),
        "{:?}",
        no_token_lines(&absent)
    );
}

#[test]
fn a_busy_endpoint_is_named_so_in_one_line_and_keeps_nobody() {
    for (status, wait, why) in [
        (
            429,
            "30",
            "it is busy: it answers 429 and asks to wait 30 s",
        ),
        // Twice this wait exceeds any caller's deadline.
        (503, "3", "it is busy: it answers 503 and asks to wait 3 s"),
        (429, "0", "it answers 429"),
    ] {
        let place = Place::identity();
        place.endpoint().unwrap().set(Manner::IsBusy(status, wait));
        check_refused(&place.service(), why);
    }
}

/// The reported reason is the last answer that arrived, even if the retry's answer doesn't.
#[test]
fn an_endpoint_that_falls_silent_is_told_by_what_it_said_last() {
    let place = Place::identity();
    let endpoint = place.endpoint().unwrap();
    endpoint.set(Manner::IsBusy(503, "1"));
    let service = place.service();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("it is asked", || !endpoint.asked().is_empty());
            endpoint.set(Manner::Waits);
        });
        assert_eq!(service.get("/codex").status, 503);
    });
    eventually("the log says why", || !no_token_lines(&service).is_empty());
    let why = "it is busy: it answers 503 and asks to wait 1 s";
    assert!(
        no_token_lines(&service)[0].contains(why),
        "{:?}",
        no_token_lines(&service)
    );
}

/// Reads, writes, and the work that follows a write, each while storage refuses its token.
#[test]
fn a_token_that_storage_refuses_is_replaced_before_anybody_hears_of_it() {
    let place = Place::identity();
    let runtime = Runtime::new().unwrap();
    let proxy = place.proxy(&runtime);
    let mut command = place.command_by(&proxy);
    let service = Service::start(command.env("CODEX_REVALIDATE_SECONDS", "0"));
    let create = |title: &str| {
        let body = format!(r#"{{"kategorie":"arbeit","title":"{title}"}}"#);
        service.send_json("POST", "/api/tasks", &body)
    };
    assert_eq!(create("Erste").status, 201);
    for (method, title) in [("GET", "Zweite"), ("PUT", "Dritte")] {
        // There is no token request within a second of the last one.
        std::thread::sleep(Duration::from_millis(1_100));
        let refusal = Fault::Storage(401, "InvalidAuthenticationInfo");
        proxy.plan(method, 1, refusal);
        assert_eq!(create(title).status, 201);
        let page = service.get("/codex");
        assert!(page.status == 200 && page.body.contains(title), "{title}");
    }
    assert_eq!(place.endpoint().unwrap().tokens().len(), 3);
    let log = service.log().into_iter();
    let failed: Vec<_> = log.filter(|line| line.contains("request ")).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// A readiness probe has a shorter deadline than a request to the endpoint.
#[test]
fn a_silent_endpoint_is_told_where_only_probes_come() {
    let place = Place::identity();
    place.endpoint().unwrap().set(Manner::Waits);
    let service = Service::start(&mut place.command());
    eventually("the log says why", || {
        assert_eq!(service.get("/readyz").status, 503);
        !no_token_lines(&service).is_empty()
    });
    assert!(no_token_lines(&service)[0].contains("no answer within 5s"));
}

#[test]
fn a_user_assigned_identity_is_named_by_its_client_id() {
    let place = Place::identity();
    let id = "1f7a0c2e-0000-0000-0000-000000000000";
    let service = Service::start(place.command().env("AZURE_BLOB_CONN__clientId", id));
    assert_eq!(service.get("/codex").status, 200);
    assert_eq!(place.endpoint().unwrap().asked(), [Some(id.to_owned())]);
}

/// A token request through a proxy would disclose the app's secret header to the proxy.
#[test]
fn a_token_is_never_asked_for_by_a_proxy() {
    let place = Place::identity();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", nobody.local_addr().unwrap());
    let mut command = place.command();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        command.env(name, &proxy);
    }
    assert_eq!(Service::start(&mut command).get("/codex").status, 200);
}

#[test]
fn storage_with_a_private_authority_is_refused_with_what_to_set() {
    let place = Place::identity();
    let service = Service::start(place.command().env_remove("SSL_CERT_FILE"));
    let refused = service.get("/codex");
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(!refused.body.contains("SSL_CERT"), "{}", refused.body);
    eventually("the log says why", || says_why(&service));
}
