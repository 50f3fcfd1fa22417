//! Reading: trees and files.

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::StatusCode;
use serde::Deserialize;

use super::{GitHubRepository, Question};
use crate::github::transport::GitHubError;
use crate::github::tree::{EntryKind, TreeEntry};
use crate::task::{GitSha, MAX_FILE_BYTES};

/// GitHub gives at most 7 MB of a tree, in 100,000 entries.
pub(super) const MAX_TREE_BYTES: usize = 32 << 20;

#[derive(Deserialize)]
struct TreeAnswer {
    tree: Vec<EntryAnswer>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct EntryAnswer {
    path: String,
    mode: String,
    sha: GitSha,
    size: Option<u64>,
}

/// The entries of a tree, as far as they were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePage {
    /// In the order of their paths.
    pub entries: Vec<TreeEntry>,
    /// There are more, which weren't told.
    pub truncated: bool,
}

/// Trees and files of the repository, by their names in Git.
#[async_trait]
pub trait Files: Send + Sync {
    /// The entries of a tree, or of a commit's: of the folders in it, too, where it is `recursive`.
    ///
    /// # Errors
    /// Also when it isn't there, or not yet.
    async fn tree(&self, sha: GitSha, recursive: bool) -> Result<TreePage, GitHubError>;

    /// A file's content. `None` when Git doesn't have it (any more).
    ///
    /// # Errors
    /// Also when it is larger than a task may be.
    async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError>;
}

#[async_trait]
impl Files for GitHubRepository {
    async fn tree(&self, sha: GitSha, recursive: bool) -> Result<TreePage, GitHubError> {
        let operation = "read the tree";
        let query = if recursive { "?recursive=1" } else { "" };
        let path = format!("{}/git/trees/{sha}{query}", self.path);
        let question = Question {
            limit: Some(MAX_TREE_BYTES),
            ..Question::default()
        };
        let reply = self
            .get(operation, &path, question)
            .await?
            .success(operation)?;
        let answer: TreeAnswer = reply.json(operation)?;
        let entries = answer.tree.into_iter().map(|entry| TreeEntry {
            kind: match entry.mode.as_str() {
                "100644" | "100664" => EntryKind::File,
                "100755" => EntryKind::Executable,
                "040000" => EntryKind::Folder,
                "120000" => EntryKind::Link,
                _ => EntryKind::Other,
            },
            path: entry.path,
            sha: entry.sha,
            size: entry.size,
        });
        Ok(TreePage {
            entries: entries.collect(),
            truncated: answer.truncated,
        })
    }

    async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError> {
        let operation = "read a file";
        let path = format!("{}/git/blobs/{sha}", self.path);
        let question = Question {
            accept: Some("application/vnd.github.raw+json"),
            limit: Some(MAX_FILE_BYTES),
            ..Question::default()
        };
        let reply = self.get(operation, &path, question).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(reply.success(operation)?.bytes))
    }
}
