//! PURE. The report, as `--json` and as text. Labels are stable, so that scripts may search for them.

use std::fmt::{self, Formatter};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::admin::words::escaped;

/// Everything that determines what a user is shown (`src/admin/README.md`, "inspect"): the parts by name, in order. One
/// on a blob or a folder is an object with a `status`.
#[derive(Debug, Clone)]
pub struct InspectReport(pub(super) Vec<(&'static str, Value)>);

impl InspectReport {
    /// Whether everything could be read.
    pub fn is_complete(&self) -> bool {
        let have_failed = |part: &Value| part["failed"].as_array().is_some_and(|it| !it.is_empty());
        let mut parts = self.0.iter();
        parts.all(|(_, part)| part["status"] != "unreadable" && !have_failed(part))
    }

    /// Whether anything is stored for the user; what can't be read counts.
    pub fn is_there(&self) -> bool {
        // The blobs of other spellings are other users'.
        let mut own = self.0.iter().filter(|(name, _)| *name != "spellings");
        let is_there = |part: &Value| part["status"].as_str().is_some_and(|it| it != "absent");
        own.any(|(_, part)| is_there(part)) || !self.is_complete()
    }
}

impl Serialize for InspectReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, part)| (name, part)))
    }
}

impl fmt::Display for InspectReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.iter();
        parts.try_for_each(|(name, part)| member(f, 0, name, part))
    }
}

/// A line with the member's name and value; of an object its status, and what else it has on lines of their own, as are
/// the items of a list.
fn member(f: &mut Formatter<'_>, indent: usize, name: &str, value: &Value) -> fmt::Result {
    let text = match value {
        Value::Object(_) => plain(&value["status"]),
        Value::Array(items) if !items.is_empty() => String::new(),
        _ => plain(value),
    };
    let line = format!("{:indent$}{name}: {text}", "");
    writeln!(f, "{}", line.trim_end())?;
    let indent = indent + 2;
    match value {
        Value::Object(members) => {
            let mut members = members.iter().filter(|(name, _)| *name != "status");
            members.try_for_each(|(name, value)| member(f, indent, name, value))
        }
        Value::Array(items) => items.iter().try_for_each(|it| item(f, indent, it)),
        _ => Ok(()),
    }
}

/// A line with what a list's item has, its name first; objects and lists in it follow on lines of their own.
fn item(f: &mut Formatter<'_>, indent: usize, item: &Value) -> fmt::Result {
    let Value::Object(members) = item else {
        return writeln!(f, "{:indent$}{}", "", plain(item));
    };
    let is_nested = |(_, value): &(&String, &Value)| value.is_object() || value.is_array();
    let (nested, mut own): (Vec<_>, Vec<_>) = members.iter().partition(is_nested);
    own.sort_by_key(|(name, _)| *name != "name");
    let own: Vec<String> = own
        .iter()
        .map(|(name, it)| format!("{name}: {}", plain(it)))
        .collect();
    writeln!(f, "{:indent$}{}", "", own.join(", "))?;
    let mut nested = nested.into_iter();
    nested.try_for_each(|(name, value)| member(f, indent + 2, name, value))
}

/// A value on one line; `-` is what is unknown or doesn't exist.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => escaped(text),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        _ => value.to_string(),
    }
}
