//! Reading: trees and files.

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http::header::ACCEPT;
use serde::Deserialize;

use super::GitHubRepository;
use crate::github::transport::{GitHubError, MaxBytes};
use crate::github::tree::{EntryKind, TreeEntry};
use crate::task::{GitSha, MAX_FILE_BYTES};

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
        let query = if recursive { "?recursive=1" } else { "" };
        let below = format!("git/trees/{sha}{query}");
        let answer: TreeAnswer = self.get("read the tree", &below).await?;
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
        // As it is: octocrab's call of its own gets a document that has it in base64, of any size.
        let request = http::Request::builder()
            .header(ACCEPT, "application/vnd.github.raw+json")
            .extension(MaxBytes(MAX_FILE_BYTES));
        let below = format!("git/blobs/{sha}");
        match self.ask("read a file", &below, request).await {
            Err(refused) if refused.is(StatusCode::NOT_FOUND) => Ok(None),
            answer => Ok(Some(answer?.1)),
        }
    }
}
