//! Decides for each field which side wins.

use std::collections::BTreeSet;

use super::lines::{self, OverlapPolicy};
use super::three::{MergeSide, ThreeWay};
use crate::task::{Block, Edit, FileName, FixedSlot, Outline, Status, Task, edit, outline};

/// One parsed version of the file.
pub(super) struct MergeVersion<'a> {
    pub(super) text: &'a str,
    pub(super) task: Task,
    pub(super) outline: Outline<'a>,
}

/// The planned content of the merged file.
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
        !is_known(self.name) && !same_block(self.blocks.ours, self.blocks.theirs)
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

    /// The names of the keys that `side` wins.
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

/// One version of a key.
#[derive(Clone, Copy)]
struct KeyVersion<'a> {
    task: &'a Task,
    block: Option<&'a Block<'a>>,
}

struct SideChoice {
    side: MergeSide,
    conflict: bool,
}

fn key<'a>(
    file: &FileName,
    versions: &'a ThreeWay<MergeVersion<'a>>,
    name: &'a str,
) -> (PlannedKey<'a>, bool) {
    let key_versions = versions.map(|version| KeyVersion {
        task: &version.task,
        block: version.outline.block(name),
    });
    let choice = match name {
        "status" | "abgeschlossen_am" => choose_completion_side(name, &key_versions, versions),
        _ => choose_side(name, &key_versions),
    };
    let key = PlannedKey {
        name,
        side: choice.side,
        blocks: key_versions.map(|version| version.block),
        reformatted: is_reformatted(name, &key_versions) && is_only_edited(file, versions, name),
    };
    (key, choice.conflict)
}

/// Whether only we changed the value, and Git only its formatting.
fn is_reformatted(name: &str, ThreeWay { base, ours, theirs }: &ThreeWay<KeyVersion<'_>>) -> bool {
    let Some(base) = base.filter(|_| is_known(name) && theirs.block.is_some()) else {
        return false;
    };
    !same_value(name, &base, ours)
        && same_value(name, &base, theirs)
        && !same_lines(base.block, theirs.block)
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
    let lines =
        outline(&edited).map(|edited| same_lines(edited.block(name), ours.outline.block(name)));
    lines == Some(true)
}

/// Ours where we changed something, else theirs. Without a base, a key of only one side is kept, and a difference
/// counts as changed by both.
fn choose_side(name: &str, key_versions: &ThreeWay<KeyVersion<'_>>) -> SideChoice {
    let ThreeWay { base, ours, theirs } = key_versions;
    let (side, conflict) = match base {
        None if ours.block.is_none() => (MergeSide::Theirs, false),
        None if theirs.block.is_none() => (MergeSide::Ours, false),
        None => (MergeSide::Ours, !same_value(name, ours, theirs)),
        Some(base) => match (same_value(name, base, ours), same_value(name, base, theirs)) {
            (false, false) => (MergeSide::Ours, !same_value(name, ours, theirs)),
            (false, true) => (MergeSide::Ours, false),
            (true, false) => (MergeSide::Theirs, false),
            (true, true) if same_lines(base.block, ours.block) => (MergeSide::Theirs, false),
            (true, true) => (MergeSide::Ours, false),
        },
    };
    SideChoice { side, conflict }
}

/// `status` and `abgeschlossen_am` are decided as one: the side that completed the task wins both, whatever the other
/// side changed. A conflict is reported for the key that differs.
fn choose_completion_side(
    name: &str,
    key_versions: &ThreeWay<KeyVersion<'_>>,
    versions: &ThreeWay<MergeVersion<'_>>,
) -> SideChoice {
    let differ = key_versions.ours.task.status != key_versions.theirs.task.status;
    let status = versions.map(|version| version.outline.block("status").is_some());
    let found = match (&key_versions.base, completing_side(key_versions)) {
        (Some(base), Some(side)) => SideChoice {
            side,
            conflict: !same_value(name, base, &key_versions.ours)
                && !same_value(name, base, &key_versions.theirs),
        },
        (None, side) if differ => SideChoice {
            side: side.unwrap_or(if status.ours {
                MergeSide::Ours
            } else {
                MergeSide::Theirs
            }),
            conflict: status.ours && status.theirs,
        },
        _ => choose_side(name, key_versions),
    };
    SideChoice {
        conflict: found.conflict && (name == "status") == differ,
        ..found
    }
}

/// The only side that marked the task done.
fn completing_side(key_versions: &ThreeWay<KeyVersion<'_>>) -> Option<MergeSide> {
    let done = key_versions.map(|version| version.task.status == Status::Abgeschlossen);
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

/// Whether both versions have the same value of a key.
fn same_value(name: &str, a: &KeyVersion<'_>, b: &KeyVersion<'_>) -> bool {
    match name {
        "typ" => true,
        "kategorie" => a.task.kategorie == b.task.kategorie,
        "status" | "abgeschlossen_am" => {
            a.task.status == b.task.status && a.task.abgeschlossen_am == b.task.abgeschlossen_am
        }
        "tags" => a.task.tags == b.task.tags,
        "deadline" => a.task.deadline == b.task.deadline,
        "fixedSlot" => match (&a.task.fixed_slot, &b.task.fixed_slot) {
            (FixedSlot::Invalid(_), FixedSlot::Invalid(_)) => same_block(a.block, b.block),
            (a, b) => a == b,
        },
        _ => same_block(a.block, b.block),
    }
}

fn same_block(a: Option<&Block<'_>>, b: Option<&Block<'_>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.has_same_value(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn same_lines(a: Option<&Block<'_>>, b: Option<&Block<'_>>) -> bool {
    a.map(|block| block.lines) == b.map(|block| block.lines)
}
