//! Reading trees and blobs.

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
struct TreeResponse {
    tree: Vec<EntryResponse>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct EntryResponse {
    path: String,
    mode: String,
    sha: GitSha,
    size: Option<u64>,
}

/// The entries of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePage {
    /// Ordered by path.
    pub entries: Vec<TreeEntry>,
    /// GitHub left entries out, because the tree is too large.
    pub truncated: bool,
}

/// Trees and blobs of the repository, by object id.
#[async_trait]
pub trait GitObjectApi: Send + Sync {
    /// The entries of a tree, or of a commit's tree; with `recursive` also those of its subtrees.
    ///
    /// # Errors
    /// Also when it doesn't exist, or the replica doesn't have it yet.
    async fn tree(&self, sha: GitSha, recursive: bool) -> Result<TreePage, GitHubError>;

    /// A blob's content. `None` when the repository doesn't have it (any more).
    ///
    /// # Errors
    /// Also when it is larger than [`MAX_FILE_BYTES`].
    async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError>;
}

#[async_trait]
impl GitObjectApi for GitHubRepository {
    async fn tree(&self, sha: GitSha, recursive: bool) -> Result<TreePage, GitHubError> {
        let query = if recursive { "?recursive=1" } else { "" };
        let path = format!("git/trees/{sha}{query}");
        let response: TreeResponse = self.get("read the tree", &path).await?;
        let entries = response.tree.into_iter().map(|entry| TreeEntry {
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
            truncated: response.truncated,
        })
    }

    async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError> {
        // Raw: octocrab's typed call gets JSON with the content in base64, and without a size limit.
        let request = http::Request::builder()
            .header(ACCEPT, "application/vnd.github.raw+json")
            .extension(MaxBytes(MAX_FILE_BYTES));
        let path = format!("git/blobs/{sha}");
        match self.send_raw("read a file", &path, request).await {
            Err(error) if error.has_status(StatusCode::NOT_FOUND) => Ok(None),
            response => Ok(Some(response?.1)),
        }
    }
}
