//! A table's rows, and how files are packed into them: equal texts are stored once.

use std::collections::HashMap;
use std::num::NonZeroU32;

use chrono::{Datelike, NaiveDate};

use super::super::content::{FixedSlot, Parsed, Problem, Task};
use super::super::date::{Datum, Slot};
use super::super::file_name::FileName;
use super::super::parse::parse;
use super::super::sha::{GitSha, git_sha};
use super::super::words::{Kategorie, Status, Zeit};

/// One file, as input for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// The file name with `.md`: a valid [`FileName`], unless `content` is a problem with the name.
    pub name: String,
    /// The store's ETag; opaque here.
    pub etag: String,
    /// The Git blob SHA-1; `None` if the bytes were never read.
    pub sha: Option<GitSha>,
    /// The parsed content.
    pub content: Parsed,
}

impl FileRecord {
    /// Parses `bytes` into a record.
    pub fn of(name: &FileName, etag: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_string(),
            etag: etag.to_owned(),
            sha: Some(git_sha(bytes)),
            content: parse(name, bytes),
        }
    }
}

/// A byte range in the table's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TextSpan {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl TextSpan {
    pub(super) fn of(self, text: &str) -> &str {
        &text[self.at as usize..(self.at + self.len) as usize]
    }
}

/// A slot in four bytes: day number × 3 + time of day. Days are in the years 0 to 9999 and the offset makes the day
/// number positive, so the value is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackedSlot(NonZeroU32);

impl PackedSlot {
    pub(super) fn pack(slot: Slot) -> Option<Self> {
        let day = u32::try_from(slot.datum.0.num_days_from_ce() + DAYS_BEFORE_CE).ok()?;
        NonZeroU32::new(day * 3 + slot.zeit as u32).map(Self)
    }

    pub(super) fn unpack(self) -> Option<Slot> {
        let day = i32::try_from(self.0.get() / 3).ok()? - DAYS_BEFORE_CE;
        let zeit = *Zeit::ALL.get(self.0.get() as usize % 3)?;
        Some(Slot {
            datum: Datum(NaiveDate::from_num_days_from_ce_opt(day)?),
            zeit,
        })
    }
}

/// The 366 days of year 0, which `dd.mm.yyyy` can express, plus one.
const DAYS_BEFORE_CE: i32 = 367;

/// One file of the table: offsets and small values.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TaskRow {
    /// The offset of the name; the ETag follows it.
    pub(super) at: u32,
    pub(super) name_len: u16,
    pub(super) etag_len: u16,
    pub(super) title: TextSpan,
    pub(super) first_tag: u32,
    pub(super) tags: u16,
    pub(super) kind: Parsed<(Kategorie, Status), ()>,
    /// Whether `title` is a slice of the name in which `-` stands for a space.
    pub(super) title_from_name: bool,
    pub(super) sha: Option<GitSha>,
    pub(super) deadline: Option<Datum>,
    pub(super) fixed_slot: Option<PackedSlot>,
    pub(super) abgeschlossen_am: Option<PackedSlot>,
}

impl TaskRow {
    pub(super) fn name(self) -> TextSpan {
        TextSpan {
            at: self.at,
            len: u32::from(self.name_len),
        }
    }

    pub(super) fn etag(self) -> TextSpan {
        TextSpan {
            at: self.at + u32::from(self.name_len),
            len: u32::from(self.etag_len),
        }
    }
}

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
            sha: file.sha,
            ..TaskRow::default()
        };
        match &file.content {
            Parsed::Task(task) => self.task(task, row, &mut packed),
            Parsed::NotATask => {}
            Parsed::Tombstone => packed.kind = Parsed::Tombstone,
            Parsed::Unreadable(problem) => {
                packed.kind = Parsed::Unreadable(());
                self.problems.push((row, problem.clone()));
            }
        }
        self.rows.push(packed);
    }

    fn task(&mut self, task: &'a Task, row: u32, packed: &mut TaskRow) {
        packed.kind = Parsed::Task((task.kategorie, task.status));
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
