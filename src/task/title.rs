//! A task's title, and the slug of a new file's name (`src/task/README.md`, "Front matter", "Names").

use pulldown_cmark::{Event, Parser, Tag};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::FileName;

/// The title of the task in the file `name`: the first heading of `body` that has text, else the
/// file stem after `NNNN-` with `-` read as space, else the number.
pub fn title_of(name: &FileName, body: &str) -> String {
    heading(body).unwrap_or_else(|| from_name(name))
}

fn from_name(name: &FileName) -> String {
    let words = name.stem().get(5..).unwrap_or_default().replace('-', " ");
    match words.trim() {
        "" => name.id().to_string(),
        words => words.to_owned(),
    }
}

/// The first heading with text, as it stands in the source, without what closes it: markup inside is kept.
pub(super) fn heading(body: &str) -> Option<String> {
    // Without a line that could be one the markdown needn't be looked at.
    if !body.contains(['#', '=', '-']) {
        return None;
    }
    let events = Parser::new(body).into_offset_iter();
    let headings = events.filter(|(event, _)| matches!(event, Event::Start(Tag::Heading { .. })));
    headings
        .map(|(_, range)| heading_text(body.get(range).unwrap_or_default()))
        .find(|text| !text.is_empty())
}

fn heading_text(source: &str) -> String {
    let source = source.trim_matches(is_blank);
    let marked = source.trim_start_matches('#');
    let marks = source.len() - marked.len();
    if (1..=6).contains(&marks) && (marked.is_empty() || marked.starts_with(is_blank)) {
        let text = marked.trim_matches(is_blank);
        return unclosed(text).unwrap_or(text).to_owned();
    }
    underlined_text(source)
}

/// The line of a heading that reads back as this title: one that ends as a heading may be closed is closed once more.
pub(super) fn heading_line(title: &str) -> String {
    let closing = unclosed(title).map_or("", |_| " #");
    format!("# {title}{closing}\n")
}

/// The text before the `#`s that close a heading, after a blank; `None` where nothing closes it (CommonMark 4.2).
fn unclosed(text: &str) -> Option<&str> {
    let before = text.trim_end_matches('#');
    let closed = before.len() < text.len() && (before.is_empty() || before.ends_with(is_blank));
    closed.then(|| before.trim_end_matches(is_blank))
}

/// The text of a heading that is underlined: its lines as one. In a quote, the later lines still
/// carry their `>`.
fn underlined_text(source: &str) -> String {
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

/// No slug is longer, in code points.
const MAX_SLUG: usize = 50;

/// Nor in bytes: with its number and what a program adds for a temporary name, every file system can hold the file.
const MAX_SLUG_BYTES: usize = 150;

/// What `text` contributes to a file's name: letters, marks and digits of any script stay; every
/// other run becomes one `-`, but not at the ends; at most 50 code points and 150 bytes, in NFC; `untitled` when
/// nothing is left.
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
    if slug.is_empty() {
        "untitled".to_owned()
    } else {
        slug
    }
}

fn is_word(c: char) -> bool {
    let group = c.general_category_group();
    matches!(
        group,
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark
    ) || c.general_category() == GeneralCategory::DecimalNumber
}
