//! Logs and metrics for the operator: lines that name their request, the origin of each new version, and a summary per
//! minute.

use std::time::Duration;

use codex_miroir::metrics::{CallMetrics, CallOutcome, Metrics, RuntimeStats};
use codex_miroir::telemetry;
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::http::{get, send};
use crate::support::log::LogBuffer;
use crate::support::process::{Answer, Service, begin, codex_miroir, eventually};
use crate::support::scene::Scene;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const INVOCATION: &str = "35e6e68c-5583-436c-a277-5aec2b416ba8";

fn service(level: &str) -> (tempfile::TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = codex_miroir();
    command.env("CODEX_DATA_DIR", folder.path());
    let service = Service::start(command.env("RUST_LOG", level));
    (folder, service)
}

fn create(service: &Service, headers: &str) -> Answer {
    let headers = format!("content-type: application/json\r\n{headers}");
    let body = r#"{"kategorie":"arbeit","title":"Titelgeheimnis"}"#;
    let stream = begin(&service.address, "POST", "/api/tasks", &headers, body);
    Answer::read(stream)
}

/// The log lines of this request.
fn log_lines_of(service: &Service, id: &str) -> Vec<Value> {
    let lines = service.log().into_iter();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["request_id"] == id).collect()
}

#[test]
fn every_line_of_a_request_names_it_its_user_and_the_hosts_call() {
    let (_folder, service) = service("debug");
    let headers = format!(
        "x-azure-functions-invocationid: {INVOCATION}\r\ntraceparent: 00-{TRACE}-{SPAN}-01\r\n"
    );
    let answer = create(&service, &headers);
    let id = answer.header("x-request-id").to_owned();
    let has = |message: &str| {
        log_lines_of(&service, &id)
            .iter()
            .any(|it| it["message"] == message)
    };
    eventually("it is logged", || {
        (has("request") || has("slow request")) && has("new version")
    });
    for line in log_lines_of(&service, &id) {
        assert_eq!(
            [
                &line["user"],
                &line["route"],
                &line["invocation_id"],
                &line["trace_id"],
                &line["span_id"]
            ],
            ["local", "POST /api/tasks", INVOCATION, TRACE, SPAN],
            "{line}"
        );
        assert_eq!(line["instance"].as_str().unwrap().len(), 8);
    }
}

#[test]
fn what_a_client_sends_as_a_call_or_a_trace_is_logged_only_when_it_looks_like_one() {
    let (_folder, service) = service("debug");
    let answer = create(
        &service,
        "x-azure-functions-invocationid: Titelgeheimnis\r\ntraceparent: 00-Titelgeheimnis-x-01\r\n",
    );
    let id = answer.header("x-request-id").to_owned();
    eventually("it is logged", || !log_lines_of(&service, &id).is_empty());
    for line in log_lines_of(&service, &id) {
        assert_eq!(
            (line.get("invocation_id"), line.get("trace_id")),
            (None, None)
        );
    }
}

