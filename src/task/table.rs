//! All of a user's files, packed.
//!
//! An instance keeps one table per cached user, so its size decides how many users fit: texts lie in
//! one string, titles that the file name says already aren't kept, equal lists of tags are kept once,
//! and a row is some 50 bytes. `benches/footprint.rs` prints what that comes to.

mod pack;
mod row;

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use super::{
    Datum, FileName, FixedSlot, GitSha, Kategorie, Parsed, Problem, Slot, Status, Task, TaskId,
    git_sha, parse,
};
use pack::Packer;
use row::{Kind, PackedSlot, Row, Span};

/// A file as it goes into a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// The file's name with `.md`. A [`super::FileName`], unless `content` is a problem with it.
    pub name: String,
    /// The store's version of it; opaque here.
    pub etag: String,
    /// What Git calls its content; `None` when the bytes were never read.
    pub sha: Option<GitSha>,
    /// What it says.
    pub content: Parsed,
}

impl FileRecord {
    /// The record of a file with this content.
    pub fn of(name: &FileName, etag: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_string(),
            etag: etag.to_owned(),
            sha: Some(git_sha(bytes)),
            content: parse(name, bytes),
        }
    }
}

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub struct FileView<'a> {
    /// See [`FileRecord::name`].
    pub name: &'a str,
    /// See [`FileRecord::etag`].
    pub etag: &'a str,
    /// See [`FileRecord::sha`].
    pub sha: Option<GitSha>,
    /// What it says.
    pub content: ContentView<'a>,
}

/// What a file in a table says: [`Parsed`], borrowed.
#[derive(Debug, Clone, Copy)]
pub enum ContentView<'a> {
    /// A task.
    Task(TaskView<'a>),
    /// Some other file.
    NotATask,
    /// A tombstone: counts as absent.
    Settled,
    /// Stands in `problems`.
    Unreadable(&'a Problem),
}

/// A task in a table.
#[derive(Debug, Clone, Copy)]
pub struct TaskView<'a> {
    /// Its number.
    pub id: TaskId,
    /// See [`Task::title`].
    pub title: Title<'a>,
    /// See [`Task::kategorie`].
    pub kategorie: Kategorie,
    /// See [`Task::status`].
    pub status: Status,
    /// See [`Task::tags`].
    pub tags: Tags<'a>,
    /// See [`Task::deadline`].
    pub deadline: Option<Datum>,
    /// See [`Task::fixed_slot`].
    pub fixed_slot: FixedSlotView<'a>,
    /// See [`Task::abgeschlossen_am`].
    pub abgeschlossen_am: Option<Slot>,
}

/// [`FixedSlot`], borrowed.
#[derive(Debug, Clone, Copy)]
pub enum FixedSlotView<'a> {
    /// Planned automatically.
    None,
    /// Exactly here.
    At(Slot),
    /// Meant, but impossible.
    Invalid(&'a Problem),
}

/// A task's title.
#[derive(Debug, Clone, Copy)]
pub enum Title<'a> {
    /// As it stands in the body.
    Plain(&'a str),
    /// This piece of the file name, with `-` read as space.
    OfName(&'a str),
}

impl<'a> Title<'a> {
    /// The title in one piece.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => text.into(),
            Self::OfName(piece) => piece.replace('-', " ").into(),
        }
    }
}

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::OfName(piece) = self else {
            return f.write_str(&self.text());
        };
        for (at, word) in piece.split('-').enumerate() {
            f.write_str(if at > 0 { " " } else { "" })?;
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl Serialize for Title<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(text) => serializer.serialize_str(text),
            Self::OfName(_) => serializer.collect_str(self),
        }
    }
}

/// A task's tags, in the file's order.
#[derive(Debug, Clone, Copy)]
pub struct Tags<'a> {
    text: &'a str,
    spans: &'a [Span],
}

impl<'a> Tags<'a> {
    /// One after the other.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        self.spans.iter().map(move |span| span.of(self.text))
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A user's files in the order they are planned: by number, then by the bytes of the name.
#[derive(Debug, Default)]
pub struct TaskTable {
    text: Box<str>,
    rows: Box<[Row]>,
    tags: Box<[Span]>,
    /// Of unreadable files and impossible appointments, by row.
    problems: Box<[(u32, Problem)]>,
}

impl TaskTable {
    /// Packs `files`; when a name stands twice, the later one counts.
    pub fn new(mut files: Vec<FileRecord>) -> Self {
        files.reverse();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.dedup_by(|a, b| a.name == b.name);
        let mut packer = Packer::default();
        for file in &files {
            packer.file(file);
        }
        packer.finish()
    }

    /// The same with `files` in the place of those of their names.
    pub fn with(&self, files: &[FileRecord]) -> Self {
        let present = self.iter().map(|file| file.to_record());
        Self::new(present.chain(files.iter().cloned()).collect())
    }

