//! Decides for each field which side wins.

use std::collections::BTreeSet;

use super::lines::{self, OverlapPolicy};
use super::three::{MergeSide, ThreeWay};
use crate::task::{Block, Edit, FileName, FixedSlot, Outline, Status, Task, edit, outline};

pub(super) struct MergeVersion<'a> {
    pub(super) text: &'a str,
    pub(super) task: Task,
    pub(super) outline: Outline<'a>,
}

pub(super) struct MergePlan<'a> {
    /// Every key that at least one side has.
    pub(super) keys: Vec<PlannedKey<'a>>,
    /// The values of the known fields. The title is empty: it follows from the body.
    pub(super) task: Task,
    pub(super) body: String,
    /// The fields that both sides changed differently.
    pub(super) conflicts: BTreeSet<String>,
}

/// A key of the front matter, and the side that wins.
pub(super) struct PlannedKey<'a> {
    pub(super) name: &'a str,
    pub(super) side: MergeSide,
    pub(super) blocks: ThreeWay<Option<&'a Block<'a>>>,
    /// Our value wins, and Git kept the base's value but changed its formatting or comments. Git's formatting is kept
    /// if our value can be set in it.
    pub(super) reformatted: bool,
}

impl<'a> PlannedKey<'a> {
    /// The lines to take; `None` when the key is removed.
    pub(super) fn block(&self, keep_format: bool) -> Option<&'a Block<'a>> {
        if keep_format && self.reformatted {
            self.blocks.theirs
        } else {
            *self.blocks.of(self.side)
        }
    }

    /// Whether the key isn't a known field, and the sides differ in it.
    pub(super) fn is_unknown_and_differs(&self) -> bool {
        !is_known(self.name) && self.blocks.ours != self.blocks.theirs
    }
}

impl<'a> MergePlan<'a> {
    pub(super) fn new(file: &FileName, versions: &'a ThreeWay<MergeVersion<'a>>) -> Self {
        let mut conflicts = BTreeSet::new();
        let mut keys = vec![];
        for name in names(versions) {
            let (key, conflict) = key(file, versions, name);
            keys.push(key);
            conflicts.extend(conflict.then(|| name.to_owned()));
        }
        let (body, conflict) = body(versions);
        conflicts.extend(conflict.then(|| "body".to_owned()));
        Self {
            task: task(versions, &keys),
            keys,
            body,
            conflicts,
        }
    }

    pub(super) fn names(&self, side: MergeSide) -> impl Iterator<Item = &'a str> {
        let keys = self.keys.iter().filter(move |key| key.side == side);
        keys.map(|key| key.name)
    }
}

/// The edit that sets the known fields among `names` to `task`'s values. `None` when an edit can't express it (an
/// invalid `fixedSlot`).
pub(super) fn edit_of<'n>(task: &Task, names: impl Iterator<Item = &'n str>) -> Option<Edit> {
    let mut edit = Edit::default();
    for name in names {
        match name {
            "kategorie" => edit.kategorie = Some(task.kategorie),
            "status" => edit.status = Some(task.status),
            "tags" => edit.tags = Some(task.tags.clone()),
            "deadline" => edit.deadline = Some(task.deadline),
            "fixedSlot" => {
                edit.fixed_slot = Some(match task.fixed_slot {
                    FixedSlot::None => None,
                    FixedSlot::At(slot) => Some(slot),
                    FixedSlot::Invalid(_) => return None,
                });
            }
            "abgeschlossen_am" => edit.abgeschlossen_am = Some(task.abgeschlossen_am),
            _ => {}
        }
    }
    Some(edit)
}

/// The names of our keys, then of those that only Git has.
fn names<'a>(versions: &'a ThreeWay<MergeVersion<'_>>) -> Vec<&'a str> {
    let [ours, theirs] = [&versions.ours, &versions.theirs].map(|version| &version.outline.blocks);
    let mut names: Vec<&str> = ours.iter().map(|block| block.key.as_str()).collect();
    let known: BTreeSet<&str> = names.iter().copied().collect();
    let more = theirs.iter().map(|block| block.key.as_str());
    names.extend(more.filter(|name| !known.contains(name)));
    names
}

/// The known fields, each from the side that wins it. A key that neither side has has the same default on both.
fn task(versions: &ThreeWay<MergeVersion<'_>>, keys: &[PlannedKey<'_>]) -> Task {
    let from = |name| {
        let key = keys.iter().find(|key| key.name == name);
        &versions
            .of(key.map_or(MergeSide::Ours, |key| key.side))
            .task
    };
    Task {
        title: String::new(),
        kategorie: from("kategorie").kategorie,
        status: from("status").status,
        tags: from("tags").tags.clone(),
        deadline: from("deadline").deadline,
        fixed_slot: from("fixedSlot").fixed_slot.clone(),
        abgeschlossen_am: from("abgeschlossen_am").abgeschlossen_am,
    }
}

/// The merged body, and whether both sides changed the same lines of it. Without a base there are no hunks: differing
/// bodies are a conflict, and ours wins.
fn body(versions: &ThreeWay<MergeVersion<'_>>) -> (String, bool) {
    let bodies = versions.map(|version| version.outline.body);
    if bodies.base.is_none() {
        return (bodies.ours.to_owned(), bodies.ours != bodies.theirs);
    }
    let newline = versions.ours.outline.newline;
    let merged = lines::merge(&bodies, OverlapPolicy::Ours, newline);
    (merged.text, merged.conflict)
}

