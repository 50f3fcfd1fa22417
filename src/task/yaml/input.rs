//! What the YAML parser reads from: the text, with its tokens counted, and the way back from the
//! parser's positions, which are characters, to bytes.

use std::cell::Cell;

use saphyr_parser::{Input, StrInput};

/// No node takes more than four tokens, so this is never in the way of [`super::MAX_NODES`].
const MAX_TOKENS: usize = 4 * super::MAX_NODES;

/// A text that ends early when the scanner has taken too many tokens from it.
///
/// The scanner keeps all tokens of a `[…]` until it knows that no `:` follows, before the first
/// event; without a bound here a file of 1 MiB would take hundreds.
pub(super) struct Counted<'a> {
    text: StrInput<'a>,
    tokens: &'a Cell<usize>,
}

impl<'a> Counted<'a> {
    pub(super) fn new(text: &'a str, tokens: &'a Cell<usize>) -> Self {
        Self {
            text: StrInput::new(text),
            tokens,
        }
    }

    /// Whether the text was cut short.
    pub(super) fn exhausted(tokens: &Cell<usize>) -> bool {
        tokens.get() > MAX_TOKENS
    }
}

impl Input for Counted<'_> {
    fn lookahead(&mut self, count: usize) {
        if Self::exhausted(self.tokens) {
            self.text = StrInput::new("");
        }
        self.text.lookahead(count);
    }

    /// The scanner asks exactly once a token whether it starts with a byte order mark.
    fn next_char_is(&self, c: char) -> bool {
        self.tokens
            .set(self.tokens.get() + usize::from(c == '\u{FEFF}'));
        self.text.next_char_is(c)
    }

    fn buflen(&self) -> usize {
        self.text.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.text.bufmaxlen()
    }

    fn raw_read_ch(&mut self) -> char {
        self.text.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.text.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.text.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.text.skip_n(count);
    }

    fn peek(&self) -> char {
        self.text.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.text.peek_nth(n)
    }

    fn peek_opt(&self) -> Option<char> {
        self.text.peek_opt()
    }
}

/// Finds the byte a character starts at, in constant time.
pub(super) struct CharIndex<'a> {
    text: &'a str,
    base: usize,
    /// Where every 64th character starts.
    marks: Vec<usize>,
}

const STRIDE: usize = 64;

impl<'a> CharIndex<'a> {
    /// For `text`, whose first byte counts as `base`.
    pub(super) fn new(text: &'a str, base: usize) -> Self {
        let marks = text
            .char_indices()
            .step_by(STRIDE)
            .map(|(at, _)| at)
            .collect();
        Self { text, base, marks }
    }

    /// The byte that character `index` starts at; the end of the text for any later one.
    pub(super) fn byte(&self, index: usize) -> usize {
        let mark = self
            .marks
            .get(index / STRIDE)
            .copied()
            .unwrap_or(self.text.len());
        let rest = self.text.get(mark..).unwrap_or_default();
        let within = rest
            .char_indices()
            .nth(index % STRIDE)
            .map_or(rest.len(), |(at, _)| at);
        self.base + mark + within
    }
}
