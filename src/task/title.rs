//! A task's title, and the slug of a new file's name (`src/task/README.md`, "Front matter", "Names").

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
    // Fast path: without one of these characters there is no heading.
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
        return strip_closing_hashes(text).unwrap_or(text).to_owned();
    }
    setext_text(source)
}

/// The heading line for `title`. If the title itself ends like a closing sequence, another one is appended so that the
/// line parses back to the same title.
pub(super) fn heading_line(title: &str) -> String {
    let closing = strip_closing_hashes(title).map_or("", |_| " #");
    format!("# {title}{closing}\n")
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
