//! Puts files into a table, each text once.

use std::collections::HashMap;

use super::row::{Kind, PackedSlot, Row, Span};
use super::{FileRecord, TaskTable};
use crate::task::{FixedSlot, Parsed, Problem, Task};

/// More tags than any task has a use for; further ones are left out of the table.
const MAX_TAGS: usize = u16::MAX as usize;

#[derive(Default)]
pub(super) struct Packer<'a> {
    text: String,
    known_texts: HashMap<&'a str, Span>,
    known_tags: HashMap<&'a [String], u32>,
    rows: Vec<Row>,
    tags: Vec<Span>,
    problems: Vec<(u32, Problem)>,
}

impl<'a> Packer<'a> {
    pub(super) fn file(&mut self, file: &'a FileRecord) {
        let row = self.rows.len() as u32;
        let name = self.append(&file.name);
        let etag = self.append(&file.etag);
        let lengths = (u16::try_from(name.len), u16::try_from(etag.len));
        // Stores allow names and ETags of some hundred bytes.
        let (Ok(name_len), Ok(etag_len)) = lengths else {
            return;
        };
        let mut packed = Row {
            at: name.at,
            name_len,
            etag_len,
            title: Span::default(),
            first_tag: 0,
            tags: 0,
            kind: Kind::NotATask,
            title_of_name: false,
            has_sha: file.sha.is_some(),
            sha: file.sha.map_or([0; 20], |sha| sha.0),
            deadline: None,
            fixed_slot: None,
            abgeschlossen_am: None,
        };
        match &file.content {
            Parsed::Task(task) => self.task(task, row, &mut packed),
            Parsed::NotATask => {}
            Parsed::Settled => packed.kind = Kind::Settled,
            Parsed::Unreadable(problem) => {
                packed.kind = Kind::Unreadable;
                self.problems.push((row, problem.clone()));
            }
        }
        self.rows.push(packed);
    }

    fn task(&mut self, task: &'a Task, row: u32, packed: &mut Row) {
        packed.kind = Kind::Task {
            kategorie: task.kategorie,
            status: task.status,
        };
        (packed.title, packed.title_of_name) = self.title(&task.title, packed.name());
        packed.deadline = task.deadline;
        packed.abgeschlossen_am = task.abgeschlossen_am.and_then(PackedSlot::pack);
        (packed.first_tag, packed.tags) = self.tags(&task.tags);
        match &task.fixed_slot {
            FixedSlot::None => {}
            FixedSlot::At(slot) => packed.fixed_slot = PackedSlot::pack(*slot),
            FixedSlot::Invalid(problem) => self.problems.push((row, (**problem).clone())),
        }
    }

    /// Files are usually named after their title. A title with a `-` of its own is kept apart.
    fn title(&mut self, title: &'a str, name: Span) -> (Span, bool) {
        let slug = title.replace(' ', "-");
        match name
            .of(&self.text)
            .find(&slug)
            .filter(|_| !title.contains('-'))
        {
            Some(at) => (
                Span {
                    at: name.at + at as u32,
                    len: slug.len() as u32,
                },
                true,
            ),
            None => (self.intern(title), false),
        }
    }

    fn tags(&mut self, tags: &'a [String]) -> (u32, u16) {
        let tags = &tags[..tags.len().min(MAX_TAGS)];
        let first = match self.known_tags.get(tags) {
            Some(first) => *first,
            None => self.new_tags(tags),
        };
        (first, tags.len() as u16)
    }

    fn new_tags(&mut self, tags: &'a [String]) -> u32 {
        let first = self.tags.len() as u32;
        for tag in tags {
            let span = self.intern(tag);
            self.tags.push(span);
        }
        self.known_tags.insert(tags, first);
        first
    }

    fn intern(&mut self, piece: &'a str) -> Span {
        if let Some(span) = self.known_texts.get(piece) {
            return *span;
        }
        let span = self.append(piece);
        self.known_texts.insert(piece, span);
        span
    }

    fn append(&mut self, piece: &str) -> Span {
        let end = self.text.len() + piece.len();
        // Offsets have 32 bits. What files there can be stays far below; were it not so, a text would
        // be empty rather than another's.
        if u32::try_from(end).is_err() {
            return Span::default();
        }
        let at = self.text.len() as u32;
        self.text.push_str(piece);
        Span {
            at,
            len: piece.len() as u32,
        }
    }

    pub(super) fn finish(self) -> TaskTable {
        TaskTable {
            text: self.text.into_boxed_str(),
            rows: self.rows.into_boxed_slice(),
            tags: self.tags.into_boxed_slice(),
            problems: self.problems.into_boxed_slice(),
        }
    }
}
