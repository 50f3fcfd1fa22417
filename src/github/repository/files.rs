//! Reading: trees and files.

use bytes::Bytes;
use reqwest::StatusCode;
use serde::Deserialize;

use super::{Question, Repository};
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

impl Repository {
    /// Every entry of a commit's tree that lies at or below `base`; others may be among them. One
    /// request, unless the repository is so large that GitHub doesn't tell all of it at once.
    ///
    /// # Errors
    /// A tree that can't be had whole is an error: nothing may be concluded from a part.
    pub async fn tree(&self, commit: GitSha, base: &str) -> Result<Vec<TreeEntry>, GitHubError> {
        let (entries, truncated) = self.tree_at(commit, true).await?;
        if !truncated {
            return Ok(entries);
        }
        let mut sha = commit;
        for part in base.split('/') {
            match folder(&self.whole_folder(sha).await?, part) {
                Some(found) => sha = found,
                None => return Ok(vec![]),
            }
        }
        let (below, truncated) = self.tree_at(sha, true).await?;
        if !truncated {
            return Ok(prefixed(below, base));
        }
        let mut found = vec![];
        for user in self.whole_folder(sha).await? {
            let path = format!("{base}/{}", user.path);
            if user.kind != EntryKind::Folder {
                continue;
            }
            let inside = self.whole_folder(user.sha).await?;
            if let Some(tasks) = folder(&inside, "tasks") {
                let path = format!("{path}/tasks");
                found.extend(prefixed(self.whole_folder(tasks).await?, &path));
                found.extend(
                    inside
                        .into_iter()
                        .filter(|it| it.path == "tasks")
                        .map(|it| TreeEntry {
                            path: path.clone(),
                            ..it
                        }),
                );
            }
        }
        Ok(found)
    }

    async fn whole_folder(&self, sha: GitSha) -> Result<Vec<TreeEntry>, GitHubError> {
        match self.tree_at(sha, false).await? {
            (_, true) => Err(GitHubError::Unexpected {
                operation: "read the tree",
                reason: "a folder has too many entries",
            }),
            (entries, false) => Ok(entries),
        }
    }

    async fn tree_at(
        &self,
        sha: GitSha,
        recursive: bool,
    ) -> Result<(Vec<TreeEntry>, bool), GitHubError> {
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
                "100644" | "100755" | "100664" => EntryKind::File,
                "040000" => EntryKind::Folder,
                "120000" => EntryKind::Link,
                _ => EntryKind::Other,
            },
            path: entry.path,
            sha: entry.sha,
            size: entry.size,
        });
        Ok((entries.collect(), answer.truncated))
    }

    /// A file's content. `None` when Git doesn't have it (any more).
    ///
    /// # Errors
    /// Also when it is larger than a task may be.
    pub async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError> {
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

fn folder(entries: &[TreeEntry], name: &str) -> Option<GitSha> {
    let is_it = |it: &&TreeEntry| it.path == name && it.kind == EntryKind::Folder;
    entries.iter().find(is_it).map(|it| it.sha)
}

fn prefixed(entries: Vec<TreeEntry>, folder: &str) -> Vec<TreeEntry> {
    let under = |it: TreeEntry| TreeEntry {
        path: format!("{folder}/{}", it.path),
        ..it
    };
    entries.into_iter().map(under).collect()
}
