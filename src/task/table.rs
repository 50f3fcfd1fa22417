//! All of a user's files in packed form.
//!
//! An instance keeps one table per cached user, so the table's size limits how many users fit: all text is in one
//! string, titles that equal part of the file name aren't stored, equal tag lists are stored once, and a row takes
//! about 50 bytes. `benches/footprint.rs` prints the totals.

mod pack;

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use super::content::{FixedSlot, Parsed, Problem, Task};
use super::date::{Datum, Slot};
use super::file_name::{FileName, TaskId};
use super::sha::GitSha;
use super::words::{Kategorie, Status};
pub use pack::FileRecord;
use pack::{PackedSlot, Packer, TaskRow, TextSpan};

/// One row of a table, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct FileView<'a> {
    /// See [`FileRecord::name`].
    pub name: &'a str,
    /// See [`FileRecord::etag`].
    pub etag: &'a str,
    /// See [`FileRecord::sha`].
    pub sha: Option<GitSha>,
    /// The parsed content.
    pub content: ContentView<'a>,
}

/// [`Parsed`], borrowed from a table.
pub type ContentView<'a> = Parsed<TaskView<'a>, &'a Problem>;

/// [`Task`], borrowed from a table, with its number.
#[derive(Debug, Clone, Copy)]
pub struct TaskView<'a> {
    /// The number from the file name.
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
pub type FixedSlotView<'a> = FixedSlot<&'a Problem>;

/// A task's title.
#[derive(Debug, Clone, Copy)]
pub enum Title<'a> {
    /// The title text.
    Plain(&'a str),
    /// A slice of the file name in which `-` stands for a space.
    FromName(&'a str),
}

impl<'a> Title<'a> {
    /// The title as one string.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => text.into(),
            Self::FromName(piece) => piece.replace('-', " ").into(),
        }
    }
}

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::FromName(piece) = self else {
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
            Self::FromName(_) => serializer.collect_str(self),
        }
    }
}

/// A task's tags, in file order.
#[derive(Debug, Clone, Copy)]
pub struct Tags<'a> {
    text: &'a str,
    spans: &'a [TextSpan],
}

impl<'a> Tags<'a> {
    /// The tags in file order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        self.spans.iter().map(move |span| span.of(self.text))
    }

    /// Whether the task has no tags.
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A user's files in planning order: by number, then by the bytes of the name.
#[derive(Debug, Default)]
pub struct TaskTable {
    text: Box<str>,
    rows: Box<[TaskRow]>,
    tags: Box<[TextSpan]>,
    /// Problems of unreadable files and of invalid slots, each with its row; sorted by row.
    problems: Box<[(u32, Problem)]>,
}

impl TaskTable {
    /// Packs `files`. Of several records with the same name the last one wins.
    pub fn new(mut files: Vec<FileRecord>) -> Self {
        files.reverse();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.dedup_by(|a, b| a.name == b.name);
        let mut packer = Packer::default();
        for file in &files {
            packer.file(file);
        }
        Self {
            text: packer.text.into(),
            rows: packer.rows.into(),
            tags: packer.tags.into(),
            problems: packer.problems.into(),
        }
    }

    /// A copy in which `files` replace the rows of the same names or are added.
    pub fn with(&self, files: &[FileRecord]) -> Self {
        let present = self.iter().map(|file| file.to_record());
        Self::new(present.chain(files.iter().cloned()).collect())
    }

    /// One above the highest number in use, tombstones excluded; 0 if there is none.
    pub fn min_next_id(&self) -> u32 {
        let mut there = self.iter().rev().filter(|file| !file.is_tombstone());
        let highest = there.find_map(|file| file.id());
        highest.map_or(0, |id| u32::from(id.number()) + 1)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Memory use in bytes.
    pub fn weight(&self) -> usize {
        let messages = self.problems.iter().map(|(_, it)| it.message.capacity());
        size_of::<Self>()
            + self.text.len()
            + size_of_val(&*self.rows)
            + size_of_val(&*self.tags)
            + size_of_val(&*self.problems)
            + messages.sum::<usize>()
    }

    /// All files in planning order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FileView<'_>> + DoubleEndedIterator {
        (0..self.rows.len()).map(|row| self.file(row))
    }

