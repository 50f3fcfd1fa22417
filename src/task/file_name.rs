//! Names of task files, and task numbers.

use std::str::FromStr;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A task's number, 0 to 9999, always shown with four digits. The lower one is planned first.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    ToSchema,
    derive_more::Display,
    derive_more::Debug,
)]
#[display("{_0:04}")]
#[debug("{self}")]
#[schema(value_type = String, pattern = "^[0-9]{4}$", example = "0042")]
pub struct TaskId(u16);

impl TaskId {
    /// The highest number.
    pub const MAX: Self = Self(9999);

    /// `None` above 9999.
    pub const fn new(number: u16) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number in the first four bytes of a file name, which are digits.
    pub(super) fn leading(name: &str) -> Self {
        let digits = name.get(..4).unwrap_or_default();
        Self(digits.parse().unwrap_or_default())
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A task's file name including `.md`: `NNNN.md`, `NNNN-.md` or `NNNN-Title.md`.
///
/// Invariants: starts with four ASCII digits followed by `.md` or `-`; contains no `/`, `\` or control character. The
/// order is the planning order: by number, then by the bytes of the name, which with four leading digits is plain byte
/// order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, derive_more::Display)]
pub struct FileName(Box<str>);

/// A character that no file name holds.
fn is_odd(c: char) -> bool {
    c == '/' || c == '\\' || c.is_control()
}

/// Whether a name may be meant as a task file: it ends in `.md` and isn't a companion file of macOS, Office or Emacs.
pub fn is_task_file_candidate(name: &str) -> bool {
    let kept_beside = ["._", "~$", ".#"];
    name.ends_with(".md") && !kept_beside.iter().any(|it| name.starts_with(it))
}

/// Not a valid task file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task file is called NNNN.md or NNNN-Title.md, without '/', '\\' and control characters")]
pub struct BadFileName;

impl FileName {
    /// The file name for a new task. Replaces characters that a name can't contain by `-`.
    pub fn numbered(id: TaskId, slug: &str) -> Self {
        Self(format!("{id}-{}.md", slug.replace(is_odd, "-")).into())
    }

    /// The number at the start of the name.
    pub fn id(&self) -> TaskId {
        TaskId::leading(&self.0)
    }

    /// The name without `.md`.
    pub fn stem(&self) -> &str {
        &self.0[..self.0.len() - 3]
    }

    /// The name with `.md`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = BadFileName;

    fn from_str(text: &str) -> Result<Self, BadFileName> {
        let stem = text.strip_suffix(".md").ok_or(BadFileName)?.as_bytes();
        let numbered = stem.len() >= 4 && stem[..4].iter().all(u8::is_ascii_digit);
        let then_dash = stem.len() == 4 || stem.get(4) == Some(&b'-');
        let fits = numbered && then_dash && !text.contains(is_odd);
        fits.then(|| Self(text.into())).ok_or(BadFileName)
    }
}

/// A reference to a task in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRef {
    /// Four digits: the file with this number. Ambiguous if several files have it.
    Number(TaskId),
    /// A complete file stem: exactly this file.
    File(FileName),
}

impl FromStr for TaskRef {
    type Err = BadFileName;

    fn from_str(text: &str) -> Result<Self, BadFileName> {
        let name: FileName = format!("{text}.md").parse()?;
        Ok(if text.len() == 4 {
            Self::Number(name.id())
        } else {
            Self::File(name)
        })
    }
}
