//! PURE. Which of a repository's files are task files, and whose (`src/codex/git/README.md`, "Which files take part").

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::reconcile::Side;
use crate::task::{FileName, GitSha, MAX_FILE_BYTES, SETTLED_FILE, git_sha, is_meant_for_a_task};
use crate::user::UserId;

/// No name of a task file in the repository is longer, in bytes: what every file system can hold, and a temporary
/// name beside it.
pub const MAX_NAME_BYTES: usize = 200;

/// Whether a file of this name goes to the repository, and comes from there. One of another name is passed over in
/// both directions, and never counts as gone.
pub fn is_mirrored(name: &FileName) -> bool {
    name.as_str().len() <= MAX_NAME_BYTES
}

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
    /// A file with the executable bit.
    Executable,
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
    /// The user's folder is called the same in another letter case.
    OtherSpelling,
    /// A `.md` file that no task file may be called.
    BadFileName,
    /// It isn't a plain file.
    NotAFile,
    /// It is larger than a task may be.
    TooLarge,
    /// Its text is the one that stands for a file that isn't there.
    NotATask,
    /// Its content couldn't be had, or written.
    Failed,
    /// So many files would be removed that somebody has to confirm it.
    MassDelete,
    /// The branch doesn't follow what Git was known to hold.
    HistoryRewritten,
}

/// One user's task files in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserTree {
    /// What Git has of each.
    pub files: BTreeMap<FileName, Side>,
    /// Those that have the executable bit.
    pub executable: BTreeSet<FileName>,
    /// What is passed over.
    pub skipped: Vec<Skipped>,
    /// Its fingerprint: equal for equal files.
    pub folder: Option<GitSha>,
    /// Something else is in the folder's place, or in that of a folder above it: of no file it can be said that it
    /// isn't there.
    pub closed: bool,
    /// Folders of the same login in another letter case, from which nothing is taken. While there are any, what isn't
    /// here may be in one of them.
    pub respelt: Vec<UserId>,
}

/// All users' task files in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskTree {
    /// By user.
    pub users: BTreeMap<UserId, UserTree>,
    /// Folders that are no user's.
    pub skipped: Vec<Skipped>,
    /// Users with a folder, by their login in lower case.
    logins: BTreeMap<UserId, Vec<UserId>>,
    /// What is known of a user who isn't among them.
    others: UserTree,
}

impl TaskTree {
    /// Sorts out the entries of a whole tree. `base` is where task files lie, without slashes at its
    /// ends.
    pub fn of(entries: &[TreeEntry], base: &str) -> Self {
        let mut tree = Self::default();
        for entry in entries {
            if is_at_or_above(&entry.path, base) {
                // Without a folder here nobody's files are.
                if entry.kind != EntryKind::Folder {
                    tree.others.close(entry);
                    tree.skipped.extend(tree.others.skipped.clone());
                }
                continue;
            }
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
                (None, kind) if kind != EntryKind::Folder => {
                    // In a user's own place, where a folder belongs.
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
        let with_folder = tree.users.iter().filter(|(_, it)| it.folder.is_some());
        for (user, _) in with_folder {
            let spellings = tree.logins.entry(user.folded()).or_default();
            spellings.push(user.clone());
        }
        tree
    }

    /// One user's files.
    pub fn user(&self, user: &UserId) -> &UserTree {
        self.users.get(user).unwrap_or(&self.others)
    }

    /// The folders of the user's login, in the order of their bytes: their own, and those in another letter case.
    pub fn spellings(&self, user: &UserId) -> &[UserId] {
        self.logins.get(&user.folded()).map_or(&[], Vec::as_slice)
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

/// Whether `path` is `base`, or one of the folders that it is in.
fn is_at_or_above(path: &str, base: &str) -> bool {
    let rest = base.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl UserTree {
    /// What Git has of a file.
    pub fn side(&self, name: &FileName) -> Side {
        match self.files.get(name) {
            _ if self.closed || !is_mirrored(name) => Side::Other,
            side => side.copied().unwrap_or(Side::Absent),
        }
    }

    /// The same for `user`, beside folders of the login that are spelled otherwise and that nobody here has. Their own
    /// may have been renamed to one of them.
    pub fn beside(&self, respelt: Vec<UserId>, user: &UserId, base: &str) -> Self {
        let mut tree = self.clone();
        tree.closed |= tree.folder.is_none();
        let skipped = respelt.iter().map(|it| other_spelling(base, user, it));
        tree.skipped.extend(skipped);
        tree.respelt = respelt;
        tree
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
        if rest.contains('/') || !is_meant_for_a_task(rest) {
            return;
        }
        let Ok(name) = rest.parse::<FileName>() else {
            let message = "A task file is called NNNN.md or NNNN-Title.md: rename it.".to_owned();
            self.skipped
                .push(skipped(&entry.path, SkipCode::BadFileName, message));
            return;
        };
        let side = match self.why_not(&name, entry) {
            None => Side::Content(entry.sha),
            Some((code, message)) => {
                self.skipped.push(skipped(&entry.path, code, message));
                Side::Other
            }
        };
        if entry.kind == EntryKind::Executable {
            self.executable.insert(name.clone());
        }
        self.files.insert(name, side);
    }

    /// Why an entry is no task file, although it has the place of one.
    fn why_not(&self, name: &FileName, entry: &TreeEntry) -> Option<(SkipCode, String)> {
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
            return Some((SkipCode::BadFileName, too_long(name)));
        }
        if entry.sha == git_sha(SETTLED_FILE.as_bytes()) {
            let message = "It is what this service puts in the place of a file that isn't there: change its text, or remove it.";
            return Some((SkipCode::NotATask, message.to_owned()));
        }
        let size = entry.size.filter(|size| *size > MAX_FILE_BYTES as u64)?;
        let message =
            format!("It has {size} bytes, and a task at most {MAX_FILE_BYTES}: make it smaller.");
        Some((SkipCode::TooLarge, message))
    }
}

/// What is said of a name that isn't mirrored.
pub fn too_long(name: &FileName) -> String {
    let bytes = name.as_str().len();
    format!(
        "Its name has {bytes} bytes, and {MAX_NAME_BYTES} at most go to Git and come from there: rename it."
    )
}

/// What is said of a folder in `base` that is spelled otherwise than the `user`'s.
pub fn other_spelling(base: &str, user: &UserId, respelt: &UserId) -> Skipped {
    let message = format!(
        "This login's folder is called {user} here: name {base}/{respelt} so, or move its files to {base}/{user}. Until then none of them is taken, and nothing is removed here."
    );
    skipped(
        &format!("{base}/{respelt}/tasks"),
        SkipCode::OtherSpelling,
        message,
    )
}

fn skipped(file: &str, code: SkipCode, message: String) -> Skipped {
    Skipped {
        file: file.to_owned(),
        code,
        message,
    }
}
