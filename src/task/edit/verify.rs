//! Checks the result of an edit by reparsing it.

use super::super::content::Parsed;
use super::super::file_name::FileName;
use super::super::parse::parse;
use super::super::text::slice;
use super::super::yaml::{MappingEntry, NodeKind};
use super::changes::{Edit, File};

/// Whether `edited` has the values that `changes` requests, and everything else is as in `before`.
pub(super) fn is_lossless(
    name: &FileName,
    before: &File<'_>,
    edited: &str,
    changes: &Edit,
) -> bool {
    let (Parsed::Task(task), Ok(after)) = (parse(name, edited.as_bytes()), File::read(edited))
    else {
        return false;
    };
    let body = changes.body.as_deref().unwrap_or(before.body());
    after.changes(&task, changes) == Edit::default()
        && after.body() == body
        && other_keys_unchanged(before, &after, changes)
        && opening_unchanged(before, &after)
}

/// Whether the keys that `changes` doesn't affect have the same values in the same order.
fn other_keys_unchanged(before: &File<'_>, after: &File<'_>, changes: &Edit) -> bool {
    let keys = changes.keys();
    let (before, after) = (others(before, &keys), others(after, &keys));
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|(a, b)| a.key == b.key && a.value.has_same_value(&b.value))
}

fn others<'a>(file: &'a File<'_>, keys: &[&str]) -> Vec<&'a MappingEntry> {
    match &file.root.kind {
        NodeKind::Mapping { entries, .. } => entries
            .iter()
            .filter(|entry| !keys.contains(&entry.key.as_str()))
            .collect(),
        _ => vec![],
    }
}

/// Whether the byte order mark and the opening line are unchanged.
fn opening_unchanged(before: &File<'_>, after: &File<'_>) -> bool {
    slice(before.text, &(0..before.parts.yaml.start))
        == slice(after.text, &(0..after.parts.yaml.start))
}
