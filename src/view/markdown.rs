//! Markdown as sanitized HTML.

use std::cell::OnceCell;
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
        .rm_tags(["img"]);
    // A browser shows nothing of it, and the schemes of a link aren't asked of it.
    for quotes in ["blockquote", "del", "ins", "q"] {
        builder.rm_tag_attributes(quotes, ["cite"]);
    }
    builder
});

/// What stands for a task list's boxes, not checked and checked, until the rest is clean: of boxes that the text itself
/// has as HTML none is let through. Drawn anew for each text, so that nobody can guess it.
struct Boxes([String; 2]);

impl Boxes {
    fn new() -> Self {
        let random = getrandom::u64().and_then(|one| Ok((one, getrandom::u64()?)));
        // Without randomness nothing stands for a box: no zero is left in what is clean.
        let name = random.map_or_else(
            |_| "\0".to_owned(),
            |(one, two)| format!("{one:016x}{two:016x}"),
        );
        Self(["0", "1"].map(|checked| format!("<span title=\"{name}{checked}\"></span>")))
    }
}

const SHOWN: [&str; 2] = [
    "<input type=\"checkbox\" disabled=\"\">\n",
    "<input type=\"checkbox\" disabled=\"\" checked=\"\">\n",
];

/// Deeper quotes, lists and emphasis are shown as if they were less deep. The parser of HTML looks at all
/// elements that are open when another opens, so that depth costs its square.
const MAX_DEPTH: usize = 100;

/// More HTML in one text is shown as text, for the same reason: nothing says that its tags close. The bytes
/// are for attributes, which are compared with each other.
const MAX_RAW_TAGS: usize = 1000;
const MAX_RAW_BYTES: usize = 64 << 10;

/// Renders `markdown` and leaves only what is harmless: no script, no event handler, no style, no
/// remote image, no relative link, no form but a task list's boxes; links get `rel="noopener noreferrer nofollow"`. Takes at most a few
/// seconds for the largest text there may be, whatever is in it.
pub fn markdown_to_html(markdown: &str) -> String {
    let extensions =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut rendered = String::with_capacity(markdown.len() * 3 / 2);
    let boxes = OnceCell::new();
    let events = bounded(Parser::new_ext(markdown, extensions), &boxes);
    push_html(&mut rendered, events);
    let mut clean = SANITIZER.clean(&rendered).to_string();
    if let Some(Boxes(stand)) = boxes.get() {
        for (stands, shown) in stand.iter().zip(SHOWN) {
            clean = clean.replace(stands, shown);
        }
    }
    clean
}

/// The same text, less deep and with less HTML.
fn bounded<'a>(
    events: impl Iterator<Item = Event<'a>>,
    boxes: &OnceCell<Boxes>,
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
            // Both kinds of HTML are written the same way.
            Some(if fits {
                Event::Html(html)
            } else {
                Event::Text(html)
            })
        }
        Event::TaskListMarker(checked) => {
            let Boxes(stand) = boxes.get_or_init(Boxes::new);
            Some(Event::Html(stand[usize::from(checked)].clone().into()))
        }
        _ => Some(event),
    })
}
