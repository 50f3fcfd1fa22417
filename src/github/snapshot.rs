//! The repository at one commit, as far as tasks are concerned.

use super::repository::{Head, HeadSeen, Repository};
use super::transport::GitHubError;
use super::tree::{TaskTree, UserTree};
use crate::task::GitSha;
use crate::user::UserId;

/// All task files of one commit.
#[derive(Debug, Clone, Default)]
pub struct GitSnapshot {
    head: Option<Head>,
    /// The files.
    pub tree: TaskTree,
}

static NO_FILES: UserTree = UserTree::empty();

impl GitSnapshot {
    /// The commit; `None` in a repository without any.
    pub fn commit(&self) -> Option<GitSha> {
        self.head.as_ref().map(|head| head.commit)
    }

    /// One user's files.
    pub fn user(&self, user: &UserId) -> &UserTree {
        self.tree.users.get(user).unwrap_or(&NO_FILES)
    }
}

impl Repository {
    /// The branch as it is now, unless it is as `known`: two requests at most, where GitHub tells a tree
    /// at once.
    ///
    /// # Errors
    /// When it can't be had whole.
    pub async fn snapshot(
        &self,
        known: Option<&GitSnapshot>,
        base_path: &str,
    ) -> Result<Option<GitSnapshot>, GitHubError> {
        let known_head = known.and_then(|known| known.head.as_ref());
        let head = match self.head(known_head).await? {
            HeadSeen::Unchanged if known_head.is_some() => return Ok(None),
            HeadSeen::Unchanged => {
                return Err(GitHubError::Unexpected {
                    operation: "read the branch",
                    reason: "it answers 304 to a question without a condition",
                });
            }
            HeadSeen::Empty => return Ok(Some(GitSnapshot::default())),
            HeadSeen::At(head) => head,
        };
        let tree = match known {
            Some(known) if known.commit() == Some(head.commit) => known.tree.clone(),
            _ => TaskTree::of(&self.tree(head.commit, base_path).await?, base_path),
        };
        let head = Some(head);
        Ok(Some(GitSnapshot { head, tree }))
    }
}
