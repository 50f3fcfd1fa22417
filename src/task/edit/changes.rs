//! What an edit asks for, and what of it differs from a file.

use super::super::content::{FixedSlot, Task};
use super::super::date::{Datum, Slot};
use super::super::edit_error::EditError;
use super::super::front_matter::{self, FileParts};
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
        let mut entries = changes
            .keys()
            .into_iter()
            .filter_map(|key| self.root.entry(key));
        let first = entries.next().map(|entry| entry.key_range.start);
        line_number(self.text, first.unwrap_or(self.root.range.start))
    }
}
