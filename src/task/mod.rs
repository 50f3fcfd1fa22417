#![doc = include_str!("README.md")]

mod date;
mod edit;
mod file_name;
mod front_matter;
mod outline;
mod parse;
mod quote;
mod slot;
mod table;
mod title;
mod used_ids;
mod write;
mod yaml;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

pub use date::{BadDatum, Datum, Slot, Zeit};
pub use edit::{Edit, EditError, edit};
pub use file_name::{BadFileName, FileName, TaskId, TaskRef, is_task_file_candidate};
pub use outline::{Block, Outline, outline};
pub use parse::{MAX_FILE_BYTES, Parsed, TOMBSTONE_FILE, parse};
pub use table::{
    ContentView, FileRecord, FileView, FixedSlotView, Tags, TaskTable, TaskView, Title,
};
pub use title::{slug, title_of};
pub use used_ids::UsedIds;
pub use write::{NewTask, new_file};

/// The value of a front matter key isn't one of its allowed words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be one of {allowed}")]
pub struct UnknownWord {
    /// The key as spelled in the file.
    pub key: &'static str,
    /// The allowed words.
    pub allowed: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $key:literal, $allowed:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in natural order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as spelled in files and API responses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { key: $key, allowed: $allowed }),
                }
            }
        }
    };
}
use words;

words! {
    /// Which days a task may be planned on.
    Kategorie, "kategorie", "arbeit, privat", {
        /// Work: Monday to Friday.
        Arbeit = "arbeit",
        /// Private: Saturday and Sunday.
        Privat = "privat",
    }
}

words! {
    /// Where a task stands; only open ones are planned.
    Status, "status", "offen, abgeschlossen, abgebrochen", {
        /// Open. Also when a file says nothing.
        Offen = "offen",
        /// Done.
        Abgeschlossen = "abgeschlossen",
        /// Cancelled.
        Abgebrochen = "abgebrochen",
    }
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

/// Why a file can't be read, or a warning about a user's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// The markdown after the front matter; all of `text` if the front matter is missing or malformed.
pub fn body_of(text: &str) -> &str {
    match front_matter::split(text) {
        Ok(Some(parts)) => front_matter::slice(text, &parts.body),
        Ok(None) | Err(_) => text,
    }
}

/// The Git blob SHA-1 of `bytes`, which is also the `etag` of a task in API responses.
pub fn git_sha(bytes: &[u8]) -> GitSha {
    use sha1::{Digest, Sha1};
    let mut hasher = Sha1::new();
    hasher.update(b"blob ");
    hasher.update(bytes.len().to_string().as_bytes());
    hasher.update([0]);
    hasher.update(bytes);
    GitSha(hasher.finalize().into())
}

/// A git blob SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{40}$")]
pub struct GitSha(pub [u8; 20]);

impl fmt::Display for GitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GitSha {
    type Err = BadGitSha;
    fn from_str(text: &str) -> Result<Self, BadGitSha> {
        decode_hex(text).map(Self).ok_or(BadGitSha)
    }
}

/// Decodes exactly `N` bytes.
pub(crate) fn decode_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hex.len() != 2 * N || !hex.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

impl Serialize for GitSha {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GitSha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Not forty hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a git SHA is forty hexadecimal digits")]
pub struct BadGitSha;
