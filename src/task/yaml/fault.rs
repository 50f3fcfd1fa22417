//! What is wrong with front matter, in words that say what stands there, and the place at fault. The
//! parser names the place where it could not go on, which may come lines later.

use std::ops::Range;

use granit_parser::{ErrorKind, Event, ScanError};

use super::super::front_matter::{part, quoted};
use super::{Fault, MAX_DEPTH, MAX_NODES, lines, parser};

const TAB: &str = "this line is indented by a tab; indent it by spaces";
const NO_COLON: &str = "this line has no `: ` between a key and a value; write `key: value`, or indent the line below the key it belongs to";

/// More than [`MAX_NODES`].
pub(super) fn too_many(at: usize) -> Fault {
    fault(
        at,
        format!("the front matter holds more than {MAX_NODES} values; shorten it"),
    )
}

/// More than [`MAX_DEPTH`].
pub(super) fn too_deep(at: usize) -> Fault {
    fault(
        at,
        format!("the front matter is nested more than {MAX_DEPTH} deep; flatten it"),
    )
}

/// `*x`, or a value that only looks like one.
pub(super) fn alias(at: usize) -> Fault {
    not_read(
        at,
        "an alias (`*`)",
        "write the value out, or put it in quotes",
    )
}

/// `&x` before a value.
pub(super) fn anchor(at: usize) -> Fault {
    not_read(
        at,
        "an anchor (`&`)",
        "remove it, or put the value in quotes",
    )
}

/// `!x` before a value.
pub(super) fn tag(at: usize) -> Fault {
    not_read(at, "a tag (`!`)", "remove it, or put the value in quotes")
}

/// What follows a `---` or `...` line.
pub(super) fn second_document(at: usize) -> Fault {
    not_read(
        at,
        "a second YAML document",
        "remove its `---` or `...` line",
    )
}

/// A list, keys, or what follows a `?`, in a key's place.
pub(super) fn complex_key(text: &str, at: usize) -> Fault {
    placeholder(text, at).unwrap_or_else(|| {
        not_read(
            at,
            "a complex key (a list, keys, or a `?`)",
            "a key must be a word",
        )
    })
}

fn not_read(at: usize, what: &str, instead: &str) -> Fault {
    fault(at, format!("{what} is not read here; {instead}"))
}

fn fault(at: usize, what: impl Into<String>) -> Fault {
    let what = what.into();
    Fault { at, what }
}

/// The first of the lines that Git leaves where two changes met. Only in quotes or brackets could such a
/// line be part of a value, and there, too, it is a conflict; but for a lone line between the two, which may be
/// somebody's own.
pub(super) fn conflict(text: &str, yaml: &Range<usize>) -> Option<Fault> {
    let ends = |line: &str| line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>");
    let any = lines(part(text, yaml)).any(|(_, line)| ends(line));
    any.then(|| conflict_line(text, yaml)).flatten()
}

/// The first such line, where something is wrong in any case.
pub(super) fn conflict_line(text: &str, yaml: &Range<usize>) -> Option<Fault> {
    lines(part(text, yaml)).find_map(|(start, line)| {
        let marker = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"]
            .into_iter()
            .find(|marker| line.starts_with(marker))?;
        let rest = line.get(marker.len()..)?;
        (rest.is_empty() || rest.starts_with([' ', '\r', '\n'])).then(|| {
            let what = format!(
                "Git left a conflict here (`{marker}`); keep one version and remove the lines with the marks"
            );
            fault(yaml.start + start, what)
        })
    })
}

/// A template's placeholder that begins a value in the line around `at`: `{{date}}`, `{% date %}`.
fn placeholder(text: &str, at: usize) -> Option<Fault> {
    let start = line_start(text, at);
    let line = text.get(start..)?.lines().next()?;
    let ends = |(open, close): (&str, &str)| {
        let from = line.find(open)?;
        let length = line.get(from..)?.find(close)? + close.len();
        let before = line.get(..from)?.trim_end();
        // In quotes or a comment it is nothing to be filled in.
        let plain = !before.contains(['\'', '"', '#']);
        let begins = before.is_empty() || before.ends_with([':', '-', '[', '{', ',']);
        let begins = begins && plain;
        begins.then_some(from..from + length)
    };
    let found = [("{{", "}}"), ("{%", "%}")].into_iter().find_map(ends)?;
    Some(fault(
        start + found.start,
        format!(
            "{} is a placeholder that no template filled in; write the value, or put it in quotes",
            quoted(part(line, &found))
        ),
    ))
}

