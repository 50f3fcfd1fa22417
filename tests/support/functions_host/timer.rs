//! A timer's call: the JSON form.

use axum::body::Body;
use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use futures::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::headers::mark;
use super::wire;
use super::worker::Worker;

/// The process's answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Said {
    pub(crate) outputs: Map<String, Value>,
    pub(crate) logs: Vec<String>,
    pub(crate) return_value: Option<Value>,
}

/// Why the host counts an invocation as failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// There was no answer.
    Gone,
    /// The status isn't a success; the host discards the rest of the answer.
    Status(StatusCode),
    /// Not JSON, by its media type or by its content.
    NotJson(String),
    /// Empty, or `null`: the host would wait until the function times out.
    Nothing,
}

/// Calls a timer's function.
pub(super) async fn fire(worker: &Worker, function: &str, binding: &str) -> Result<Said, Failure> {
    let body = body(function, binding).to_string();
    // In chunks, so that the request has no declared length.
    let (head, tail) = body.split_at(body.len() / 2);
    let pieces =
        [head, tail].map(|it| Ok::<_, std::io::Error>(Bytes::copy_from_slice(it.as_bytes())));
    let request = Request::post(format!("/{function}"))
        .header(CONTENT_TYPE, "application/json; charset=utf-8");
    let mut request = request
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap();
    mark(request.headers_mut(), worker.port());
    let answer = wire::send(worker.port(), request)
        .await
        .map_err(|_| Failure::Gone)?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Failure::Gone)?;
    outcome(parts.status, &parts.headers, &body.to_bytes())
}

fn body(function: &str, binding: &str) -> Value {
    let timer =
        json!({"Schedule": {"AdjustForDST": true}, "ScheduleStatus": null, "IsPastDue": false});
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let sys = json!({"MethodName": function, "UtcNow": now, "RandGuid": wire::guid()});
    json!({"Data": {binding: timer}, "Metadata": {"sys": sys}})
}

/// The outcome of an answer.
pub(crate) fn outcome(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Said, Failure> {
    if !status.is_success() {
        return Err(Failure::Status(status));
    }
    if body.is_empty() || body == b"null" {
        return Err(Failure::Nothing);
    }
    let not_json = |what: &dyn ToString| Failure::NotJson(what.to_string());
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let mime = kind.split(';').next().unwrap_or("").trim();
    if !mime.eq_ignore_ascii_case("application/json") {
        return Err(not_json(&kind));
    }
    serde_json::from_slice(body).map_err(|error| not_json(&error))
}
