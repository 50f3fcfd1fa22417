//! Places and lines in a file's text.

use std::ops::Range;

/// The line that starts at `start`, including its line ending. Empty at the end of the text.
pub(super) fn line_at(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.find('\n').map_or(rest.len(), |end| end + 1)
}

/// The 1-based number of the line that contains byte `at`.
pub(super) fn line_number(text: impl AsRef<[u8]>, at: usize) -> u32 {
    let text = text.as_ref();
    let before = text.get(..at).unwrap_or(text);
    let breaks = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).map_or(u32::MAX, |breaks| breaks.saturating_add(1))
}

/// `text[range]`, or an empty string if the range isn't valid for `text`.
pub(super) fn slice<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.clone()).unwrap_or_default()
}

/// The start of the line that contains byte `at`.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.rfind('\n').map_or(0, |end| end + 1)
}

/// The lines of `text` including their line endings, each with its start offset.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |end, line| {
        let start = *end;
        *end += line.len();
        Some((start, line))
    })
}

/// An excerpt of `text` for messages: at most 40 characters, control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    let dots = text.chars().nth(40).map_or("", |_| "…");
    format!("`{short}{dots}`")
}