/// What is wrong with `source` where the parser stopped with `error`, in bytes of `source`.
pub(super) fn of(source: &str, error: &ScanError) -> Fault {
    use ErrorKind as Kind;
    // A text always has byte positions.
    let at = error.marker().byte_offset().unwrap_or(source.len());
    let kind = error.kind();
    if let Some(fault) = placeholder(source, at).or_else(|| left_open(source, at, kind)) {
        return fault;
    }
    let rest = source.get(at..).unwrap_or_default();
    let first = rest.chars().next().unwrap_or_default();
    let what = match kind {
        Kind::RecursionLimitExceeded => return too_deep(at),
        Kind::UnknownAnchor => return alias(at),
        Kind::DirectiveDisallowed => {
            return not_read(at, "a directive (`%`)", "remove the line");
        }
        Kind::UndeclaredTagHandle | Kind::MissingTagUri => return tag(at),
        Kind::TabInPlainScalar | Kind::TabAtBlockScalarStart => {
            return fault(line_with_tab(source, at), TAB);
        }
        Kind::TabInBlockIndentation
        | Kind::TabNotAllowed
        | Kind::InvalidBlockEntryWhitespace => TAB.into(),
        Kind::UnknownQuotedScalarEscape => return unknown_escape(source, at),
        Kind::MappingValueNotAllowed => return misplaced_colon(source, at),
        Kind::SimpleKeyExpected => NO_COLON.into(),
        Kind::ExpectedBlockMappingKey
        | Kind::ExpectedBlockSequenceEntry
        | Kind::ExpectedDocumentStart => out_of_place(source, at).into(),
        Kind::InvalidTrailingSingleQuotedScalar => {
            "more text follows the closing `'`; put the whole value in quotes, and write `''` for a `'` inside".into()
        }
        Kind::InvalidTrailingDoubleQuotedScalar => {
            "more text follows the closing `\"`; put the whole value in quotes, and write `\\\"` for a `\"` inside".into()
        }
        Kind::InvalidQuotedScalarHexEscape
        | Kind::InvalidLowSurrogateHexEscape
        | Kind::InvalidLowSurrogate
        | Kind::MissingLowSurrogate
        | Kind::UnpairedLowSurrogate
        | Kind::InvalidUnicodeEscape => {
            "a `\\x`, `\\u` or `\\U` in these double quotes names no character; write `\\\\` for a `\\`, or use single quotes".into()
        }
        Kind::MismatchedFlowCollectionEnd { open, close } => {
            format!("the `{open}` that opens here is closed by a `{close}`")
        }
        Kind::MisplacedFlowCollectionEnd => {
            format!("nothing was opened that this `{first}` could close; remove it, or put the value in quotes")
        }
        Kind::ExpectedFlowSequenceSeparator | Kind::ExpectedFlowMappingSeparator => {
            "a comma is missing before this, inside the brackets".into()
        }
        Kind::InvalidColonPlacement => {
            "this `:` is not in the line of its key, inside the brackets; is a comma missing before it?".into()
        }
        Kind::BlockEntryInFlowCollection => {
            "a `-` begins no item inside brackets; separate the items by commas".into()
        }
        Kind::PlainScalarStartsWithDashFlowIndicator => {
            "a lone `-` is no value; put it in quotes".into()
        }
        Kind::BlockSequenceEntryNotAllowed => {
            "a list can't begin in its key's line; begin it in the next, or put the value in quotes".into()
        }
        Kind::InvalidBlockScalarHeader => {
            format!("after `{first}` a text begins in the next line; put the value in quotes if none is meant")
        }
        Kind::CommentInterceptedScalar => {
            "a value can't go on in the next line after a comment; write it in one line, or put it in quotes".into()
        }
        Kind::CommentNotSeparated => {
            "a space is missing before the `#`; put the value in quotes if no comment is meant".into()
        }
        Kind::FlowMappingValueAdjacentCollection | Kind::InvalidMappingValueWhitespace => {
            "a space is missing after the `:`".into()
        }
        Kind::BomInsideDocument => {
            "an invisible character (U+FEFF) stands here; remove it".into()
        }
        // The parser tells where the text begins that it is in.
        Kind::UnexpectedCharacter { character } if !character.is_ascii_graphic() => {
            let what = format!("an unprintable character (U+{:04X}) stands here; remove it", u32::from(*character));
            return fault(at + rest.find(*character).unwrap_or(0), what);
        }
        Kind::UnexpectedCharacter { .. } | Kind::MappingKeyNotAllowed | Kind::MissingAnchorOrAliasName => {
            format!("a value can't begin with `{first}`; put it in quotes")
        }
        _ if first == ',' => "this comma has no value before it; remove it".into(),
        _ => format!("the front matter is not valid YAML ({})", error.info()),
    };
    fault(at, what)
}

