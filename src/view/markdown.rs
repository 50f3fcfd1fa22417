//! Markdown as HTML that can do no harm (SPEC.md 8).

use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use pulldown_cmark::{Options, Parser, html::push_html};

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

/// Renders `markdown` and leaves only what is harmless: no script, no event handler, no style, no
/// remote image, no relative link; links get `rel="noopener noreferrer nofollow"`.
pub fn markdown_to_html(markdown: &str) -> String {
    let extensions =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut rendered = String::with_capacity(markdown.len() * 3 / 2);
    push_html(&mut rendered, Parser::new_ext(markdown, extensions));
    SANITIZER.clean(&rendered).to_string()
}
