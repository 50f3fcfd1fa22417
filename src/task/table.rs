//! All of a user's files, packed.
//!
//! An instance keeps one table per cached user, so its size decides how many users fit: texts lie in
//! one string, titles that the file name says already aren't kept, equal lists of tags are kept once,
//! and a row is some 50 bytes. `benches/footprint.rs` prints what that comes to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;

use chrono::{Datelike, NaiveDate};
use serde::{Serialize, Serializer};

use super::{
    Datum, FixedSlot, GitSha, Kategorie, Parsed, Problem, Slot, Status, Task, TaskId, Zeit,
};

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
    /// Counts as absent (COHERENCE.md, "Settling").
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

/// A piece of a table's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    at: u32,
    len: u32,
}

impl Span {
    fn of(self, text: &str) -> &str {
        &text[self.at as usize..(self.at + self.len) as usize]
    }
}

/// A slot in four bytes: its day's number times three plus the time of day. Days are those of the
/// years 0 to 9999, so it is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackedSlot(NonZeroU32);

impl PackedSlot {
    fn pack(slot: Slot) -> Option<Self> {
        let day = u32::try_from(slot.datum.0.num_days_from_ce() + DAYS_BEFORE_CE).ok()?;
        NonZeroU32::new(day * 3 + slot.zeit as u32).map(Self)
    }

    fn unpack(self) -> Option<Slot> {
        let day = i32::try_from(self.0.get() / 3).ok()? - DAYS_BEFORE_CE;
        let zeit = *Zeit::ALL.get(self.0.get() as usize % 3)?;
        Some(Slot {
            datum: Datum(NaiveDate::from_num_days_from_ce_opt(day)?),
            zeit,
        })
    }
}

/// The year 0, which `dd.mm.yyyy` can name, and one more.
const DAYS_BEFORE_CE: i32 = 367;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Task {
        kategorie: Kategorie,
        status: Status,
    },
    NotATask,
    Settled,
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Where its name begins; its ETag follows it.
    at: u32,
    name_len: u16,
    etag_len: u16,
    title: Span,
    first_tag: u32,
    tags: u16,
    kind: Kind,
    /// The title is a piece of the name, with `-` read as space.
    title_of_name: bool,
    has_sha: bool,
    sha: [u8; 20],
    deadline: Option<Datum>,
    fixed_slot: Option<PackedSlot>,
    abgeschlossen_am: Option<PackedSlot>,
}

impl Row {
    fn name(self) -> Span {
        Span {
            at: self.at,
            len: u32::from(self.name_len),
        }
    }

    fn etag(self) -> Span {
        Span {
            at: self.at + u32::from(self.name_len),
            len: u32::from(self.etag_len),
        }
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

/// More tags than any task has a use for; further ones are left out of the table.
const MAX_TAGS: usize = u16::MAX as usize;

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
        let row = self
            .rows
            .binary_search_by(|row| row.name().of(&self.text).cmp(name))
            .ok()?;
        Some(self.file(row))
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
        self.name
            .parse::<super::FileName>()
            .ok()
            .map(|name| name.id())
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

#[derive(Default)]
struct Packer<'a> {
    text: String,
    known_texts: HashMap<&'a str, Span>,
    known_tags: HashMap<&'a [String], u32>,
    rows: Vec<Row>,
    tags: Vec<Span>,
    problems: Vec<(u32, Problem)>,
}

impl<'a> Packer<'a> {
    fn file(&mut self, file: &'a FileRecord) {
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

    fn finish(self) -> TaskTable {
        TaskTable {
            text: self.text.into_boxed_str(),
            rows: self.rows.into_boxed_slice(),
            tags: self.tags.into_boxed_slice(),
            problems: self.problems.into_boxed_slice(),
        }
    }
}
