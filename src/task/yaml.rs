//! Parses the subset of YAML that front matter may use (`src/task/README.md`, "Which YAML is read") into a small tree
//! whose nodes know their byte ranges. Depth and number of nodes are bounded, so that no file is expensive to read.
//!
//! Where js-yaml is more lenient than YAML this is, too: what stands inside brackets or quotes needs no indentation,
//! and tabs separate as spaces do.

mod fault;

use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, options};

use super::front_matter::part;

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
    if let Some(fault) = fault::conflict(text, &yaml) {
        return Err(fault);
    }
    parse(text, &yaml).map_err(|fault| fault::conflict_line(text, &yaml).unwrap_or(fault))
}

fn parse(text: &str, yaml: &Range<usize>) -> Result<Option<Node>, Fault> {
    let source = part(text, yaml);
    let first = Tree::of(text, source, yaml.start);
    let by_tab = |error: &ScanError| {
        use ErrorKind::{TabInBlockIndentation, TabInPlainScalar};
        matches!(error.kind(), TabInBlockIndentation | TabInPlainScalar)
    };
    if !matches!(&first.stop, Some(Stop::Parser(error)) if by_tab(error)) {
        return first.done(source);
    }
    // Inside brackets js-yaml takes a tab where the parser wants a space. Which tabs stand inside is
    // known once they are read, so all become spaces for a guess, and only those inside for good.
    let guess = Tree::of(text, &spaced(source, |_| true), yaml.start).brackets;
    let source_spaced = spaced(source, |start| {
        let next = guess.partition_point(|bracket| bracket.end <= start);
        guess
            .get(next)
            .is_some_and(|bracket| bracket.start <= start)
    });
    let second = Tree::of(text, &source_spaced, yaml.start);
    if second.stop.is_none() && second.brackets != guess {
        return first.done(source);
    }
    second.done(&source_spaced)
}

/// `source` with spaces for the tabs that begin a line, where `inside` holds for the line's start.
fn spaced(source: &str, inside: impl Fn(usize) -> bool) -> String {
    let mut spaced = String::with_capacity(source.len());
    for (start, line) in lines(source) {
        let rest = line.trim_start_matches([' ', '\t']);
        if inside(start) {
            spaced.extend(std::iter::repeat_n(' ', line.len() - rest.len()));
            spaced.push_str(rest);
        } else {
            spaced.push_str(line);
        }
    }
    spaced
}

/// The lines of `text` with their line endings, each with where it starts.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |end, line| {
        let start = *end;
        *end += line.len();
        Some((start, line))
    })
}

/// The parser over `source`. It bounds what it holds back: a key may have 1,024 characters.
fn parser(source: &str) -> impl Iterator<Item = Result<(Event<'_>, Span), ScanError>> {
    Parser::new_from_str_with_options(source, options! { disallow_directives: true })
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

/// Why the tree isn't whole.
enum Stop {
    /// The parser can't go on.
    Parser(ScanError),
    /// This isn't read here.
    Refused(Fault),
}

/// Builds the tree from the parser's events, without recursion.
struct Tree<'a> {
    text: &'a str,
    /// Where the parser's text begins in `text`.
    base: usize,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    begun: bool,
    /// The outermost `[…]` and `{…}`, in the parser's bytes; up to the end where one isn't closed.
    brackets: Vec<Range<usize>>,
    stop: Option<Stop>,
}

impl<'a> Tree<'a> {
    /// Reads `source`, which begins at `base` in `text` and is the same but for blanks.
    fn of(text: &'a str, source: &str, base: usize) -> Self {
        let mut tree = Self {
            text,
            base,
            open: vec![],
            root: None,
            nodes: 0,
            begun: false,
            brackets: vec![],
            stop: None,
        };
        for event in parser(source) {
            let step = match event {
                Ok((event, span)) => tree.take(event, &span).map_err(Stop::Refused),
                Err(error) => Err(Stop::Parser(error)),
            };
            if let Err(stop) = step {
                tree.stop = Some(stop);
                break;
            }
        }
        if let Some(open) = tree.open.iter().find(|open| open.flow) {
            tree.brackets.push(open.start - base..source.len());
        }
        tree
    }

