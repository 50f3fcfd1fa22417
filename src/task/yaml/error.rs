//! The parser's events and their limits, and error messages that explain the problem and name the line at fault. The
//! parser only reports where it had to stop, which may be lines later.

use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScanError, Span, options};

use super::super::text::{line_start, lines, quoted, slice};

/// The maximum nesting depth of collections, counting the outermost mapping.
pub(super) const MAX_DEPTH: usize = 16;
/// The maximum number of nodes: scalars, keys included, and collections.
pub(in crate::task) const MAX_NODES: usize = 2_000;

/// Parser events for `source`. The parser's lookahead is bounded: a key may have 1,024 characters.
pub(super) fn events(source: &str) -> impl Iterator<Item = Result<(Event<'_>, Span), ScanError>> {
    Parser::new_from_str_with_options(source, options! { disallow_directives: true })
}

/// A parse error and its byte offset in the file.
#[derive(Debug)]
pub(in crate::task) struct YamlError {
    pub(in crate::task) offset: usize,
    pub(in crate::task) message: String,
}

impl YamlError {
    pub(in crate::task) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
        }
    }
}

const TAB: &str = "this line is indented by a tab; indent it by spaces";
const NO_COLON: &str = "this line has no `: ` between a key and a value; write `key: value`, or indent the line below the key it belongs to";

pub(super) fn too_many(at: usize) -> YamlError {
    let what = format!("the front matter holds more than {MAX_NODES} values; shorten it");
    YamlError::new(at, what)
}

pub(super) fn too_deep(at: usize) -> YamlError {
    let what = format!("the front matter is nested more than {MAX_DEPTH} deep; flatten it");
    YamlError::new(at, what)
}

