//! Markdown as HTML that can do no harm (SPEC.md 8).

use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use pulldown_cmark::{Event, Options, Parser, html::push_html};

/// Links and mail are what a note needs; `javascript:`, `data:` and the like are dropped.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

static SANITIZER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .url_schemes(SCHEMES.into())
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        // An image from elsewhere tells its server who reads which task, and when.
        .rm_tags(["img"])
        .add_tags(["input"])
        .add_tag_attributes("input", ["type", "checked", "disabled"])
        .add_tag_attribute_values("input", "type", ["checkbox"]);
    builder
});

/// Deeper quotes, lists and emphasis are shown as if they were less deep. The parser of HTML looks at all
/// elements that are open when another opens, so that depth costs its square.
const MAX_DEPTH: usize = 100;

/// More HTML in one text is shown as text, for the same reason: nothing says that its tags close. The bytes
/// are for attributes, which are compared with each other.
const MAX_RAW_TAGS: usize = 1000;
const MAX_RAW_BYTES: usize = 64 << 10;

/// Renders `markdown` and leaves only what is harmless: no script, no event handler, no style, no
/// remote image, no relative link; links get `rel="noopener noreferrer nofollow"`. Takes at most a few
/// seconds for the largest text there may be, whatever is in it.
pub fn markdown_to_html(markdown: &str) -> String {
    let extensions =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut rendered = String::with_capacity(markdown.len() * 3 / 2);
    push_html(
        &mut rendered,
        bounded(Parser::new_ext(markdown, extensions)),
    );
    SANITIZER.clean(&rendered).to_string()
}

/// The same text, less deep and with less HTML.
fn bounded<'a>(events: impl Iterator<Item = Event<'a>>) -> impl Iterator<Item = Event<'a>> {
    let mut depth = 0;
    let (mut tags, mut bytes) = (0, 0);
    events.filter_map(move |event| match event {
        Event::Start(_) => {
            depth += 1;
            (depth <= MAX_DEPTH).then_some(event)
        }
        Event::End(_) => {
            depth -= 1;
            (depth < MAX_DEPTH).then_some(event)
        }
        Event::Html(html) | Event::InlineHtml(html) => {
            tags += html.matches('<').count();
            bytes += html.len();
            let fits = tags <= MAX_RAW_TAGS && bytes <= MAX_RAW_BYTES;
            // Both kinds of HTML are written the same way.
            Some(if fits {
                Event::Html(html)
            } else {
                Event::Text(html)
            })
        }
        _ => Some(event),
    })
}
