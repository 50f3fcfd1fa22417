//! A task's title, and the slug of a new file's name (`src/task/README.md`, "Front matter", "Names").

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::file_name::FileName;

/// The title of the task in the file `name`: the first nonempty heading of `body`, else the part of the file stem after
/// `NNNN-` with `-` replaced by spaces, else the number.
pub fn title_of(name: &FileName, body: &str) -> String {
    first_heading(body).unwrap_or_else(|| title_from_file_name(name))
}

fn title_from_file_name(name: &FileName) -> String {
    let words = name.stem().get(5..).unwrap_or_default().replace('-', " ");
    match words.trim() {
        "" => name.id().to_string(),
        words => words.to_owned(),
    }
}

/// The first nonempty heading as written in the source, inline markup included, without a closing `#` sequence.
pub(super) fn first_heading(body: &str) -> Option<String> {
    find_heading(body).map(|(_, text)| text)
}

/// The body without the heading that it begins with, if that is the title.
pub fn without_title(body: &str) -> &str {
    let heading = find_heading(body).map(|(range, _)| range);
    let heading = heading.filter(|it| body.get(..it.start).is_some_and(|it| it.trim().is_empty()));
    heading.and_then(|it| body.get(it.end..)).unwrap_or(body)
}

/// The first nonempty heading: its place, without blanks around it, and its text.
fn find_heading(body: &str) -> Option<(Range<usize>, String)> {
    // Fast path: without one of these characters there is no heading.
    if !body.contains(['#', '=', '-']) {
        return None;
    }
    let events = Parser::new(body).into_offset_iter();
    let headings = events.filter(|(event, _)| matches!(event, Event::Start(Tag::Heading { .. })));
    let mut headings = headings.map(|(_, range)| {
        let source = body.get(range.clone()).unwrap_or_default();
        let trimmed = source.trim_start_matches(is_blank);
        let start = range.start + source.len() - trimmed.len();
        let source = trimmed.trim_end_matches(is_blank);
        let text = match atx_text(source) {
            Some(text) => text.to_owned(),
            None => setext_text(source),
        };
        (start..start + source.len(), text)
    });
    headings.find(|(_, text)| !text.is_empty())
}

/// The text of a heading that starts with `#`; `None` if it is underlined instead.
fn atx_text(source: &str) -> Option<&str> {
    let marked = source.trim_start_matches('#');
    let is_marked = (1..=6).contains(&(source.len() - marked.len()))
        && (marked.is_empty() || marked.starts_with(is_blank));
    is_marked.then(|| {
        let text = marked.trim_matches(is_blank);
        strip_closing_hashes(text).unwrap_or(text)
    })
}

/// The body with `title` in place of the text of its first nonempty heading, or with a heading above it. An underlined
/// heading gets `#` instead: its line can't start with what begins a list, a quote or the like.
pub(super) fn with_title(body: &str, title: &str, newline: &str) -> String {
    let Some((range, text)) = find_heading(body) else {
        let gap = if body.is_empty() { "" } else { newline };
        return format!("{}{newline}{gap}{body}", heading("#", title));
    };
    let (before, rest) = body.split_at(range.start);
    let (source, after) = rest.split_at(range.len());
    let changed = match atx_text(source) {
        Some(_) => {
            let marked = source.trim_start_matches('#');
            let marks = source.len() - marked.trim_start_matches(is_blank).len();
            let (marks, rest) = source.split_at(marks);
            match rest.strip_prefix(text.as_str()) {
                Some("") | None => heading(marks, title),
                Some(closing) => format!("{marks}{title}{closing}"),
            }
        }
        None if source.ends_with('-') => heading("##", title),
        None => heading("#", title),
    };
    [before, &changed, after].concat()
}

/// The heading of `title` after `marks`. If the title itself ends like a closing sequence, another one is appended so
/// that the line parses back to the same title.
fn heading(marks: &str, title: &str) -> String {
    let gap = if marks.ends_with('#') { " " } else { "" };
    let closing = strip_closing_hashes(title).map_or("", |_| " #");
    format!("{marks}{gap}{title}{closing}")
}

/// The text before a closing sequence of `#` that follows a blank; `None` if there is none (CommonMark 4.2).
fn strip_closing_hashes(text: &str) -> Option<&str> {
    let before = text.trim_end_matches('#');
    let closed = before.len() < text.len() && (before.is_empty() || before.ends_with(is_blank));
    closed.then(|| before.trim_end_matches(is_blank))
}

/// The text of a setext (underlined) heading, its lines joined by spaces. In a block quote the later lines still start
/// with `>`.
fn setext_text(source: &str) -> String {
    let marks = |c| is_blank(c) || c == '>';
    let lines = source
        .lines()
        .map(|line| line.trim_start_matches(marks).trim_end_matches(is_blank));
    let is_text = |line: &&str| {
        !line.is_empty()
            && !line.bytes().all(|byte| byte == b'=')
            && !line.bytes().all(|byte| byte == b'-')
    };
    lines.filter(is_text).collect::<Vec<_>>().join(" ")
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The maximum length of a slug in code points.
const MAX_SLUG: usize = 50;

/// The maximum length of a slug in bytes: leaves room for the number and for the suffixes of temporary files within the
/// 255 bytes that file systems allow.
const MAX_SLUG_BYTES: usize = 150;

/// The part of a new file's name that is derived from `text`: NFC; keeps letters, marks and decimal digits of any
/// script; replaces every other run of characters by one `-`, none at either end; at most 50 code points and 150 bytes.
/// `untitled` if nothing is left.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    let mut length = 0;
    let mut gap = false;
    for c in text.nfc() {
        if !is_word(c) {
            gap = true;
            continue;
        }
        let dash = gap && length > 0;
        let bytes = slug.len() + usize::from(dash) + c.len_utf8();
        if length + usize::from(dash) >= MAX_SLUG || bytes > MAX_SLUG_BYTES {
            break;
        }
        if dash {
            slug.push('-');
        }
        slug.push(c);
        length += 1 + usize::from(dash);
        gap = false;
    }
    let named = Some(slug).filter(|slug| !slug.is_empty());
    named.unwrap_or_else(|| "untitled".to_owned())
}

fn is_word(c: char) -> bool {
    use GeneralCategoryGroup::{Letter, Mark};
    matches!(c.general_category_group(), Letter | Mark)
        || c.general_category() == GeneralCategory::DecimalNumber
}
