//! Markdown as sanitized HTML.

use std::cell::OnceCell;
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use pulldown_cmark::{Event, Options, Parser, html::push_html};

/// The only schemes of links; `javascript:`, `data:` and others are dropped.
const LINK_SCHEMES: [&str; 3] = ["http", "https", "mailto"];

static SANITIZER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .url_schemes(LINK_SCHEMES.into())
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        // Loading a remote image would tell its server which task is read by whom and when.
        .rm_tags(["img"]);
    // `cite` has no visible effect, and the sanitizer doesn't check its scheme.
    for quotes in ["blockquote", "del", "ins", "q"] {
        builder.rm_tag_attributes(quotes, ["cite"]);
    }
    builder
});

/// Placeholders for a task list's checkboxes (unchecked, checked), replaced after sanitizing: the sanitizer drops every
/// `<input>` of the text's own HTML. Random for each text, so that a text can't contain them.
fn checkbox_placeholders() -> [String; 2] {
    let random = getrandom::u64().and_then(|one| Ok((one, getrandom::u64()?)));
    // Without randomness there are no checkboxes: sanitized HTML has no NUL, so the placeholder is never found.
    let name = random.map_or_else(
        |_| "\0".to_owned(),
        |(one, two)| format!("{one:016x}{two:016x}"),
    );
    ["0", "1"].map(|checked| format!("<span title=\"{name}{checked}\"></span>"))
}

/// What replaces the placeholders.
const CHECKBOX_HTML: [&str; 2] = [
    "<input type=\"checkbox\" disabled=\"\">\n",
    "<input type=\"checkbox\" disabled=\"\" checked=\"\">\n",
];

/// Quotes, lists and emphasis nested deeper are flattened. The HTML parser scans all open elements for each new one, so
/// its time is quadratic in the depth.
const MAX_DEPTH: usize = 100;

/// Raw HTML beyond these limits is shown as text, for the same reason: its tags may stay open. The bytes limit
/// attributes, which the parser compares with each other.
const MAX_RAW_TAGS: usize = 1000;
const MAX_RAW_BYTES: usize = 64 << 10;

/// Renders `markdown` to sanitized HTML: no script, event handler, style, image, relative link or form control except a
/// task list's checkboxes; links get `rel="noopener noreferrer nofollow"`. Takes at most a few seconds for the largest
/// body, even a hostile one.
pub fn markdown_to_html(markdown: &str) -> String {
    let extensions =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut rendered = String::with_capacity(markdown.len() * 3 / 2);
    let placeholders = OnceCell::new();
    let events = limit_events(Parser::new_ext(markdown, extensions), &placeholders);
    push_html(&mut rendered, events);
    let mut clean = SANITIZER.clean(&rendered).to_string();
    for (placeholder, checkbox) in placeholders.get().into_iter().flatten().zip(CHECKBOX_HTML) {
        clean = clean.replace(placeholder, checkbox);
    }
    clean
}

/// Enforces the limits on depth and raw HTML, and inserts the checkbox placeholders.
fn limit_events<'a>(
    events: impl Iterator<Item = Event<'a>>,
    placeholders: &OnceCell<[String; 2]>,
) -> impl Iterator<Item = Event<'a>> {
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
            // `push_html` writes block and inline HTML alike.
            Some(if fits {
                Event::Html(html)
            } else {
                Event::Text(html)
            })
        }
        Event::TaskListMarker(checked) => {
            let placeholders = placeholders.get_or_init(checkbox_placeholders);
            let placeholder = placeholders[usize::from(checked)].clone();
            Some(Event::Html(placeholder.into()))
        }
        _ => Some(event),
    })
}
