//! Traces by OpenTelemetry, which the host's calls continue.

use insta::{allow_duplicates, assert_snapshot};

use crate::support::azurite::azurite;
use crate::support::functions_host::{FORMS, Form, FunctionsHost};
use crate::support::otlp::OtlpReceiver;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const EARLIER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// Its value is another one for each call.
const INVOCATION: &str = "faas.invocation_id=";

#[test]
fn a_create_over_azurite_is_one_trace_below_the_hosts_span() {
    allow_duplicates! {
        for form in FORMS {
            let spans = spans_of_a_create(form);
            assert_snapshot!(spans, @"
              POST /api/tasks (server) codex.request_id=… faas.invocation_id=… http.request.method=POST http.response.status_code=201 http.route=/api/tasks user.id=local
                storage put (client) codex.blob=artifact codex.operation=put peer.service=storage
                storage put (client) codex.blob=state codex.operation=put peer.service=storage
                storage put (client) codex.blob=state codex.operation=put peer.service=storage
                storage put (client) codex.blob=task codex.operation=put peer.service=storage
            ");
        }
    }
}

/// The spans of a second create, below the host's, which it doesn't export here.
fn spans_of_a_create(form: Form) -> String {
    let receiver = OtlpReceiver::start();
    let (connection, container) = (azurite().with_key(azurite().port()), azurite().container());
    let export = receiver.settings();
    let mut settings = vec![
        ("AZURE_BLOB_CONN", connection.as_str()),
        ("AZURE_BLOB_CONTAINER", &container),
        ("CODEX_AUTH", "dev"),
    ];
    settings.extend(export.iter().map(|(name, value)| (*name, value.as_str())));
    let host = FunctionsHost::start(form, &settings);
    let new = r#"{"kategorie":"arbeit","title":"Titelgeheimnis"}"#;
    let create = |trace: &str| {
        let traced = format!("traceparent: 00-{trace}-{CLIENT}-01\r\n");
        let headers = format!("content-type: application/json\r\n{traced}");
        host.send("POST", "/api/tasks", &headers, new).json();
    };
    create(EARLIER);
    // Else the work after the two answers may be one.
    receiver.settled_tree(EARLIER);
    create(TRACE);
    let tree = receiver.tree(TRACE, 5);
    let bytes = receiver.bytes();
    assert!(!bytes.windows(14).any(|it| it == b"Titelgeheimnis"));
    let (parent, spans) = tree.split_once('\n').unwrap();
    let of_client = format!("parent {CLIENT}");
    assert!(
        parent != of_client && parent.len() == of_client.len(),
        "{tree}"
    );
    let (before, after) = spans.split_once(INVOCATION).unwrap();
    format!("{before}{INVOCATION}…{}", &after[36..])
}
