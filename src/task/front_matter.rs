//! Splits a task file into front matter and body (`src/task/README.md`, "The parts of a file").

use std::collections::HashSet;
use std::ops::Range;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::yaml::{self, MappingEntry, Node, NodeKind, YamlError};
use super::{Problem, ProblemCode};

/// The byte ranges of a file's parts. The three ranges leave out the byte order mark, the opening line and the blank
/// line before the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileParts {
    /// The lines between the two `---` lines.
    pub(super) yaml: Range<usize>,
    /// The closing line with its line ending, which may be missing at the end of the file.
    pub(super) closing: Range<usize>,
    /// Everything after the closing line and an optional blank line.
    pub(super) body: Range<usize>,
    /// The front matter's line ending: that of the opening line.
    pub(super) newline: &'static str,
}

/// The problem of an opening line with an invisible (format) character before its `---`.
fn invisible_prefix_problem(line: &str) -> Option<Problem> {
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

/// Finds the parts. `Ok(None)` if the file has no front matter.
pub(super) fn split(text: &str) -> Result<Option<FileParts>, Problem> {
    let start = if text.starts_with('\u{FEFF}') {
        '\u{FEFF}'.len_utf8()
    } else {
        0
    };
    let opening = line_at(text, start);
    let Some(language) = slice(text, &opening).strip_prefix("---") else {
        return invisible_prefix_problem(slice(text, &opening)).map_or(Ok(None), Err);
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
    let newline = if slice(text, &opening).ends_with("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let closing = closing_line(text, opening.end).ok_or_else(unclosed_front_matter)?;
    let blank = line_at(text, closing.end);
    let has_blank = matches!(slice(text, &blank), "\n" | "\r\n");
    let body = if has_blank { blank.end } else { closing.end };
    Ok(Some(FileParts {
        yaml: opening.end..closing.start,
        closing,
        body: body..text.len(),
        newline,
    }))
}

fn unclosed_front_matter() -> Problem {
    let message =
        "the front matter that starts here is never closed; add a line `---` after it".to_owned();
    Problem {
        line: Some(1),
        code: ProblemCode::UnclosedFrontMatter,
        message,
    }
}

/// The first line that consists of `---` and optional trailing whitespace.
fn closing_line(text: &str, from: usize) -> Option<Range<usize>> {
    let mut line = line_at(text, from);
    while !line.is_empty() {
        let content = slice(text, &line);
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

/// The line that starts at `start`, including its line ending. Empty at the end of the text.
pub(super) fn line_at(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.find('\n').map_or(rest.len(), |end| end + 1)
}

/// The 1-based number of the line that contains byte `at`.
pub(super) fn line_number(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let breaks = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).map_or(u32::MAX, |breaks| breaks.saturating_add(1))
}

/// `text[range]`, or an empty string if the range isn't valid for `text`.
pub(super) fn slice<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.clone()).unwrap_or_default()
}

/// Parses the YAML between the two lines. Whitespace and comments alone give an empty mapping.
pub(super) fn read(text: &str, parts: &FileParts) -> Result<Node, Problem> {
    let bad = |error: YamlError, code| Problem {
        line: Some(line_number(text, error.offset)),
        code,
        message: error.message,
    };
    let empty = Node {
        range: parts.yaml.end..parts.yaml.end,
        kind: NodeKind::Mapping {
            entries: vec![],
            flow: false,
        },
    };
    let root =
        yaml::read(text, parts.yaml.clone()).map_err(|error| bad(error, ProblemCode::BadYaml))?;
    let root = root.unwrap_or(empty);
    if !matches!(root.kind, NodeKind::Mapping { .. }) {
        let message = "the front matter must be lines of `key: value`".to_owned();
        return Err(bad(
            YamlError {
                offset: root.range.start,
                message,
            },
            ProblemCode::BadYaml,
        ));
    }
    unique_keys(&root).map_err(|error| bad(error, ProblemCode::DuplicateKey))?;
    Ok(root)
}

/// Fails at the first key that occurs twice in one mapping, at any depth.
fn unique_keys(node: &Node) -> Result<(), YamlError> {
    match &node.kind {
        NodeKind::Scalar { .. } => Ok(()),
        NodeKind::Sequence { items, .. } => items.iter().try_for_each(unique_keys),
        NodeKind::Mapping { entries, .. } => {
            let mut seen = HashSet::new();
            entries.iter().try_for_each(|entry| {
                if !seen.insert(entry.key.as_str()) {
                    let message = format!(
                        "the key {} stands twice; keep one of them",
                        quoted(&entry.key)
                    );
                    return Err(YamlError {
                        offset: entry.key_range.start,
                        message,
                    });
                }
                unique_keys(&entry.value)
            })
        }
    }
}

/// The entry of `key`, if `node` is a mapping that has it.
pub(super) fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a MappingEntry> {
    match &node.kind {
        NodeKind::Mapping { entries, .. } => entries.iter().find(|entry| entry.key == key),
        _ => None,
    }
}

/// An excerpt of `text` for messages: at most 40 characters, control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    let dots = if text.chars().nth(40).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{short}{dots}`")
}
