//! What a task file says.

use super::date::{Datum, Slot};
use super::problem::Problem;
use super::words::{Kategorie, Status};

/// The largest file that is read or written, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The exact content of a tombstone, a file that counts as absent (`src/task/README.md`, "Tombstones").
pub const TOMBSTONE_FILE: &str = "---\ntyp: settled\n---\n";

/// The result of parsing a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A task.
    Task(Task),
    /// No front matter, or a `typ` other than `task`: ignored without a problem.
    NotATask,
    /// Exactly [`TOMBSTONE_FILE`]: counts as absent. Any other file with `typ: settled` belongs to the user.
    Tombstone,
    /// Apparently meant as a task, but not readable.
    Unreadable(Problem),
}

/// A parsed task. Its number is part of the file name and isn't repeated here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The first heading of the body, else derived from the file name.
    pub title: String,
    /// Work or private.
    pub kategorie: Kategorie,
    /// Open, done or cancelled.
    pub status: Status,
    /// The tags' source texts, in file order.
    pub tags: Vec<String>,
    /// The last day on which the task may be done.
    pub deadline: Option<Datum>,
    /// The appointment, if any.
    pub fixed_slot: FixedSlot,
    /// When it was done.
    pub abgeschlossen_am: Option<Slot>,
}

/// The value of `fixedSlot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedSlot {
    /// Missing, `null`, or without a `datum`: planned automatically.
    None,
    /// Fixed at this slot.
    At(Slot),
    /// A `datum` that doesn't exist, or without a valid `zeit`. An open task is listed in `problems` and gets no slot.
    Invalid(Box<Problem>),
}
