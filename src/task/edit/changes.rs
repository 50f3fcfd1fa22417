//! What an edit asks for, and what of it differs from a file.

use super::super::content::{FixedSlot, Task};
use super::super::date::{Datum, Slot};
use super::super::file_name::FileName;
use super::super::front_matter::{self, FileParts};
use super::super::quote::EditError;
use super::super::text::{line_number, slice};
use super::super::title::{title_of, with_title};
use super::super::words::{Kategorie, Status};
use super::super::write::{trimmed_title, without_blank_tags};
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
    /// The new text of the body's first heading, or of a heading above it; a blank one changes nothing.
    pub title: Option<String>,
    /// The complete new body, stored as is but for the title.
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

    /// The part of `edit` that differs from the current content of the file `name`. A changed title is in the body,
    /// too.
    pub(super) fn changes(&self, name: &FileName, task: &Task, edit: &Edit) -> Edit {
        let tags = edit.tags.as_deref().map(without_blank_tags);
        // An unparsable value counts as missing, but clearing it still removes it.
        let unread =
            task.abgeschlossen_am.is_none() && self.root.present("abgeschlossen_am").is_some();
        let done = edit.abgeschlossen_am;
        let body = edit.body.as_deref().unwrap_or(self.body());
        let title = edit.title.as_deref().and_then(trimmed_title);
        let title = title.filter(|asked| *asked != title_of(name, body));
        let titled = title.map(|title| with_title(body, title, self.newline_of(body)));
        let body = titled.or_else(|| edit.body.clone());
        Edit {
            kategorie: edit.kategorie.filter(|asked| *asked != task.kategorie),
            status: edit.status.filter(|asked| *asked != task.status),
            tags: tags.filter(|asked| *asked != task.tags),
            deadline: edit.deadline.filter(|asked| *asked != task.deadline),
            fixed_slot: edit
                .fixed_slot
                .filter(|asked| asked.map_or(FixedSlot::None, FixedSlot::At) != task.fixed_slot),
            abgeschlossen_am: done.filter(|asked| unread || *asked != task.abgeschlossen_am),
            title: title.map(str::to_owned),
            body: body.filter(|asked| asked != self.body()),
        }
    }

    /// The line ending of a body, or the front matter's if it has none.
    fn newline_of(&self, body: &str) -> &'static str {
        match body.split_once('\n') {
            Some((line, _)) if line.ends_with('\r') => "\r\n",
            Some(_) => "\n",
            None => self.parts.newline,
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
