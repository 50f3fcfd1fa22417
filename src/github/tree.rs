//! PURE. The task files of a repository, by user (`src/git_sync/README.md`, "Which files take part").

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reconcile::SideState;
use crate::task::{
    FileName, GitSha, MAX_FILE_BYTES, TOMBSTONE_FILE, git_sha, is_task_file_candidate,
};
use crate::user::UserId;

/// Longest name of a mirrored task file in bytes. Every file system can hold it, and a longer temporary name.
pub const MAX_NAME_BYTES: usize = 200;

/// Whether files of this name are synced. Others are skipped in both directions and never count as removed.
pub fn is_mirrored(name: &FileName) -> bool {
    name.as_str().len() <= MAX_NAME_BYTES
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TreeEntry {
    /// Path relative to the tree.
    pub path: String,
    /// Kind of entry.
    #[serde(rename = "mode")]
    pub kind: EntryKind,
    /// Object id.
    pub sha: GitSha,
    /// Size in bytes; files only.
    pub size: Option<u64>,
}

/// Kind of a tree entry, by its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum EntryKind {
    /// A file.
    #[serde(rename = "100644", alias = "100664")]
    File,
    /// A file with the executable bit.
    #[serde(rename = "100755")]
    Executable,
    /// A folder.
    #[serde(rename = "040000")]
    Folder,
    /// A symbolic link.
    #[serde(rename = "120000")]
    Link,
    /// A submodule, or an unknown mode.
    #[serde(other)]
    Other,
}

/// An entry of the repository that the sync skips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Skipped {
    /// Its path.
    pub file: String,
    /// The reason, as a stable code.
    pub code: SkipCode,
    /// The reason, as a sentence.
    pub message: String,
}

/// Why the sync skips an entry of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipCode {
    /// The folder's name isn't a valid user.
    BadUserId,
    /// The folder's name differs from the user's only in letter case.
    OtherSpelling,
    /// A `.md` file whose name isn't a valid task file name.
    BadFileName,
    /// It isn't a plain file.
    NotAFile,
    /// It is larger than a task may be.
    TooLarge,
    /// Its content is the tombstone text that stands for a removed file.
    NotATask,
    /// Its content couldn't be read or written.
    Failed,
    /// So many files would be removed that a confirmation is required.
    MassDelete,
    /// The branch's history doesn't contain the last known commit.
    HistoryRewritten,
}

/// A user's task files in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserTree {
    /// Git's state of each file.
    pub files: BTreeMap<FileName, SideState>,
    /// Files with the executable bit.
    pub executable: BTreeSet<FileName>,
    /// Skipped entries.
    pub skipped: Vec<Skipped>,
    /// Object id of the folder `tasks`: equal for equal contents.
    pub folder: Option<GitSha>,
    /// Something else is in the place of the folder or of one of its parents, so a missing file doesn't count as
    /// removed.
    pub closed: bool,
    /// The login's folders in another letter case. They aren't read; a file that is missing here may be in one.
    pub respelt: Vec<UserId>,
}

/// The task files of all users in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskTree {
    /// Trees by user.
    pub users: BTreeMap<UserId, UserTree>,
    /// Entries that belong to no user.
    pub skipped: Vec<Skipped>,
    /// Users with a folder, by the lower-case login.
    logins: BTreeMap<UserId, Vec<UserId>>,
    /// The tree of a user who isn't in `users`.
    absent_user: UserTree,
}

impl TaskTree {
    /// Groups the entries of a complete tree by user. `base` is the folder of the users' folders, without leading or
    /// trailing slash.
    pub fn of(entries: &[TreeEntry], base: &str) -> Self {
        let mut tree = Self::default();
        for entry in entries {
            if is_at_or_above(&entry.path, base) {
                // Something else in the place of a parent folder: no user's folder is visible.
                if entry.kind != EntryKind::Folder {
                    tree.absent_user.mark_closed(entry);
                    tree.skipped.extend(tree.absent_user.skipped.clone());
                }
                continue;
            }
            let inside = entry.path.strip_prefix(base);
            let Some(inside) = inside.and_then(|it| it.strip_prefix('/')) else {
                continue;
            };
            let mut parts = inside.splitn(3, '/');
            let (Some(user), folder, rest) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            match (folder, UserId::parse(user)) {
                (Some("tasks"), Ok(user)) => {
                    tree.users.entry(user).or_default().add_entry(rest, entry);
                }
                // A non-folder in the place of the user's folder.
                (None, Ok(user)) if entry.kind != EntryKind::Folder => {
                    tree.users.entry(user).or_default().mark_closed(entry);
                }
                // Reported once, however many entries the folder holds.
                (Some("tasks"), Err(_)) if rest.is_none() => {
                    let message = format!(
                        "{user:?} can't be a user: it is 1 to 64 of A-Z, a-z, 0-9, '-' and '_'."
                    );
                    let code = SkipCode::BadUserId;
                    tree.skipped.push(skipped(&entry.path, code, message));
                }
                _ => {}
            }
        }
        for (user, _) in tree.users.iter().filter(|(_, it)| it.folder.is_some()) {
            let spellings = tree.logins.entry(user.folded()).or_default();
            spellings.push(user.clone());
        }
        tree
    }

