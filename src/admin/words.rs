//! PURE. Formatting for a terminal.

/// Text with untrusted parts: control characters, which could inject terminal escapes, are escaped.
pub(super) fn escaped(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// A number with its noun, whose plural ends in "s".
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
