//! Lossless edits (`src/task/README.md`, "Changing a file").
//!
//! The text is never re-serialised: each changed field becomes a few patches at the byte ranges that the parser
//! recorded. `verify` then reparses the result and rejects the edit if a patch changed anything else.

mod draft;
mod tags;
mod verify;

use super::front_matter::{self, FileParts, entry, line_number, slice};
use super::parse::present;
use super::quote::{check_body, check_size, check_tags};
use super::write::without_blank_tags;
use super::yaml::{Node, NodeKind};
use super::{
    Datum, FileName, FixedSlot, Kategorie, MAX_FILE_BYTES, Parsed, Problem, Slot, Status, Task,
    parse,
};

use draft::Draft;

/// The fields to change. `None` leaves a field unchanged; `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Work or private.
    pub kategorie: Option<Kategorie>,
    /// Open, done or cancelled.
    pub status: Option<Status>,
    /// The complete new list; blank tags are dropped.
    pub tags: Option<Vec<String>>,
    /// The last day on which the task may be done.
    pub deadline: Option<Option<Datum>>,
    /// The appointment.
    pub fixed_slot: Option<Option<Slot>>,
    /// When it was done.
    pub abgeschlossen_am: Option<Option<Slot>>,
    /// The complete new body, stored as is.
    pub body: Option<String>,
}

/// Why a task file can't be written or edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The field contains a control character or a Unicode noncharacter, or a line break in a single-line field.
    #[error("{field} holds a control character, a line break or a non-character; remove it")]
    BadText {
        /// The field's name in API responses.
        field: &'static str,
    },
    /// The result would exceed [`MAX_FILE_BYTES`] or have more tags than the parser accepts.
    #[error("the task would be larger than a file may be ({MAX_FILE_BYTES} bytes); shorten it")]
    TooLarge,
    /// The layout of the front matter doesn't allow this change without touching something else.
    #[error(
        "the front matter can't be changed here without touching something else; edit line {line} by hand"
    )]
    NotEditable {
        /// Line in the file, from 1.
        line: u32,
    },
    /// The file can't be parsed.
    #[error("the file can't be read: {}", .0.message)]
    Unreadable(Problem),
    /// The file isn't a task.
    #[error("the file is not a task; its front matter needs `typ: task`")]
    NotATask,
}

/// Applies `edit` to `text`, the content of the file `name`, and returns the new text. Returns `text` unchanged if it
/// already has the requested values.
pub fn edit(name: &FileName, text: &str, edit: &Edit) -> Result<String, EditError> {
    let task = match parse(name, text.as_bytes()) {
        Parsed::Task(task) => task,
        Parsed::Unreadable(problem) => return Err(EditError::Unreadable(problem)),
        Parsed::NotATask | Parsed::Tombstone => return Err(EditError::NotATask),
    };
    let file = File::read(text)?;
    let changes = file.changes(&task, edit);
    if changes == Edit::default() {
        return Ok(text.to_owned());
    }
    check_text(&changes, edit)?;
    let not_editable = EditError::NotEditable {
        line: file.line(&changes),
    };
    let edited = file.apply(&changes).ok_or_else(|| not_editable.clone())?;
    check_size(&edited)?;
    if verify::is_lossless(name, &file, &edited, &changes) {
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
    changes.body.as_deref().map_or(Ok(()), check_body)
}

/// A parsed file with front matter.
struct File<'a> {
    text: &'a str,
    parts: FileParts,
    root: Node,
}

impl<'a> File<'a> {
    fn read(text: &'a str) -> Result<Self, EditError> {
        let parts = front_matter::split(text)
            .map_err(EditError::Unreadable)?
            .ok_or(EditError::NotATask)?;
        let root = front_matter::read(text, &parts).map_err(EditError::Unreadable)?;
        Ok(Self { text, parts, root })
    }

    fn body(&self) -> &'a str {
        slice(self.text, &self.parts.body)
    }

    /// The part of `edit` that differs from the current content.
    fn changes(&self, task: &Task, edit: &Edit) -> Edit {
        let tags = edit.tags.as_deref().map(without_blank_tags);
        // An unparsable value counts as missing, but clearing it still removes it.
        let unread =
            task.abgeschlossen_am.is_none() && present(&self.root, "abgeschlossen_am").is_some();
        let done = edit.abgeschlossen_am;
        Edit {
            kategorie: edit.kategorie.filter(|asked| *asked != task.kategorie),
            status: edit.status.filter(|asked| *asked != task.status),
            tags: tags.filter(|asked| *asked != task.tags),
            deadline: edit.deadline.filter(|asked| *asked != task.deadline),
            fixed_slot: edit
                .fixed_slot
                .filter(|asked| requested_slot(*asked) != task.fixed_slot),
            abgeschlossen_am: done.filter(|asked| unread || *asked != task.abgeschlossen_am),
            body: edit.body.clone().filter(|asked| asked != self.body()),
        }
    }

    /// The line to report when the changes can't be applied: that of the first key they affect.
    fn line(&self, changes: &Edit) -> u32 {
        let first = changes
            .keys()
            .into_iter()
            .find_map(|key| entry(&self.root, key));
        line_number(
            self.text,
            first.map_or(self.root.range.start, |entry| entry.key_range.start),
        )
    }

    fn apply(&self, changes: &Edit) -> Option<String> {
        let in_braces = matches!(self.root.kind, NodeKind::Mapping { flow: true, .. });
        if in_braces && !changes.keys().is_empty() {
            return None;
        }
        let mut draft = Draft::new(self.text, &self.parts, &self.root);
        set_words(&mut draft, changes)?;
        set_slots(&mut draft, changes)?;
        if let Some(tags) = &changes.tags {
            tags::set(&mut draft, tags)?;
        }
        if let Some(body) = &changes.body {
            draft.set_body(body);
        }
        draft.finish()
    }
}

fn set_words(draft: &mut Draft<'_>, changes: &Edit) -> Option<()> {
    if let Some(kategorie) = changes.kategorie {
        draft.set_word("kategorie", kategorie.as_str())?;
    }
    if let Some(status) = changes.status {
        draft.set_word("status", status.as_str())?;
    }
    match changes.deadline {
        Some(Some(deadline)) => draft.set_word("deadline", &deadline.to_string()),
        Some(None) => draft.remove("deadline"),
        None => Some(()),
    }
}

fn set_slots(draft: &mut Draft<'_>, changes: &Edit) -> Option<()> {
    match changes.fixed_slot {
        Some(Some(slot)) => draft.set_slot("fixedSlot", slot)?,
        Some(None) => draft.set_word("fixedSlot", "null")?,
        None => {}
    }
    match changes.abgeschlossen_am {
        Some(Some(slot)) => draft.set_slot("abgeschlossen_am", slot),
        Some(None) => draft.remove("abgeschlossen_am"),
        None => Some(()),
    }
}

/// The parsed value of a file after this slot was requested.
fn requested_slot(asked: Option<Slot>) -> FixedSlot {
    asked.map_or(FixedSlot::None, FixedSlot::At)
}

impl Edit {
    /// The front matter keys that this edit affects.
    fn keys(&self) -> Vec<&'static str> {
        let concerned = [
            ("kategorie", self.kategorie.is_some()),
            ("status", self.status.is_some()),
            ("tags", self.tags.is_some()),
            ("deadline", self.deadline.is_some()),
            ("fixedSlot", self.fixed_slot.is_some()),
            ("abgeschlossen_am", self.abgeschlossen_am.is_some()),
        ];
        concerned
            .into_iter()
            .filter_map(|(key, concerned)| concerned.then_some(key))
            .collect()
    }
}
