//! A file in pieces, for putting two versions of it together without loss.

use super::front_matter::{self, line_at, part};
use super::yaml::{Kind, Node};

/// A file with front matter, in pieces.
///
/// When [`Self::by_lines`] is true, `head`, `above`, each block's `lines` and `below`, `closing`
/// and `body` one after the other are the text, byte by byte.
#[derive(Debug)]
pub struct Outline<'a> {
    /// The byte order mark, if there is one, and the opening line.
    pub head: &'a str,
    /// The comments and blank lines before the first key.
    pub above: &'a str,
    /// The keys in the file's order; none is there twice.
    pub blocks: Vec<Block<'a>>,
    /// The closing line with the blank line after it, as far as they are there.
    pub closing: &'a str,
    /// The markdown.
    pub body: &'a str,
    /// The front matter's line ending.
    pub newline: &'static str,
    /// Whether every key has lines of its own. In `{…}` they don't.
    pub by_lines: bool,
}

/// A key with its value.
#[derive(Debug)]
pub struct Block<'a> {
    /// The key, without quotes.
    pub key: String,
    /// From the key's line to the line its value ends on.
    pub lines: &'a str,
    /// The comments and blank lines between this and the next key or the closing line.
    pub below: &'a str,
    value: Node,
}

impl Block<'_> {
    /// Whether both hold the same value in the same style, whatever comments stand in it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.value.same(&other.value)
    }
}

impl Outline<'_> {
    /// The block of `key`.
    pub fn block(&self, key: &str) -> Option<&Block<'_>> {
        self.blocks.iter().find(|block| block.key == key)
    }
}

/// The pieces of `text`. `None` when it has no front matter that can be read.
pub fn outline(text: &str) -> Option<Outline<'_>> {
    let parts = front_matter::split(text).ok()??;
    let root = front_matter::read(text, &parts).ok()?;
    let Kind::Mapping { entries, flow } = root.kind else {
        return None;
    };
    let starts: Vec<_> = entries
        .iter()
        .map(|entry| line_start(text, entry.key_range.start))
        .collect();
    let first_in_line = |(entry, start): (&super::yaml::Entry, &usize)| {
        part(text, &(*start..entry.key_range.start))
            .trim_matches([' ', '\t'])
            .is_empty()
    };
    let by_lines = !flow && entries.iter().zip(&starts).all(first_in_line);
    let end = parts.yaml.end;
    let above = parts.yaml.start..starts.first().copied().unwrap_or(end);
    let nexts = starts.iter().skip(1).copied().chain([end]);
    let blocks = entries.into_iter().zip(&starts).zip(nexts);
    let blocks = blocks.map(|((entry, start), next)| {
        let ends = entry.value.range.end.max(entry.key_range.end);
        let (lines, below) = if by_lines {
            let ends = line_at(text, ends).end.min(next);
            (*start..ends, ends..next)
        } else {
            (entry.key_range.start..ends, ends..ends)
        };
        Block {
            key: entry.key,
            lines: part(text, &lines),
            below: part(text, &below),
            value: entry.value,
        }
    });
    Some(Outline {
        head: part(text, &(0..parts.yaml.start)),
        above: part(text, &above),
        blocks: blocks.collect(),
        closing: part(text, &(parts.closing.start..parts.body.start)),
        body: part(text, &parts.body),
        newline: parts.newline,
        by_lines,
    })
}

fn line_start(text: &str, at: usize) -> usize {
    part(text, &(0..at)).rfind('\n').map_or(0, |end| end + 1)
}
