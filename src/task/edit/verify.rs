//! The second look at an edited text.

use super::super::front_matter::part;
use super::super::yaml::{Entry, Kind};
use super::super::{FileName, Parsed, Task, parse};
use super::{Edit, File, asked_slot};

/// Whether `edited` says what `changes` asked for, and everything else as `before` did.
pub(super) fn holds(name: &FileName, before: &File<'_>, edited: &str, changes: &Edit) -> bool {
    let (Parsed::Task(task), Ok(after)) = (parse(name, edited.as_bytes()), File::read(edited))
    else {
        return false;
    };
    let body = changes.body.as_deref().unwrap_or(before.body());
    as_asked(&task, changes)
        && after.body() == body
        && same_others(before, &after, changes)
        && same_head(before, &after)
}

fn as_asked(task: &Task, changes: &Edit) -> bool {
    changes
        .kategorie
        .is_none_or(|asked| asked == task.kategorie)
        && changes.status.is_none_or(|asked| asked == task.status)
        && changes
            .tags
            .as_ref()
            .is_none_or(|asked| *asked == task.tags)
        && changes.deadline.is_none_or(|asked| asked == task.deadline)
        && changes
            .fixed_slot
            .is_none_or(|asked| asked_slot(asked) == task.fixed_slot)
        && changes
            .abgeschlossen_am
            .is_none_or(|asked| asked == task.abgeschlossen_am)
}

/// Whether the keys that `changes` doesn't concern are the same, in the same order.
fn same_others(before: &File<'_>, after: &File<'_>, changes: &Edit) -> bool {
    let keys = changes.keys();
    let (before, after) = (others(before, &keys), others(after, &keys));
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|(a, b)| a.key == b.key && a.value.same(&b.value))
}

fn others<'a>(file: &'a File<'_>, keys: &[&str]) -> Vec<&'a Entry> {
    match &file.root.kind {
        Kind::Mapping { entries, .. } => entries
            .iter()
            .filter(|entry| !keys.contains(&entry.key.as_str()))
            .collect(),
        _ => vec![],
    }
}

/// Whether the byte order mark and the opening line are untouched.
fn same_head(before: &File<'_>, after: &File<'_>) -> bool {
    part(before.text, &(0..before.parts.yaml.start))
        == part(after.text, &(0..after.parts.yaml.start))
}