    /// The file in `row`. Panics if `row` is out of bounds.
    pub fn file(&self, row: usize) -> FileView<'_> {
        let it = &self.rows[row];
        FileView {
            name: it.name().of(&self.text),
            etag: it.etag().of(&self.text),
            sha: it.sha,
            content: self.content(row, it),
        }
    }

    /// The file with this name.
    pub fn find(&self, name: &str) -> Option<FileView<'_>> {
        self.row(name).map(|row| self.file(row))
    }

    /// The row of the file with this name.
    pub fn row(&self, name: &str) -> Option<usize> {
        let named = |row: &TaskRow| row.name().of(&self.text).cmp(name);
        self.rows.binary_search_by(named).ok()
    }

    fn content<'a>(&'a self, row: usize, it: &'a TaskRow) -> ContentView<'a> {
        let problem = self.problem(row);
        let (kategorie, status) = match it.kind {
            Parsed::Task(words) => words,
            Parsed::NotATask => return Parsed::NotATask,
            Parsed::Tombstone => return Parsed::Tombstone,
            Parsed::Unreadable(()) => return problem.map_or(Parsed::NotATask, Parsed::Unreadable),
        };
        let first = it.first_tag as usize;
        Parsed::Task(TaskView {
            id: TaskId::leading(it.name().of(&self.text)),
            title: match (it.title.of(&self.text), it.title_from_name) {
                (piece, true) => Title::FromName(piece),
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
                (Some(problem), _) => FixedSlot::Invalid(problem),
                (None, Some(slot)) => FixedSlot::At(slot),
                (None, None) => FixedSlot::None,
            },
            abgeschlossen_am: it.abgeschlossen_am.and_then(PackedSlot::unpack),
        })
    }

    fn problem(&self, row: usize) -> Option<&Problem> {
        let of_row = |(row, _): &(u32, Problem)| *row as usize;
        let at = self.problems.binary_search_by_key(&row, of_row).ok()?;
        Some(&self.problems[at].1)
    }
}

impl FileView<'_> {
    /// An owned copy, as input for a new table.
    pub fn to_record(&self) -> FileRecord {
        FileRecord {
            name: self.name.to_owned(),
            etag: self.etag.to_owned(),
            sha: self.sha,
            content: match self.content {
                Parsed::Task(task) => Parsed::Task(task.to_task()),
                Parsed::NotATask => Parsed::NotATask,
                Parsed::Tombstone => Parsed::Tombstone,
                Parsed::Unreadable(problem) => Parsed::Unreadable(problem.clone()),
            },
        }
    }

    /// Whether the file counts as absent.
    pub fn is_tombstone(&self) -> bool {
        matches!(self.content, Parsed::Tombstone)
    }

    /// The number in the file name, if the name is valid.
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
                FixedSlot::None => FixedSlot::None,
                FixedSlot::At(slot) => FixedSlot::At(slot),
                FixedSlot::Invalid(problem) => FixedSlot::Invalid(Box::new(problem.clone())),
            },
            abgeschlossen_am: self.abgeschlossen_am,
        }
    }
}

/// The task numbers that a user's files have.
#[derive(Debug)]
pub struct UsedIds {
    used: Vec<bool>,
}

impl UsedIds {
    /// 10,000, the counter value at which every number has been handed out.
    pub const ALL: u32 = TaskId::MAX.number() as u32 + 1;

    /// The numbers of all files in the table, readable or not, except tombstones.
    pub fn of(table: &TaskTable) -> Self {
        let mut used = vec![false; Self::ALL as usize];
        let there = table.iter().filter(|file| !file.is_tombstone());
        for id in there.filter_map(|file| file.id()) {
            used[usize::from(id.number())] = true;
        }
        Self { used }
    }

    /// One above the highest number in use; 0 if there is none.
    pub fn min_next_id(&self) -> u32 {
        let highest = self.used.iter().rposition(|used| *used);
        highest.map_or(0, |highest| highest as u32 + 1)
    }

    /// How many numbers are unused.
    pub fn free(&self) -> usize {
        self.used.iter().filter(|used| !**used).count()
    }

    /// The number for the next new task: the counter, or the lowest unused number once the counter is above 9999.
    pub fn next_available(&self, next_id: u32) -> Option<TaskId> {
        let counter = next_id.max(self.min_next_id());
        let id = u16::try_from(counter).ok().and_then(TaskId::new);
        id.or_else(|| self.lowest_free(&[]))
    }

    /// The lowest number that is neither used by a file nor in `taken`.
    pub fn lowest_free(&self, taken: &[TaskId]) -> Option<TaskId> {
        let ids = (0..=TaskId::MAX.number()).filter_map(TaskId::new);
        let mut free = ids.filter(|id| !self.used[usize::from(id.number())]);
        free.find(|id| !taken.contains(id))
    }
}
