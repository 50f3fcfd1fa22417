#![doc = include_str!("README.md")]

mod content;
mod date;
mod edit;
mod file_name;
mod front_matter;
mod outline;
mod parse;
mod quote;
mod sha;
mod slot;
mod table;
mod text;
mod title;
mod words;
mod write;
mod yaml;

pub use content::{FixedSlot, MAX_FILE_BYTES, Parsed, Problem, ProblemCode, TOMBSTONE_FILE, Task};
pub use date::{BadDatum, Datum, Slot};
pub use edit::{Edit, edit};
pub use file_name::{BadFileName, FileName, TaskId, TaskRef, is_task_file_candidate};
pub use front_matter::body_of;
pub use outline::{Block, Outline, outline};
pub use parse::parse;
pub use quote::EditError;
pub(crate) use sha::decode_hex;
pub use sha::{BadGitSha, GitSha, git_sha};
pub use table::{
    ContentView, FileRecord, FileView, FixedSlotView, Tags, TaskTable, TaskView, Title, UsedIds,
};
pub use title::{slug, title_of, without_title};
pub use words::{Kategorie, Status, UnknownWord, Zeit};
pub use write::{NewTask, new_file};