/// A quote or bracket that was opened in an earlier line than `at`, where the parser stopped, and should
/// have been closed before.
fn left_open(source: &str, at: usize, kind: &ErrorKind) -> Option<Fault> {
    let before = source.get(..at)?;
    // Read only so far, the parser stops at the end, and names what is open there.
    let until = match kind {
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar => return Some(unclosed(source, at)),
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            // Without the quote that closes it, and all after that.
            before.get(..before.trim_end().len().checked_sub(1)?)?
        }
        // What an open bracket takes in is not this.
        _ if source.get(at..)?.starts_with(',') => return None,
        _ => before,
    };
    let error = parser(until).find_map(Result::err)?;
    let opening = error.marker().byte_offset()?;
    let in_quotes = *error.kind() == ErrorKind::UnclosedQuotedScalar;
    let in_brackets = matches!(error.kind(), ErrorKind::UnclosedFlowCollection { .. });
    let earlier = source.get(opening..at)?.contains('\n');
    let open = in_quotes || (in_brackets && !is_closed(source.get(at..)?));
    (earlier && open).then(|| unclosed(source, opening))
}

fn unclosed(source: &str, opening: usize) -> Fault {
    let open = source.get(opening..).and_then(|rest| rest.chars().next());
    let (open, close) = match open {
        Some('[') => ('[', ']'),
        Some('{') => ('{', '}'),
        quote => (quote.unwrap_or('"'), quote.unwrap_or('"')),
    };
    fault(
        opening,
        format!("the `{open}` that opens here is not closed; add the `{close}`"),
    )
}

/// Whether one bracket more is closed in `rest` than opened. Those in quotes and comments count, too: it
/// only decides which line is named.
fn is_closed(rest: &str) -> bool {
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

/// A `: ` where no key can end. The text before it may have begun lines above: then that line misses its
/// own `:`, or this one is indented as if it went on with the value above.
fn misplaced_colon(source: &str, at: usize) -> Fault {
    let scalars = parser(source.get(..at).unwrap_or_default()).map_while(Result::ok);
    let starts = scalars.filter_map(|(event, span)| {
        matches!(event, Event::Scalar(..)).then_some(span.byte_range()?.start)
    });
    let start = starts.last().unwrap_or(at);
    let several_lines = part(source, &(start..at)).contains('\n');
    match (is_first(source, start), several_lines) {
        (true, true) => fault(start, NO_COLON),
        (false, true) => fault(
            at,
            "this line is indented as if it went on with the value above; line its key up with the others",
        ),
        (true, false) => fault(at, "this key is too long; a key may have 1024 characters"),
        (false, false) => fault(
            at,
            "a second `: ` stands in this line; put the value in quotes",
        ),
    }
}

/// Words for what belongs to nothing that stands before it.
fn out_of_place(source: &str, at: usize) -> &'static str {
    let before = part(source, &(line_start(source, at)..at));
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

/// An escape that double quotes don't know, in those that begin at `start`.
fn unknown_escape(source: &str, start: usize) -> Fault {
    let mut chars = source
        .get(start..)
        .unwrap_or_default()
        .char_indices()
        .peekable();
    while let Some((at, c)) = chars.next() {
        let Some((_, escaped)) = chars.next_if(|_| c == '\\') else {
            continue;
        };
        if !"0abtnvfre \t\r\n\"/\\N_LPxuU".contains(escaped) {
            let shown = if escaped.is_ascii_graphic() {
                escaped
            } else {
                '…'
            };
            let what = format!(
                "`\\{shown}` means nothing in double quotes; use single quotes, or write `\\\\` for a `\\`"
            );
            return fault(start + at, what);
        }
    }
    fault(
        start,
        "a `\\` in these double quotes means nothing; use single quotes, or write `\\\\` for it",
    )
}

/// The start of the first line below `at` that is indented by a tab.
fn line_with_tab(source: &str, at: usize) -> usize {
    lines(source)
        .filter(|(start, _)| *start > at)
        .find(|(_, line)| line.trim_start_matches(' ').starts_with('\t'))
        .map_or(at, |(start, _)| start)
}

fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.rfind('\n').map_or(0, |end| end + 1)
}

/// Whether only blanks stand before `at` in its line.
fn is_first(text: &str, at: usize) -> bool {
    part(text, &(line_start(text, at)..at)).trim().is_empty()
}
