//! What a task file says, and what is wrong with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::date::{Datum, Slot};
use super::words::{Kategorie, Status};

/// The largest file that is read or written, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The exact content of a tombstone, a file that counts as absent (`src/task/README.md`, "Tombstones").
pub const TOMBSTONE_FILE: &str = "---\ntyp: settled\n---\n";

/// The result of parsing a file; a table has its own forms of the task and the problem.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<T = Task, P = Problem> {
    /// A task.
    Task(T),
    /// No front matter, or a `typ` other than `task`: ignored without a problem.
    #[default]
    NotATask,
    /// Exactly [`TOMBSTONE_FILE`]: counts as absent. Any other file with `typ: settled` belongs to the user.
    Tombstone,
    /// Apparently meant as a task, but not readable.
    Unreadable(P),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedSlot<P = Box<Problem>> {
    /// Missing, `null`, or without a `datum`: planned automatically.
    None,
    /// Fixed at this slot.
    At(Slot),
    /// A `datum` that doesn't exist, or without a valid `zeit`. An open task is listed in `problems` and gets no slot.
    Invalid(P),
}

/// One entry of the timeline's `problems`, without the file it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub line: Option<u32>,
    /// A stable code, snake case.
    pub code: ProblemCode,
    /// One English sentence that says what to do.
    pub message: String,
}

impl Problem {
    /// A problem of this `line`, or of the whole file.
    pub(super) fn new(
        line: impl Into<Option<u32>>,
        code: ProblemCode,
        message: impl Into<String>,
    ) -> Self {
        Self {
            line: line.into(),
            code,
            message: message.into(),
        }
    }
}

/// Why a file can't be read, or a warning about a user's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// A `.md` file whose name isn't `NNNN.md`, `NNNN-.md` or `NNNN-Title.md`.
    BadFileName,
    /// Over [`MAX_FILE_BYTES`].
    TooLarge,
    /// The service may not open it.
    NotReadable,
    /// It is no file: a folder, a link that leads nowhere.
    NotAFile,
    /// The bytes aren't UTF-8.
    NotUtf8,
    /// `---js` or any other language after the opening line.
    UnsupportedFrontMatter,
    /// The opening `---` has no closing one.
    UnclosedFrontMatter,
    /// The front matter isn't YAML, or not the part of YAML that is read here (no aliases, tags,
    /// second documents; depth and size bounded), or not a mapping.
    BadYaml,
    /// A key stands twice.
    DuplicateKey,
    /// `kategorie` is missing or not one of the two.
    BadKategorie,
    /// `status` is not one of the three.
    BadStatus,
    /// `tags` is not a list of scalars.
    BadTags,
    /// `deadline` is not a date that exists.
    BadDeadline,
    /// `fixedSlot` names an impossible `datum`, or no valid `zeit`.
    InvalidFixedSlot,
    /// At most 100 numbers are left.
    IdsRunningOut,
    /// A field was changed both here and in Git.
    MergedConflict,
}
