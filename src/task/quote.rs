//! Which texts may be stored, and how a text is quoted as a YAML scalar (`src/task/README.md`, "Changing a file").

use super::yaml::MAX_NODES;
use super::{EditError, MAX_FILE_BYTES};

/// Leaves room for the other fields and a few keys of the person's own.
const MAX_TAGS: usize = MAX_NODES - 100;

/// Refuses what a field of one line can't hold: control characters, line breaks among them, and
/// Unicode's non-characters. U+0085 is a control character by class only; it is written escaped.
pub(super) fn check_line(field: &'static str, text: &str) -> Result<(), EditError> {
    if text.chars().all(is_storable) {
        Ok(())
    } else {
        Err(EditError::BadText { field })
    }
}

/// Refuses tags that can't be stored: one of them, or so many that the file couldn't be read.
pub(super) fn check_tags(tags: &[String]) -> Result<(), EditError> {
    tags.iter().try_for_each(|tag| check_line("tags", tag))?;
    if tags.len() > MAX_TAGS {
        Err(EditError::TooLarge)
    } else {
        Ok(())
    }
}

/// Refuses a text that is too long for a file.
pub(super) fn check_size(text: &str) -> Result<(), EditError> {
    if text.len() > MAX_FILE_BYTES {
        Err(EditError::TooLarge)
    } else {
        Ok(())
    }
}

/// Refuses what a body can't hold: as in a line, but tabs and line breaks are fine.
pub(super) fn check_body(text: &str) -> Result<(), EditError> {
    let fine = |c| matches!(c, '\t' | '\r' | '\n') || is_storable(c);
    if text.chars().all(fine) {
        Ok(())
    } else {
        Err(EditError::BadText { field: "body" })
    }
}

fn is_storable(c: char) -> bool {
    let noncharacter = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE;
    (!c.is_control() || c == '\u{85}') && !noncharacter
}

/// `text` on one line, so that YAML 1.1 and 1.2 both read exactly this string back, in block and in
/// flow style: bare if that is beyond doubt, else in the quotes that need no escapes.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if text.chars().any(|c| escape(c).is_some())
        || (text.contains('\'') && !text.contains(['"', '\\']))
    {
        double(text)
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn double(text: &str) -> String {
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

/// What must not stand in a file as it is: YAML 1.1 breaks lines at the first three, and YAML 1.2
/// takes the last for the start of a document.
fn escape(c: char) -> Option<&'static str> {
    match c {
        '\u{85}' => Some("\\N"),
        '\u{2028}' => Some("\\L"),
        '\u{2029}' => Some("\\P"),
        '\u{FEFF}' => Some("\\uFEFF"),
        _ => None,
    }
}

/// Starts with a letter, so it is no number, date or indicator; holds no character that YAML
/// knows anything about; isn't one of YAML 1.1's words.
fn is_plain(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric() || is_foreign(c);
    text.starts_with(|c: char| edge(c) && !c.is_ascii_digit())
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || " -_./+()@".contains(c))
        && !is_word_of_yaml(text)
}

/// A character that is only ever content, to any YAML.
fn is_foreign(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && escape(c).is_none()
}

fn is_word_of_yaml(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}
