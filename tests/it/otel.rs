//! Export by OpenTelemetry: real processes, and a receiver that decodes what they send.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use codex_miroir::metrics::{CallMetrics, CallOutcome, Metrics, RuntimeStats};
use codex_miroir::store::blob_kind;
use codex_miroir::telemetry::otlp::{MetricTimes, metrics};
use http::Method;
use insta::assert_snapshot;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::cases;
use crate::support::github::sign;
use crate::support::mirror::{HOOK_SECRET, Mirror, send};
use crate::support::otlp::{OtlpReceiver, attributes};
use crate::support::process::{Answer, Service, begin, codex_miroir, eventually};
use crate::support::scene::task;

/// The ids of traces, and the one of the host's span.
const TRACES: [&str; 3] = [
    "0af7651916cd43dd8448eb211c80319c",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "a3ce929d0e0e47364bf92f3577b34da6",
];
const HOST: &str = "00f067aa0ba902b7";
const INVOCATION: &str = "35e6e68c-5583-436c-a277-5aec2b416ba8";

/// The headers of the host's call in a trace.
fn of_host(trace: &str) -> String {
    format!("traceparent: 00-{trace}-{HOST}-01\r\nx-azure-functions-invocationid: {INVOCATION}\r\n")
}

/// Over a folder with two tasks, under a Functions host, which triggers the periodic work.
fn over_folder(receiver: &OtlpReceiver) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("raw/local/tasks");
    std::fs::create_dir_all(&tasks).unwrap();
    for (name, title) in [("0000-Eins.md", "Eins"), ("0001-Zwei.md", "Zwei")] {
        std::fs::write(tasks.join(name), task(title)).unwrap();
    }
    let mut command = hosted(folder.path());
    command.envs(receiver.settings());
    (folder, command)
}

fn hosted(folder: &Path) -> Command {
    let mut command = codex_miroir();
    command.env("FUNCTIONS_CUSTOMHANDLER_PORT", "0");
    command
        .env("CODEX_AUTH", "dev")
        .env("CODEX_DATA_DIR", folder);
    command
}

fn create(service: &Service, headers: &str, body: &str) -> Answer {
    let headers = format!("content-type: application/json\r\n{headers}");
    send(service, "POST", "/api/tasks", &headers, body)
}

const NEW: &str = r#"{"kategorie":"arbeit","title":"Neu"}"#;

