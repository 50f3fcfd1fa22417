//! Commits of one file, or of several at once.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use octocrab::Octocrab;
use octocrab::models::repos::CommitAuthor;
use octocrab::params::repos::Reference;
use serde::{Deserialize, Serialize};

use super::{GitHubRepository, Repository, ShaResponse, encode_path, parse_object_id};
use crate::github::transport::GitHubError;
use crate::task::GitSha;

/// Most bytes of paths and contents in one request that creates a tree; GitHub refuses more than about 40 MB.
const MAX_TREE_REQUEST: usize = 4 << 20;

/// Most entries in one request that creates a tree, so that GitHub responds before the timeout.
const MAX_TREE_ENTRIES: usize = 200;

/// A commit of one file.
#[derive(Debug, Clone)]
pub struct FileCommit<'a> {
    /// Path in the repository.
    pub path: &'a str,
    /// The branch; `None` is the mirror branch.
    pub branch: Option<&'a str>,
    /// The new content.
    pub bytes: &'a [u8],
    /// Blob id of the content it replaces (compare-and-swap); `None` for a new file.
    pub replaces: Option<GitSha>,
    /// The commit message.
    pub message: &'a str,
}

/// Outcome of an attempt to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The commit is on the branch.
    Done(CreatedCommit),
    /// The branch has moved from what the commit builds on. It is unchanged.
    Stale,
}

/// A commit that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedCommit {
    /// The commit's id.
    pub sha: GitSha,
    /// URL of its page.
    pub html_url: String,
    /// Its first parent.
    pub parent: Option<GitSha>,
}

/// A commit of several files.
#[derive(Debug, Clone)]
pub struct BatchCommit<'a> {
    /// The parent: the branch's newest commit.
    pub parent: GitSha,
    /// The files to write.
    pub files: Vec<BatchCommitFile>,
    /// The commit message.
    pub message: &'a str,
}

/// A file of a [`BatchCommit`].
#[derive(Debug, Clone)]
pub struct BatchCommitFile {
    /// Path in the repository.
    pub path: String,
    /// The new content.
    pub bytes: Bytes,
    /// Whether the file has the executable bit in Git; it is kept.
    pub executable: bool,
}

/// Writes commits to the repository.
#[async_trait]
pub trait CommitApi: Send + Sync {
    /// Commits one file. Its mode stays.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] the commit may or may not exist.
    async fn put_file(&self, file: &FileCommit<'_>) -> Result<CommitOutcome, GitHubError>;

    /// Commits several files at once to the mirror branch: a tree, a commit, and a fast-forward of the branch.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] the commit may or may not be on the branch.
    async fn commit(&self, commit: &BatchCommit<'_>) -> Result<CommitOutcome, GitHubError>;
}

#[derive(Deserialize)]
struct PutFileResponse {
    commit: CommitResponse,
}

#[derive(Deserialize)]
struct CommitResponse {
    sha: GitSha,
    html_url: String,
    parents: Vec<ShaResponse>,
}

impl From<CommitResponse> for CreatedCommit {
    fn from(response: CommitResponse) -> Self {
        Self {
            sha: response.sha,
            html_url: response.html_url,
            parent: response.parents.first().map(|it| it.sha),
        }
    }
}

#[derive(Serialize)]
struct CreateTreeBody<'a> {
    base_tree: GitSha,
    /// Borrows the contents: there may be 4 MiB of them.
    tree: Vec<TreeEntryBody<'a>>,
}

#[derive(Serialize)]
struct TreeEntryBody<'a> {
    path: &'a str,
    mode: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<String>,
}

#[derive(Serialize)]
struct PutFileBody<'a> {
    message: &'a str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<GitSha>,
    branch: &'a str,
    committer: CommitAuthor,
    author: CommitAuthor,
}