#[test]
fn each_new_version_is_one_line_that_says_who_made_it_and_why() {
    let (folder, service) = service("info");
    let created = create(&service, "");
    let location = created.header("location").to_owned();
    service.send_json("PATCH", &location, r#"{"tags":["neu"]}"#);
    service.send_json("POST", &format!("{location}/complete"), "");
    let tasks = folder.path().join("raw/local/tasks");
    std::fs::write(
        tasks.join("0007-Fremd.md"),
        "---\ntyp: task\nkategorie: arbeit\n---\n\n# Fremd\n",
    )
    .unwrap();
    service.get("/codex?nocache=true");
    // These change nothing, so they log no version.
    service.get("/codex?nocache=true");
    service.send_json("POST", &format!("{location}/complete"), "");
    let lines = || -> Vec<Value> {
        let lines = service.log().into_iter();
        let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
        lines
            .filter(|line| line["message"] == "new version")
            .collect()
    };
    eventually("all are there", || lines().len() >= 5);
    let lines = lines();
    let first = lines[0]["version"].as_u64().unwrap();
    let shown = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        let op = if line["op"].is_string() {
            "an op"
        } else {
            "no op"
        };
        let version = line["version"].as_u64().unwrap() - first;
        let (route, reason, tasks) = (text("route"), text("reason"), text("tasks"));
        format!("+{version} | {route} | {reason} | {tasks} | {op}")
    };
    let shown: Vec<String> = lines.iter().map(shown).collect();
    assert_snapshot!(shown.join("\n"), @r"
    +0 | POST /api/tasks | state made | - | no op
    +1 | POST /api/tasks | create | 0000 | an op
    +2 | PATCH /api/tasks/0000… | update | 0000 | an op
    +3 | POST /api/tasks/0000…/complete | complete | 0000 | an op
    +4 | GET /codex | files changed by others | - | no op
    ");
}

fn logged(say: impl FnOnce()) -> String {
    let log = LogBuffer::default();
    tracing::subscriber::with_default(log.subscriber(), say);
    log.text()
}

/// The Functions host tells warnings from errors by the word `warn`.
#[test]
fn a_line_is_a_warning_to_the_host_exactly_when_it_is_one() {
    let cause = r"Warnung \warn WARN swarn";
    let error = logged(|| tracing::error!(cause, "it failed: warn"));
    assert!(!error.to_lowercase().contains("warn"), "{error}");
    let parsed: Value = serde_json::from_str(&error).unwrap();
    assert_eq!(
        (&parsed["cause"], &parsed["message"]),
        (&cause.into(), &"it failed: warn".into())
    );
    let warning = logged(|| tracing::warn!("it is late"));
    assert!(warning.contains("WARN"), "{warning}");
}

#[test]
fn a_minute_is_summed_up_in_one_line() {
    let (storage, github) = (CallMetrics::default(), CallMetrics::default());
    let metrics = Metrics::new(storage.clone(), github);
    let runtime_stats = RuntimeStats {
        rebuilds: 3,
        unpushed: 2,
        oldest_unpushed: Some(Duration::from_secs(90)),
        ..RuntimeStats::default()
    };
    for (status, layer) in [
        (200, Some("memory")),
        (304, Some("memory")),
        (200, Some("rebuild")),
        (200, Some("stale")),
        (503, None),
        (404, None),
    ] {
        metrics.record_response(status, layer);
    }
    storage.record("get", CallOutcome::Answered, Duration::from_millis(4));
    storage.record("put", CallOutcome::Failed, Duration::from_millis(40));
    let summary = |runtime_stats: &RuntimeStats| -> String {
        let line: Value =
            serde_json::from_str(&logged(|| telemetry::log_summary(&metrics, runtime_stats)))
                .unwrap();
        let fields = line.as_object().unwrap().iter();
        let fields = fields
            .filter(|(name, _)| !["timestamp", "instance", "target"].contains(&name.as_str()));
        let fields: Vec<String> = fields
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        fields.join(" ")
    };
    assert_snapshot!(summary(&runtime_stats), @r#"artifact=0 cached_bytes=0 cached_users=0 failed=1 github_calls=0 github_failed=0 level="INFO" memory=2 message="summary" oldest_unpushed_s=90 pending=0 rebuild=1 rebuilds=3 redis=0 requests=6 stale=1 storage_calls=2 storage_failed=1 storage_slowest_ms=40 tasks=0 unpushed=2"#);
    assert_snapshot!(summary(&runtime_stats), @r#"artifact=0 cached_bytes=0 cached_users=0 failed=0 github_calls=0 github_failed=0 level="INFO" memory=0 message="summary" oldest_unpushed_s=90 pending=0 rebuild=0 rebuilds=0 redis=0 requests=0 stale=0 storage_calls=0 storage_failed=0 storage_slowest_ms=0 tasks=0 unpushed=2"#);
}

#[test]
fn metrics_are_for_who_has_the_token_and_name_nobody() {
    let (_folder, service) = service("info");
    let off = service.send("/metrics", "authorization: Bearer x\r\n");
    assert_eq!(off.status, 404);
    assert!(off.body.contains("set CODEX_METRICS_TOKEN"), "{}", off.body);
    let folder = tempfile::tempdir().unwrap();
    let mut command = codex_miroir();
    command.env("CODEX_DATA_DIR", folder.path());
    let token = "ein-langes-Kennwort";
    let service = Service::start(
        command
            .env("CODEX_METRICS_TOKEN", token)
            .env("CODEX_DEV_USER", "anna"),
    );
    // By then it has listed the folder, once.
    eventually("editors are followed", || {
        let log = service.log();
        log.iter()
            .any(|line| line.contains("watching the folder for changes by editors"))
    });
    for headers in [
        "",
        "authorization: Bearer ein-langes-Kennwor\r\n",
        "authorization: Basic ein-langes-Kennwort\r\n",
    ] {
        let refused = service.send("/metrics", headers);
        assert_eq!(
            (refused.status, refused.body.contains("token_invalid")),
            (401, true)
        );
    }
    for path in ["/codex", "/codex", "/api/tasks", "/api/tasks/0001", "/weg"] {
        service.get(path);
    }
    let answer = service.send("/metrics", &format!("authorization: Bearer {token}\r\n"));
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let counts = answer.body.lines().filter(|line| {
        let shown = [
            "codex_timeline",
            "codex_responses",
            "codex_rebuilds",
            "codex_cached_users",
        ];
        shown.iter().any(|it| line.starts_with(it))
    });
    let mut counts: Vec<&str> = counts.collect();
    counts.sort_unstable();
    assert_snapshot!(counts.join("\n"), @r#"
    codex_cached_users 1
    codex_rebuilds_total 1
    codex_responses_total{class="1xx"} 0
    codex_responses_total{class="2xx"} 3
    codex_responses_total{class="3xx"} 0
    codex_responses_total{class="4xx"} 5
    codex_responses_total{class="5xx"} 0
    codex_timeline_answers_total{layer="artifact"} 0
    codex_timeline_answers_total{layer="memory"} 2
    codex_timeline_answers_total{layer="rebuild"} 1
    codex_timeline_answers_total{layer="redis"} 0
    codex_timeline_answers_total{layer="stale"} 0
    "#);
    assert!(
        answer
            .body
            .contains(r#"codex_storage_call_seconds_count{operation="list",outcome="answered"} 2"#),
        "{}",
        answer.body
    );
    let times = answer.body.lines();
    let times = times.filter_map(|line| line.strip_prefix("codex_response_seconds_count"));
    let mut times: Vec<&str> = times.collect();
    times.sort_unstable();
    assert_snapshot!(times.join("\n"), @r#"
    {method="get",route="/api/tasks",class="2xx"} 1
    {method="get",route="/api/tasks/{id}",class="4xx"} 1
    {method="get",route="/codex",class="2xx"} 2
    {method="get",route="/metrics",class="4xx"} 3
    {method="get",route="other",class="4xx"} 1
    "#);
    let build = format!(
        "codex_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    assert!(answer.body.contains(&build), "{}", answer.body);
    // The connection of this request is one of them.
    let tasks = answer
        .body
        .lines()
        .find_map(|line| line.strip_prefix("codex_alive_tasks "));
    assert!(tasks.unwrap().parse::<u64>().unwrap() >= 1);
    assert!(answer.body.ends_with("# EOF\n") && !answer.body.contains("anna"));
}

/// A panic fails only the request it happens in.
#[tokio::test]
async fn a_panic_is_answered_as_a_defect() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    a.gate.break_next("get", "state/.probe");
    let reply = send(&a, get("/readyz")).await;
    assert_eq!(reply.status, 500);
    let problem = reply.json();
    assert_eq!(problem["code"], "internal");
    assert_eq!(problem["requestId"], reply.header("x-request-id"));
    assert_eq!(send(&a, get("/codex")).await.status, 200);
}