    /// One above the highest number; 0 when there is none. Settled files count as absent.
    pub fn above_all(&self) -> u32 {
        let there = (0..self.rows.len()).rev().map(|row| self.file(row));
        let highest = there
            .filter(|file| !file.is_settled())
            .find_map(|file| file.id());
        highest.map_or(0, |id| u32::from(id.number()) + 1)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What it occupies, in bytes.
    pub fn weight(&self) -> usize {
        let problems: usize = self
            .problems
            .iter()
            .map(|(_, p)| p.message.capacity())
            .sum();
        size_of::<Self>()
            + self.text.len()
            + size_of_val(&*self.rows)
            + size_of_val(&*self.tags)
            + size_of_val(&*self.problems)
            + problems
    }

    /// Every file, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FileView<'_>> {
        (0..self.rows.len()).map(|row| self.file(row))
    }

    /// The file in this row. Panics when there is no such row.
    pub fn file(&self, row: usize) -> FileView<'_> {
        let it = &self.rows[row];
        FileView {
            name: it.name().of(&self.text),
            etag: it.etag().of(&self.text),
            sha: it.has_sha.then_some(GitSha(it.sha)),
            content: self.content(row, it),
        }
    }

    /// The file of this name.
    pub fn find(&self, name: &str) -> Option<FileView<'_>> {
        self.row(name).map(|row| self.file(row))
    }

    /// The row of the file of this name.
    pub fn row(&self, name: &str) -> Option<usize> {
        let named = |row: &Row| row.name().of(&self.text).cmp(name);
        self.rows.binary_search_by(named).ok()
    }

    fn content<'a>(&'a self, row: usize, it: &'a Row) -> ContentView<'a> {
        match (it.kind, self.problem(row)) {
            (Kind::Task { kategorie, status }, problem) => {
                ContentView::Task(self.task(it, kategorie, status, problem))
            }
            (Kind::Unreadable, Some(problem)) => ContentView::Unreadable(problem),
            (Kind::Settled, _) => ContentView::Settled,
            (Kind::NotATask | Kind::Unreadable, _) => ContentView::NotATask,
        }
    }

    fn task<'a>(
        &'a self,
        it: &Row,
        kategorie: Kategorie,
        status: Status,
        problem: Option<&'a Problem>,
    ) -> TaskView<'a> {
        let first = it.first_tag as usize;
        TaskView {
            id: leading_number(it.name().of(&self.text)),
            title: match (it.title.of(&self.text), it.title_of_name) {
                (piece, true) => Title::OfName(piece),
                (text, false) => Title::Plain(text),
            },
            kategorie,
            status,
            tags: Tags {
                text: &self.text,
                spans: &self.tags[first..first + it.tags as usize],
            },
            deadline: it.deadline,
            fixed_slot: match (problem, it.fixed_slot.and_then(PackedSlot::unpack)) {
                (Some(problem), _) => FixedSlotView::Invalid(problem),
                (None, Some(slot)) => FixedSlotView::At(slot),
                (None, None) => FixedSlotView::None,
            },
            abgeschlossen_am: it.abgeschlossen_am.and_then(PackedSlot::unpack),
        }
    }

    fn problem(&self, row: usize) -> Option<&Problem> {
        let at = self
            .problems
            .binary_search_by_key(&row, |(row, _)| *row as usize)
            .ok()?;
        Some(&self.problems[at].1)
    }
}

/// Tables are made of files whose tasks have numbered names, so the first four bytes are digits.
fn leading_number(name: &str) -> TaskId {
    let digits = name
        .bytes()
        .take(4)
        .map(|byte| u16::from(byte.saturating_sub(b'0').min(9)));
    TaskId::new(digits.fold(0, |number, digit| number * 10 + digit)).unwrap_or(TaskId::MAX)
}

impl FileView<'_> {
    /// An owned copy, for a new table.
    pub fn to_record(&self) -> FileRecord {
        FileRecord {
            name: self.name.to_owned(),
            etag: self.etag.to_owned(),
            sha: self.sha,
            content: match self.content {
                ContentView::Task(task) => Parsed::Task(task.to_task()),
                ContentView::NotATask => Parsed::NotATask,
                ContentView::Settled => Parsed::Settled,
                ContentView::Unreadable(problem) => Parsed::Unreadable(problem.clone()),
            },
        }
    }

    /// Whether it counts as absent.
    pub fn is_settled(&self) -> bool {
        matches!(self.content, ContentView::Settled)
    }

    /// The file's number, for a name that has one.
    pub fn id(&self) -> Option<TaskId> {
        self.name.parse::<FileName>().ok().map(|name| name.id())
    }
}

impl TaskView<'_> {
    /// An owned copy.
    pub fn to_task(&self) -> Task {
        Task {
            title: self.title.text().into_owned(),
            kategorie: self.kategorie,
            status: self.status,
            tags: self.tags.iter().map(str::to_owned).collect(),
            deadline: self.deadline,
            fixed_slot: match self.fixed_slot {
                FixedSlotView::None => FixedSlot::None,
                FixedSlotView::At(slot) => FixedSlot::At(slot),
                FixedSlotView::Invalid(problem) => FixedSlot::Invalid(Box::new(problem.clone())),
            },
            abgeschlossen_am: self.abgeschlossen_am,
        }
    }
}
