//! PURE. Which of a repository's files are task files, and whose (SPEC.md 5).

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::reconcile::Side;
use crate::task::{FileName, GitSha, MAX_FILE_BYTES};
use crate::user::UserId;

/// What every file system can hold, and a temporary name beside it.
const MAX_NAME_BYTES: usize = 200;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Below the tree's own path.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its name in Git.
    pub sha: GitSha,
    /// Of a file, in bytes.
    pub size: Option<u64>,
}

/// What an entry of a tree is, by its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A submodule, or something this version doesn't know.
    Other,
}

/// Something in the repository that is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Skipped {
    /// Where it is.
    pub file: String,
    /// Why, as a stable code.
    pub code: SkipCode,
    /// Why, in a sentence.
    pub message: String,
}

/// Why something in the repository is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipCode {
    /// The folder can't be a user's.
    BadUserId,
    /// A `.md` file that no task file may be called.
    BadFileName,
    /// It isn't a plain file.
    NotAFile,
    /// It is larger than a task may be.
    TooLarge,
    /// Its content couldn't be had, or written.
    Failed,
    /// So many files would be removed that somebody has to confirm it.
    MassDelete,
}

/// One user's task files in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserTree {
    /// What Git has of each.
    pub files: BTreeMap<FileName, Side>,
    /// What is passed over.
    pub skipped: Vec<Skipped>,
    /// Its fingerprint: equal for equal files.
    pub folder: Option<GitSha>,
    /// Something else is in the folder's place: of no file it can be said that it isn't there.
    pub closed: bool,
}

/// All users' task files in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskTree {
    /// By user.
    pub users: BTreeMap<UserId, UserTree>,
    /// Folders that are no user's.
    pub skipped: Vec<Skipped>,
}

impl TaskTree {
    /// Sorts out the entries of a whole tree. `base` is where task files lie, without slashes at its
    /// ends.
    pub fn of(entries: &[TreeEntry], base: &str) -> Self {
        let mut tree = Self::default();
        for entry in entries {
            let Some(below) = entry
                .path
                .strip_prefix(base)
                .and_then(|it| it.strip_prefix('/'))
            else {
                continue;
            };
            let mut parts = below.splitn(3, '/');
            let (Some(user), folder, rest) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            match (folder, entry.kind) {
                (Some("tasks"), _) => {}
                // In a user's own place, where a folder belongs.
                (None, EntryKind::Link | EntryKind::Other) => {
                    if let Ok(user) = UserId::parse(user) {
                        tree.users.entry(user).or_default().close(entry);
                    }
                    continue;
                }
                _ => continue,
            }
            match UserId::parse(user) {
                Ok(user) => tree.users.entry(user).or_default().take(rest, entry),
                Err(_) => tree.skip_user(&entry.path, user, rest),
            }
        }
        tree
    }

    /// One line for the folder, however many files it holds.
    fn skip_user(&mut self, path: &str, user: &str, rest: Option<&str>) {
        if rest.is_none() {
            let message =
                format!("{user:?} can't be a user: it is 1 to 64 of A-Z, a-z, 0-9, '-' and '_'.");
            self.skipped
                .push(skipped(path, SkipCode::BadUserId, message));
        }
    }
}

impl UserTree {
    /// No files.
    pub const fn empty() -> Self {
        Self {
            files: BTreeMap::new(),
            skipped: vec![],
            folder: None,
            closed: false,
        }
    }

    /// What Git has of a file.
    pub fn side(&self, name: &FileName) -> Side {
        match (self.closed, self.files.get(name)) {
            (true, _) => Side::Other,
            (false, side) => side.copied().unwrap_or(Side::Absent),
        }
    }

    fn close(&mut self, entry: &TreeEntry) {
        self.closed = true;
        let message = "A folder belongs here: move this away.".to_owned();
        self.skipped
            .push(skipped(&entry.path, SkipCode::NotAFile, message));
    }

    fn take(&mut self, rest: Option<&str>, entry: &TreeEntry) {
        let Some(rest) = rest else {
            self.folder = Some(entry.sha);
            if entry.kind != EntryKind::Folder {
                self.close(entry);
            }
            return;
        };
        if rest.split('/').any(|part| part == ".." || part == ".") {
            let message = "A path with '..' or '.' in it leads nowhere: rename it.".to_owned();
            self.skipped
                .push(skipped(&entry.path, SkipCode::BadFileName, message));
            return;
        }
        if rest.contains('/') || !rest.ends_with(".md") {
            return;
        }
        let name = rest.parse::<FileName>().ok();
        let Some(name) = name.filter(|it| it.as_str().len() <= MAX_NAME_BYTES) else {
            let message = format!(
                "A task file is called NNNN.md or NNNN-Title.md, in {MAX_NAME_BYTES} bytes at most: rename it."
            );
            self.skipped
                .push(skipped(&entry.path, SkipCode::BadFileName, message));
            return;
        };
        let side = match (entry.kind, entry.size) {
            (EntryKind::File, Some(size)) if size > MAX_FILE_BYTES as u64 => {
                let message = format!(
                    "It has {size} bytes, and a task at most {MAX_FILE_BYTES}: make it smaller."
                );
                self.skipped
                    .push(skipped(&entry.path, SkipCode::TooLarge, message));
                Side::Other
            }
            (EntryKind::File, _) => Side::Content(entry.sha),
            (kind, _) => {
                let what = match kind {
                    EntryKind::Folder => "a folder",
                    EntryKind::Link => "a symbolic link",
                    _ => "a submodule",
                };
                let message = format!("It is {what}, and a task is a plain file.");
                self.skipped
                    .push(skipped(&entry.path, SkipCode::NotAFile, message));
                Side::Other
            }
        };
        self.files.insert(name, side);
    }
}

fn skipped(file: &str, code: SkipCode, message: String) -> Skipped {
    Skipped {
        file: file.to_owned(),
        code,
        message,
    }
}
