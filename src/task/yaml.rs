//! Parses the YAML subset that front matter may use (`src/task/README.md`, "Which YAML is read") into a small tree
//! whose nodes know their byte ranges. Depth and number of nodes are limited, so that parsing is cheap for every input.
//!
//! As lenient as js-yaml where that is more lenient than the YAML specification: content inside brackets or quotes
//! needs no indentation, and tabs are accepted as separators.

mod error;

use std::ops::Range;

use granit_parser::{ErrorKind, Event, ScalarStyle, ScanError, Span};

use super::text::{lines, quoted, slice};
use error::{MAX_DEPTH, events};
pub(super) use error::{MAX_NODES, YamlError};

/// A scalar or a collection. Equal are those of the same value and style, wherever they stand.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The byte range in the file: a scalar includes its quotes, a `[…]` or `{…}` its brackets; a block collection ends
    /// with its last scalar. Empty if nothing is written.
    pub(super) range: Range<usize>,
    pub(super) kind: NodeKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeKind {
    Scalar {
        /// The value after removing quotes, escapes and line folding.
        text: String,
        style: Style,
    },
    Sequence {
        items: Vec<Node>,
        /// `[…]`, rather than lines that start with `-`.
        flow: bool,
    },
    Mapping {
        /// In file order.
        entries: Vec<MappingEntry>,
        /// `{…}`, rather than one line per key.
        flow: bool,
    },
}

/// How a scalar is written.
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
    pub(super) fn quote(self) -> &'static str {
        match self {
            Self::Single => "'",
            Self::Double => "\"",
            Self::Plain | Self::Block => "",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct MappingEntry {
    /// Without quotes.
    pub(super) key: String,
    pub(super) key_range: Range<usize>,
    pub(super) value: Node,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl PartialEq for MappingEntry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Node {
    /// Whether it is a `[…]` or a `{…}`.
    pub(super) fn is_flow(&self) -> bool {
        let (NodeKind::Sequence { flow, .. } | NodeKind::Mapping { flow, .. }) = self.kind else {
            return false;
        };
        flow
    }

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
    match second.stop {
        None if second.flow_ranges != guess => first.finish(source),
        _ => second.finish(&source_expanded),
    }
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
    node: Node,
    /// A mapping's last key, while its value is missing.
    key: Option<(String, Range<usize>)>,
}

/// Why the tree is incomplete.
enum StopReason {
    /// The parser failed.
    Parser(ScanError),
    /// Valid YAML that isn't supported here.
    Rejected(YamlError),
}

/// Builds the tree from parser events, iteratively.
#[derive(Default)]
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
            ..Self::default()
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
        if let Some(open) = tree.open.iter().find(|open| open.node.is_flow()) {
            let start = open.node.range.start - base;
            tree.flow_ranges.push(start..source.len());
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
        // Only flow collections start with a token (`[` or `{`) of nonzero width.
        let flow = !range.is_empty();
        if let Event::Scalar(_, _, anchor, tag)
        | Event::SequenceStart(_, anchor, tag)
        | Event::MappingStart(_, anchor, tag) = &event
        {
            self.check_node(at, *anchor, tag.is_some())?;
        }
        let (items, entries) = (vec![], vec![]);
        match event {
            Event::DocumentStart(explicit, _) => self.document(explicit, at),
            Event::Alias(_) => Err(error::unsupported(at, error::ALIAS)),
            Event::Scalar(text, style, ..) => {
                let node = self.scalar(text.into_owned(), style, range);
                self.attach(node)
            }
            Event::SequenceStart(..) => self.open(range, NodeKind::Sequence { items, flow }),
            Event::MappingStart(..) => self.open(range, NodeKind::Mapping { entries, flow }),
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

    fn scalar(&self, mut text: String, style: ScalarStyle, mut range: Range<usize>) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        if style == Style::Block {
            range.end = range.start + slice(self.text, &range).trim_ascii_end().len();
        } else if style == Style::Plain && range.is_empty() {
            // The parser reports an omitted value as `~`. Its place is directly after its `:`.
            text.clear();
            let colon = self.text.as_bytes().get(range.start) == Some(&b':');
            let at = range.start + usize::from(colon);
            range = at..at;
        }
        let kind = NodeKind::Scalar { text, style };
        Node { range, kind }
    }

    fn open(&mut self, range: Range<usize>, kind: NodeKind) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(error::too_deep(range.start));
        }
        let node = Node { range, kind };
        self.open.push(OpenCollection { node, key: None });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), YamlError> {
        let Some(OpenCollection { mut node, .. }) = self.open.pop() else {
            return Ok(());
        };
        let start = node.range.start;
        let last = match &node.kind {
            NodeKind::Scalar { .. } => None,
            NodeKind::Sequence { items, .. } => items.last(),
            NodeKind::Mapping { entries, .. } => entries.last().map(|entry| &entry.value),
        };
        node.range.end = match last {
            _ if node.is_flow() => end,
            Some(last) => last.range.end.max(start),
            None => start,
        };
        if node.is_flow() && !self.open.iter().any(|open| open.node.is_flow()) {
            self.flow_ranges.push(start - self.base..end - self.base);
        }
        self.attach(node)
    }

    fn attach(&mut self, node: Node) -> Result<(), YamlError> {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut parent.node.kind, parent.key.take()) {
            (NodeKind::Scalar { .. }, _) => {}
            (NodeKind::Sequence { items, .. }, _) => items.push(node),
            (NodeKind::Mapping { entries, .. }, Some((key, key_range))) => {
                let value = node;
                entries.push(MappingEntry {
                    key,
                    key_range,
                    value,
                });
            }
            (NodeKind::Mapping { .. }, None) => parent.key = Some(key(self.text, node)?),
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