#[test]
fn a_read_is_a_span_of_the_hosts_trace_with_its_storage_calls_and_from_memory_alone() {
    let receiver = OtlpReceiver::start();
    let (_folder, mut command) = over_folder(&receiver);
    let service = Service::start(&mut command);
    let [first, second, third] = TRACES;
    service.send("/codex", &of_host(first)).json();
    assert_snapshot!(receiver.tree(first, 10), @"
    parent 00f067aa0ba902b7
      GET /codex (server) codex.cache=rebuild codex.request_id=… faas.invocation_id=35e6e68c-5583-436c-a277-5aec2b416ba8 http.request.method=GET http.response.status_code=200 http.route=/codex user.id=local
        rebuild (internal)
          storage get (client) codex.blob=legacy_counter codex.operation=get peer.service=storage
          storage get (client) codex.blob=task codex.operation=get peer.service=storage
          storage get (client) codex.blob=task codex.operation=get peer.service=storage
          storage list (client) codex.blob=task codex.operation=list peer.service=storage
          storage put (client) codex.blob=artifact codex.operation=put peer.service=storage
          storage put (client) codex.blob=state codex.operation=put peer.service=storage
        storage get (client) codex.blob=artifact codex.operation=get peer.service=storage
        storage get (client) codex.blob=state codex.operation=get peer.service=storage
    ");
    service.send("/codex", &of_host(second)).json();
    assert_snapshot!(receiver.tree(second, 1), @"
    parent 00f067aa0ba902b7
      GET /codex (server) codex.cache=memory codex.request_id=… faas.invocation_id=35e6e68c-5583-436c-a277-5aec2b416ba8 http.request.method=GET http.response.status_code=200 http.route=/codex user.id=local
    ");
    let missing = service.send("/api/tasks/0007-Titelgeheimnis", &of_host(third));
    assert_eq!(missing.status, 404);
    assert_snapshot!(receiver.tree(third, 1), @"
    parent 00f067aa0ba902b7
      GET /api/tasks/{id} (server) codex.request_id=… faas.invocation_id=35e6e68c-5583-436c-a277-5aec2b416ba8 http.request.method=GET http.response.status_code=404 http.route=/api/tasks/{id} user.id=local
    ");
}

#[test]
fn a_create_is_one_trace_with_the_work_after_its_answer() {
    let receiver = OtlpReceiver::start();
    let (_folder, mut command) = over_folder(&receiver);
    let service = Service::start(&mut command);
    // The work after its answer would be one with that of the create.
    service.send("/codex", &of_host(TRACES[1])).json();
    receiver.tree(TRACES[1], 10);
    create(&service, &of_host(TRACES[0]), NEW).json();
    assert_snapshot!(receiver.tree(TRACES[0], 5), @"
    parent 00f067aa0ba902b7
      POST /api/tasks (server) codex.request_id=… faas.invocation_id=35e6e68c-5583-436c-a277-5aec2b416ba8 http.request.method=POST http.response.status_code=201 http.route=/api/tasks user.id=local
        storage put (client) codex.blob=artifact codex.operation=put peer.service=storage
        storage put (client) codex.blob=state codex.operation=put peer.service=storage
        storage put (client) codex.blob=state codex.operation=put peer.service=storage
        storage put (client) codex.blob=task codex.operation=put peer.service=storage
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_one_trace_with_its_calls_to_github_and_a_push_one_of_its_own() {
    let receiver = OtlpReceiver::start();
    let mirror = Mirror::new();
    let mut command = mirror.command();
    let service = Service::start(command.envs(receiver.settings()));
    let text = task("Aus Git");
    mirror.github.drop_deliveries();
    mirror.commit(&[("0003-Titelgeheimnis.md", Some(&text))], "Add");
    let push = r#"{"ref":"refs/heads/main","repository":{"full_name":"anna/notes"}}"#;
    let signature = sign(HOOK_SECRET, push.as_bytes());
    let headers = format!(
        "x-github-event: push\r\nx-hub-signature-256: {signature}\r\n{}",
        of_host(TRACES[0])
    );
    let answer = send(&service, "POST", "/github/webhook", &headers, push);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_snapshot!(receiver.settled_tree(TRACES[0]), @"
    parent 00f067aa0ba902b7
      POST /github/webhook (server) codex.request_id=… faas.invocation_id=35e6e68c-5583-436c-a277-5aec2b416ba8 http.request.method=POST http.response.status_code=200 http.route=/github/webhook
        github read a file (client) codex.operation=read a file peer.service=github
        github read the branch (client) codex.operation=read the branch http.response.status_code=304 peer.service=github
        github read the branch (client) codex.operation=read the branch peer.service=github
        github read the tree (client) codex.operation=read the tree peer.service=github
        rebuild (internal)
          storage get (client) codex.blob=legacy_counter codex.operation=get peer.service=storage
          storage list (client) codex.blob=task codex.operation=list peer.service=storage
          storage put (client) codex.blob=artifact codex.operation=put peer.service=storage
          storage put (client) codex.blob=state codex.operation=put peer.service=storage
        rebuild (internal)
          storage get (client) codex.blob=state codex.operation=get peer.service=storage
          storage list (client) codex.blob=task codex.operation=list peer.service=storage
          storage put (client) codex.blob=artifact codex.operation=put peer.service=storage
        storage get (client) codex.blob=artifact codex.operation=get peer.service=storage
        storage get (client) codex.blob=git codex.operation=get peer.service=storage
        storage get (client) codex.blob=state codex.operation=get peer.service=storage
        storage list (client) codex.blob=folder codex.operation=list peer.service=storage
        storage list (client) codex.blob=task codex.operation=list peer.service=storage
        storage put (client) codex.blob=artifact codex.operation=put peer.service=storage
        storage put (client) codex.blob=git codex.operation=put peer.service=storage
        storage put (client) codex.blob=hint codex.operation=put peer.service=storage
        storage put (client) codex.blob=state codex.operation=put peer.service=storage
        storage put (client) codex.blob=task codex.operation=put peer.service=storage
    ");

    create(&service, &of_host(TRACES[1]), NEW).json();
    mirror.until_equal(&service).await;
    let commit = || {
        let mut spans = receiver.spans().into_iter();
        spans.find(|it| it.name == "github commit a file")
    };
    eventually("the commit is exported", || commit().is_some());
    let commit = commit().unwrap();
    let of_commit = |it: &Span| it.span_id == commit.parent_span_id;
    eventually("what it belongs to is exported", || {
        receiver.spans().iter().any(of_commit)
    });
    let sync = receiver
        .spans()
        .into_iter()
        .find(|it| of_commit(it))
        .unwrap();
    assert_eq!(sync.name, "git sync");
    assert_eq!(attributes(&sync.attributes)["user.id"], "anna");
    // Requests before it share it, so it is of none of their traces.
    assert!(sync.parent_span_id.is_empty(), "{sync:?}");
}

/// Whether some bytes hold a text.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

#[test]
fn no_span_and_no_metric_holds_a_title_a_text_or_a_token() {
    let receiver = OtlpReceiver::start();
    let (folder, mut command) = over_folder(&receiver);
    command.envs([
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20otlpgeheim",
        ),
        ("CODEX_METRICS_TOKEN", "metrikgeheimnis-0123"),
        ("RUST_LOG", "debug"),
    ]);
    let service = Service::start(&mut command);
    let body = r##"{"kategorie":"arbeit","title":"Titelgeheimnis","tags":["tagegeheimnis"],"body":"Textgeheimnis"}"##;
    create(&service, &of_host(TRACES[0]), body).json();
    let address = service.send_json("POST", "/api/calendar", "").json();
    let address = address["url"].as_str().unwrap();
    let token = address.rsplit('/').next().unwrap();
    for path in [
        "/codex?format=html&bodies=true",
        "/api/tasks?q=Titelgeheimnis",
        "/api/tasks/0002-Titelgeheimnis",
        "/Titelgeheimnis",
        &format!("/calendar/{token}"),
        "/auth/github/callback?code=Titelgeheimnis",
    ] {
        let headers = "authorization: Bearer kopfgeheimnis\r\ncookie: a=keksgeheimnis\r\n";
        service.send(path, headers);
    }
    let foreign = folder.path().join("raw/local/tasks/0009-Dateigeheimnis.md");
    std::fs::write(foreign, task("Dateigeheimnis")).unwrap();
    service.get("/codex?nocache=true").json();
    let deleted = send(&service, "DELETE", "/api/tasks/0002-Titelgeheimnis", "", "");
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    let odd = begin(
        &service.address,
        "GEHEIM",
        "/codex",
        &of_host(TRACES[1]),
        "",
    );
    Answer::read(odd);
    service.terminate();
    eventually("all is sent", || {
        let spans = receiver.spans();
        let has = |name: &str| spans.iter().any(|it| it.name == name);
        has("HTTP /codex") && has("GET /calendar/{token}") && !receiver.metrics().is_empty()
    });
    let bytes = receiver.bytes();
    for secret in ["eheim", "GEHEIM", token] {
        assert!(!holds(&bytes, secret), "{secret}");
    }
    assert!(holds(&bytes, "/api/tasks/{id}"));
    let log = service.log().join("\n");
    assert!(!log.contains("otlpgeheim"), "{log}");
    let authorized = receiver.headers();
    let authorized = authorized.iter().map(|it| &it["authorization"]);
    assert!({ authorized }.all(|it| it == "Bearer otlpgeheim"));
}

#[test]
fn the_caller_decides_which_requests_are_recorded_unless_a_setting_does() {
    let unsampled = |trace: &str| format!("traceparent: 00-{trace}-{HOST}-00\r\n");
    let has = |receiver: &OtlpReceiver, trace: &str| {
        let spans = receiver.spans().into_iter();
        let ids = spans.map(|it| it.trace_id);
        let ids = ids.map(|id| id.iter().map(|it| format!("{it:02x}")).collect::<String>());
        { ids }.any(|it| it == trace)
    };
    for (sampler, share, unsampled_too, alone) in [
        (None, None, false, true),
        (Some("parentbased_always_on"), None, false, true),
        (Some("always_on"), None, true, true),
        (Some("parentbased_always_off"), None, false, false),
        (Some("traceidratio"), Some("1"), true, true),
        (Some("parentbased_traceidratio"), Some("0"), false, false),
    ] {
        let receiver = OtlpReceiver::start();
        let (_folder, mut command) = over_folder(&receiver);
        command.envs(sampler.map(|it| ("OTEL_TRACES_SAMPLER", it)));
        command.envs(share.map(|it| ("OTEL_TRACES_SAMPLER_ARG", it)));
        let service = Service::start(&mut command);
        let unrecorded = service.send("/codex", &unsampled(TRACES[0]));
        unrecorded.json();
        service.get("/api/tasks").json();
        // The caller's decision to record holds only where it is asked.
        service.send("/codex", &of_host(TRACES[1])).json();
        service.terminate();
        service.wait();
        assert_eq!(has(&receiver, TRACES[0]), unsampled_too, "{sampler:?}");
        assert!(has(&receiver, TRACES[1]), "{sampler:?}");
        let lists = receiver.spans().into_iter();
        let lists = lists.filter(|it| it.name == "GET /api/tasks").count();
        assert_eq!(lists, usize::from(alone), "{sampler:?}");
    }
}

/// The log lines about the export.
fn said(service: &Service) -> Vec<String> {
    let lines = service.log().into_iter();
    let about = lines.filter(|it| it.contains("OpenTelemetry"));
    let value = about.map(|it| serde_json::from_str::<serde_json::Value>(&it).unwrap());
    value
        .map(|it| {
            format!(
                "{} {}",
                it["level"].as_str().unwrap(),
                it["message"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn an_endpoint_that_is_away_costs_one_line_and_no_request_and_what_comes_later_is_delivered() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let mut command = hosted(folder.path());
    command.envs([
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{address}/").as_str(),
        ),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "20"),
    ]);
    let service = Service::start(&mut command);
    for _ in 0..20 {
        let began = Instant::now();
        service.get("/codex").json();
        assert!(began.elapsed() < Duration::from_secs(2));
    }
    eventually("it is said", || !said(&service).is_empty());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(said(&service), ["WARN OpenTelemetry isn't delivered"]);
    let receiver = OtlpReceiver::start_on(TcpListener::bind(address).unwrap());
    eventually("it is delivered", || said(&service).len() > 1);
    service.send("/codex", &of_host(TRACES[0])).json();
    receiver.tree(TRACES[0], 1);
    assert_eq!(
        said(&service),
        [
            "WARN OpenTelemetry isn't delivered",
            "INFO OpenTelemetry is delivered again"
        ]
    );
}

#[test]
fn a_refusal_is_said_once_and_not_repeated() {
    let receiver = OtlpReceiver::start();
    receiver.refuse(401);
    let (_folder, mut command) = over_folder(&receiver);
    let service = Service::start(command.env("OTEL_METRIC_EXPORT_INTERVAL", "20"));
    service.get("/codex").json();
    eventually("some were refused", || receiver.headers().len() > 5);
    assert_eq!(said(&service), ["WARN OpenTelemetry isn't delivered"]);
    let line = service.log().into_iter();
    let line = line
        .filter(|it| it.contains("OpenTelemetry"))
        .collect::<String>();
    assert!(line.contains("status 401"), "{line}");
}

#[test]
fn a_graceful_end_sends_what_waits() {
    let receiver = OtlpReceiver::start();
    let (_folder, mut command) = over_folder(&receiver);
    command.envs([
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ("OTEL_SERVICE_NAME", "wochenplan"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=probe%20eins, service.name=x",
        ),
    ]);
    let service = Service::start(&mut command);
    create(&service, &of_host(TRACES[0]), NEW).json();
    assert!(receiver.spans().is_empty());
    service.terminate();
    service.wait();
    let names: BTreeSet<String> = receiver.spans().into_iter().map(|it| it.name).collect();
    assert!(names.contains("POST /api/tasks"), "{names:?}");
    assert!(
        receiver
            .metrics()
            .iter()
            .any(|it| it.name == "codex_responses")
    );
    let mut resource = receiver.resource();
    let instance = resource.remove("service.instance.id").unwrap();
    assert_eq!(instance.len(), 8);
    let resource: Vec<String> = resource.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let version = concat!("service.version=", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        resource,
        [
            "deployment.environment.name=probe eins",
            "service.name=wochenplan",
            version
        ]
    );
}

#[test]
fn an_endpoint_that_never_answers_delays_the_end_by_two_seconds() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut command = hosted(folder.path());
    let service = Service::start(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url));
    service.get("/codex").json();
    let began = Instant::now();
    service.terminate();
    service.wait();
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1500), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_exported_metrics_are_those_of_the_metrics_page() {
    const TOKEN: &str = "a-token-for-metrics";
    let receiver = OtlpReceiver::start();
    let (_folder, mut command) = over_folder(&receiver);
    command.env("CODEX_METRICS_TOKEN", TOKEN);
    let service = Service::start(command.env("OTEL_METRIC_EXPORT_INTERVAL", "50"));
    service.get("/codex").json();
    let page = service.send("/metrics", &format!("authorization: Bearer {TOKEN}\r\n"));
    let families = page
        .body
        .lines()
        .filter_map(|it| it.strip_prefix("# TYPE "));
    let families: BTreeSet<&str> = families.filter_map(|it| it.split(' ').next()).collect();
    let reads = |metrics: &[Metric]| {
        let of_reads = |metric: &Metric| {
            let Some(Data::Histogram(histogram)) = &metric.data else {
                return None;
            };
            let points = histogram.data_points.iter();
            let labels = |it: &[_]| attributes(it).get("route").is_some_and(|it| it == "/codex");
            { points }
                .find(|it| labels(&it.attributes))
                .map(|it| it.count)
        };
        let response = metrics
            .iter()
            .find(|it| it.name == "codex_response_seconds");
        response.and_then(of_reads)
    };
    eventually("the read is counted", || {
        reads(&receiver.metrics()) == Some(1)
    });
    let metrics = receiver.metrics();
    let names: BTreeSet<&str> = metrics.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, families);
}

/// A metric as a line for each series.
fn shown(metric: &Metric) -> String {
    let cumulative = |it: i32| assert_eq!(it, AggregationTemporality::Cumulative as i32);
    let (kind, lines): (_, Vec<String>) = match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            cumulative(sum.aggregation_temporality);
            assert!(sum.is_monotonic);
            let points = sum.data_points.iter();
            ("sum", points.map(number_line).collect())
        }
        Data::Gauge(gauge) => {
            let points = gauge.data_points.iter();
            ("gauge", points.map(number_line).collect())
        }
        Data::Histogram(histogram) => {
            cumulative(histogram.aggregation_temporality);
            let points = histogram.data_points.iter();
            let line = |it: &HistogramDataPoint| {
                let labels = attributes(&it.attributes);
                let (bounds, counts) = (&it.explicit_bounds, &it.bucket_counts);
                let (count, sum) = (it.count, it.sum.unwrap());
                format!("  {labels:?} {count} sum {sum} {bounds:?} {counts:?}\n")
            };
            ("histogram", points.map(line).collect())
        }
        data => panic!("{data:?}"),
    };
    let Metric {
        name,
        description,
        unit,
        ..
    } = metric;
    format!("{name} {kind} [{unit}] {description}\n{}", lines.concat())
}

fn number_line(point: &NumberDataPoint) -> String {
    let labels = attributes(&point.attributes);
    assert_eq!(point.time_unix_nano, 7_000_000_000);
    let value = match point.value.unwrap() {
        Number::AsInt(number) => number.to_string(),
        Number::AsDouble(number) => format!("{number:?}"),
    };
    format!("  {labels:?} {value}\n")
}

fn times() -> MetricTimes {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    MetricTimes {
        began: at(3),
        at: at(7),
    }
}

#[test]
fn each_kind_of_metric_has_its_form_in_otlp() {
    let text = r#"# HELP a_hits Hits of a page.
# TYPE a_hits counter
a_hits_total{page="/x/{id}",quote="a \"b\" \\ c\nd"} 3
a_hits_total{page="other",quote=""} 0
# HELP b_waits_seconds Waits.
# TYPE b_waits_seconds histogram
# UNIT b_waits_seconds seconds
b_waits_seconds_sum{op="get"} 1.5
b_waits_seconds_count{op="get"} 4
b_waits_seconds_bucket{le="0.1",op="get"} 1
b_waits_seconds_bucket{le="1.0",op="get"} 3
b_waits_seconds_bucket{le="+Inf",op="get"} 4
b_waits_seconds_sum{op="put"} 0.0
b_waits_seconds_count{op="put"} 0
b_waits_seconds_bucket{le="0.1",op="put"} 0
b_waits_seconds_bucket{le="1.0",op="put"} 0
b_waits_seconds_bucket{le="+Inf",op="put"} 0
# HELP c_build The program.
# TYPE c_build info
c_build_info{version="1"} 1
# HELP d_held_bytes Memory.
# TYPE d_held_bytes gauge
# UNIT d_held_bytes bytes
d_held_bytes 12
# HELP e_age_seconds Age.
# TYPE e_age_seconds gauge
# UNIT e_age_seconds seconds
e_age_seconds 0.25
# EOF
"#;
    let shown: String = metrics(text, times()).iter().map(shown).collect();
    assert_snapshot!(shown, @r#"
    a_hits sum [] Hits of a page
      {"page": "/x/{id}", "quote": "a \"b\" \\ c\nd"} 3
      {"page": "other", "quote": ""} 0
    b_waits_seconds histogram [s] Waits
      {"op": "get"} 4 sum 1.5 [0.1, 1.0] [1, 2, 1]
      {"op": "put"} 0 sum 0 [0.1, 1.0] [0, 0, 0]
    c_build gauge [] The program
      {"version": "1"} 1
    d_held_bytes gauge [By] Memory
      {} 12
    e_age_seconds gauge [s] Age
      {} 0.25
    "#);
    assert_eq!(metrics("", times()), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn no_observation_is_lost_on_the_way_to_otlp(
        millis in prop::collection::vec((0_u64..20_000, any::<bool>()), 1..40),
    ) {
        let storage = CallMetrics::default();
        let all = Metrics::new(storage.clone(), CallMetrics::default());
        let times_of = all.response_times(vec!["/codex".to_owned()]);
        for (millis, fine) in &millis {
            let (outcome, status) = match fine {
                true => (CallOutcome::Answered, 200),
                false => (CallOutcome::Failed, 503),
            };
            let took = Duration::from_millis(*millis);
            storage.record("get", outcome, took);
            times_of.record(times_of.kind(&Method::GET, Some(0)), status, took);
        }
        let text = all.render(&RuntimeStats::default()).unwrap();
        let exported = metrics(&text, times());
        for name in ["codex_storage_call_seconds", "codex_response_seconds"] {
            let metric = exported.iter().find(|it| it.name == name).unwrap();
            let Some(Data::Histogram(histogram)) = &metric.data else {
                panic!("{metric:?}");
            };
            let points = &histogram.data_points;
            let count: u64 = points.iter().map(|it| it.count).sum();
            prop_assert_eq!(count, millis.len() as u64);
            for point in points {
                prop_assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                prop_assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                prop_assert!(point.explicit_bounds.is_sorted());
            }
        }
    }
}

#[test]
fn a_blob_is_named_by_its_kind() {
    for (path, kind) in [
        ("raw/anna/tasks/0001-Titel.md", "task"),
        ("raw/anna/tasks/", "task"),
        ("raw/anna/tasks/state.json", "task"),
        ("artifacts/anna/timeline.json", "artifact"),
        ("queue/anna", "hint"),
        ("queue/state.json", "hint"),
        ("state/anna/state.json", "state"),
        ("state/anna/owner.json", "owner"),
        ("state/anna/git.json", "git"),
        ("state/.github.json", "git"),
        ("state/anna/calendar.json", "calendar"),
        ("state/anna/", "folder"),
        ("state/", "folder"),
        ("state/anna/nextId.txt", "legacy_counter"),
        ("Titel", "other"),
        ("", "other"),
    ] {
        assert_eq!(blob_kind(path), kind, "{path}");
    }
}
