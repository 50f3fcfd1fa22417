//! Committing: one file, or several at once.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{GitHubRepository, Question, Repository, ShaAnswer, says, segments};
use crate::github::transport::GitHubError;
use crate::task::GitSha;

/// What one request that makes a tree may carry of file contents; GitHub refuses more than some 40 MB.
const MAX_TREE_REQUEST: usize = 4 << 20;

/// Nor of entries, so that GitHub answers in time.
const MAX_TREE_ENTRIES: usize = 200;

/// A file to be committed.
#[derive(Debug, Clone)]
pub struct FileToPut<'a> {
    /// In the repository.
    pub path: &'a str,
    /// The branch, if it isn't the service's own.
    pub branch: Option<&'a str>,
    /// Its new text.
    pub bytes: &'a [u8],
    /// What it replaces; `None` when it is new there.
    pub replaces: Option<GitSha>,
    /// The commit's message.
    pub message: &'a str,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is there.
    Done(CommitMade),
    /// Something else was there than the commit builds on. Nothing happened.
    Stale,
}

/// A commit, for whoever wants to look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMade {
    /// The commit.
    pub sha: GitSha,
    /// A page that shows it.
    pub html_url: String,
    /// The commit it was made on.
    pub parent: Option<GitSha>,
}

/// Several files for one commit.
#[derive(Debug, Clone)]
pub struct FilesToCommit<'a> {
    /// The commit it builds on: the branch's newest.
    pub parent: GitSha,
    /// What it changes.
    pub files: Vec<FileToCommit>,
    /// The commit's message.
    pub message: &'a str,
}

/// One of several files of a commit.
#[derive(Debug, Clone)]
pub struct FileToCommit {
    /// In the repository.
    pub path: String,
    /// Its new text.
    pub bytes: Bytes,
    /// It has the executable bit there, and keeps it.
    pub executable: bool,
}

/// Commits to the repository.
#[async_trait]
pub trait Commits: Send + Sync {
    /// Commits one file. Its mode stays.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may be there, or not.
    async fn put_file(&self, file: &FileToPut<'_>) -> Result<Committed, GitHubError>;

    /// Commits several files at once: one tree, one commit, and a move of the branch that loses nothing.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may be there, or not.
    async fn commit(&self, commit: &FilesToCommit<'_>) -> Result<Committed, GitHubError>;
}

#[derive(Deserialize)]
struct PutAnswer {
    commit: CommitAnswer,
}

#[derive(Deserialize)]
struct CommitAnswer {
    sha: GitSha,
    html_url: String,
    parents: Vec<ShaAnswer>,
}

impl From<CommitAnswer> for CommitMade {
    fn from(answer: CommitAnswer) -> Self {
        Self {
            sha: answer.sha,
            html_url: answer.html_url,
            parent: answer.parents.first().map(|it| it.sha),
        }
    }
}

#[derive(Deserialize)]
struct GitCommitAnswer {
    tree: ShaAnswer,
}

#[derive(Serialize)]
struct Person<'a> {
    name: &'a str,
    email: &'a str,
}

#[derive(Serialize)]
struct PutBody<'a> {
    message: &'a str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<GitSha>,
    branch: &'a str,
    committer: Person<'a>,
    author: Person<'a>,
}

#[derive(Serialize)]
struct TreeBody<'a> {
    base_tree: GitSha,
    tree: Vec<EntryBody<'a>>,
}

#[derive(Serialize)]
struct EntryBody<'a> {
    path: &'a str,
    mode: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<GitSha>,
}

#[derive(Serialize)]
struct CommitBody<'a> {
    message: &'a str,
    tree: GitSha,
    parents: [GitSha; 1],
    author: Person<'a>,
    committer: Person<'a>,
}

