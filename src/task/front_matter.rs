//! Splits a task file into front matter and body (`src/task/README.md`, "The parts of a file").

use std::collections::HashSet;
use std::ops::Range;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::yaml::{self, Entry, Fault, Kind, Node};
use super::{Problem, ProblemCode};

/// Where the parts of a file stand, in bytes. What isn't in one of the three ranges is the
/// byte order mark, the opening line and the blank line before the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// The lines between the two `---` lines.
    pub(super) yaml: Range<usize>,
    /// The closing line with its line ending, which the end of the file may stand in for.
    pub(super) closing: Range<usize>,
    /// Everything after the closing line and the blank line that may follow it.
    pub(super) body: Range<usize>,
    /// The front matter's line ending: that of the opening line.
    pub(super) newline: &'static str,
}

/// What is wrong with an opening line that only looks like one: something stands before it that nobody sees.
fn hidden_opening(line: &str) -> Option<Problem> {
    let invisible = |c: char| c.general_category() == GeneralCategory::Format;
    let first = line.chars().next().filter(|c| invisible(*c))?;
    let rest = line.trim_start_matches(invisible);
    (rest.trim_ascii_end() == "---").then(|| Problem {
        line: Some(1),
        code: ProblemCode::UnsupportedFrontMatter,
        message: format!(
            "an invisible character (U+{:04X}) stands before the `---`: remove it",
            u32::from(first)
        ),
    })
}

/// Finds the parts. `None` when the file has no front matter at all.
pub(super) fn split(text: &str) -> Result<Option<Parts>, Problem> {
    let start = if text.starts_with('\u{FEFF}') {
        '\u{FEFF}'.len_utf8()
    } else {
        0
    };
    let opening = line_at(text, start);
    let Some(language) = part(text, &opening).strip_prefix("---") else {
        return hidden_opening(part(text, &opening)).map_or(Ok(None), Err);
    };
    if language.starts_with('-') {
        return Ok(None);
    }
    if !language.trim_ascii().is_empty() {
        let message = format!(
            "front matter in {} is not read; use YAML and a bare `---` line",
            quoted(language.trim_ascii())
        );
        return Err(Problem {
            line: Some(1),
            code: ProblemCode::UnsupportedFrontMatter,
            message,
        });
    }
    let newline = if part(text, &opening).ends_with("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let closing = closing_line(text, opening.end).ok_or_else(unclosed)?;
    let blank = line_at(text, closing.end);
    let has_blank = matches!(part(text, &blank), "\n" | "\r\n");
    let body = if has_blank { blank.end } else { closing.end };
    Ok(Some(Parts {
        yaml: opening.end..closing.start,
        closing,
        body: body..text.len(),
        newline,
    }))
}

fn unclosed() -> Problem {
    let message =
        "the front matter that starts here is never closed; add a line `---` after it".to_owned();
    Problem {
        line: Some(1),
        code: ProblemCode::UnclosedFrontMatter,
        message,
    }
}

/// The first line that is `---` and nothing else but blanks.
fn closing_line(text: &str, from: usize) -> Option<Range<usize>> {
    let mut line = line_at(text, from);
    while !line.is_empty() {
        let content = part(text, &line);
        if content
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim_ascii().is_empty())
        {
            return Some(line);
        }
        line = line_at(text, line.end);
    }
    None
}

/// The line that starts at `start`, with its line ending. Empty at the end of the text.
pub(super) fn line_at(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.find('\n').map_or(rest.len(), |end| end + 1)
}

/// The number of the line that byte `at` stands in, from 1.
pub(super) fn line_number(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let breaks = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).map_or(u32::MAX, |breaks| breaks.saturating_add(1))
}

/// `text[range]`, or nothing where that isn't a part of the text.
pub(super) fn part<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.clone()).unwrap_or_default()
}

/// Reads the YAML between the two lines. Blanks and comments alone are an empty mapping.
pub(super) fn read(text: &str, parts: &Parts) -> Result<Node, Problem> {
    let bad = |fault: Fault, code| Problem {
        line: Some(line_number(text, fault.at)),
        code,
        message: fault.what,
    };
    let empty = Node {
        range: parts.yaml.end..parts.yaml.end,
        kind: Kind::Mapping {
            entries: vec![],
            flow: false,
        },
    };
    let root =
        yaml::read(text, parts.yaml.clone()).map_err(|fault| bad(fault, ProblemCode::BadYaml))?;
    let root = root.unwrap_or(empty);
    if !matches!(root.kind, Kind::Mapping { .. }) {
        let what = "the front matter must be lines of `key: value`".to_owned();
        return Err(bad(
            Fault {
                at: root.range.start,
                what,
            },
            ProblemCode::BadYaml,
        ));
    }
    unique_keys(&root).map_err(|fault| bad(fault, ProblemCode::DuplicateKey))?;
    Ok(root)
}

/// Refuses the first key that stands twice in its mapping, at any depth.
fn unique_keys(node: &Node) -> Result<(), Fault> {
    match &node.kind {
        Kind::Scalar { .. } => Ok(()),
        Kind::Sequence { items, .. } => items.iter().try_for_each(unique_keys),
        Kind::Mapping { entries, .. } => {
            let mut seen = HashSet::new();
            entries.iter().try_for_each(|entry| {
                if !seen.insert(entry.key.as_str()) {
                    let what = format!(
                        "the key {} stands twice; keep one of them",
                        quoted(&entry.key)
                    );
                    return Err(Fault {
                        at: entry.key_range.start,
                        what,
                    });
                }
                unique_keys(&entry.value)
            })
        }
    }
}

/// The entry of `key` in a mapping.
pub(super) fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Entry> {
    match &node.kind {
        Kind::Mapping { entries, .. } => entries.iter().find(|entry| entry.key == key),
        _ => None,
    }
}

/// A short piece of `text` for a message: no more than 40 characters, controls escaped.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    let dots = if text.chars().nth(40).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{short}{dots}`")
}