fn key<'a>(
    file: &FileName,
    versions: &'a ThreeWay<MergeVersion<'a>>,
    name: &'a str,
) -> (PlannedKey<'a>, bool) {
    let (side, conflict) = match name {
        "status" | "abgeschlossen_am" => choose_completion_side(name, versions),
        _ => choose_side(name, versions),
    };
    let key = PlannedKey {
        name,
        side,
        blocks: versions.map(|version| version.outline.block(name)),
        reformatted: is_reformatted(name, versions) && is_only_edited(file, versions, name),
    };
    (key, conflict)
}

/// Whether only we changed the value, and Git only its formatting.
fn is_reformatted(name: &str, versions: &ThreeWay<MergeVersion<'_>>) -> bool {
    let ThreeWay { base, ours, theirs } = versions;
    let is_there = is_known(name) && theirs.outline.block(name).is_some();
    let Some(base) = base.as_ref().filter(|_| is_there) else {
        return false;
    };
    !same_value(name, base, ours)
        && same_value(name, base, theirs)
        && !same_lines(name, &base.outline, &theirs.outline)
}

/// Whether our lines of a key are the base's with our value set by an edit. Then only the value would be lost by taking
/// Git's lines.
fn is_only_edited(file: &FileName, versions: &ThreeWay<MergeVersion<'_>>, name: &str) -> bool {
    let (Some(base), ours) = (&versions.base, &versions.ours) else {
        return false;
    };
    let Some(change) = edit_of(&ours.task, std::iter::once(name)) else {
        return false;
    };
    let edited = edit(file, base.text, &change).unwrap_or_default();
    outline(&edited).is_some_and(|edited| same_lines(name, &edited, &ours.outline))
}

/// The side that wins, and whether the other one changed the key, too: ours where we changed something, else theirs.
/// Without a base, a key of only one side is kept, and a difference counts as changed by both.
fn choose_side(name: &str, versions: &ThreeWay<MergeVersion<'_>>) -> (MergeSide, bool) {
    let ThreeWay { base, ours, theirs } = versions;
    let same = |a, b| same_value(name, a, b);
    match base {
        None if ours.outline.block(name).is_none() => (MergeSide::Theirs, false),
        None if theirs.outline.block(name).is_none() => (MergeSide::Ours, false),
        None => (MergeSide::Ours, !same(ours, theirs)),
        Some(base) => match (same(base, ours), same(base, theirs)) {
            (false, false) => (MergeSide::Ours, !same(ours, theirs)),
            (true, false) => (MergeSide::Theirs, false),
            (true, true) if same_lines(name, &base.outline, &ours.outline) => {
                (MergeSide::Theirs, false)
            }
            (_, true) => (MergeSide::Ours, false),
        },
    }
}

/// `status` and `abgeschlossen_am` are decided as one: the side that completed the task wins both, whatever the other
/// side changed. A conflict is reported for the key that differs.
fn choose_completion_side(name: &str, versions: &ThreeWay<MergeVersion<'_>>) -> (MergeSide, bool) {
    let ThreeWay { base, ours, theirs } = versions;
    let differ = ours.task.status != theirs.task.status;
    let has_status = versions.map(|version| version.outline.block("status").is_some());
    let (side, conflict) = match (base, completing_side(versions)) {
        (Some(base), Some(side)) => {
            let kept = |version| same_value(name, base, version);
            (side, !kept(ours) && !kept(theirs))
        }
        (None, side) if differ => {
            let there = match has_status.ours {
                true => MergeSide::Ours,
                false => MergeSide::Theirs,
            };
            let both = has_status.ours && has_status.theirs;
            (side.unwrap_or(there), both)
        }
        _ => choose_side(name, versions),
    };
    (side, conflict && (name == "status") == differ)
}

/// The only side that marked the task done.
fn completing_side(versions: &ThreeWay<MergeVersion<'_>>) -> Option<MergeSide> {
    let done = versions.map(|version| version.task.status == Status::Abgeschlossen);
    match (done.ours, done.theirs) {
        _ if done.base == Some(true) => None,
        (true, false) => Some(MergeSide::Ours),
        (false, true) => Some(MergeSide::Theirs),
        _ => None,
    }
}

fn is_known(name: &str) -> bool {
    matches!(
        name,
        "typ" | "kategorie" | "status" | "tags" | "deadline" | "fixedSlot" | "abgeschlossen_am"
    )
}

fn same_value(name: &str, a: &MergeVersion<'_>, b: &MergeVersion<'_>) -> bool {
    let same_block = || a.outline.block(name) == b.outline.block(name);
    let (a, b) = (&a.task, &b.task);
    match name {
        "typ" => true,
        "kategorie" => a.kategorie == b.kategorie,
        "status" | "abgeschlossen_am" => {
            a.status == b.status && a.abgeschlossen_am == b.abgeschlossen_am
        }
        "tags" => a.tags == b.tags,
        "deadline" => a.deadline == b.deadline,
        "fixedSlot" => match (&a.fixed_slot, &b.fixed_slot) {
            (FixedSlot::Invalid(_), FixedSlot::Invalid(_)) => same_block(),
            (a, b) => a == b,
        },
        _ => same_block(),
    }
}

/// Whether a key has the same lines, comments inside its value included.
fn same_lines(name: &str, a: &Outline<'_>, b: &Outline<'_>) -> bool {
    a.block(name).map(|block| block.lines) == b.block(name).map(|block| block.lines)
}
