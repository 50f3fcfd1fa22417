//! Decides, field by field, whose version stands.

use std::collections::BTreeSet;

use super::lines::{self, Overlap};
use super::three::{Side, Three};
use crate::task::{Block, Edit, FileName, FixedSlot, Outline, Status, Task, edit, outline};

/// One version of the file: what it says, and where.
pub(super) struct Version<'a> {
    pub(super) text: &'a str,
    pub(super) task: Task,
    pub(super) outline: Outline<'a>,
}

/// What the file is to say.
pub(super) struct Decided<'a> {
    /// Every key that one of the two sides has.
    pub(super) keys: Vec<Key<'a>>,
    /// The known fields' values. The title is whatever the body makes it.
    pub(super) task: Task,
    pub(super) body: String,
    /// The fields both sides changed differently.
    pub(super) conflicts: BTreeSet<String>,
}

/// A key of the front matter, and whose version of it stands.
pub(super) struct Key<'a> {
    pub(super) name: &'a str,
    pub(super) side: Side,
    pub(super) blocks: Three<Option<&'a Block<'a>>>,
    /// Our value stands, and Git has the value from before, but in other words or with other
    /// comments. Those are kept if our value can be set in them.
    pub(super) reworded: bool,
}

impl<'a> Key<'a> {
    /// The lines to take, `None` where the key goes.
    pub(super) fn block(&self, keep_words: bool) -> Option<&'a Block<'a>> {
        if keep_words && self.reworded {
            self.blocks.theirs
        } else {
            *self.blocks.of(self.side)
        }
    }

    /// Whether this is none of the fields a task has, and Git has something else there.
    pub(super) fn is_unknown_and_differs(&self) -> bool {
        !is_known(self.name) && !same_block(self.blocks.ours, self.blocks.theirs)
    }
}

impl<'a> Decided<'a> {
    pub(super) fn new(file: &FileName, versions: &'a Three<Version<'a>>) -> Self {
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

    /// The names of the keys that are `side`'s.
    pub(super) fn names(&self, side: Side) -> impl Iterator<Item = &'a str> {
        let keys = self.keys.iter().filter(move |key| key.side == side);
        keys.map(|key| key.name)
    }
}

/// The edit that makes the known fields among `names` what `task` says. `None` when that can't
/// be asked for.
pub(super) fn ask<'n>(task: &Task, names: impl Iterator<Item = &'n str>) -> Option<Edit> {
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

/// Our keys, then those that only Git has.
fn names<'a>(versions: &'a Three<Version<'_>>) -> Vec<&'a str> {
    let [ours, theirs] = [&versions.ours, &versions.theirs].map(|version| &version.outline.blocks);
    let mut names: Vec<&str> = ours.iter().map(|block| block.key.as_str()).collect();
    let known: BTreeSet<&str> = names.iter().copied().collect();
    let more = theirs.iter().map(|block| block.key.as_str());
    names.extend(more.filter(|name| !known.contains(name)));
    names
}

/// The known fields, each as the side says that it is taken from. A key that neither side has says
/// the same on both.
fn task(versions: &Three<Version<'_>>, keys: &[Key<'_>]) -> Task {
    let from = |name| {
        let key = keys.iter().find(|key| key.name == name);
        &versions.of(key.map_or(Side::Ours, |key| key.side)).task
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

/// The body, and whether both sides changed the same place of it. Without a base there are no
/// places, only bodies.
fn body(versions: &Three<Version<'_>>) -> (String, bool) {
    let bodies = versions.map(|version| version.outline.body);
    if bodies.base.is_none() {
        return (bodies.ours.to_owned(), bodies.ours != bodies.theirs);
    }
    let newline = versions.ours.outline.newline;
    let merged = lines::merge(&bodies, Overlap::Ours, newline);
    (merged.text, merged.conflict)
}

/// One version of a key.
#[derive(Clone, Copy)]
struct At<'a> {
    task: &'a Task,
    block: Option<&'a Block<'a>>,
}

struct Verdict {
    side: Side,
    conflict: bool,
}

fn key<'a>(file: &FileName, versions: &'a Three<Version<'a>>, name: &'a str) -> (Key<'a>, bool) {
    let at = versions.map(|version| At {
        task: &version.task,
        block: version.outline.block(name),
    });
    let verdict = match name {
        "status" | "abgeschlossen_am" => completion(name, &at, versions),
        _ => verdict(name, &at),
    };
    let key = Key {
        name,
        side: verdict.side,
        blocks: at.map(|at| at.block),
        reworded: is_reworded(name, &at) && is_only_edited(file, versions, name),
    };
    (key, verdict.conflict)
}

