//! The headers that both forms treat alike.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::wire;

/// Hop-by-hop headers, which are never forwarded.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

const HOST_VERSION: &str = "4.1045.200.25556";

/// Removes the hop-by-hop headers, and those that `Connection` names as such.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Adds the headers that every call of the process carries.
pub(super) fn mark(headers: &mut HeaderMap, port: u16) {
    set(headers, HOST.as_str(), &format!("127.0.0.1:{port}"));
    set(headers, "x-azure-functions-hostversion", HOST_VERSION);
    set(headers, "x-azure-functions-invocationid", &wire::guid());
    let parent = traceparent(headers.get("traceparent"));
    set(headers, "traceparent", &parent);
}

pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).unwrap());
}

/// A span of the host's own, in the caller's trace if the request names one.
fn traceparent(given: Option<&HeaderValue>) -> String {
    let given = given.and_then(|value| value.to_str().ok());
    let trace = given.and_then(|value| value.split('-').nth(1));
    let own = wire::guid().replace('-', "");
    let trace = trace.filter(|it| it.len() == 32).unwrap_or(&own);
    format!("00-{trace}-{:016x}-01", getrandom::u64().unwrap())
}
