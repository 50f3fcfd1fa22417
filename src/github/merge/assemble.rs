//! Builds the text that says what was decided.

use super::decide::{Decided, Key, Version, ask};
use super::lines::{self, Overlap};
use super::three::{Side, Three};
use crate::task::{FileName, FixedSlot, Outline, Parsed, edit, outline, parse};

/// Puts the lines of both sides together. `None` when the text doesn't say exactly what was
/// decided then.
pub(super) fn assemble(
    name: &FileName,
    versions: &Three<Version<'_>>,
    decided: &Decided<'_>,
) -> Option<String> {
    let outlines = versions.map(|version| &version.outline);
    if !outlines.ours.by_lines || !outlines.theirs.by_lines {
        return None;
    }
    let reworded = || decided.keys.iter().filter(|key| key.reworded);
    let in_their_words = || {
        let text = lines_of_both(&outlines, decided, true);
        let ours = ask(&decided.task, reworded().map(|key| key.name))?;
        let text = edit(name, &text, &ours).ok()?;
        says(name, &text, decided, true).then_some(text)
    };
    let in_our_words = || {
        let text = lines_of_both(&outlines, decided, false);
        says(name, &text, decided, false).then_some(text)
    };
    reworded()
        .next()
        .and_then(|_| in_their_words())
        .or_else(in_our_words)
}

fn lines_of_both(
    outlines: &Three<&Outline<'_>>,
    decided: &Decided<'_>,
    keep_words: bool,
) -> String {
    let mut text = (*outlines.map(|outline| outline.head).changed()).to_owned();
    text.push_str(&comments(&outlines.map(|outline| outline.above)));
    for key in in_order(outlines, decided, keep_words) {
        let Some(block) = key.block(keep_words) else {
            continue;
        };
        text.push_str(block.lines);
        match (key.blocks.ours, key.blocks.theirs) {
            (Some(ours), Some(theirs)) => text.push_str(&comments(&Three {
                base: key.blocks.base.flatten().map(|block| block.below),
                ours: ours.below,
                theirs: theirs.below,
            })),
            _ => text.push_str(block.below),
        }
    }
    text.push_str(&closing(outlines, &decided.body));
    text.push_str(&decided.body);
    text
}

/// The comments and blank lines between two keys. Where both sides changed them, both stay.
fn comments(versions: &Three<&str>) -> String {
    lines::merge(versions, Overlap::Both, "\n").text
}

/// The closing line and the blank line after it, such that `body` can follow.
fn closing(outlines: &Three<&Outline<'_>>, body: &str) -> String {
    let mut closing = (*outlines.map(|outline| outline.closing).changed()).to_owned();
    if !body.is_empty() && !closing.ends_with('\n') {
        closing.push_str(outlines.ours.newline);
    }
    let has_blank = closing.matches('\n').count() > 1;
    if !has_blank && (body.starts_with('\n') || body.starts_with("\r\n")) {
        closing.push_str(outlines.ours.newline);
    }
    closing
}

/// The keys that stay, in the order of one side, with what only the other side has after the key
/// it has before that.
fn in_order<'d>(
    outlines: &Three<&Outline<'_>>,
    decided: &'d Decided<'_>,
    keep_words: bool,
) -> Vec<&'d Key<'d>> {
    let (first, second) = match whose_order(outlines) {
        Side::Ours => (outlines.ours, outlines.theirs),
        Side::Theirs => (outlines.theirs, outlines.ours),
    };
    let find = |name: &str| {
        let key = decided.keys.iter().find(|key| key.name == name)?;
        key.block(keep_words).map(|_| key)
    };
    let blocks = first.blocks.iter();
    let mut order: Vec<_> = blocks.filter_map(|block| find(&block.key)).collect();
    let mut next = 0;
    for key in second.blocks.iter().filter_map(|block| find(&block.key)) {
        let there = order.iter().position(|other| other.name == key.name);
        let at = there.unwrap_or_else(|| {
            order.insert(next, key);
            next
        });
        next = at + 1;
    }
    order
}

/// Ours, unless only theirs was changed.
fn whose_order(outlines: &Three<&Outline<'_>>) -> Side {
    let Some(base) = outlines.base else {
        return Side::Ours;
    };
    let moved = |side| shared_keys(base, side) != shared_keys(side, base);
    if moved(outlines.theirs) && !moved(outlines.ours) {
        Side::Theirs
    } else {
        Side::Ours
    }
}

/// The keys of `outline` that `other` has, too.
fn shared_keys<'a>(outline: &'a Outline<'_>, other: &Outline<'_>) -> Vec<&'a str> {
    let keys = outline.blocks.iter().map(|block| block.key.as_str());
    keys.filter(|key| other.block(key).is_some()).collect()
}

/// Whether `text` says exactly what was decided.
fn says(name: &FileName, text: &str, decided: &Decided<'_>, edited: bool) -> bool {
    let (Parsed::Task(task), Some(outline)) = (parse(name, text.as_bytes()), outline(text)) else {
        return false;
    };
    let wanted = &decided.task;
    let fixed_slot = match (&task.fixed_slot, &wanted.fixed_slot) {
        // The line may be another one; the value is compared below.
        (FixedSlot::Invalid(_), FixedSlot::Invalid(_)) => true,
        (said, wanted) => said == wanted,
    };
    let mut left = outline.blocks.len();
    let keys = decided.keys.iter().all(|key| {
        let said = outline.block(key.name);
        left -= usize::from(said.is_some());
        match (said, key.block(edited)) {
            _ if edited && key.reworded => true,
            (Some(said), Some(wanted)) => said.says_the_same(wanted),
            (said, wanted) => said.is_none() && wanted.is_none(),
        }
    });
    keys && left == 0
        && fixed_slot
        && outline.body == decided.body
        && task.kategorie == wanted.kategorie
        && task.status == wanted.status
        && task.tags == wanted.tags
        && task.deadline == wanted.deadline
        && task.abgeschlossen_am == wanted.abgeschlossen_am
}
