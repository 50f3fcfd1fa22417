//! Format of a log line: the event's own fields first, then those of the current request.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde::ser::{SerializeMap, Serializer};
use tracing::{Event, Level, Subscriber};
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use crate::context;

/// One JSON object per line.
pub(super) struct JsonEventFormat;

impl<S> FormatEvent<S, DefaultFields> for JsonEventFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = object(event).map_err(|_| fmt::Error)?;
        let line = String::from_utf8(line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{}", escape_warn(&line, *event.metadata().level()))
    }
}

/// The Functions host classifies a stderr line that contains "warn" as a warning. So in an error line the word's first
/// letter becomes a JSON escape, which parses to the same text.
fn escape_warn(line: &str, level: Level) -> String {
    if level != Level::ERROR {
        return line.to_owned();
    }
    let mut escaped = String::with_capacity(line.len() + 8);
    let mut rest = line;
    let is_warn = |it: &[u8]| it.eq_ignore_ascii_case(b"warn");
    while let Some(at) = rest.as_bytes().windows(4).position(is_warn) {
        escaped += &rest[..at];
        escaped += &format!(r"\u{:04x}", rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    escaped + rest
}

fn object(event: &Event<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    let mut map = serializer.serialize_map(None)?;
    let metadata = event.metadata();
    map.serialize_entry("timestamp", &timestamp())?;
    map.serialize_entry("level", metadata.level().as_str())?;
    let mut visitor = SerdeMapVisitor::new(map);
    event.record(&mut visitor);
    let mut map = visitor.take_serializer()?;
    let mut failed = Ok(());
    for_each_request_field(|name, value| {
        // The event's own field takes precedence.
        if metadata.fields().field(name).is_none() && failed.is_ok() {
            failed = map.serialize_entry(name, &value.to_string());
        }
    });
    failed?;
    map.serialize_entry("instance", context::instance())?;
    map.serialize_entry("target", metadata.target())?;
    map.end()?;
    Ok(bytes)
}

/// An error line outside of `tracing`, for failures before logging has started.
pub(super) fn failure(message: &str) -> String {
    let (level, instance) = (Level::ERROR.as_str(), context::instance());
    let line = serde_json::json!({
        "timestamp": timestamp(), "level": level, "message": message, "instance": instance,
    });
    escape_warn(&line.to_string(), Level::ERROR)
}

/// The wall clock's time, which only the readers of the log use.
fn timestamp() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Passes each known field of the current request to `record`.
fn for_each_request_field(mut record: impl FnMut(&'static str, &dyn fmt::Display)) {
    context::with_request(|request| {
        record("request_id", &request.id());
        record("route", &request.route());
        if let Some(user) = request.user() {
            record("user", user);
        }
        if let Some(id) = request.invocation_id() {
            record("invocation_id", &id);
        }
        if let Some((trace, span)) = request.trace() {
            record("trace_id", &trace);
            record("span_id", &span);
        }
    });
}

/// For the text format at a terminal: the time, then the request's id and user.
pub(super) struct TimeAndRequest;

impl FormatTime for TimeAndRequest {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        SystemTime.format_time(writer)?;
        let mut written = Ok(());
        context::with_request(|request| {
            written = match request.user() {
                Some(user) => write!(writer, " {} {user}", request.id()),
                None => write!(writer, " {}", request.id()),
            };
        });
        written
    }
}
