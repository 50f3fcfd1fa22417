//! Export by OpenTelemetry through a real collector, PyPI's rotel: it decodes what it receives and sends it on.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use insta::assert_snapshot;

use crate::support::functions_host::free_port;
use crate::support::otlp::OtlpReceiver;
use crate::support::process::{Answer, Service, begin, codex_miroir, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const EARLIER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const HOST: &str = "00f067aa0ba902b7";

/// A running collector. It is killed on drop.
struct Collector {
    child: Child,
    port: u16,
}

impl Collector {
    /// One that sends what it receives to `receiver`.
    fn start(receiver: &OtlpReceiver) -> Self {
        let (port, of_grpc) = (free_port(), free_port());
        let child = Command::new(program())
            .env_clear()
            .arg("start")
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{of_grpc}")])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint", &receiver.url()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let collector = Self { child, port };
        eventually("the collector listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        collector
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its executable in the tests' virtual environment, whose path names the version of Python.
fn program() -> PathBuf {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/lib");
    let folders = std::fs::read_dir(library).into_iter().flatten();
    let mut programs = folders.map(|it| it.unwrap().path().join("site-packages/rotel/rotel-agent"));
    let found = programs.find(|it| it.exists());
    found.expect("rotel is missing: tests/run installs it, run that once")
}

#[test]
fn a_collector_passes_on_traces_and_metrics_whole() {
    let receiver = OtlpReceiver::start();
    let collector = Collector::start(&receiver);
    let folder = tempfile::tempdir().unwrap();
    let mut command = codex_miroir();
    command
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", "0")
        .env("CODEX_AUTH", "dev")
        .env("CODEX_DATA_DIR", folder.path())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://127.0.0.1:{}", collector.port),
        );
    let service = Service::start(&mut command);
    // The work after its answer would be one with that of the create.
    service
        .send(
            "/codex",
            &format!("traceparent: 00-{EARLIER}-{HOST}-01\r\n"),
        )
        .json();
    receiver.settled_tree(EARLIER);
    let headers =
        format!("content-type: application/json\r\ntraceparent: 00-{TRACE}-{HOST}-01\r\n");
    let new = r#"{"kategorie":"arbeit","title":"Neu"}"#;
    Answer::read(begin(&service.address, "POST", "/api/tasks", &headers, new)).json();
    assert_snapshot!(receiver.tree(TRACE, 5), @"
    parent 00f067aa0ba902b7
      POST /api/tasks (server) codex.request_id=… http.request.method=POST http.response.status_code=201 http.route=/api/tasks user.id=local
        storage put (client) codex.blob=artifact codex.operation=put peer.service=storage
        storage put (client) codex.blob=state codex.operation=put peer.service=storage
        storage put (client) codex.blob=state codex.operation=put peer.service=storage
        storage put (client) codex.blob=task codex.operation=put peer.service=storage
    ");
    eventually("the metrics are passed on", || {
        let metrics = receiver.metrics();
        metrics.iter().any(|it| it.name == "codex_response_seconds")
    });
    assert_eq!(receiver.resource()["service.name"], "codex-miroir");
    let about: Vec<String> = service.log().into_iter().collect();
    assert!(
        !about.iter().any(|it| it.contains("OpenTelemetry")),
        "{about:?}"
    );
}
