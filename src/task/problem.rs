//! What is wrong with a file.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Over [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES).
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