/// Whether only we changed the value, and Git the words around it.
fn is_reworded(name: &str, Three { base, ours, theirs }: &Three<At<'_>>) -> bool {
    let Some(base) = base.filter(|_| is_known(name) && theirs.block.is_some()) else {
        return false;
    };
    !same(name, &base, ours) && same(name, &base, theirs) && !same_lines(base.block, theirs.block)
}

/// Whether our lines of a key are what an edit makes of those from before: then they hold nothing
/// but the value that Git's lines don't hold.
fn is_only_edited(file: &FileName, versions: &Three<Version<'_>>, name: &str) -> bool {
    let (Some(base), ours) = (&versions.base, &versions.ours) else {
        return false;
    };
    let Some(change) = ask(&ours.task, std::iter::once(name)) else {
        return false;
    };
    let edited = edit(file, base.text, &change).unwrap_or_default();
    let lines =
        outline(&edited).map(|edited| same_lines(edited.block(name), ours.outline.block(name)));
    lines == Some(true)
}

/// Ours where we changed something, else theirs. Where it isn't known what was changed, what only
/// one side has is kept, and what differs counts as changed by both.
fn verdict(name: &str, at: &Three<At<'_>>) -> Verdict {
    let Three { base, ours, theirs } = at;
    let (side, conflict) = match base {
        None if ours.block.is_none() => (Side::Theirs, false),
        None if theirs.block.is_none() => (Side::Ours, false),
        None => (Side::Ours, !same(name, ours, theirs)),
        Some(base) => match (same(name, base, ours), same(name, base, theirs)) {
            (false, false) => (Side::Ours, !same(name, ours, theirs)),
            (false, true) => (Side::Ours, false),
            (true, false) => (Side::Theirs, false),
            (true, true) if same_lines(base.block, ours.block) => (Side::Theirs, false),
            (true, true) => (Side::Ours, false),
        },
    };
    Verdict { side, conflict }
}

/// `status` and `abgeschlossen_am` are one: whoever completed the task has both, whatever the other
/// side made of them. A conflict is named after the one that differs.
fn completion(name: &str, at: &Three<At<'_>>, versions: &Three<Version<'_>>) -> Verdict {
    let differ = at.ours.task.status != at.theirs.task.status;
    let status = versions.map(|version| version.outline.block("status").is_some());
    let found = match (&at.base, who_completed(at)) {
        (Some(base), Some(side)) => Verdict {
            side,
            conflict: !same(name, base, &at.ours) && !same(name, base, &at.theirs),
        },
        (None, side) if differ => Verdict {
            side: side.unwrap_or(if status.ours {
                Side::Ours
            } else {
                Side::Theirs
            }),
            conflict: status.ours && status.theirs,
        },
        _ => verdict(name, at),
    };
    Verdict {
        conflict: found.conflict && (name == "status") == differ,
        ..found
    }
}

/// The one side that marked the task done.
fn who_completed(at: &Three<At<'_>>) -> Option<Side> {
    let done = at.map(|at| at.task.status == Status::Abgeschlossen);
    match (done.ours, done.theirs) {
        _ if done.base == Some(true) => None,
        (true, false) => Some(Side::Ours),
        (false, true) => Some(Side::Theirs),
        _ => None,
    }
}

fn is_known(name: &str) -> bool {
    matches!(
        name,
        "typ" | "kategorie" | "status" | "tags" | "deadline" | "fixedSlot" | "abgeschlossen_am"
    )
}

/// Whether both versions mean the same by a key.
fn same(name: &str, a: &At<'_>, b: &At<'_>) -> bool {
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
        (Some(a), Some(b)) => a.says_the_same(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn same_lines(a: Option<&Block<'_>>, b: Option<&Block<'_>>) -> bool {
    a.map(|block| block.lines) == b.map(|block| block.lines)
}
