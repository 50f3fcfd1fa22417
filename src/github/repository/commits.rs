//! Committing: one file, or several at once.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use octocrab::Octocrab;
use octocrab::models::repos::CommitAuthor;
use octocrab::params::repos::Reference;
use serde::{Deserialize, Serialize};

use super::{GitHubRepository, Repository, ShaAnswer, segments, sha_of};
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
struct TreeBody<'a> {
    base_tree: GitSha,
    /// Their texts are borrowed: there may be 4 MiB of them.
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
    sha: Option<String>,
}

#[derive(Serialize)]
struct PutBody<'a> {
    message: &'a str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<GitSha>,
    branch: &'a str,
    committer: CommitAuthor,
    author: CommitAuthor,
}

#[async_trait]
impl Commits for GitHubRepository {
    async fn put_file(&self, file: &FileToPut<'_>) -> Result<Committed, GitHubError> {
        // octocrab's call of its own misspells `committer`, and GitHub would name the token's owner.
        let body = PutBody {
            message: file.message,
            content: STANDARD.encode(file.bytes),
            sha: file.replaces,
            branch: file.branch.unwrap_or(self.branch()),
            committer: self.person(),
            author: self.person(),
        };
        let route = self.route(&format!("contents/{}", segments(file.path)));
        let body = &body;
        let put = |it: Octocrab| async move { it.put(route, Some(body)).await };
        let put = self.call::<PutAnswer, _>("commit a file", put).await;
        let stale = put.as_ref().is_err_and(|refused| {
            // Without a SHA of what it replaces, a file that is there is refused as unprocessable.
            let exists = refused.says(StatusCode::UNPROCESSABLE_ENTITY, "sha");
            // Rules of the repository refuse with the same status.
            let words = ["does not match", "but expected"];
            let moved = words.map(|words| refused.says(StatusCode::CONFLICT, words));
            file.replaces.is_none() && exists || moved.contains(&true)
        });
        match stale {
            true => Ok(Committed::Stale),
            false => Ok(Committed::Done(put?.commit.into())),
        }
    }

    async fn commit(&self, commit: &FilesToCommit<'_>) -> Result<Committed, GitHubError> {
        let mut tree = self.tree_of(commit.parent).await?;
        for chunk in chunks(&commit.files) {
            tree = self.add_to_tree(tree, chunk).await?;
        }
        let made = |it: Octocrab| async move {
            let git = self.git(&it);
            let made = git.create_commit(commit.message, tree.to_string());
            made.parents(vec![commit.parent.to_string()])
                .author(self.person())
                .committer(self.person())
                .send()
                .await
        };
        let made = self.call("commit files", made).await?;
        let sha = sha_of("commit files", &made.sha)?;
        let branch = Reference::Branch(segments(self.branch()));
        let moved = |it: Octocrab| async move {
            let git = self.git(&it);
            git.update_ref(&branch, made.sha).force(false).send().await
        };
        match self.call("commit files", moved).await {
            Err(refused) if refused.says(StatusCode::UNPROCESSABLE_ENTITY, "fast forward") => {
                return Ok(Committed::Stale);
            }
            moved => moved?,
        };
        Ok(Committed::Done(CommitMade {
            sha,
            html_url: made.html_url,
            parent: Some(commit.parent),
        }))
    }
}

impl GitHubRepository {
    async fn tree_of(&self, commit: GitSha) -> Result<GitSha, GitHubError> {
        let below = format!("git/commits/{commit}");
        let answer: GitCommitAnswer = self.get("read a commit", &below).await?;
        Ok(answer.tree.sha)
    }

    async fn add_to_tree(
        &self,
        base_tree: GitSha,
        files: &[FileToCommit],
    ) -> Result<GitSha, GitHubError> {
        let mut tree = vec![];
        for file in files {
            let content = std::str::from_utf8(&file.bytes).ok();
            tree.push(EntryBody {
                path: &file.path,
                mode: if file.executable { "100755" } else { "100644" },
                kind: "blob",
                content,
                sha: match content {
                    Some(_) => None,
                    None => Some(self.make_blob(&file.bytes).await?),
                },
            });
        }
        let body = TreeBody { base_tree, tree };
        let made: ShaAnswer = self.post("make a tree", "git/trees", &body).await?;
        Ok(made.sha)
    }

    /// Only texts can stand in a tree's document.
    async fn make_blob(&self, bytes: &[u8]) -> Result<String, GitHubError> {
        let content = STANDARD.encode(bytes);
        let made = |it: Octocrab| async move {
            let git = self.git(&it);
            git.create_blob(content).encoding("base64").send().await
        };
        Ok(self.call("make a blob", made).await?.sha)
    }

    fn person(&self) -> CommitAuthor {
        CommitAuthor {
            name: self.config.committer_name.clone(),
            email: Some(self.config.committer_email.clone()),
            date: None,
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
