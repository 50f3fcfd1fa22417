//! Reading: trees and files.

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http::header::ACCEPT;
use octocrab::Octocrab;

use super::{GitHubRepository, sha_of};
use crate::github::transport::{GitHubError, MaxBytes};
use crate::github::tree::{EntryKind, TreeEntry};
use crate::task::{GitSha, MAX_FILE_BYTES};

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
        let asked = |it: Octocrab| async move {
            let tree = self.git(&it).get_tree(sha.to_string());
            tree.recursive(recursive).send().await
        };
        let tree = self.call(operation, asked).await?;
        let entries = tree.tree.into_iter().map(|entry| {
            Ok(TreeEntry {
                kind: match entry.mode.as_str() {
                    "100644" | "100664" => EntryKind::File,
                    "100755" => EntryKind::Executable,
                    "040000" => EntryKind::Folder,
                    "120000" => EntryKind::Link,
                    _ => EntryKind::Other,
                },
                path: entry.path,
                sha: sha_of(operation, &entry.sha)?,
                size: entry.size.and_then(|it| it.try_into().ok()),
            })
        });
        Ok(TreePage {
            entries: entries.collect::<Result<_, GitHubError>>()?,
            truncated: tree.truncated,
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
