//! Parses the YAML subset that front matter may use (`src/task/README.md`, "Which YAML is read") into a small tree
//! whose nodes know their byte ranges. Depth and number of nodes are limited, so that parsing is cheap for every input.
//!
//! As lenient as js-yaml where that is more lenient than the YAML specification: content inside brackets or quotes
//! needs no indentation, and tabs are accepted as separators.

mod error;
mod events;

use std::ops::Range;

use granit_parser::{ErrorKind, Event, ScalarStyle, ScanError, Span};

use super::text::{lines, quoted, slice};
pub(super) use error::YamlError;
pub(super) use events::MAX_NODES;
use events::{MAX_DEPTH, events};

/// A scalar or a collection.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The byte range in the file: a scalar includes its quotes, a `[…]` or `{…}` its brackets; a block collection ends
    /// with its last scalar. Empty if nothing is written.
    pub(super) range: Range<usize>,
    /// The content.
    pub(super) kind: NodeKind,
}

/// The content of a node.
#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    /// A single value.
    Scalar {
        /// The value after removing quotes, escapes and line folding.
        text: String,
        /// How the scalar is written.
        style: Style,
    },
    /// A list.
    Sequence {
        /// The items in order.
        items: Vec<Node>,
        /// `[…]`, rather than lines that start with `-`.
        flow: bool,
    },
    /// Keys and values.
    Mapping {
        /// The entries in file order.
        entries: Vec<MappingEntry>,
        /// `{…}`, rather than one line per key.
        flow: bool,
    },
}

/// The style of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Unquoted.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|` or `>`
    Block,
}

impl Style {
    /// What stands on both sides of the value.
    pub(super) fn quote(self) -> &'static str {
        match self {
            Self::Single => "'",
            Self::Double => "\"",
            Self::Plain | Self::Block => "",
        }
    }
}

/// One key and its value.
#[derive(Debug, Clone)]
pub(super) struct MappingEntry {
    /// The parsed key.
    pub(super) key: String,
    /// The key's byte range in the file.
    pub(super) key_range: Range<usize>,
    /// The value.
    pub(super) value: Node,
}

impl Node {
    /// The scalar's value; `None` for a collection.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// An empty value, `''`, or a YAML null: treated like a missing key.
    pub(super) fn is_absent(&self) -> bool {
        match &self.kind {
            NodeKind::Scalar { text, style } => {
                text.is_empty()
                    || (*style == Style::Plain
                        && matches!(text.as_str(), "~" | "null" | "Null" | "NULL"))
            }
            _ => false,
        }
    }

    /// The entry of `key`, if this is a mapping that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&MappingEntry> {
        match &self.kind {
            NodeKind::Mapping { entries, .. } => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of `key`, unless it is missing, null or `''`.
    pub(super) fn present(&self, key: &str) -> Option<&Self> {
        let value = self.entry(key).map(|entry| &entry.value);
        value.filter(|value| !value.is_absent())
    }

    /// Describes the value, which can't be used, for the end of a message.
    pub(super) fn instead_of(&self) -> String {
        self.text().map_or_else(
            || ", not a list or keys".to_owned(),
            |text| format!(", not {}", quoted(text)),
        )
    }

    /// Whether both have the same value and style; byte ranges are ignored.
    pub(super) fn has_same_value(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (NodeKind::Scalar { text: a, style: s }, NodeKind::Scalar { text: b, style: t }) => {
                a == b && s == t
            }
            (
                NodeKind::Sequence { items: a, flow: f },
                NodeKind::Sequence { items: b, flow: g },
            ) => f == g && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.has_same_value(b)),
            (
                NodeKind::Mapping {
                    entries: a,
                    flow: f,
                },
                NodeKind::Mapping {
                    entries: b,
                    flow: g,
                },
            ) => {
                f == g
                    && a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|(a, b)| a.key == b.key && a.value.has_same_value(&b.value))
            }
            _ => false,
        }
    }
}

/// Parses the YAML in `text[yaml]`; ranges and error offsets are in bytes of `text`. `Ok(None)` if there is nothing but
/// whitespace and comments.
pub(super) fn read(text: &str, yaml: Range<usize>) -> Result<Option<Node>, YamlError> {
    if let Some(fault) = error::conflict(text, &yaml) {
        return Err(fault);
    }
    parse(text, &yaml).map_err(|error| error::conflict_line(text, &yaml).unwrap_or(error))
}