    /// The tree, or what is wrong with `source`, which it was read from.
    fn done(self, source: &str) -> Result<Option<Node>, Fault> {
        match self.stop {
            None => Ok(self.root),
            Some(Stop::Refused(fault)) => Err(fault),
            Some(Stop::Parser(error)) => {
                let fault = fault::of(source, &error);
                Err(Fault {
                    at: self.base + fault.at,
                    ..fault
                })
            }
        }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        // A text always has byte positions.
        let bytes = span.byte_range().unwrap_or_default();
        let range = self.base + bytes.start..self.base + bytes.end;
        let at = range.start;
        match event {
            Event::DocumentStart(explicit, _) => self.document(explicit, at),
            Event::Alias(_) => Err(fault::alias(at)),
            Event::Scalar(text, style, anchor, tag) => {
                self.node(at, anchor, tag.is_some())?;
                let node = self.scalar(text.into_owned(), style, range);
                self.place(node)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.node(at, anchor, tag.is_some())?;
                self.open(range, Items::Sequence(vec![]))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.node(at, anchor, tag.is_some())?;
                self.open(range, Items::Mapping(vec![], None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end),
            _ => Ok(()),
        }
    }

    fn document(&mut self, explicit: bool, at: usize) -> Result<(), Fault> {
        if explicit || std::mem::replace(&mut self.begun, true) {
            return Err(fault::second_document(at));
        }
        Ok(())
    }

    /// Counts a node and refuses what may not be attached to one.
    fn node(&mut self, at: usize, anchor: usize, tagged: bool) -> Result<(), Fault> {
        self.nodes += 1;
        match (anchor, tagged) {
            _ if self.nodes > MAX_NODES => Err(fault::too_many(at)),
            (1.., _) => Err(fault::anchor(at)),
            (_, true) => Err(fault::tag(at)),
            _ => Ok(()),
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, range: Range<usize>) -> Node {
        let (text, range, style) = match style {
            // The parser says `~` for what wasn't written.
            ScalarStyle::Plain if range.is_empty() => {
                (String::new(), self.nothing(range.start), Style::Plain)
            }
            ScalarStyle::Plain => (text, range, Style::Plain),
            ScalarStyle::SingleQuoted => (text, range, Style::Single),
            ScalarStyle::DoubleQuoted => (text, range, Style::Double),
            ScalarStyle::Literal | ScalarStyle::Folded => (text, self.trimmed(range), Style::Block),
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

    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let kept = part(self.text, &range).trim_ascii_end().len();
        range.start..range.start + kept
    }

    fn open(&mut self, range: Range<usize>, items: Items) -> Result<(), Fault> {
        let start = range.start;
        if self.open.len() >= MAX_DEPTH {
            return Err(fault::too_deep(start));
        }
        // Only `[` and `{` have a width.
        let flow = !range.is_empty();
        self.open.push(Open { start, flow, items });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Fault> {
        let Some(Open { start, flow, items }) = self.open.pop() else {
            return Ok(());
        };
        let last = match &items {
            Items::Sequence(items) => items.last().map(|node| node.range.end),
            Items::Mapping(entries, _) => entries.last().map(|entry| entry.value.range.end),
        };
        let end = if flow {
            end
        } else {
            last.unwrap_or(start).max(start)
        };
        if flow && !self.open.iter().any(|open| open.flow) {
            self.brackets.push(start - self.base..end - self.base);
        }
        let kind = match items {
            Items::Sequence(items) => Kind::Sequence { items, flow },
            Items::Mapping(entries, _) => Kind::Mapping { entries, flow },
        };
        self.place(Node {
            range: start..end,
            kind,
        })
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

/// A key is a scalar, without a `?` before it.
fn key(text: &str, node: Node) -> Result<(String, Range<usize>), Fault> {
    let before = text.get(..node.range.start).unwrap_or_default();
    let explicit = before.trim_end_matches([' ', '\t']).ends_with('?');
    match node.kind {
        Kind::Scalar { text: key, .. } if !explicit => Ok((key, node.range)),
        _ => Err(fault::complex_key(text, node.range.start)),
    }
}
