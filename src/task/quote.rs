//! Which text may be stored, and how it is quoted as a YAML scalar (`src/task/README.md`, "Changing a file").

use super::content::{MAX_FILE_BYTES, Problem};
use super::yaml::MAX_NODES;

/// Why a task file can't be written or edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The field contains a control character or a Unicode noncharacter, or a line break in a single-line field.
    #[error("{field} holds a control character, a line break or a non-character; remove it")]
    BadText {
        /// The field's name in API responses.
        field: &'static str,
    },
    /// The result would exceed [`MAX_FILE_BYTES`] or have more tags than the parser accepts.
    #[error("the task would be larger than a file may be ({MAX_FILE_BYTES} bytes); shorten it")]
    TooLarge,
    /// The layout of the front matter doesn't allow this change without touching something else.
    #[error(
        "the front matter can't be changed here without touching something else; edit line {line} by hand"
    )]
    NotEditable {
        /// Line in the file, from 1.
        line: u32,
    },
    /// The file can't be parsed.
    #[error("the file can't be read: {}", .0.message)]
    Unreadable(Problem),
    /// The file isn't a task.
    #[error("the file is not a task; its front matter needs `typ: task`")]
    NotATask,
}

/// Below [`MAX_NODES`], which leaves room for the other fields and a few custom keys.
const MAX_TAGS: usize = MAX_NODES - 100;

/// Rejects what a single-line field can't contain: control characters (line breaks included) and Unicode noncharacters.
/// U+0085 is allowed although it is a control character; it is written as an escape.
pub(super) fn check_line(field: &'static str, text: &str) -> Result<(), EditError> {
    let fits = text.chars().all(is_storable);
    fits.then_some(()).ok_or(EditError::BadText { field })
}

/// Rejects tags that can't be stored: an invalid one, or so many that the file couldn't be parsed.
pub(super) fn check_tags(tags: &[String]) -> Result<(), EditError> {
    tags.iter().try_for_each(|tag| check_line("tags", tag))?;
    let fits = tags.len() <= MAX_TAGS;
    fits.then_some(()).ok_or(EditError::TooLarge)
}

pub(super) fn check_size(text: &str) -> Result<(), EditError> {
    let fits = text.len() <= MAX_FILE_BYTES;
    fits.then_some(()).ok_or(EditError::TooLarge)
}

/// Rejects what a body can't contain: as [`check_line`], but tabs and line breaks are allowed.
pub(super) fn check_body(text: &str) -> Result<(), EditError> {
    let is_fine = |c| matches!(c, '\t' | '\r' | '\n') || is_storable(c);
    let fits = text.chars().all(is_fine);
    fits.then_some(())
        .ok_or(EditError::BadText { field: "body" })
}

fn is_storable(c: char) -> bool {
    let noncharacter = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE;
    (!c.is_control() || c == '\u{85}') && !noncharacter
}

/// Writes `text` as a single-line scalar that YAML 1.1 and 1.2 both parse back to exactly this string, in block and
/// flow style: plain if unambiguous, else in the kind of quotes that needs no escapes.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if text.chars().any(|c| escape(c).is_some())
        || (text.contains('\'') && !text.contains(['"', '\\']))
    {
        double_quoted(text)
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match escape(c) {
            Some(escaped) => quoted.push_str(escaped),
            None if matches!(c, '"' | '\\') => quoted.extend(['\\', c]),
            None => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Characters that must be escaped: YAML 1.1 treats the first three as line breaks, YAML 1.2 may read the last as the
/// start of a document.
fn escape(c: char) -> Option<&'static str> {
    match c {
        '\u{85}' => Some("\\N"),
        '\u{2028}' => Some("\\L"),
        '\u{2029}' => Some("\\P"),
        '\u{FEFF}' => Some("\\uFEFF"),
        _ => None,
    }
}

/// Whether `text` is unambiguous as a plain scalar: it starts with a letter (so it is no number, date or indicator),
/// has no character with a meaning in YAML, and isn't a YAML 1.1 keyword.
fn is_plain(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric() || is_content_only(c);
    text.starts_with(|c: char| edge(c) && !c.is_ascii_digit())
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || " -_./+()@".contains(c))
        && !is_yaml_keyword(text)
}

/// A character that every YAML version treats as content only.
fn is_content_only(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && escape(c).is_none()
}

fn is_yaml_keyword(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}