fn parse(text: &str, yaml: &Range<usize>) -> Result<Option<Node>, YamlError> {
    let source = slice(text, yaml);
    let first = TreeBuilder::of(text, source, yaml.start);
    let is_tab_error = |error: &ScanError| {
        use ErrorKind::{TabInBlockIndentation, TabInPlainScalar};
        matches!(error.kind(), TabInBlockIndentation | TabInPlainScalar)
    };
    if !matches!(&first.stop, Some(StopReason::Parser(error)) if is_tab_error(error)) {
        return first.finish(source);
    }
    // Inside brackets js-yaml accepts a tab where this parser requires a space. Which tabs are inside brackets is known
    // only after parsing, so a first pass with every leading tab replaced locates the brackets, and a second pass
    // replaces only the tabs inside them.
    let guess =
        TreeBuilder::of(text, &expand_leading_tabs(source, |_| true), yaml.start).flow_ranges;
    let source_expanded = expand_leading_tabs(source, |start| {
        let next = guess.partition_point(|bracket| bracket.end <= start);
        guess
            .get(next)
            .is_some_and(|bracket| bracket.start <= start)
    });
    let second = TreeBuilder::of(text, &source_expanded, yaml.start);
    if second.stop.is_none() && second.flow_ranges != guess {
        return first.finish(source);
    }
    second.finish(&source_expanded)
}

/// `source` with leading tabs replaced by spaces on the lines whose start offset satisfies `inside`.
fn expand_leading_tabs(source: &str, inside: impl Fn(usize) -> bool) -> String {
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

/// A collection whose end hasn't been reached.
struct OpenCollection {
    start: usize,
    flow: bool,
    items: Items,
}

enum Items {
    Sequence(Vec<Node>),
    Mapping(Vec<MappingEntry>, Option<(String, Range<usize>)>),
}

/// Why the tree is incomplete.
enum StopReason {
    /// The parser failed.
    Parser(ScanError),
    /// Valid YAML that isn't supported here.
    Rejected(YamlError),
}

/// Builds the tree from parser events, iteratively.
struct TreeBuilder<'a> {
    text: &'a str,
    /// The offset of the parsed source in `text`.
    base: usize,
    open: Vec<OpenCollection>,
    root: Option<Node>,
    nodes: usize,
    document_started: bool,
    /// The outermost `[…]` and `{…}`, in source offsets; an unclosed one extends to the end.
    flow_ranges: Vec<Range<usize>>,
    stop: Option<StopReason>,
}

impl<'a> TreeBuilder<'a> {
    /// Parses `source`, which starts at `base` in `text` and differs from it only in blanks.
    fn of(text: &'a str, source: &str, base: usize) -> Self {
        let mut tree = Self {
            text,
            base,
            open: vec![],
            root: None,
            nodes: 0,
            document_started: false,
            flow_ranges: vec![],
            stop: None,
        };
        for event in events(source) {
            let step = match event {
                Ok((event, span)) => tree
                    .handle_event(event, &span)
                    .map_err(StopReason::Rejected),
                Err(error) => Err(StopReason::Parser(error)),
            };
            if let Err(stop) = step {
                tree.stop = Some(stop);
                break;
            }
        }
        if let Some(open) = tree.open.iter().find(|open| open.flow) {
            tree.flow_ranges.push(open.start - base..source.len());
        }
        tree
    }

    /// Returns the tree, or the error in `source`.
    fn finish(self, source: &str) -> Result<Option<Node>, YamlError> {
        match self.stop {
            None => Ok(self.root),
            Some(StopReason::Rejected(fault)) => Err(fault),
            Some(StopReason::Parser(error)) => {
                let fault = error::from_scan_error(source, &error);
                Err(YamlError::new(self.base + fault.offset, fault.message))
            }
        }
    }

