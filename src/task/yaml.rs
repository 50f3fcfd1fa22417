//! The part of YAML that front matter may use, read into a small tree that knows where everything
//! stands. Aliases, anchors, tags, second documents and complex keys are refused, and the size is
//! bounded, so a file can't make reading it expensive (SPEC.md 2).

mod input;

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use input::{CharIndex, Counted};

/// Collections inside collections; the outermost mapping is the first.
const MAX_DEPTH: usize = 16;
/// Scalars (keys included) and collections together.
pub(super) const MAX_NODES: usize = 2_000;

/// A scalar or a collection.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its bytes in the file: of a scalar with its quotes, of a `[…]` or `{…}` with its brackets,
    /// of a block collection up to the end of its last scalar. Empty where nothing was written.
    pub(super) range: Range<usize>,
    /// What it holds.
    pub(super) kind: Kind,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A single value.
    Scalar {
        /// The value: the source text, without quotes, escapes and line folding.
        text: String,
        /// How it is written.
        style: Style,
    },
    /// A list.
    Sequence {
        /// Its items in order.
        items: Vec<Node>,
        /// `[…]` rather than lines that start with `-`.
        flow: bool,
    },
    /// Keys and values.
    Mapping {
        /// In the file's order.
        entries: Vec<Entry>,
        /// `{…}` rather than a line a key.
        flow: bool,
    },
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Bare.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|` or `>`
    Block,
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key, read like any scalar.
    pub(super) key: String,
    /// The key's bytes in the file.
    pub(super) key_range: Range<usize>,
    /// The value.
    pub(super) value: Node,
}

/// Why this can't be read, and at which byte of the file.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: String,
}

impl Node {
    /// The scalar's value; `None` for a collection.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Nothing written, `''`, or one of YAML's spellings of null: all the same as no key at all.
    pub(super) fn is_absent(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, style } => {
                text.is_empty()
                    || (*style == Style::Plain
                        && matches!(text.as_str(), "~" | "null" | "Null" | "NULL"))
            }
            _ => false,
        }
    }

    /// Whether both say the same in the same style, wherever they stand.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Scalar { text: a, style: s }, Kind::Scalar { text: b, style: t }) => {
                a == b && s == t
            }
            (Kind::Sequence { items: a, flow: f }, Kind::Sequence { items: b, flow: g }) => {
                f == g && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (
                Kind::Mapping {
                    entries: a,
                    flow: f,
                },
                Kind::Mapping {
                    entries: b,
                    flow: g,
                },
            ) => {
                f == g
                    && a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|(a, b)| a.key == b.key && a.value.same(&b.value))
            }
            _ => false,
        }
    }
}

/// Reads the YAML in `text[yaml]`; ranges and faults are in bytes of `text`. `None` when there is
/// nothing but blanks and comments.
pub(super) fn read(text: &str, yaml: Range<usize>) -> Result<Option<Node>, Fault> {
    let source = text.get(yaml.clone()).unwrap_or_default();
    let tokens = std::cell::Cell::new(0);
    let mut tree = Tree {
        text,
        chars: CharIndex::new(source, yaml.start),
        open: vec![],
        root: None,
        nodes: 0,
        begun: false,
    };
    for event in Parser::new(Counted::new(source, &tokens)) {
        let step = match event {
            Ok((event, span)) => tree.take(event, span),
            Err(error) => {
                let at = tree.chars.byte(error.marker().index());
                Err(Fault {
                    at,
                    what: format!("the front matter is not valid YAML ({})", error.info()),
                })
            }
        };
        if Counted::exhausted(&tokens) {
            return Err(tree.too_much(yaml.start));
        }
        step?;
    }
    Ok(tree.root)
}

/// A collection that isn't closed yet.
struct Open {
    start: usize,
    flow: bool,
    items: Items,
}

enum Items {
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>, Option<(String, Range<usize>)>),
}

/// Builds the tree from the parser's events, without recursion.
struct Tree<'a> {
    text: &'a str,
    chars: CharIndex<'a>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    begun: bool,
}

impl Tree<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = self.chars.byte(span.start.index());
        match event {
            Event::DocumentStart(explicit) => self.document(explicit, at),
            Event::Alias(_) => Err(refused(at, "aliases (`*`)")),
            Event::Scalar(text, style, anchor, tag) => {
                self.node(at, anchor, tag.is_some())?;
                let node = self.scalar(text.into_owned(), style, at, &span);
                self.place(node)
            }
            Event::SequenceStart(anchor, tag) => {
                self.node(at, anchor, tag.is_some())?;
                self.open(at, &span, Items::Sequence(vec![]))
            }
            Event::MappingStart(anchor, tag) => {
                self.node(at, anchor, tag.is_some())?;
                self.open(at, &span, Items::Mapping(vec![], None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, explicit: bool, at: usize) -> Result<(), Fault> {
        if explicit || std::mem::replace(&mut self.begun, true) {
            return Err(refused(at, "a second YAML document"));
        }
        Ok(())
    }

    /// Counts a node and refuses what may not be attached to one.
    fn node(&mut self, at: usize, anchor: usize, tagged: bool) -> Result<(), Fault> {
        self.nodes += 1;
        match (anchor, tagged) {
            _ if self.nodes > MAX_NODES => Err(self.too_much(at)),
            (1.., _) => Err(refused(at, "anchors (`&`)")),
            (_, true) => Err(refused(at, "tags (`!`)")),
            _ => Ok(()),
        }
    }

    fn too_much(&self, at: usize) -> Fault {
        Fault {
            at,
            what: format!("the front matter holds more than {MAX_NODES} values; shorten it"),
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, at: usize, span: &Span) -> Node {
        let end = self.chars.byte(span.end.index());
        let (range, style) = match style {
            ScalarStyle::Plain if text.is_empty() => (self.nothing(at), Style::Plain),
            ScalarStyle::Plain => (at..end, Style::Plain),
            ScalarStyle::SingleQuoted => (at..self.closing_quote(at, end, b'\''), Style::Single),
            ScalarStyle::DoubleQuoted => (at..self.closing_quote(at, end, b'"'), Style::Double),
            ScalarStyle::Literal | ScalarStyle::Folded => (self.trimmed(at..end), Style::Block),
        };
        Node {
            range,
            kind: Kind::Scalar { text, style },
        }
    }

    /// Where a value that wasn't written would stand: right after its `:`.
    fn nothing(&self, at: usize) -> Range<usize> {
        let colon = self.text.as_bytes().get(at) == Some(&b':');
        let at = at + usize::from(colon);
        at..at
    }

    /// The end of a quoted scalar. The parser's own end lies behind the blanks and the comment
    /// that may follow it.
    fn closing_quote(&self, start: usize, limit: usize, quote: u8) -> usize {
        let inner = self
            .text
            .as_bytes()
            .get(start + 1..limit)
            .unwrap_or_default();
        let mut at = 0;
        while let Some(&byte) = inner.get(at) {
            let doubled = byte == quote && quote == b'\'' && inner.get(at + 1) == Some(&quote);
            if byte == quote && !doubled {
                return start + 1 + at + 1;
            }
            at += 1 + usize::from(doubled || (byte == b'\\' && quote == b'"'));
        }
        limit
    }

    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let kept = self
            .text
            .get(range.clone())
            .map_or(0, |text| text.trim_ascii_end().len());
        range.start..range.start + kept
    }

    fn open(&mut self, start: usize, span: &Span, items: Items) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            let what = format!("the front matter is nested more than {MAX_DEPTH} deep; flatten it");
            return Err(Fault { at: start, what });
        }
        // Only the tokens of `[` and `{` have a width.
        let flow = !span.is_empty();
        self.open.push(Open { start, flow, items });
        Ok(())
    }

    fn close(&mut self, at: usize) -> Result<(), Fault> {
        let Some(Open { start, flow, items }) = self.open.pop() else {
            return Ok(());
        };
        let last = match &items {
            Items::Sequence(items) => items.last().map(|node| node.range.end),
            Items::Mapping(entries, _) => entries.last().map(|entry| entry.value.range.end),
        };
        let end = if flow {
            self.closing_bracket(at) + 1
        } else {
            last.unwrap_or(start).max(start)
        };
        let kind = match items {
            Items::Sequence(items) => Kind::Sequence { items, flow },
            Items::Mapping(entries, _) => Kind::Mapping { entries, flow },
        };
        self.place(Node {
            range: start..end,
            kind,
        })
    }

    /// Where a `[…]` or `{…}` is closed. For a mapping with a comma after its last value the parser
    /// names the comma; from there only blanks and comments can come before the bracket.
    fn closing_bracket(&self, at: usize) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let mut comment = false;
        let bracket = rest.iter().position(|byte| {
            comment = *byte == b'#' || (comment && *byte != b'\n');
            !comment && matches!(byte, b']' | b'}')
        });
        at + bracket.unwrap_or(0)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node) -> Result<(), Fault> {
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::Sequence(items)) => items.push(node),
            Some(Items::Mapping(entries, waiting)) => match waiting.take() {
                Some((key, key_range)) => entries.push(Entry {
                    key,
                    key_range,
                    value: node,
                }),
                None => *waiting = Some(key(self.text, node)?),
            },
        }
        Ok(())
    }
}

fn refused(at: usize, what: &str) -> Fault {
    Fault {
        at,
        what: format!("the front matter uses {what}, which are not read here; write the value out"),
    }
}

/// A key is a scalar, without a `?` before it.
fn key(text: &str, node: Node) -> Result<(String, Range<usize>), Fault> {
    let before = text.get(..node.range.start).unwrap_or_default();
    let explicit = before.trim_end_matches([' ', '\t']).ends_with('?');
    match node.kind {
        Kind::Scalar { text: key, .. } if !explicit => Ok((key, node.range)),
        _ => Err(refused(node.range.start, "complex keys (`?`)")),
    }
}
