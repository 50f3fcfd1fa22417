//! How a line looks: the event's own fields first, then what is known of the request.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde::ser::{SerializeMap, Serializer};
use tracing::{Event, Level, Subscriber};
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use crate::context::{self, RequestContext};

/// One JSON object a line.
pub(super) struct Json;

impl<S> FormatEvent<S, DefaultFields> for Json
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
        writeln!(writer, "{}", for_host(&line, *event.metadata().level()))
    }
}

/// The host takes a line of stderr for a warning when it finds "warn" in it, so an error may not contain it
/// in plain; an escape of JSON means the same to who parses it.
fn for_host(line: &str, level: Level) -> String {
    if level != Level::ERROR {
        return line.to_owned();
    }
    let mut told = String::with_capacity(line.len() + 8);
    let mut rest = line;
    while let Some(at) = find_warn(rest) {
        let first = if rest[at..].starts_with('w') {
            r"\u0077"
        } else {
            r"\u0057"
        };
        told.push_str(&rest[..at]);
        told.push_str(first);
        rest = &rest[at + 1..];
    }
    told + rest
}

fn find_warn(text: &str) -> Option<usize> {
    let mut windows = text.as_bytes().windows(4);
    windows.position(|it| it.eq_ignore_ascii_case(b"warn"))
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
    each_of_request(|name, value| {
        // The line's own word counts.
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

/// An error that no event tells of.
pub(super) fn failure(message: &str) -> String {
    let (level, instance) = (Level::ERROR.as_str(), context::instance());
    let line = serde_json::json!({
        "timestamp": timestamp(), "level": level, "message": message, "instance": instance,
    });
    for_host(&line.to_string(), Level::ERROR)
}

/// When a line is written: by the wall clock, which nothing but a reader of the log goes by.
fn timestamp() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What is known of the present request, by name.
fn each_of_request(mut tell: impl FnMut(&'static str, &dyn fmt::Display)) {
    context::with_request(|request: &RequestContext| {
        tell("request_id", &request.id());
        tell("route", &request.route());
        if let Some(user) = request.user() {
            tell("user", user);
        }
        if let Some(id) = request.invocation_id() {
            tell("invocation_id", &id);
        }
        if let Some((trace, span)) = request.trace() {
            tell("trace_id", &trace);
            tell("span_id", &span);
        }
    });
}

/// For lines at a terminal: after the time, which request it is about, and whose.
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