/// What is valid YAML but not read here, and what to do instead.
pub(super) type Unsupported = [&'static str; 2];

/// An alias `*x`, or a value that looks like one.
pub(super) const ALIAS: Unsupported =
    ["an alias (`*`)", "write the value out, or put it in quotes"];
pub(super) const ANCHOR: Unsupported = ["an anchor (`&`)", "remove it, or put the value in quotes"];
pub(super) const TAG: Unsupported = ["a tag (`!`)", "remove it, or put the value in quotes"];
pub(super) const SECOND_DOCUMENT: Unsupported =
    ["a second YAML document", "remove its `---` or `...` line"];
const COMPLEX_KEY: Unsupported = [
    "a complex key (a list, keys, or a `?`)",
    "a key must be a word",
];
const DIRECTIVE: Unsupported = ["a directive (`%`)", "remove the line"];

pub(super) fn unsupported(at: usize, [what, instead]: Unsupported) -> YamlError {
    YamlError::new(at, format!("{what} is not read here; {instead}"))
}

/// A collection or a `?` indicator in key position.
pub(super) fn complex_key(text: &str, at: usize) -> YamlError {
    placeholder(text, at).unwrap_or_else(|| unsupported(at, COMPLEX_KEY))
}

/// The first Git conflict marker, if the front matter has a start or end marker. Inside quotes or brackets such a line
/// could be part of a value, but is treated as a conflict, too. A `=======` line alone isn't, since it may be intended.
pub(super) fn conflict(text: &str, yaml: &Range<usize>) -> Option<YamlError> {
    let ends = |line: &str| line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>");
    let any = lines(slice(text, yaml)).any(|(_, line)| ends(line));
    any.then(|| conflict_line(text, yaml)).flatten()
}

/// The first conflict marker of any kind, for input that failed to parse anyway.
pub(super) fn conflict_line(text: &str, yaml: &Range<usize>) -> Option<YamlError> {
    lines(slice(text, yaml)).find_map(|(start, line)| {
        let marker = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"]
            .into_iter()
            .find(|marker| line.starts_with(marker))?;
        let rest = line.get(marker.len()..)?;
        (rest.is_empty() || rest.starts_with([' ', '\r', '\n'])).then(|| {
            let what = format!(
                "Git left a conflict here (`{marker}`); keep one version and remove the lines with the marks"
            );
            YamlError::new(yaml.start + start, what)
        })
    })
}

/// A template placeholder that starts a value on the line around `at`: `{{date}}`, `{% date %}`.
fn placeholder(text: &str, at: usize) -> Option<YamlError> {
    let start = line_start(text, at);
    let line = text.get(start..)?.lines().next()?;
    let ends = |(open, close): (&str, &str)| {
        let from = line.find(open)?;
        let length = line.get(from..)?.find(close)? + close.len();
        let before = line.get(..from)?.trim_end();
        let begins = before.is_empty() || before.ends_with([':', '-', '[', '{', ',']);
        // Inside quotes or a comment it is no placeholder.
        let plain = !before.contains(['\'', '"', '#']);
        (begins && plain).then_some(from..from + length)
    };
    let found = [("{{", "}}"), ("{%", "%}")].into_iter().find_map(ends)?;
    let shown = quoted(slice(line, &found));
    let what = format!(
        "{shown} is a placeholder that no template filled in; write the value, or put it in quotes"
    );
    Some(YamlError::new(start + found.start, what))
}

/// Explains the parser's `error` in `source`; offsets are in bytes of `source`.
pub(super) fn from_scan_error(source: &str, error: &ScanError) -> YamlError {
    use ErrorKind as Kind;
    // Always present for a `&str` input.
    let at = error.marker().byte_offset().unwrap_or(source.len());
    let kind = error.kind();
    if let Some(explained) = placeholder(source, at).or_else(|| unclosed_earlier(source, at, kind))
    {
        return explained;
    }
    let rest = source.get(at..).unwrap_or_default();
    let first = rest.chars().next().unwrap_or_default();
    let what = match kind {
        Kind::RecursionLimitExceeded => return too_deep(at),
        Kind::UnknownAnchor => return unsupported(at, ALIAS),
        Kind::DirectiveDisallowed => return unsupported(at, DIRECTIVE),
        Kind::UndeclaredTagHandle | Kind::MissingTagUri => return unsupported(at, TAG),
        Kind::TabInPlainScalar | Kind::TabAtBlockScalarStart => {
            return YamlError::new(line_with_tab(source, at), TAB);
        }
        Kind::UnknownQuotedScalarEscape => return unknown_escape(source, at),
        Kind::MappingValueNotAllowed => return misplaced_colon(source, at),
        Kind::ExpectedBlockMappingKey
        | Kind::ExpectedBlockSequenceEntry
        | Kind::ExpectedDocumentStart => out_of_place(source, at).to_owned(),
        Kind::MismatchedFlowCollectionEnd { open, close } => {
            format!("the `{open}` that opens here is closed by a `{close}`")
        }
        Kind::MisplacedFlowCollectionEnd => {
            format!(
                "nothing was opened that this `{first}` could close; remove it, or put the value in quotes"
            )
        }
        Kind::InvalidBlockScalarHeader => {
            format!(
                "after `{first}` a text begins in the next line; put the value in quotes if none is meant"
            )
        }
        // The parser reports the start of the text that contains the character.
        Kind::UnexpectedCharacter { character } if !character.is_ascii_graphic() => {
            let what = format!(
                "an unprintable character (U+{:04X}) stands here; remove it",
                u32::from(*character)
            );
            return YamlError::new(at + rest.find(*character).unwrap_or(0), what);
        }
        Kind::UnexpectedCharacter { .. }
        | Kind::MappingKeyNotAllowed
        | Kind::MissingAnchorOrAliasName => {
            format!("a value can't begin with `{first}`; put it in quotes")
        }
        kind => match fixed_message(kind) {
            Some(what) => what.to_owned(),
            None if first == ',' => "this comma has no value before it; remove it".to_owned(),
            None => format!("the front matter is not valid YAML ({})", error.info()),
        },
    };
    YamlError::new(at, what)
}

/// The message of a kind of error that says it all.
fn fixed_message(kind: &ErrorKind) -> Option<&'static str> {
    use ErrorKind as Kind;
    Some(match kind {
        Kind::TabInBlockIndentation | Kind::TabNotAllowed | Kind::InvalidBlockEntryWhitespace => {
            TAB
        }
        Kind::SimpleKeyExpected => NO_COLON,
        Kind::InvalidTrailingSingleQuotedScalar => {
            "more text follows the closing `'`; put the whole value in quotes, and write `''` for a `'` inside"
        }
        Kind::InvalidTrailingDoubleQuotedScalar => {
            "more text follows the closing `\"`; put the whole value in quotes, and write `\\\"` for a `\"` inside"
        }
        Kind::InvalidQuotedScalarHexEscape
        | Kind::InvalidLowSurrogateHexEscape
        | Kind::InvalidLowSurrogate
        | Kind::MissingLowSurrogate
        | Kind::UnpairedLowSurrogate
        | Kind::InvalidUnicodeEscape => {
            "a `\\x`, `\\u` or `\\U` in these double quotes names no character; write `\\\\` for a `\\`, or use single quotes"
        }
        Kind::ExpectedFlowSequenceSeparator | Kind::ExpectedFlowMappingSeparator => {
            "a comma is missing before this, inside the brackets"
        }
        Kind::InvalidColonPlacement => {
            "this `:` is not in the line of its key, inside the brackets; is a comma missing before it?"
        }
        Kind::BlockEntryInFlowCollection => {
            "a `-` begins no item inside brackets; separate the items by commas"
        }
        Kind::PlainScalarStartsWithDashFlowIndicator => "a lone `-` is no value; put it in quotes",
        Kind::BlockSequenceEntryNotAllowed => {
            "a list can't begin in its key's line; begin it in the next, or put the value in quotes"
        }
        Kind::CommentInterceptedScalar => {
            "a value can't go on in the next line after a comment; write it in one line, or put it in quotes"
        }
        Kind::CommentNotSeparated => {
            "a space is missing before the `#`; put the value in quotes if no comment is meant"
        }
        Kind::FlowMappingValueAdjacentCollection | Kind::InvalidMappingValueWhitespace => {
            "a space is missing after the `:`"
        }
        Kind::BomInsideDocument => "an invisible character (U+FEFF) stands here; remove it",
        _ => return None,
    })
}

