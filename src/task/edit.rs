//! Lossless edits (`src/task/README.md`, "Changing a file").
//!
//! The text is never serialised again: each field becomes a few patches at the byte ranges where the parser found it.
//! The comparison in `verify` catches whatever the patches got wrong.

mod draft;
mod tags;
mod verify;

use super::front_matter::{self, Parts, entry, line_number, part};
use super::parse::present;
use super::quote::{check_body, check_size, check_tags};
use super::write::without_blanks;
use super::yaml::{Kind, Node};
use super::{
    Datum, FileName, FixedSlot, Kategorie, MAX_FILE_BYTES, Parsed, Problem, Slot, Status, Task,
    parse,
};

use draft::Draft;

/// The fields to change; `None` leaves one as it is, `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Work or private.
    pub kategorie: Option<Kategorie>,
    /// Open, done or cancelled.
    pub status: Option<Status>,
    /// All tags; blank ones are dropped.
    pub tags: Option<Vec<String>>,
    /// The last day it may be done on.
    pub deadline: Option<Option<Datum>>,
    /// The appointment.
    pub fixed_slot: Option<Option<Slot>>,
    /// When it was done.
    pub abgeschlossen_am: Option<Option<Slot>>,
    /// The whole body, stored as it is.
    pub body: Option<String>,
}

/// Why a task file wasn't written or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A control character, a non-character, or a line break where one line is meant.
    #[error("{field} holds a control character, a line break or a non-character; remove it")]
    BadText {
        /// The field, as answers name it.
        field: &'static str,
    },
    /// The result would be over [`MAX_FILE_BYTES`], or have more tags than can be read back.
    #[error("the task would be larger than a file may be ({MAX_FILE_BYTES} bytes); shorten it")]
    TooLarge,
    /// The front matter is written in a way that can't be changed without touching something else.
    #[error(
        "the front matter can't be changed here without touching something else; edit line {line} by hand"
    )]
    NotEditable {
        /// Line in the file, from 1.
        line: u32,
    },
    /// The file can't be read.
    #[error("the file can't be read: {}", .0.message)]
    Unreadable(Problem),
    /// The file isn't a task.
    #[error("the file is not a task; its front matter needs `typ: task`")]
    NotATask,
}

/// Changes what `edit` asks for in `text`, the content of the file `name`, and returns the new
/// text. Asking for what is already there returns `text` unchanged.
pub fn edit(name: &FileName, text: &str, edit: &Edit) -> Result<String, EditError> {
    let task = match parse(name, text.as_bytes()) {
        Parsed::Task(task) => task,
        Parsed::Unreadable(problem) => return Err(EditError::Unreadable(problem)),
        Parsed::NotATask | Parsed::Settled => return Err(EditError::NotATask),
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
    if verify::holds(name, &file, &edited, &changes) {
        Ok(edited)
    } else {
        Err(not_editable)
    }
}

/// What is there already may stay, whatever it is; the tags are looked at as they were sent.
fn check_text(changes: &Edit, asked: &Edit) -> Result<(), EditError> {
    if let (Some(_), Some(tags)) = (&changes.tags, &asked.tags) {
        check_tags(tags)?;
    }
    changes.body.as_deref().map_or(Ok(()), check_body)
}

/// A file that has front matter.
struct File<'a> {
    text: &'a str,
    parts: Parts,
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
        part(self.text, &self.parts.body)
    }

    /// `edit` without what is already there.
    fn changes(&self, task: &Task, edit: &Edit) -> Edit {
        let tags = edit.tags.as_deref().map(without_blanks);
        // A value that can't be read counts as missing, but clearing it still removes it.
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
                .filter(|asked| asked_slot(*asked) != task.fixed_slot),
            abgeschlossen_am: done.filter(|asked| unread || *asked != task.abgeschlossen_am),
            body: edit.body.clone().filter(|asked| asked != self.body()),
        }
    }

    /// The line to look at when the changes can't be made: that of the first key they concern.
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
        let in_braces = matches!(self.root.kind, Kind::Mapping { flow: true, .. });
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

/// What a file says after a slot was asked for.
fn asked_slot(asked: Option<Slot>) -> FixedSlot {
    asked.map_or(FixedSlot::None, FixedSlot::At)
}

impl Edit {
    /// The front matter keys this concerns.
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
