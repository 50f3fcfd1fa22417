//! Three versions of a text, put together line by line.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::three::Three;

/// More lines of two versions than these, without those that are the same at both ends, aren't
/// compared. A file of the greatest size has no more in prose; in hostile text, these take up to a
/// tenth of a second, and twice as many more than twice as long.
const MAX_COMPARED: usize = 50_000;

/// What the lines of two changed texts are together.
pub(super) struct Lines {
    pub(super) text: String,
    /// Whether both changed lines that are the same or stand next to each other, differently. The
    /// text holds our version of those.
    pub(super) conflict: bool,
}

/// What becomes of lines that both changed differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// Ours stand.
    Ours,
    /// Ours stand, and theirs that aren't among them follow.
    Both,
}

/// Puts together what both sides made of the base. A final newline that only some of them have is
/// looked at for itself, so that adding a line at the end changes no other line. Where too many
/// lines were changed to compare them, our text stands and counts as a conflict.
pub(super) fn merge(texts: &Three<&str>, overlap: Overlap, newline: &str) -> Lines {
    let Three { base, ours, theirs } = *texts;
    let base = base.unwrap_or_default();
    let only_one = match (ours, theirs) {
        _ if ours == theirs || theirs == base => Some(ours),
        _ if ours == base => Some(theirs),
        _ => None,
    };
    if let Some(text) = only_one {
        return Lines {
            text: text.to_owned(),
            conflict: false,
        };
    }
    let unended = |text: &str| !text.is_empty() && !text.ends_with('\n');
    let unended_together = if unended(ours) == unended(base) {
        unended(theirs)
    } else {
        unended(ours)
    };
    let ended = [base, ours, theirs].map(|text| {
        let end = if unended(text) {
            ending(text).unwrap_or(newline)
        } else {
            ""
        };
        [text, end].concat()
    });
    let Some(mut merged) = merge_ended(&ended, overlap) else {
        return Lines {
            text: ours.to_owned(),
            conflict: true,
        };
    };
    if unended_together && merged.text.ends_with('\n') {
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

/// Puts texts together that all end in a line ending, or are empty.
fn merge_ended(texts: &[String; 3], overlap: Overlap) -> Option<Lines> {
    let mut numbers = Numbers::default();
    let [base, ours, theirs] = texts.each_ref().map(|text| numbers.text(text));
    let mut clusters = Clusters {
        ours: hunks(&base, &ours)?.into_iter().peekable(),
        theirs: hunks(&base, &theirs)?.into_iter().peekable(),
    };
    let mut merged: Vec<usize> = vec![];
    let mut conflict = false;
    let mut done = 0;
    while let Some(cluster) = clusters.next() {
        merged.extend(&base[done..cluster.base.start]);
        done = cluster.base.end;
        match (cluster.ours, cluster.theirs) {
            (Some(our), None) => merged.extend(&ours[our]),
            (None, Some(their)) => merged.extend(&theirs[their]),
            (Some(our), Some(their)) => {
                let (our, their) = (&ours[our], &theirs[their]);
                conflict |= our != their;
                merged.extend(our);
                if overlap == Overlap::Both {
                    let ours: HashSet<_> = our.iter().collect();
                    merged.extend(their.iter().filter(|line| !ours.contains(line)));
                }
            }
            (None, None) => {}
        }
    }
    merged.extend(&base[done..]);
    let lines = merged.into_iter().map(|number| numbers.lines[number]);
    Some(Lines {
        text: lines.collect(),
        conflict,
    })
}

/// Lines as numbers: the same line, the same number.
#[derive(Default)]
struct Numbers<'a> {
    lines: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Numbers<'a> {
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

/// Lines of the base, and what one side has in their place.
struct Hunk {
    base: Range<usize>,
    side: Range<usize>,
}

/// What `side` made of `base`: hunks in order, with lines between them that are the same. `None`
/// when finding out is too dear.
///
/// Myers, as `similar` does it, stops looking for the shortest way when that takes long, as Git
/// does; a worse diff is all that hostile text gets.
fn hunks(base: &[usize], side: &[usize]) -> Option<Vec<Hunk>> {
    let same = same_at_ends(base, side);
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

/// How many lines they begin and end with alike.
fn same_at_ends(a: &[usize], b: &[usize]) -> usize {
    let same = |(a, b): &(&usize, &usize)| a == b;
    let before = a.iter().zip(b).take_while(same).count();
    let (a, b) = (&a[before..], &b[before..]);
    let after = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    before + after
}

/// Hunks of both sides that overlap or touch, and what each side has there if it changed it.
struct Cluster {
    base: Range<usize>,
    ours: Option<Range<usize>>,
    theirs: Option<Range<usize>>,
}

struct Clusters {
    ours: Peekable<std::vec::IntoIter<Hunk>>,
    theirs: Peekable<std::vec::IntoIter<Hunk>>,
}

impl Clusters {
    fn next(&mut self) -> Option<Cluster> {
        let start = |hunk: &Hunk| hunk.base.start;
        let starts = [self.ours.peek().map(start), self.theirs.peek().map(start)];
        let start = starts.into_iter().flatten().min()?;
        let mut end = start;
        let (mut ours, mut theirs) = (Span::default(), Span::default());
        while ours.take(&mut self.ours, &mut end) || theirs.take(&mut self.theirs, &mut end) {}
        Some(Cluster {
            ours: ours.widened(start, end),
            theirs: theirs.widened(start, end),
            base: start..end,
        })
    }
}

/// One side's hunks of a cluster, with what lies between them.
#[derive(Default)]
struct Span(Option<Hunk>);

impl Span {
    /// Takes the next hunk if it starts no later than `end`, and moves `end` behind it.
    fn take(&mut self, hunks: &mut Peekable<std::vec::IntoIter<Hunk>>, end: &mut usize) -> bool {
        let Some(hunk) = hunks.next_if(|hunk| hunk.base.start <= *end) else {
            return false;
        };
        *end = hunk.base.end.max(*end);
        match &mut self.0 {
            Some(span) => {
                span.base.end = hunk.base.end;
                span.side.end = hunk.side.end;
            }
            None => self.0 = Some(hunk),
        }
        true
    }

    /// What the side has in the place of the base's lines `start..end`. Outside of its hunks, it has
    /// the same lines.
    fn widened(self, start: usize, end: usize) -> Option<Range<usize>> {
        let Hunk { base, side } = self.0?;
        Some(side.start - (base.start - start)..side.end + (end - base.end))
    }
}
