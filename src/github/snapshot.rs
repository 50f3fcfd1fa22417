//! The repository at one commit, as far as tasks are concerned.

use super::repository::{Head, HeadSeen, Repository};
use super::transport::GitHubError;
use super::tree::{EntryKind, TaskTree, TreeEntry, UserTree};
use crate::task::GitSha;
use crate::user::UserId;

/// All task files of one commit.
#[derive(Debug, Clone, Default)]
pub struct GitSnapshot {
    head: Option<Head>,
    /// The files.
    pub tree: TaskTree,
}

impl GitSnapshot {
    /// The commit; `None` in a repository without any.
    pub fn commit(&self) -> Option<GitSha> {
        self.head.as_ref().map(|head| head.commit)
    }

    /// One user's files.
    pub fn user(&self, user: &UserId) -> &UserTree {
        self.tree.user(user)
    }

    /// The branch as it is now, unless it is as `known`: two requests at most, where GitHub tells a tree
    /// at once.
    ///
    /// # Errors
    /// When it can't be had whole.
    pub async fn read(
        repository: &dyn Repository,
        known: Option<&Self>,
        base_path: &str,
    ) -> Result<Option<Self>, GitHubError> {
        let known_head = known.and_then(|known| known.head.as_ref());
        let head = match repository.head(known_head).await? {
            HeadSeen::Unchanged if known_head.is_some() => return Ok(None),
            HeadSeen::Unchanged => {
                return Err(GitHubError::Unexpected {
                    operation: "read the branch",
                    reason: "it answers 304 to a question without a condition",
                });
            }
            HeadSeen::Empty => return Ok(Some(Self::default())),
            HeadSeen::At(head) => head,
        };
        let tree = match known {
            Some(known) if known.commit() == Some(head.commit) => known.tree.clone(),
            _ => TaskTree::of(
                &entries(repository, head.commit, base_path).await?,
                base_path,
            ),
        };
        let head = Some(head);
        Ok(Some(Self { head, tree }))
    }
}

/// Every entry of a commit's tree at or below `base` that says anything of task files, and whatever stands in the
/// place of a folder on the way there; others may be among them. One request, unless the repository is so large
/// that GitHub doesn't tell all of it at once: then folder by folder.
///
/// # Errors
/// A tree that can't be had whole is an error: nothing may be concluded from a part.
async fn entries(
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
        let inside = below(folder(repository, sha).await?, &path);
        path = joined(&path, part);
        match inside.into_iter().find(|it| it.path == path) {
            Some(found) if found.kind == EntryKind::Folder => sha = found.sha,
            other => return Ok(other.into_iter().collect()),
        }
    }
    let whole = repository.tree(sha, true).await?;
    if !whole.truncated {
        return Ok(below(whole.entries, base));
    }
    let users = below(folder(repository, sha).await?, base);
    let mut found = vec![];
    for user in &users {
        if user.kind != EntryKind::Folder {
            continue;
        }
        let inside = below(folder(repository, user.sha).await?, &user.path);
        let tasks = joined(&user.path, "tasks");
        for entry in inside.into_iter().filter(|it| it.path == tasks) {
            if entry.kind == EntryKind::Folder {
                found.extend(below(folder(repository, entry.sha).await?, &tasks));
            }
            found.push(entry);
        }
    }
    found.extend(users);
    Ok(found)
}

/// What is directly in a folder.
async fn folder(repository: &dyn Repository, sha: GitSha) -> Result<Vec<TreeEntry>, GitHubError> {
    let page = repository.tree(sha, false).await?;
    match page.truncated {
        true => Err(GitHubError::Unexpected {
            operation: "read the tree",
            reason: "a folder has too many entries",
        }),
        false => Ok(page.entries),
    }
}

fn below(entries: Vec<TreeEntry>, folder: &str) -> Vec<TreeEntry> {
    let under = |it: TreeEntry| TreeEntry {
        path: joined(folder, &it.path),
        ..it
    };
    entries.into_iter().map(under).collect()
}

fn joined(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}
