//! A receiver of OTLP over HTTP. It decodes by the published types and remembers everything.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message;

use super::http::serve_on_thread;
use super::process::eventually;

/// A running receiver. It runs until the test process ends.
pub(crate) struct OtlpReceiver {
    address: String,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
    headers: Vec<HeaderMap>,
    bytes: Vec<u8>,
    refusal: Option<StatusCode>,
}

impl OtlpReceiver {
    pub(crate) fn start() -> Self {
        Self::start_on(TcpListener::bind(("127.0.0.1", 0)).unwrap())
    }

    pub(crate) fn start_on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::<Mutex<Received>>::default();
        let app = Router::new().fallback(receive);
        let app = app.with_state(Arc::clone(&received));
        serve_on_thread(listener, app);
        Self { address, received }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Settings of a service that exports here, spans at once.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.url()),
            ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
        ]
    }

    /// Answers with this status from now on.
    pub(crate) fn refuse(&self, status: u16) {
        let status = StatusCode::from_u16(status).unwrap();
        self.received.lock().unwrap().refusal = Some(status);
    }

    /// The bodies of all requests.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.received.lock().unwrap().bytes.clone()
    }

    /// The headers of each request.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.received.lock().unwrap().headers.clone()
    }

    /// All spans.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let resources = received.traces.iter().flat_map(|it| &it.resource_spans);
        let scopes = resources.flat_map(|it| &it.scope_spans);
        scopes.flat_map(|it| it.spans.clone()).collect()
    }

    /// The attributes of the sender, which are those of traces and of metrics.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        let received = self.received.lock().unwrap();
        let of_traces = received.traces.iter().flat_map(|it| &it.resource_spans);
        let of_metrics = received.metrics.iter().flat_map(|it| &it.resource_metrics);
        let of_traces = of_traces.map(|it| it.resource.as_ref().unwrap());
        let of_metrics = of_metrics.map(|it| it.resource.as_ref().unwrap());
        let mut all = of_traces.chain(of_metrics);
        let all = all.by_ref().map(|it| attributes(&it.attributes));
        let mut different: Vec<_> = all.collect();
        different.dedup();
        assert_eq!(different.len(), 1, "{different:?}");
        different.remove(0)
    }

    /// The metrics of the latest request with some; empty before it.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let received = self.received.lock().unwrap();
        let latest = received.metrics.last().into_iter();
        let resources = latest.flat_map(|it| &it.resource_metrics);
        let scopes = resources.flat_map(|it| &it.scope_metrics);
        scopes.flat_map(|it| it.metrics.clone()).collect()
    }

    /// Waits until a trace has so many spans, and shows them: each with its kind and its attributes, sorted, below its
    /// parent. A parent that isn't among them is shown by its id. All ids of requests are the same in it.
    pub(crate) fn tree(&self, trace: &str, count: usize) -> String {
        eventually(&format!("{count} spans of {trace}"), || {
            self.spans_of(trace).len() >= count
        });
        self.shown(trace)
    }

    /// The same once the request is answered and no other span has come for a while; of equal lines that follow each
    /// other only one. For a trace whose number of spans depends on what else runs.
    pub(crate) fn settled_tree(&self, trace: &str) -> String {
        let mut before = 0;
        loop {
            std::thread::sleep(Duration::from_secs(2));
            let spans = self.spans_of(trace);
            let is_answered = spans.iter().any(|it| it.kind() == SpanKind::Server);
            if is_answered && spans.len() == before {
                break;
            }
            before = spans.len();
        }
        let tree = self.shown(trace);
        let mut lines: Vec<&str> = tree.lines().collect();
        lines.dedup();
        lines.join("\n")
    }

    fn spans_of(&self, trace: &str) -> Vec<Span> {
        let spans = self.spans().into_iter();
        spans.filter(|it| hex(&it.trace_id) == trace).collect()
    }

    fn shown(&self, trace: &str) -> String {
        let spans = self.spans_of(trace);
        let known = |id: &[u8]| spans.iter().any(|it| it.span_id == id);
        let roots = spans.iter().filter(|it| !known(&it.parent_span_id));
        let mut shown: Vec<String> = roots
            .map(|root| {
                let parent = hex(&root.parent_span_id);
                format!("parent {parent}\n{}", show(root, &spans, 1))
            })
            .collect();
        shown.sort();
        shown.concat()
    }
}

async fn receive(
    State(received): State<Arc<Mutex<Received>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut received = received.lock().unwrap();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    // A collector packs what it passes on.
    let body = match headers.get("content-encoding") {
        Some(encoding) => {
            assert_eq!(encoding, "gzip");
            let mut unpacked = Vec::new();
            let mut packed = GzDecoder::new(&*body);
            packed.read_to_end(&mut unpacked).unwrap();
            Bytes::from(unpacked)
        }
        None => body,
    };
    received.bytes.extend(&body);
    received.headers.push(headers);
    if let Some(status) = received.refusal {
        return status;
    }
    match uri.path() {
        "/v1/traces" => received.traces.push(Message::decode(body).unwrap()),
        "/v1/metrics" => received.metrics.push(Message::decode(body).unwrap()),
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::OK
}

fn show(span: &Span, all: &[Span], depth: usize) -> String {
    let mut text = "  ".repeat(depth);
    let kind = match span.kind() {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Internal => "internal",
        kind => panic!("{kind:?}"),
    };
    write!(text, "{} ({kind})", span.name).unwrap();
    for (name, value) in attributes(&span.attributes) {
        let value = match name.as_str() {
            "codex.request_id" => "…".to_owned(),
            _ => value,
        };
        write!(text, " {name}={value}").unwrap();
    }
    let status = span.status.as_ref().map(Status::code);
    if status == Some(SpanStatus::Error) {
        text += " failed";
    }
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    assert!(span.events.is_empty() && span.links.is_empty());
    text += "\n";
    let children = all.iter().filter(|it| it.parent_span_id == span.span_id);
    let mut children: Vec<String> = children.map(|it| show(it, all, depth + 1)).collect();
    children.sort();
    text + &children.concat()
}

/// Each attribute as text.
pub(crate) fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |it: &KeyValue| match it.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        value => panic!("{value:?}"),
    };
    let pairs = attributes.iter().map(|it| (it.key.clone(), value(it)));
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