#[async_trait]
impl CommitApi for GitHubRepository {
    async fn put_file(&self, file: &FileCommit<'_>) -> Result<CommitOutcome, GitHubError> {
        // octocrab's typed call misspells `committer`, so that GitHub would take the token's owner.
        let body = PutFileBody {
            message: file.message,
            content: STANDARD.encode(file.bytes),
            sha: file.replaces,
            branch: file.branch.unwrap_or(self.branch()),
            committer: self.committer_identity(),
            author: self.committer_identity(),
        };
        let route = self.route(&format!("contents/{}", encode_path(file.path)));
        let body = &body;
        let put = |it: Octocrab| async move { it.put(route, Some(body)).await };
        let response = self.call::<PutFileResponse, _>("commit a file", put).await;
        let stale = response.as_ref().is_err_and(|error| {
            // Without `sha`, GitHub answers 422 for a file that exists.
            let exists = error.has_message(StatusCode::UNPROCESSABLE_ENTITY, "sha");
            // Repository rules refuse with 409, too, so the message decides.
            let parts = ["does not match", "but expected"];
            let moved = parts.map(|part| error.has_message(StatusCode::CONFLICT, part));
            file.replaces.is_none() && exists || moved.contains(&true)
        });
        match stale {
            true => Ok(CommitOutcome::Stale),
            false => Ok(CommitOutcome::Done(response?.commit.into())),
        }
    }

    async fn commit(&self, commit: &BatchCommit<'_>) -> Result<CommitOutcome, GitHubError> {
        let parent = commit.parent.to_string();
        let read = |it: Octocrab| async move { self.git(&it).get_commit(parent).await };
        let parent = self.call("read a commit", read).await?;
        let mut tree = parse_object_id("read a commit", &parent.tree.sha)?;
        for chunk in chunks(&commit.files) {
            tree = self.add_to_tree(tree, chunk).await?;
        }
        let create = |it: Octocrab| async move {
            let git = self.git(&it);
            let create = git.create_commit(commit.message, tree.to_string());
            create
                .parents(vec![commit.parent.to_string()])
                .author(self.committer_identity())
                .committer(self.committer_identity())
                .send()
                .await
        };
        let created = self.call("commit files", create).await?;
        let sha = parse_object_id("commit files", &created.sha)?;
        let branch = Reference::Branch(encode_path(self.branch()));
        let update = |it: Octocrab| async move {
            let git = self.git(&it);
            git.update_ref(&branch, created.sha)
                .force(false)
                .send()
                .await
        };
        match self.call("commit files", update).await {
            Err(error) if error.has_message(StatusCode::UNPROCESSABLE_ENTITY, "fast forward") => {
                return Ok(CommitOutcome::Stale);
            }
            updated => updated?,
        };
        Ok(CommitOutcome::Done(CreatedCommit {
            sha,
            html_url: created.html_url,
            parent: Some(commit.parent),
        }))
    }
}

impl GitHubRepository {
    async fn add_to_tree(
        &self,
        base_tree: GitSha,
        files: &[BatchCommitFile],
    ) -> Result<GitSha, GitHubError> {
        let mut tree = vec![];
        for file in files {
            let content = std::str::from_utf8(&file.bytes).ok();
            tree.push(TreeEntryBody {
                path: &file.path,
                mode: if file.executable { "100755" } else { "100644" },
                kind: "blob",
                content,
                sha: match content {
                    Some(_) => None,
                    None => Some(self.create_blob(&file.bytes).await?),
                },
            });
        }
        let body = CreateTreeBody { base_tree, tree };
        let created: ShaResponse = self.post("make a tree", "git/trees", &body).await?;
        Ok(created.sha)
    }

    /// For content that isn't UTF-8: a tree's JSON can hold text only.
    async fn create_blob(&self, bytes: &[u8]) -> Result<String, GitHubError> {
        let content = STANDARD.encode(bytes);
        let create = |it: Octocrab| async move {
            let git = self.git(&it);
            git.create_blob(content).encoding("base64").send().await
        };
        Ok(self.call("make a blob", create).await?.sha)
    }

    fn committer_identity(&self) -> CommitAuthor {
        CommitAuthor {
            name: self.config.committer_name.clone(),
            email: Some(self.config.committer_email.clone()),
            date: None,
        }
    }
}

/// Splits files into chunks, one request each, by [`MAX_TREE_REQUEST`] and [`MAX_TREE_ENTRIES`]. A larger file gets a
/// chunk of its own.
fn chunks(files: &[BatchCommitFile]) -> Vec<&[BatchCommitFile]> {
    let mut chunks = vec![];
    let (mut from, mut weight) = (0, 0);
    for (at, file) in files.iter().enumerate() {
        let more = file.path.len() + file.bytes.len();
        if at > from && (weight + more > MAX_TREE_REQUEST || at - from == MAX_TREE_ENTRIES) {
            chunks.push(&files[from..at]);
            (from, weight) = (at, 0);
        }
        weight += more;
    }
    if from < files.len() {
        chunks.push(&files[from..]);
    }
    chunks
}
