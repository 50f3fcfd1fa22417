//! Lossless edits (`src/task/README.md`, "Changing a file").
//!
//! The text is never re-serialised: each changed field becomes a few patches at the byte ranges that the parser
//! recorded. `is_lossless` then reparses the result and rejects the edit if a patch changed anything else.

mod changes;
mod draft;
mod tags;

use super::content::Parsed;
use super::file_name::FileName;
use super::parse::parse;
use super::quote::{EditError, check_body, check_line, check_size, check_tags};
use super::yaml::{MappingEntry, NodeKind};

pub use changes::Edit;
use changes::File;
use draft::Draft;

/// Applies `edit` to `text`, the content of the file `name`, and returns the new text. Returns `text` unchanged if it
/// already has the requested values.
pub fn edit(name: &FileName, text: &str, edit: &Edit) -> Result<String, EditError> {
    let task = match parse(name, text.as_bytes()) {
        Parsed::Task(task) => task,
        Parsed::Unreadable(problem) => return Err(EditError::Unreadable(problem)),
        Parsed::NotATask | Parsed::Tombstone => return Err(EditError::NotATask),
    };
    let file = File::read(text)?;
    let changes = file.changes(name, &task, edit);
    if changes == Edit::default() {
        return Ok(text.to_owned());
    }
    check_text(&changes, edit)?;
    let not_editable = EditError::NotEditable {
        line: file.line(&changes),
    };
    let edited = apply(&file, &changes).ok_or_else(|| not_editable.clone())?;
    check_size(&edited)?;
    if is_lossless(name, &file, &edited, &changes) {
        Ok(edited)
    } else {
        Err(not_editable)
    }
}

/// Checks only what changes: existing content may stay, whatever it is. Tags are checked as requested, including blank
/// ones that are dropped later.
fn check_text(changes: &Edit, asked: &Edit) -> Result<(), EditError> {
    if let (Some(_), Some(tags)) = (&changes.tags, &asked.tags) {
        check_tags(tags)?;
    }
    if let (Some(_), Some(title)) = (&changes.title, &asked.title) {
        check_line("title", title)?;
    }
    match (&changes.body, &asked.body) {
        (Some(_), Some(body)) => check_body(body),
        _ => Ok(()),
    }
}

/// The text with these changes. `None` if its layout doesn't allow them.
fn apply(file: &File<'_>, changes: &Edit) -> Option<String> {
    if file.root.is_flow() && !changes.keys().is_empty() {
        return None;
    }
    let mut draft = Draft::new(file);
    if let Some(kategorie) = changes.kategorie {
        draft.set_word("kategorie", kategorie.as_str())?;
    }
    if let Some(status) = changes.status {
        draft.set_word("status", status.as_str())?;
    }
    match changes.deadline {
        Some(Some(deadline)) => draft.set_word("deadline", &deadline.to_string())?,
        Some(None) => draft.remove("deadline")?,
        None => {}
    }
    match changes.fixed_slot {
        Some(Some(slot)) => draft.set_slot("fixedSlot", slot)?,
        Some(None) => draft.set_word("fixedSlot", "null")?,
        None => {}
    }
    match changes.abgeschlossen_am {
        Some(Some(slot)) => draft.set_slot("abgeschlossen_am", slot)?,
        Some(None) => draft.remove("abgeschlossen_am")?,
        None => {}
    }
    if let Some(tags) = &changes.tags {
        tags::set(&mut draft, tags)?;
    }
    if let Some(body) = &changes.body {
        draft.set_body(body);
    }
    draft.finish()
}

/// Whether `edited` has the values that `changes` requests, and everything else is as in `before`.
fn is_lossless(name: &FileName, before: &File<'_>, edited: &str, changes: &Edit) -> bool {
    let (Parsed::Task(task), Ok(after)) = (parse(name, edited.as_bytes()), File::read(edited))
    else {
        return false;
    };
    let keys = changes.keys();
    after.changes(name, &task, changes) == Edit::default()
        && after.body() == changes.body.as_deref().unwrap_or(before.body())
        && others(before, &keys) == others(&after, &keys)
        && before.opening() == after.opening()
}

/// The entries of all keys but `keys`.
fn others<'a>(file: &'a File<'_>, keys: &[&str]) -> Vec<&'a MappingEntry> {
    let NodeKind::Mapping { entries, .. } = &file.root.kind else {
        return vec![];
    };
    let is_other = |entry: &&MappingEntry| !keys.contains(&entry.key.as_str());
    entries.iter().filter(is_other).collect()
}