/// A quote or bracket that was opened on an earlier line than `at`, where the parser stopped, and wasn't closed in
/// time.
fn unclosed_earlier(source: &str, at: usize, kind: &ErrorKind) -> Option<YamlError> {
    let before = source.get(..at)?;
    // Parsing only the text before that point fails at its end and reports what is still open.
    let until = match kind {
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar => return Some(unclosed(source, at)),
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            // Excludes the closing quote and everything after it.
            before.get(..before.trim_end().len().checked_sub(1)?)?
        }
        // A comma isn't caused by an unclosed bracket, which would have consumed it.
        _ if source.get(at..)?.starts_with(',') => return None,
        _ => before,
    };
    let error = events(until).find_map(Result::err)?;
    let opening = error.marker().byte_offset()?;
    let in_quotes = *error.kind() == ErrorKind::UnclosedQuotedScalar;
    let in_brackets = matches!(error.kind(), ErrorKind::UnclosedFlowCollection { .. });
    let earlier = source.get(opening..at)?.contains('\n');
    let open = in_quotes || (in_brackets && !closes_a_bracket(source.get(at..)?));
    (earlier && open).then(|| unclosed(source, opening))
}

fn unclosed(source: &str, opening: usize) -> YamlError {
    let open = source.get(opening..).and_then(|rest| rest.chars().next());
    let (open, close) = match open {
        Some('[') => ('[', ']'),
        Some('{') => ('{', '}'),
        quote => (quote.unwrap_or('"'), quote.unwrap_or('"')),
    };
    let what = format!("the `{open}` that opens here is not closed; add the `{close}`");
    YamlError::new(opening, what)
}

/// Whether `rest` closes one more bracket than it opens. Brackets in quotes and comments are counted, too, since this
/// only decides which line is reported.
fn closes_a_bracket(rest: &str) -> bool {
    let mut depth = 0_usize;
    rest.chars().any(|c| match c {
        '[' | '{' => {
            depth += 1;
            false
        }
        ']' | '}' => depth.checked_sub(1).map(|less| depth = less).is_none(),
        _ => false,
    })
}

/// A `: ` where no key can end. If the text before it started on an earlier line, either that line lacks its `:` or
/// this line is indented like a continuation of the value above.
fn misplaced_colon(source: &str, at: usize) -> YamlError {
    let scalars = events(source.get(..at).unwrap_or_default()).map_while(Result::ok);
    let starts = scalars.filter_map(|(event, span)| {
        matches!(event, Event::Scalar(..)).then_some(span.byte_range()?.start)
    });
    let start = starts.last().unwrap_or(at);
    let several_lines = slice(source, &(start..at)).contains('\n');
    let what = match (is_first_in_line(source, start), several_lines) {
        (true, true) => return YamlError::new(start, NO_COLON),
        (false, true) => {
            "this line is indented as if it went on with the value above; line its key up with the others"
        }
        (true, false) => "this key is too long; a key may have 1024 characters",
        (false, false) => "a second `: ` stands in this line; put the value in quotes",
    };
    YamlError::new(at, what)
}

/// The message for content that doesn't belong to anything before it.
fn out_of_place(source: &str, at: usize) -> &'static str {
    let before = slice(source, &(line_start(source, at)..at));
    let rest = source.get(at..).unwrap_or_default();
    match before.trim() {
        "" if before.contains('\t') => TAB,
        "" if !rest.starts_with("- ") => {
            "this line belongs to nothing above it; line it up with the line it belongs to"
        }
        "" | "-" => "a list's `-` stands where a key must; indent it below the key it belongs to",
        _ if rest.starts_with(':') => "a space is missing after the `:`",
        _ => "more text follows the end of the value; put the whole value in quotes",
    }
}

/// The first invalid escape in the double-quoted scalar that starts at `start`.
fn unknown_escape(source: &str, start: usize) -> YamlError {
    let mut chars = source.get(start..).unwrap_or_default().char_indices();
    while let Some((at, _)) = chars.find(|(_, c)| *c == '\\') {
        let Some((_, escaped)) = chars.next() else {
            break;
        };
        if !"0abtnvfre \t\r\n\"/\\N_LPxuU".contains(escaped) {
            let shown = Some(escaped).filter(char::is_ascii_graphic).unwrap_or('…');
            let what = format!(
                "`\\{shown}` means nothing in double quotes; use single quotes, or write `\\\\` for a `\\`"
            );
            return YamlError::new(start + at, what);
        }
    }
    YamlError::new(
        start,
        "a `\\` in these double quotes means nothing; use single quotes, or write `\\\\` for it",
    )
}

/// The start of the first line after `at` that is indented by a tab.
fn line_with_tab(source: &str, at: usize) -> usize {
    lines(source)
        .filter(|(start, _)| *start > at)
        .find(|(_, line)| line.trim_start_matches(' ').starts_with('\t'))
        .map_or(at, |(start, _)| start)
}

/// Whether only whitespace precedes `at` on its line.
fn is_first_in_line(text: &str, at: usize) -> bool {
    slice(text, &(line_start(text, at)..at)).trim().is_empty()
}
