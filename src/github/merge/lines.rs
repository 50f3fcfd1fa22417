//! Three-way merge of texts by lines.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::three::ThreeWay;

/// Most lines of two versions, without their common prefix and suffix, that are compared. Prose of the largest file has
/// fewer. Hostile text of this size takes up to a tenth of a second, and the time grows faster than linearly.
const MAX_COMPARED: usize = 50_000;

pub(super) struct MergedText {
    pub(super) text: String,
    /// Whether both sides changed the same or adjacent lines differently. The text has our version of those.
    pub(super) conflict: bool,
}

/// What to do with lines that both sides changed differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OverlapPolicy {
    /// Keep ours.
    Ours,
    /// Keep ours, followed by those of theirs that aren't among ours.
    Both,
}

/// Merges both sides' changes of the base. The final newline is merged on its own, so that adding a line at the end
/// doesn't change the line before it. If there are too many changed lines to compare ([`MAX_COMPARED`]), our text wins
/// as a conflict.
pub(super) fn merge(texts: &ThreeWay<&str>, overlap: OverlapPolicy, newline: &str) -> MergedText {
    let ThreeWay { base, ours, theirs } = *texts;
    let base = base.unwrap_or_default();
    let only_one = match (ours, theirs) {
        _ if ours == theirs || theirs == base => Some(ours),
        _ if ours == base => Some(theirs),
        _ => None,
    };
    if let Some(text) = only_one {
        return MergedText {
            text: text.to_owned(),
            conflict: false,
        };
    }
    let lacks_newline = |text: &str| !text.is_empty() && !text.ends_with('\n');
    let merged_lacks_newline = if lacks_newline(ours) == lacks_newline(base) {
        lacks_newline(theirs)
    } else {
        lacks_newline(ours)
    };
    let ended = [base, ours, theirs].map(|text| {
        let end = if lacks_newline(text) {
            ending(text).unwrap_or(newline)
        } else {
            ""
        };
        [text, end].concat()
    });
    let Some(mut merged) = merge_terminated(&ended, overlap) else {
        return MergedText {
            text: ours.to_owned(),
            conflict: true,
        };
    };
    if merged_lacks_newline && merged.text.ends_with('\n') {
        merged.text.pop();
        if merged.text.ends_with('\r') {
            merged.text.pop();
        }
    }
    merged
}

/// The last line ending in `text`.
fn ending(text: &str) -> Option<&'static str> {
    let before = &text[..text.rfind('\n')?];
    Some(if before.ends_with('\r') { "\r\n" } else { "\n" })
}

/// Merges texts that are empty or end with a line ending. `None` when they are too large to compare.
fn merge_terminated(texts: &[String; 3], overlap: OverlapPolicy) -> Option<MergedText> {
    let mut numbers = LineInterner::default();
    let [base, ours, theirs] = texts.each_ref().map(|text| numbers.text(text));
    let mut our_hunks = hunks(&base, &ours)?.into_iter().peekable();
    let mut their_hunks = hunks(&base, &theirs)?.into_iter().peekable();
    let mut merged: Vec<usize> = vec![];
    let mut conflict = false;
    let mut done = 0;
    while let Some(changed) = next_cluster(&mut our_hunks, &mut their_hunks) {
        merged.extend(&base[done..changed.base.start]);
        done = changed.base.end;
        match (changed.ours, changed.theirs) {
            (Some(our), None) => merged.extend(&ours[our]),
            (None, Some(their)) => merged.extend(&theirs[their]),
            (Some(our), Some(their)) => {
                let (our, their) = (&ours[our], &theirs[their]);
                conflict |= our != their;
                merged.extend(our);
                if overlap == OverlapPolicy::Both {
                    let ours: HashSet<_> = our.iter().collect();
                    merged.extend(their.iter().filter(|line| !ours.contains(line)));
                }
            }
            (None, None) => {}
        }
    }
    merged.extend(&base[done..]);
    let lines = merged.into_iter().map(|number| numbers.lines[number]);
    Some(MergedText {
        text: lines.collect(),
        conflict,
    })
}

/// Interns lines: equal lines have equal numbers.
#[derive(Default)]
struct LineInterner<'a> {
    lines: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> LineInterner<'a> {
    fn text(&mut self, text: &'a str) -> Vec<usize> {
        let number = |line| {
            *self.numbers.entry(line).or_insert_with(|| {
                self.lines.push(line);
                self.lines.len() - 1
            })
        };
        text.split_inclusive('\n').map(number).collect()
    }
}

/// A range of lines of the base and the range that replaces it on one side.
struct Hunk {
    base: Range<usize>,
    side: Range<usize>,
}

/// The hunks of `side` against `base`, in order, not adjacent to each other. `None` when they are too large to compare.
///
/// `similar`'s Myers stops searching for the shortest edit script when that takes long, as Git's does: the only cost is
/// a worse diff of hostile text.
fn hunks(base: &[usize], side: &[usize]) -> Option<Vec<Hunk>> {
    let same = common_ends(base, side);
    let (old, new) = (base.len() - same, side.len() - same);
    if old > 0 && new > 0 && old + new > MAX_COMPARED {
        return None;
    }
    let mut hunks: Vec<Hunk> = vec![];
    for op in capture_diff_slices(Algorithm::Myers, base, side) {
        let (base, side) = (op.old_range(), op.new_range());
        match hunks.last_mut() {
            _ if matches!(op, DiffOp::Equal { .. }) => {}
            Some(last) if last.base.end == base.start && last.side.end == side.start => {
                last.base.end = base.end;
                last.side.end = side.end;
            }
            _ => hunks.push(Hunk { base, side }),
        }
    }
    Some(hunks)
}

/// The number of lines in the common prefix and suffix.
fn common_ends(a: &[usize], b: &[usize]) -> usize {
    let same = |(a, b): &(&usize, &usize)| a == b;
    let before = a.iter().zip(b).take_while(same).count();
    let (a, b) = (&a[before..], &b[before..]);
    let after = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    before + after
}

type Hunks = Peekable<std::vec::IntoIter<Hunk>>;

/// Lines of the base, and the range of each side that replaces them; `None` for a side that changed nothing there.
struct Cluster {
    base: Range<usize>,
    ours: Option<Range<usize>>,
    theirs: Option<Range<usize>>,
}

/// Joins the next hunks of both sides that overlap or touch.
fn next_cluster(ours: &mut Hunks, theirs: &mut Hunks) -> Option<Cluster> {
    let starts = [ours.peek(), theirs.peek()].into_iter().flatten();
    let start = starts.map(|hunk| hunk.base.start).min()?;
    let mut end = start;
    let (mut our, mut their) = (None, None);
    while take(ours, &mut our, &mut end) || take(theirs, &mut their, &mut end) {}
    // Outside its hunks a side has the base's lines.
    let expanded =
        |Hunk { base, side }: Hunk| side.start - (base.start - start)..side.end + (end - base.end);
    Some(Cluster {
        base: start..end,
        ours: our.map(expanded),
        theirs: their.map(expanded),
    })
}

/// Joins the next hunk to `joined`, and the lines between them, if it starts no later than `end`; extends `end` to its
/// end.
fn take(hunks: &mut Hunks, joined: &mut Option<Hunk>, end: &mut usize) -> bool {
    let Some(hunk) = hunks.next_if(|hunk| hunk.base.start <= *end) else {
        return false;
    };
    *end = hunk.base.end.max(*end);
    match joined {
        Some(joined) => {
            joined.base.end = hunk.base.end;
            joined.side.end = hunk.side.end;
        }
        None => *joined = Some(hunk),
    }
    true
}
