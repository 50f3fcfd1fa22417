//! The parser's events, and how many are taken.

use granit_parser::{Event, Parser, ScanError, Span, options};

/// The maximum nesting depth of collections, counting the outermost mapping.
pub(super) const MAX_DEPTH: usize = 16;
/// The maximum number of nodes: scalars, keys included, and collections.
pub(in crate::task) const MAX_NODES: usize = 2_000;

/// Parser events for `source`. The parser's lookahead is bounded: a key may have 1,024 characters.
pub(super) fn events(source: &str) -> impl Iterator<Item = Result<(Event<'_>, Span), ScanError>> {
    Parser::new_from_str_with_options(source, options! { disallow_directives: true })
}
