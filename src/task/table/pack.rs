//! Packs files into a table, storing equal texts once.

use std::collections::HashMap;

use super::super::content::{FixedSlot, Parsed, Task};
use super::super::problem::Problem;
use super::record::FileRecord;
use super::row::{PackedSlot, RowKind, TaskRow, TextSpan};

/// The limit of the row's `u16` counter; a table leaves out further tags.
const MAX_TAGS: usize = u16::MAX as usize;

#[derive(Default)]
pub(super) struct Packer<'a> {
    pub(super) text: String,
    interned_texts: HashMap<&'a str, TextSpan>,
    interned_tag_lists: HashMap<&'a [String], u32>,
    pub(super) rows: Vec<TaskRow>,
    pub(super) tags: Vec<TextSpan>,
    pub(super) problems: Vec<(u32, Problem)>,
}

impl<'a> Packer<'a> {
    pub(super) fn file(&mut self, file: &'a FileRecord) {
        let row = self.rows.len() as u32;
        let name = self.append(&file.name);
        let etag = self.append(&file.etag);
        let lengths = (u16::try_from(name.len), u16::try_from(etag.len));
        // Stores limit names and ETags to a few hundred bytes, so this doesn't happen.
        let (Ok(name_len), Ok(etag_len)) = lengths else {
            return;
        };
        let mut packed = TaskRow {
            at: name.at,
            name_len,
            etag_len,
            title: TextSpan::default(),
            first_tag: 0,
            tags: 0,
            kind: RowKind::NotATask,
            title_from_name: false,
            has_sha: file.sha.is_some(),
            sha: file.sha.map_or([0; 20], |sha| sha.0),
            deadline: None,
            fixed_slot: None,
            abgeschlossen_am: None,
        };
        match &file.content {
            Parsed::Task(task) => self.task(task, row, &mut packed),
            Parsed::NotATask => {}
            Parsed::Tombstone => packed.kind = RowKind::Tombstone,
            Parsed::Unreadable(problem) => {
                packed.kind = RowKind::Unreadable;
                self.problems.push((row, problem.clone()));
            }
        }
        self.rows.push(packed);
    }

    fn task(&mut self, task: &'a Task, row: u32, packed: &mut TaskRow) {
        packed.kind = RowKind::Task {
            kategorie: task.kategorie,
            status: task.status,
        };
        (packed.title, packed.title_from_name) = self.title(&task.title, packed.name());
        packed.deadline = task.deadline;
        packed.abgeschlossen_am = task.abgeschlossen_am.and_then(PackedSlot::pack);
        (packed.first_tag, packed.tags) = self.tags(&task.tags);
        match &task.fixed_slot {
            FixedSlot::None => {}
            FixedSlot::At(slot) => packed.fixed_slot = PackedSlot::pack(*slot),
            FixedSlot::Invalid(problem) => self.problems.push((row, (**problem).clone())),
        }
    }

    /// The title as a slice of the file name, which is usually derived from it. A title that contains `-` is stored
    /// separately, because `-` in the name stands for a space.
    fn title(&mut self, title: &'a str, name: TextSpan) -> (TextSpan, bool) {
        let slug = title.replace(' ', "-");
        let found = name.of(&self.text).find(&slug);
        match found.filter(|_| !title.contains('-')) {
            Some(at) => {
                let (at, len) = (name.at + at as u32, slug.len() as u32);
                (TextSpan { at, len }, true)
            }
            None => (self.intern(title), false),
        }
    }

    fn tags(&mut self, tags: &'a [String]) -> (u32, u16) {
        let tags = &tags[..tags.len().min(MAX_TAGS)];
        let first = match self.interned_tag_lists.get(tags) {
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
        self.interned_tag_lists.insert(tags, first);
        first
    }

    fn intern(&mut self, piece: &'a str) -> TextSpan {
        if let Some(span) = self.interned_texts.get(piece) {
            return *span;
        }
        let span = self.append(piece);
        self.interned_texts.insert(piece, span);
        span
    }

    fn append(&mut self, piece: &str) -> TextSpan {
        let (at, len) = (self.text.len(), piece.len());
        // Offsets are `u32`. Real tables stay far below that; beyond it a text becomes empty rather than aliasing
        // another.
        if u32::try_from(at + len).is_err() {
            return TextSpan::default();
        }
        self.text.push_str(piece);
        TextSpan {
            at: at as u32,
            len: len as u32,
        }
    }
}
