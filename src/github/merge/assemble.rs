//! Assembles the merged text by the plan.

use super::decide::{MergePlan, MergeVersion, PlannedKey, edit_of};
use super::lines::{self, OverlapPolicy};
use super::three::{MergeSide, ThreeWay};
use crate::task::{FileName, FixedSlot, Outline, Parsed, edit, outline, parse};

/// Assembles the text from the lines of both sides. `None` when the text doesn't parse to exactly what is planned.
pub(super) fn assemble(
    name: &FileName,
    versions: &ThreeWay<MergeVersion<'_>>,
    plan: &MergePlan<'_>,
) -> Option<String> {
    let outlines = versions.map(|version| &version.outline);
    if !outlines.ours.is_line_based || !outlines.theirs.is_line_based {
        return None;
    }
    let reformatted = || plan.keys.iter().filter(|key| key.reformatted);
    let in_their_format = || {
        let text = combined_lines(&outlines, plan, true);
        let ours = edit_of(&plan.task, reformatted().map(|key| key.name))?;
        let text = edit(name, &text, &ours).ok()?;
        matches_plan(name, &text, plan, true).then_some(text)
    };
    let in_our_format = || {
        let text = combined_lines(&outlines, plan, false);
        matches_plan(name, &text, plan, false).then_some(text)
    };
    reformatted()
        .next()
        .and_then(|_| in_their_format())
        .or_else(in_our_format)
}

fn combined_lines(
    outlines: &ThreeWay<&Outline<'_>>,
    plan: &MergePlan<'_>,
    keep_format: bool,
) -> String {
    let mut text = (*outlines.map(|outline| outline.head).prefer_changed()).to_owned();
    text.push_str(&merge_comments(&outlines.map(|outline| outline.above)));
    for key in ordered_keys(outlines, plan, keep_format) {
        let Some(block) = key.block(keep_format) else {
            continue;
        };
        text.push_str(block.lines);
        match (key.blocks.ours, key.blocks.theirs) {
            (Some(ours), Some(theirs)) => text.push_str(&merge_comments(&ThreeWay {
                base: key.blocks.base.flatten().map(|block| block.below),
                ours: ours.below,
                theirs: theirs.below,
            })),
            _ => text.push_str(block.below),
        }
    }
    text.push_str(&merge_closing(outlines, &plan.body));
    text.push_str(&plan.body);
    text
}

/// Merges the comments and blank lines between two keys. Where both sides changed them, both are kept.
fn merge_comments(versions: &ThreeWay<&str>) -> String {
    lines::merge(versions, OverlapPolicy::Both, "\n").text
}

/// The closing line and the blank line after it, such that `body` can follow.
fn merge_closing(outlines: &ThreeWay<&Outline<'_>>, body: &str) -> String {
    let mut closing = (*outlines.map(|outline| outline.closing).prefer_changed()).to_owned();
    if !body.is_empty() && !closing.ends_with('\n') {
        closing.push_str(outlines.ours.newline);
    }
    let has_blank = closing.matches('\n').count() > 1;
    if !has_blank && (body.starts_with('\n') || body.starts_with("\r\n")) {
        closing.push_str(outlines.ours.newline);
    }
    closing
}

/// The keys that are kept, in the order of one side. A key of only the other side follows the key that precedes it
/// there.
fn ordered_keys<'d>(
    outlines: &ThreeWay<&Outline<'_>>,
    plan: &'d MergePlan<'_>,
    keep_format: bool,
) -> Vec<&'d PlannedKey<'d>> {
    let (first, second) = match order_side(outlines) {
        MergeSide::Ours => (outlines.ours, outlines.theirs),
        MergeSide::Theirs => (outlines.theirs, outlines.ours),
    };
    let find = |name: &str| {
        let key = plan.keys.iter().find(|key| key.name == name)?;
        key.block(keep_format).map(|_| key)
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

/// The side whose order of keys is used: ours, unless only Git reordered them.
fn order_side(outlines: &ThreeWay<&Outline<'_>>) -> MergeSide {
    let Some(base) = outlines.base else {
        return MergeSide::Ours;
    };
    let moved = |side| shared_keys(base, side) != shared_keys(side, base);
    if moved(outlines.theirs) && !moved(outlines.ours) {
        MergeSide::Theirs
    } else {
        MergeSide::Ours
    }
}

/// The keys of `outline` that `other` has too.
fn shared_keys<'a>(outline: &'a Outline<'_>, other: &Outline<'_>) -> Vec<&'a str> {
    let keys = outline.blocks.iter().map(|block| block.key.as_str());
    keys.filter(|key| other.block(key).is_some()).collect()
}

/// Whether `text` parses to exactly what is planned. `edited`: an edit rewrote the reformatted keys, so their lines
/// may differ.
fn matches_plan(name: &FileName, text: &str, plan: &MergePlan<'_>, edited: bool) -> bool {
    let (Parsed::Task(task), Some(outline)) = (parse(name, text.as_bytes()), outline(text)) else {
        return false;
    };
    let wanted = &plan.task;
    let fixed_slot = match (&task.fixed_slot, &wanted.fixed_slot) {
        // The problems may have different line numbers; the values are compared below.
        (FixedSlot::Invalid(_), FixedSlot::Invalid(_)) => true,
        (found, wanted) => found == wanted,
    };
    let mut left = outline.blocks.len();
    let keys = plan.keys.iter().all(|key| {
        let found = outline.block(key.name);
        left -= usize::from(found.is_some());
        match (found, key.block(edited)) {
            _ if edited && key.reformatted => true,
            (Some(found), Some(wanted)) => found.has_same_value(wanted),
            (found, wanted) => found.is_none() && wanted.is_none(),
        }
    });
    keys && left == 0
        && fixed_slot
        && outline.body == plan.body
        && task.kategorie == wanted.kategorie
        && task.status == wanted.status
        && task.tags == wanted.tags
        && task.deadline == wanted.deadline
        && task.abgeschlossen_am == wanted.abgeschlossen_am
}
