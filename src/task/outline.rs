//! Splits a file into line-based pieces, so that versions can be merged without loss.

use super::front_matter;
use super::text::{line_at, line_start, slice};
use super::yaml::{MappingEntry, Node, NodeKind};

/// A file with front matter, in pieces.
///
/// If [`Self::is_line_based`] is true, the concatenation of `head`, `above`, each block's `lines` and `below`,
/// `closing` and `body` is the text, byte by byte.
#[derive(Debug)]
pub struct Outline<'a> {
    /// The optional byte order mark and the opening line.
    pub head: &'a str,
    /// The comments and blank lines before the first key.
    pub above: &'a str,
    /// The keys in file order, without duplicates.
    pub blocks: Vec<Block<'a>>,
    /// The closing line and the blank line after it, as far as present.
    pub closing: &'a str,
    /// The markdown.
    pub body: &'a str,
    /// The front matter's line ending.
    pub newline: &'static str,
    /// Whether each key starts on a line of its own, which isn't so in `{…}`.
    pub is_line_based: bool,
}

/// A key and its value. Equal are those with the same key and the same value in the same style, whatever their lines.
#[derive(Debug)]
pub struct Block<'a> {
    /// The unquoted key.
    pub key: String,
    /// From the key's line to the line on which its value ends.
    pub lines: &'a str,
    /// The comments and blank lines between this and the next key or the closing line.
    pub below: &'a str,
    value: Node,
}

impl PartialEq for Block<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Outline<'_> {
    /// The block of `key`.
    pub fn block(&self, key: &str) -> Option<&Block<'_>> {
        self.blocks.iter().find(|block| block.key == key)
    }
}

/// The pieces of `text`. `None` if it has no readable front matter.
pub fn outline(text: &str) -> Option<Outline<'_>> {
    let parts = front_matter::split(text).ok()??;
    let root = front_matter::read(text, &parts).ok()?;
    let NodeKind::Mapping { entries, flow } = root.kind else {
        return None;
    };
    let start = |entry: &MappingEntry| line_start(text, entry.key_range.start);
    let starts: Vec<_> = entries.iter().map(start).collect();
    let first_in_line = |(entry, start): (&MappingEntry, &usize)| {
        let before = slice(text, &(*start..entry.key_range.start));
        before.trim_matches([' ', '\t']).is_empty()
    };
    let is_line_based = !flow && entries.iter().zip(&starts).all(first_in_line);
    let end = parts.yaml.end;
    let above = parts.yaml.start..starts.first().copied().unwrap_or(end);
    let nexts = starts.iter().skip(1).copied().chain([end]);
    let blocks = entries.into_iter().zip(&starts).zip(nexts);
    let blocks = blocks.map(|((entry, start), next)| {
        let ends = entry.value.range.end.max(entry.key_range.end);
        let (lines, below) = if is_line_based {
            let ends = line_at(text, ends).end.min(next);
            (*start..ends, ends..next)
        } else {
            (entry.key_range.start..ends, ends..ends)
        };
        Block {
            key: entry.key,
            lines: slice(text, &lines),
            below: slice(text, &below),
            value: entry.value,
        }
    });
    Some(Outline {
        head: slice(text, &(0..parts.yaml.start)),
        above: slice(text, &above),
        blocks: blocks.collect(),
        closing: slice(text, &(parts.closing.start..parts.body.start)),
        body: slice(text, &parts.body),
        newline: parts.newline,
        is_line_based,
    })
}
