//! PURE. Three-way merge of one task file (`src/git_sync/README.md`, "Merging").
//!
//! Each field, each unknown key and each hunk of the body is decided on its own. The text is then assembled from the
//! lines of both sides and parsed again. If it doesn't parse to the planned result (with keys in `{…}`, for instance),
//! Git's values are set in our text by an edit instead; if that fails too, our text is kept as it is.

mod decide;
mod lines;
mod three;

use std::borrow::Cow;

use crate::task::{Edit, FileName, FixedSlot, Outline, Parsed, Status, Task, edit, outline, parse};

use decide::{MergePlan, MergeVersion, PlannedKey, edit_of};
use lines::OverlapPolicy;
use three::{MergeSide, ThreeWay};

/// The merged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeResult {
    /// The file's content.
    pub bytes: Vec<u8>,
    /// What both sides changed differently, where the API's value won: names of keys, `body`, or only `file` where one
    /// side's whole file was taken. Sorted, without duplicates.
    pub conflicts: Vec<String>,
}

impl MergeResult {
    fn whole_file(bytes: &[u8]) -> Self {
        Self::new(bytes, ["file".to_owned()])
    }

    fn new(bytes: impl Into<Vec<u8>>, conflicts: impl IntoIterator<Item = String>) -> Self {
        Self {
            bytes: bytes.into(),
            conflicts: conflicts.into_iter().collect(),
        }
    }
}

/// Merges the store's content of the file `name` (`ours`) and Git's (`theirs`). `base` is their common ancestor;
/// without it, every difference counts as changed on both sides.
///
/// A change of one side is taken. Where both sides changed something differently, ours wins and is listed in
/// [`MergeResult::conflicts`], except that a completion on either side wins. If both are equal, or one equals `base`,
/// the result is the other one, byte for byte. Never panics. A file that doesn't parse as a task is taken or dropped as
/// a whole.
pub fn merge(name: &FileName, base: Option<&[u8]>, ours: &[u8], theirs: &[u8]) -> MergeResult {
    if ours == theirs || base == Some(theirs) {
        return MergeResult::new(ours, []);
    }
    if base == Some(ours) {
        return MergeResult::new(theirs, []);
    }
    match (read(name, ours), read(name, theirs)) {
        (Some(ours), Some(theirs)) => {
            let base = base.and_then(|base| read(name, base));
            merge_tasks(name, &ThreeWay { base, ours, theirs })
        }
        (None, Some((_, task))) if task.status == Status::Abgeschlossen => {
            MergeResult::whole_file(theirs)
        }
        _ => MergeResult::whole_file(ours),
    }
}

fn read<'a>(name: &FileName, bytes: &'a [u8]) -> Option<(&'a str, Task)> {
    match parse(name, bytes) {
        Parsed::Task(task) => Some((std::str::from_utf8(bytes).ok()?, task)),
        Parsed::NotATask | Parsed::Tombstone | Parsed::Unreadable(_) => None,
    }
}

fn merge_tasks(name: &FileName, files: &ThreeWay<(&str, Task)>) -> MergeResult {
    let (ours, theirs) = (&files.ours, &files.theirs);
    let our_file = || MergeResult::whole_file(ours.0.as_bytes());
    let Some(texts) = with_one_line_ending(&files.map(|(text, _)| *text)) else {
        return our_file();
    };
    let Some(versions) = versions(&texts, files) else {
        return our_file();
    };
    let plan = MergePlan::new(name, &versions);
    if let Some(text) = assemble(name, &versions, &plan) {
        return MergeResult::new(text, plan.conflicts);
    }
    let completes = plan.task.status == Status::Abgeschlossen && ours.1.status != plan.task.status;
    let fallback = if completes {
        let change = edit_of(&plan.task, ["status", "abgeschlossen_am"].into_iter());
        let completed = change.and_then(|change| edit(name, ours.0, &change).ok());
        MergeResult::whole_file(completed.as_deref().unwrap_or(theirs.0).as_bytes())
    } else {
        our_file()
    };
    edit_ours(name, ours.0, &plan).unwrap_or(fallback)
}

fn versions<'a>(
    texts: &'a ThreeWay<Cow<'_, str>>,
    files: &ThreeWay<(&str, Task)>,
) -> Option<ThreeWay<MergeVersion<'a>>> {
    let outlines = texts.map(|text| outline(text).map(|outline| (&**text, outline)));
    let version = |(text, outline), (_, task): &(&str, Task)| MergeVersion {
        text,
        task: task.clone(),
        outline,
    };
    Some(outlines.transpose()?.zip_with(files, version))
}

/// The texts with their front matter's line endings unified to the merged style, so that a side that changed only line
/// endings has no other changes.
fn with_one_line_ending<'a>(texts: &ThreeWay<&'a str>) -> Option<ThreeWay<Cow<'a, str>>> {
    let outlines = texts.map(|text| outline(text)).transpose()?;
    let newline = *outlines.map(|outline| outline.newline).prefer_changed();
    Some(outlines.zip_with(texts, |outline, text| {
        if outline.newline == newline {
            return Cow::Borrowed(*text);
        }
        let (front, body) = text.split_at(text.len() - outline.body.len());
        let front = front.replace("\r\n", "\n").replace('\n', newline);
        Cow::Owned(front + body)
    }))
}

/// Fallback: our text with the values that are Git's set by an edit. Unknown keys stay ours.
fn edit_ours(name: &FileName, ours: &str, plan: &MergePlan<'_>) -> Option<MergeResult> {
    let change = Edit {
        body: Some(plan.body.clone()),
        ..edit_of(&plan.task, plan.names(MergeSide::Theirs))?
    };
    let text = edit(name, ours, &change).ok()?;
    let theirs =
        |key: &&PlannedKey<'_>| key.side == MergeSide::Theirs && key.is_unknown_and_differs();
    let left = plan.keys.iter().filter(theirs);
    let mut conflicts = plan.conflicts.clone();
    conflicts.extend(left.map(|key| key.name.to_owned()));
    Some(MergeResult::new(text, conflicts))
}

/// Assembles the text from the lines of both sides. `None` when the text doesn't parse to exactly what is planned.
fn assemble(
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
    let parsed = parse(name, text.as_bytes());
    let (Parsed::Task(mut task), Some(outline)) = (parsed, outline(text)) else {
        return false;
    };
    // It follows from the body, and the plan has none.
    task.title.clear();
    let slots = (&mut task.fixed_slot, &plan.task.fixed_slot);
    if let (FixedSlot::Invalid(found), FixedSlot::Invalid(wanted)) = slots {
        // The problems may have different line numbers; the values are compared below.
        found.clone_from(wanted);
    }
    let mut left = outline.blocks.len();
    let keys = plan.keys.iter().all(|key| {
        let found = outline.block(key.name);
        left -= usize::from(found.is_some());
        match (found, key.block(edited)) {
            _ if edited && key.reformatted => true,
            (found, wanted) => found == wanted,
        }
    });
    keys && left == 0 && outline.body == plan.body && task == plan.task
}
