//! The task files of the repository at one commit.

use super::error::GitHubError;
use super::repository::{HeadCommit, HeadLookup, Repository};
use super::tree::{EntryKind, TaskTree, TreeEntry, UserTree};
use crate::task::GitSha;
use crate::user::UserId;

/// All task files of one commit.
#[derive(Debug, Clone, Default)]
pub struct GitSnapshot {
    head: Option<HeadCommit>,
    /// The task files.
    pub tree: TaskTree,
}

impl GitSnapshot {
    /// The commit; `None` for a repository without commits.
    pub fn commit(&self) -> Option<GitSha> {
        self.head.as_ref().map(|head| head.commit)
    }

    /// One user's files.
    pub fn user(&self, user: &UserId) -> &UserTree {
        self.tree.user(user)
    }

    /// Reads the branch; `None` when it is unchanged since `known`. Two requests at most, unless GitHub truncates the
    /// tree.
    pub async fn read(
        repository: &dyn Repository,
        known: Option<&Self>,
        base_path: &str,
    ) -> Result<Option<Self>, GitHubError> {
        let known_head = known.and_then(|known| known.head.as_ref());
        let head = match repository.head(known_head).await? {
            HeadLookup::Unchanged if known_head.is_some() => return Ok(None),
            HeadLookup::Unchanged => {
                let reason = "304 to an unconditional request";
                return Err(GitHubError::unexpected("read the branch", reason));
            }
            HeadLookup::Empty => return Ok(Some(Self::default())),
            HeadLookup::At(head) => head,
        };
        let tree = match known {
            Some(known) if known.commit() == Some(head.commit) => known.tree.clone(),
            _ => {
                let entries = task_entries(repository, head.commit, base_path).await?;
                TaskTree::of(&entries, base_path)
            }
        };
        let head = Some(head);
        Ok(Some(Self { head, tree }))
    }
}

/// The entries of a commit's tree that [`TaskTree::of`] needs: task files at or below `base`, and a non-folder in the
/// place of a folder on the way there. May include others. One request, unless the repository is so large that GitHub
/// truncates the tree: then folder by folder. A tree that can't be read completely is an error: a missing entry would read
/// as a removed file.
async fn task_entries(
    repository: &dyn Repository,
    commit: GitSha,
    base: &str,
) -> Result<Vec<TreeEntry>, GitHubError> {
    let whole = repository.tree(commit, true).await?;
    if !whole.truncated {
        return Ok(whole.entries);
    }
    let (mut sha, mut path) = (commit, String::new());
    for part in base.split('/') {
        let inside = read_folder(repository, sha, &path).await?;
        path = join_path(&path, part);
        match inside.into_iter().find(|it| it.path == path) {
            Some(found) if found.kind == EntryKind::Folder => sha = found.sha,
            other => return Ok(other.into_iter().collect()),
        }
    }
    let whole = repository.tree(sha, true).await?;
    if !whole.truncated {
        return Ok(prefix_paths(whole.entries, base));
    }
    let users = read_folder(repository, sha, base).await?;
    let mut found = vec![];
    for user in users.iter().filter(|it| it.kind == EntryKind::Folder) {
        let inside = read_folder(repository, user.sha, &user.path).await?;
        let tasks = join_path(&user.path, "tasks");
        for entry in inside.into_iter().filter(|it| it.path == tasks) {
            if entry.kind == EntryKind::Folder {
                found.extend(read_folder(repository, entry.sha, &tasks).await?);
            }
            found.push(entry);
        }
    }
    found.extend(users);
    Ok(found)
}

/// The direct entries of the folder at `path`.
async fn read_folder(
    repository: &dyn Repository,
    sha: GitSha,
    path: &str,
) -> Result<Vec<TreeEntry>, GitHubError> {
    let page = repository.tree(sha, false).await?;
    let reason = "a folder has too many entries";
    match page.truncated {
        true => Err(GitHubError::unexpected("read the tree", reason)),
        false => Ok(prefix_paths(page.entries, path)),
    }
}

/// Makes paths below a folder's own tree relative to the repository.
fn prefix_paths(entries: Vec<TreeEntry>, folder: &str) -> Vec<TreeEntry> {
    let prefix = |it: TreeEntry| TreeEntry {
        path: join_path(folder, &it.path),
        ..it
    };
    entries.into_iter().map(prefix).collect()
}

fn join_path(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}