#[async_trait]
impl Commits for GitHubRepository {
    async fn put_file(&self, file: &FileToPut<'_>) -> Result<Committed, GitHubError> {
        let operation = "commit a file";
        let path = format!("{}/contents/{}", self.path, segments(file.path));
        let body = PutBody {
            message: file.message,
            content: STANDARD.encode(file.bytes),
            sha: file.replaces,
            branch: file.branch.unwrap_or(self.branch()),
            committer: self.committer(),
            author: self.committer(),
        };
        let reply = self.write(operation, Method::PUT, &path, &body).await?;
        // Without a SHA of what it replaces, a file that is there is refused as unprocessable.
        let exists = reply.status == StatusCode::UNPROCESSABLE_ENTITY
            && file.replaces.is_none()
            && says(&reply, "sha");
        // Rules of the repository refuse with the same status.
        let moved = reply.status == StatusCode::CONFLICT
            && (says(&reply, "does not match") || says(&reply, "but expected"));
        if moved || exists {
            return Ok(Committed::Stale);
        }
        let answer: PutAnswer = reply.success(operation)?.json(operation)?;
        Ok(Committed::Done(answer.commit.into()))
    }

    async fn commit(&self, commit: &FilesToCommit<'_>) -> Result<Committed, GitHubError> {
        let operation = "commit files";
        let mut tree = self.tree_of(commit.parent).await?;
        for chunk in chunks(&commit.files) {
            tree = self.add_to_tree(tree, chunk).await?;
        }
        let body = CommitBody {
            message: commit.message,
            tree,
            parents: [commit.parent],
            author: self.committer(),
            committer: self.committer(),
        };
        let path = format!("{}/git/commits", self.path);
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        let made: CommitAnswer = reply.success(operation)?.json(operation)?;
        let path = format!("{}/git/refs/heads/{}", self.path, segments(self.branch()));
        let body = serde_json::json!({"sha": made.sha, "force": false});
        let reply = self.write(operation, Method::PATCH, &path, &body).await?;
        if reply.status == StatusCode::UNPROCESSABLE_ENTITY && says(&reply, "fast forward") {
            return Ok(Committed::Stale);
        }
        reply.success(operation)?;
        Ok(Committed::Done(made.into()))
    }
}

impl GitHubRepository {
    async fn tree_of(&self, commit: GitSha) -> Result<GitSha, GitHubError> {
        let operation = "read a commit";
        let path = format!("{}/git/commits/{commit}", self.path);
        let reply = self
            .get(operation, &path, Question::default())
            .await?
            .success(operation)?;
        Ok(reply.json::<GitCommitAnswer>(operation)?.tree.sha)
    }

    async fn add_to_tree(
        &self,
        base_tree: GitSha,
        files: &[FileToCommit],
    ) -> Result<GitSha, GitHubError> {
        let operation = "make a tree";
        let mut tree = vec![];
        for file in files {
            let content = std::str::from_utf8(&file.bytes).ok();
            let sha = match content {
                Some(_) => None,
                None => Some(self.make_blob(&file.bytes).await?),
            };
            tree.push(EntryBody {
                path: &file.path,
                mode: if file.executable { "100755" } else { "100644" },
                kind: "blob",
                content,
                sha,
            });
        }
        let path = format!("{}/git/trees", self.path);
        let body = TreeBody { base_tree, tree };
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        Ok(reply.success(operation)?.json::<ShaAnswer>(operation)?.sha)
    }

    /// Only texts can stand in a tree's document.
    async fn make_blob(&self, bytes: &[u8]) -> Result<GitSha, GitHubError> {
        let operation = "make a blob";
        let path = format!("{}/git/blobs", self.path);
        let body = serde_json::json!({"content": STANDARD.encode(bytes), "encoding": "base64"});
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        Ok(reply.success(operation)?.json::<ShaAnswer>(operation)?.sha)
    }

    fn committer(&self) -> Person<'_> {
        Person {
            name: &self.config.committer_name,
            email: &self.config.committer_email,
        }
    }
}

/// Files for one request each, by what they weigh.
fn chunks(files: &[FileToCommit]) -> Vec<&[FileToCommit]> {
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
