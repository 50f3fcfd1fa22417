//! What an edit asks for, and what of it differs from a file.

use super::super::content::{FixedSlot, Task};
use super::super::date::{Datum, Slot};
use super::super::front_matter::{self, FileParts};
use super::super::quote::EditError;
use super::super::text::{line_number, slice};
use super::super::words::{Kategorie, Status};
use super::super::write::without_blank_tags;
use super::super::yaml::Node;

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

impl Edit {
    /// The front matter keys that this edit affects.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        let keys = [
            self.kategorie.map(|_| "kategorie"),
            self.status.map(|_| "status"),
            self.tags.as_ref().map(|_| "tags"),
            self.deadline.map(|_| "deadline"),
            self.fixed_slot.map(|_| "fixedSlot"),
            self.abgeschlossen_am.map(|_| "abgeschlossen_am"),
        ];
        keys.into_iter().flatten().collect()
    }
}

/// A parsed file with front matter.
pub(super) struct File<'a> {
    pub(super) text: &'a str,
    pub(super) parts: FileParts,
    pub(super) root: Node,
}

impl<'a> File<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, EditError> {
        let parts = front_matter::split(text)
            .map_err(EditError::Unreadable)?
            .ok_or(EditError::NotATask)?;
        let root = front_matter::read(text, &parts).map_err(EditError::Unreadable)?;
        Ok(Self { text, parts, root })
    }

    /// The byte order mark and the opening line.
    pub(super) fn opening(&self) -> &'a str {
        slice(self.text, &(0..self.parts.yaml.start))
    }

    pub(super) fn body(&self) -> &'a str {
        slice(self.text, &self.parts.body)
    }

    /// The part of `edit` that differs from the current content.
    pub(super) fn changes(&self, task: &Task, edit: &Edit) -> Edit {
        let tags = edit.tags.as_deref().map(without_blank_tags);
        // An unparsable value counts as missing, but clearing it still removes it.
        let unread =
            task.abgeschlossen_am.is_none() && self.root.present("abgeschlossen_am").is_some();
        let done = edit.abgeschlossen_am;
        Edit {
            kategorie: edit.kategorie.filter(|asked| *asked != task.kategorie),
            status: edit.status.filter(|asked| *asked != task.status),
            tags: tags.filter(|asked| *asked != task.tags),
            deadline: edit.deadline.filter(|asked| *asked != task.deadline),
            fixed_slot: edit
                .fixed_slot
                .filter(|asked| asked.map_or(FixedSlot::None, FixedSlot::At) != task.fixed_slot),
            abgeschlossen_am: done.filter(|asked| unread || *asked != task.abgeschlossen_am),
            body: edit.body.clone().filter(|asked| asked != self.body()),
        }
    }

    /// The line to report when the changes can't be applied: that of the first key they affect.
    pub(super) fn line(&self, changes: &Edit) -> u32 {
        let keys = changes.keys();
        let first = keys.iter().find_map(|key| self.root.entry(key));
        let at = first.map_or(self.root.range.start, |entry| entry.key_range.start);
        line_number(self.text, at)
    }
}