    /// The user's tree; an empty one for a user without files.
    pub fn user(&self, user: &UserId) -> &UserTree {
        self.users.get(user).unwrap_or(&self.absent_user)
    }

    /// The folders of the user's login in byte order, in any letter case.
    pub fn spellings(&self, user: &UserId) -> &[UserId] {
        self.logins.get(&user.folded()).map_or(&[], Vec::as_slice)
    }
}

/// Whether `path` is `base` or one of its parents.
fn is_at_or_above(path: &str, base: &str) -> bool {
    let rest = base.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl UserTree {
    /// Git's state of a file.
    pub fn side(&self, name: &FileName) -> SideState {
        match self.files.get(name) {
            _ if self.closed || !is_mirrored(name) => SideState::Other,
            side => side.copied().unwrap_or(SideState::Absent),
        }
    }

    /// This tree of `user`, with the login's folders in another letter case that belong to no user here. If the user's
    /// own folder is missing, it may have been renamed to one of them, so the tree is closed.
    pub fn with_other_spellings(&self, respelt: Vec<UserId>, user: &UserId, base: &str) -> Self {
        let mut tree = self.clone();
        tree.closed |= tree.folder.is_none();
        let skipped = respelt.iter().map(|it| other_spelling(base, user, it));
        tree.skipped.extend(skipped);
        tree.respelt = respelt;
        tree
    }

    fn mark_closed(&mut self, entry: &TreeEntry) {
        self.closed = true;
        let message = "A folder belongs here: move this away.";
        self.skip(entry, SkipCode::NotAFile, message);
    }

    fn skip(&mut self, entry: &TreeEntry, code: SkipCode, message: impl Into<String>) {
        let skipped = skipped(&entry.path, code, message);
        self.skipped.push(skipped);
    }

    fn add_entry(&mut self, rest: Option<&str>, entry: &TreeEntry) {
        let Some(rest) = rest else {
            self.folder = Some(entry.sha);
            if entry.kind != EntryKind::Folder {
                self.mark_closed(entry);
            }
            return;
        };
        if rest.split('/').any(|part| part == ".." || part == ".") {
            let message = "A path with '..' or '.' in it leads nowhere: rename it.";
            return self.skip(entry, SkipCode::BadFileName, message);
        }
        if rest.contains('/') || !is_task_file_candidate(rest) {
            return;
        }
        let Ok(name) = rest.parse::<FileName>() else {
            let message = "A task file is called NNNN.md or NNNN-Title.md: rename it.";
            return self.skip(entry, SkipCode::BadFileName, message);
        };
        let side = match skip_reason(&name, entry) {
            None => SideState::Content(entry.sha),
            Some((code, message)) => {
                self.skip(entry, code, message);
                SideState::Other
            }
        };
        if entry.kind == EntryKind::Executable {
            self.executable.insert(name.clone());
        }
        self.files.insert(name, side);
    }
}

/// Why an entry with a task file's path isn't a task file; `None` when it is.
fn skip_reason(name: &FileName, entry: &TreeEntry) -> Option<(SkipCode, String)> {
    let what = match entry.kind {
        EntryKind::File | EntryKind::Executable => None,
        EntryKind::Folder => Some("a folder"),
        EntryKind::Link => Some("a symbolic link"),
        EntryKind::Other => Some("a submodule"),
    };
    if let Some(what) = what {
        let message = format!("It is {what}, and a task is a plain file.");
        return Some((SkipCode::NotAFile, message));
    }
    if !is_mirrored(name) {
        return Some((SkipCode::BadFileName, name_too_long_message(name)));
    }
    if entry.sha == git_sha(TOMBSTONE_FILE.as_bytes()) {
        let message = "It is what this service puts in the place of a file that isn't there: change its text, or remove it.";
        return Some((SkipCode::NotATask, message.to_owned()));
    }
    let size = entry.size.filter(|size| *size > MAX_FILE_BYTES as u64)?;
    let message =
        format!("It has {size} bytes, and a task at most {MAX_FILE_BYTES}: make it smaller.");
    Some((SkipCode::TooLarge, message))
}

/// The message for a name that [`is_mirrored`] rejects.
pub fn name_too_long_message(name: &FileName) -> String {
    let bytes = name.as_str().len();
    format!(
        "Its name has {bytes} bytes, and {MAX_NAME_BYTES} at most go to Git and come from there: rename it."
    )
}

/// The skip entry for a folder in `base` that differs from the `user`'s only in letter case.
pub fn other_spelling(base: &str, user: &UserId, respelt: &UserId) -> Skipped {
    let message = format!(
        "This login's folder is called {user} here: name {base}/{respelt} so, or move its files to {base}/{user}. Until then none of them is taken, and nothing is removed here."
    );
    let folder = format!("{base}/{respelt}/tasks");
    skipped(folder, SkipCode::OtherSpelling, message)
}

/// What is skipped, and why.
pub fn skipped(file: impl Into<String>, code: SkipCode, message: impl Into<String>) -> Skipped {
    Skipped {
        file: file.into(),
        code,
        message: message.into(),
    }
}
