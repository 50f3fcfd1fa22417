//! Names of task files.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A task's number, 0 to 9999, always shown with four digits. The lower one is planned first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]{4}$", example = "0042")]
pub struct TaskId(u16);

impl TaskId {
    /// The highest number there is.
    pub const MAX: Self = Self(9999);

    /// `None` above 9999.
    pub const fn new(number: u16) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A task file's name with its `.md`: `NNNN.md`, `NNNN-.md` or `NNNN-Title.md`.
///
/// Invariants: starts with four ASCII digits, followed by `.md` or by `-`; holds no `/`, no `\` and
/// no control character. Names order as tasks are planned: by number, then by bytes, which for four
/// leading digits is simply the order of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

/// Whether a name could be meant for a task file. What has no `.md`, and what macOS, Office and Emacs keep beside a
/// file, isn't.
pub fn is_meant_for_a_task(name: &str) -> bool {
    let kept_beside = ["._", "~$", ".#"];
    name.ends_with(".md") && !kept_beside.iter().any(|it| name.starts_with(it))
}

/// A `.md` file that no task file may be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task file is called NNNN.md or NNNN-Title.md, without '/', '\\' and control characters")]
pub struct BadFileName;

impl FileName {
    /// The name of a new task's file. What a name can't hold becomes `-`.
    pub fn numbered(id: TaskId, slug: &str) -> Self {
        let odd = |c: char| c == '/' || c == '\\' || c.is_control();
        Self(format!("{id}-{}.md", slug.replace(odd, "-")).into())
    }

    /// The number the name starts with.
    pub fn id(&self) -> TaskId {
        TaskId(
            self.0.as_bytes()[..4]
                .iter()
                .fold(0, |n, digit| n * 10 + u16::from(digit - b'0')),
        )
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
        let clean = !text
            .chars()
            .any(|c| c == '/' || c == '\\' || c.is_control());
        if numbered && then_dash && clean {
            Ok(Self(text.into()))
        } else {
            Err(BadFileName)
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a request names a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRef {
    /// Four digits: whichever file has this number, if only one has.
    Number(TaskId),
    /// A whole file stem: this file.
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