    fn handle_event(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlError> {
        // Always present for a `&str` input.
        let bytes = span.byte_range().unwrap_or_default();
        let range = self.base + bytes.start..self.base + bytes.end;
        let at = range.start;
        match event {
            Event::DocumentStart(explicit, _) => self.document(explicit, at),
            Event::Alias(_) => Err(error::unsupported(at, error::ALIAS)),
            Event::Scalar(text, style, anchor, tag) => {
                self.check_node(at, anchor, tag.is_some())?;
                let node = self.scalar(text.into_owned(), style, range);
                self.attach(node)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_node(at, anchor, tag.is_some())?;
                self.open(range, Items::Sequence(vec![]))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_node(at, anchor, tag.is_some())?;
                self.open(range, Items::Mapping(vec![], None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end),
            _ => Ok(()),
        }
    }

    fn document(&mut self, explicit: bool, at: usize) -> Result<(), YamlError> {
        if explicit || std::mem::replace(&mut self.document_started, true) {
            return Err(error::unsupported(at, error::SECOND_DOCUMENT));
        }
        Ok(())
    }

    /// Counts a node, and rejects anchors and tags.
    fn check_node(&mut self, at: usize, anchor: usize, tagged: bool) -> Result<(), YamlError> {
        self.nodes += 1;
        match (anchor, tagged) {
            _ if self.nodes > MAX_NODES => Err(error::too_many(at)),
            (1.., _) => Err(error::unsupported(at, error::ANCHOR)),
            (_, true) => Err(error::unsupported(at, error::TAG)),
            _ => Ok(()),
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, range: Range<usize>) -> Node {
        let (text, range, style) = match style {
            // The parser reports an omitted value as `~`.
            ScalarStyle::Plain if range.is_empty() => (
                String::new(),
                self.missing_value_range(range.start),
                Style::Plain,
            ),
            ScalarStyle::Plain => (text, range, Style::Plain),
            ScalarStyle::SingleQuoted => (text, range, Style::Single),
            ScalarStyle::DoubleQuoted => (text, range, Style::Double),
            ScalarStyle::Literal | ScalarStyle::Folded => {
                (text, self.trim_range_end(range), Style::Block)
            }
        };
        Node {
            range,
            kind: NodeKind::Scalar { text, style },
        }
    }

    /// The empty range of an omitted value: directly after its `:`.
    fn missing_value_range(&self, at: usize) -> Range<usize> {
        let colon = self.text.as_bytes().get(at) == Some(&b':');
        let at = at + usize::from(colon);
        at..at
    }

    fn trim_range_end(&self, range: Range<usize>) -> Range<usize> {
        let kept = slice(self.text, &range).trim_ascii_end().len();
        range.start..range.start + kept
    }

    fn open(&mut self, range: Range<usize>, items: Items) -> Result<(), YamlError> {
        let start = range.start;
        if self.open.len() >= MAX_DEPTH {
            return Err(error::too_deep(start));
        }
        // Only flow collections start with a token (`[` or `{`) of nonzero width.
        let flow = !range.is_empty();
        self.open.push(OpenCollection { start, flow, items });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), YamlError> {
        let Some(OpenCollection { start, flow, items }) = self.open.pop() else {
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
            self.flow_ranges.push(start - self.base..end - self.base);
        }
        let kind = match items {
            Items::Sequence(items) => NodeKind::Sequence { items, flow },
            Items::Mapping(entries, _) => NodeKind::Mapping { entries, flow },
        };
        self.attach(Node {
            range: start..end,
            kind,
        })
    }

    /// Attaches a finished node to its parent.
    fn attach(&mut self, node: Node) -> Result<(), YamlError> {
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::Sequence(items)) => items.push(node),
            Some(Items::Mapping(entries, pending_key)) => match pending_key.take() {
                Some((key, key_range)) => entries.push(MappingEntry {
                    key,
                    key_range,
                    value: node,
                }),
                None => *pending_key = Some(key(self.text, node)?),
            },
        }
        Ok(())
    }
}

/// A key must be a scalar without a `?` indicator.
fn key(text: &str, node: Node) -> Result<(String, Range<usize>), YamlError> {
    let before = text.get(..node.range.start).unwrap_or_default();
    let explicit = before.trim_end_matches([' ', '\t']).ends_with('?');
    match node.kind {
        NodeKind::Scalar { text: key, .. } if !explicit => Ok((key, node.range)),
        _ => Err(error::complex_key(text, node.range.start)),
    }
}
