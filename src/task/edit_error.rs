//! Why a task file isn't written.

use super::content::MAX_FILE_BYTES;
use super::problem::Problem;

/// Why a task file can't be written or edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The field contains a control character or a Unicode noncharacter, or a line break in a single-line field.
    #[error("{field} holds a control character, a line break or a non-character; remove it")]
    BadText {
        /// The field's name in API responses.
        field: &'static str,
    },
    /// The result would exceed [`MAX_FILE_BYTES`] or have more tags than the parser accepts.
    #[error("the task would be larger than a file may be ({MAX_FILE_BYTES} bytes); shorten it")]
    TooLarge,
    /// The layout of the front matter doesn't allow this change without touching something else.
    #[error(
        "the front matter can't be changed here without touching something else; edit line {line} by hand"
    )]
    NotEditable {
        /// Line in the file, from 1.
        line: u32,
    },
    /// The file can't be parsed.
    #[error("the file can't be read: {}", .0.message)]
    Unreadable(Problem),
    /// The file isn't a task.
    #[error("the file is not a task; its front matter needs `typ: task`")]
    NotATask,
}
