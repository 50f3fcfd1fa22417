//! Splits a task file into front matter and body (`src/task/README.md`, "The parts of a file").

use std::collections::HashSet;
use std::ops::Range;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::content::{Problem, ProblemCode};
use super::text::{line_at, line_number, lines, quoted, slice};
use super::yaml::{self, Node, NodeKind, YamlError};

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
    (rest.trim_ascii_end() == "---").then(|| {
        let first = u32::from(first);
        let message =
            format!("an invisible character (U+{first:04X}) stands before the `---`: remove it");
        unsupported(message)
    })
}

fn unsupported(message: String) -> Problem {
    Problem::new(1, ProblemCode::UnsupportedFrontMatter, message)
}

/// Finds the parts. `Ok(None)` if the file has no front matter.
pub(super) fn split(text: &str) -> Result<Option<FileParts>, Problem> {
    let unmarked = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let start = text.len() - unmarked.len();
    let opening = line_at(text, start);
    let Some(language) = slice(text, &opening).strip_prefix("---") else {
        return invisible_prefix_problem(slice(text, &opening)).map_or(Ok(None), Err);
    };
    if language.starts_with('-') {
        return Ok(None);
    }
    if !language.trim_ascii().is_empty() {
        let language = quoted(language.trim_ascii());
        let message =
            format!("front matter in {language} is not read; use YAML and a bare `---` line");
        return Err(unsupported(message));
    }
    let is_crlf = slice(text, &opening).ends_with("\r\n");
    let newline = if is_crlf { "\r\n" } else { "\n" };
    let closing = closing_line(text, opening.end).ok_or_else(|| {
        let message =
            "the front matter that starts here is never closed; add a line `---` after it";
        Problem::new(1, ProblemCode::UnclosedFrontMatter, message)
    })?;
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

/// The first line that consists of `---` and optional trailing whitespace.
fn closing_line(text: &str, from: usize) -> Option<Range<usize>> {
    let rest = text.get(from..).unwrap_or_default();
    let (start, line) = lines(rest).find(|(_, line)| {
        let after = line.strip_prefix("---");
        after.is_some_and(|after| after.trim_ascii().is_empty())
    })?;
    Some(from + start..from + start + line.len())
}

/// Parses the YAML between the two lines. Whitespace and comments alone give an empty mapping.
pub(super) fn read(text: &str, parts: &FileParts) -> Result<Node, Problem> {
    let bad = |code| {
        move |error: YamlError| Problem::new(line_number(text, error.offset), code, error.message)
    };
    let root = yaml::read(text, parts.yaml.clone()).map_err(bad(ProblemCode::BadYaml))?;
    let (entries, flow) = (vec![], false);
    let root = root.unwrap_or(Node {
        range: parts.yaml.end..parts.yaml.end,
        kind: NodeKind::Mapping { entries, flow },
    });
    if !matches!(root.kind, NodeKind::Mapping { .. }) {
        let message = "the front matter must be lines of `key: value`";
        let error = YamlError::new(root.range.start, message);
        return Err(bad(ProblemCode::BadYaml)(error));
    }
    unique_keys(&root).map_err(bad(ProblemCode::DuplicateKey))?;
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
                    let key = quoted(&entry.key);
                    let message = format!("the key {key} stands twice; keep one of them");
                    return Err(YamlError::new(entry.key_range.start, message));
                }
                unique_keys(&entry.value)
            })
        }
    }
}

/// The markdown after the front matter; all of `text` if the front matter is missing or malformed.
pub fn body_of(text: &str) -> &str {
    match split(text) {
        Ok(Some(parts)) => slice(text, &parts.body),
        Ok(None) | Err(_) => text,
    }
}
