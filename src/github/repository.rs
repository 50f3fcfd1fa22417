//! The interface of the mirror repository, which the sync uses. [`super::GitHubRepository`] implements it on GitHub's
//! REST API.
//!
//! Reads aren't monotonic: GitHub answers from replicas, so a response may be older than an earlier one.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::error::GitHubError;
use super::transport::RateLimit;
use super::tree::TreeEntry;
use crate::config::RepositoryConfig;
use crate::task::GitSha;

/// A branch's newest commit, as last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadCommit {
    /// The commit.
    pub commit: GitSha,
    /// For the next conditional request, which costs no rate limit while the branch is unchanged.
    pub etag: Option<String>,
}

/// Result of reading a branch's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadLookup {
    /// The head is still the known one (304).
    Unchanged,
    /// The repository has no commit yet.
    Empty,
    /// The head that was read.
    At(HeadCommit),
}

/// How a head commit relates to a base commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Both are the same commit.
    Identical,
    /// The base is an ancestor of the head.
    Ahead,
    /// The head is an ancestor of the base.
    Behind,
    /// Neither is an ancestor of the other.
    Diverged,
    /// GitHub doesn't have one of them, or the replica doesn't yet.
    #[serde(skip)]
    Unknown,
}

/// An update of a branch, from the repository's activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct BranchMove {
    /// The commit before; `None` when the branch was created.
    #[serde(deserialize_with = "commit_or_none")]
    pub before: Option<GitSha>,
    /// The commit after; `None` when the branch was deleted.
    #[serde(deserialize_with = "commit_or_none")]
    pub after: Option<GitSha>,
    /// Time of the update in whole seconds.
    #[serde(rename = "timestamp")]
    pub at: DateTime<Utc>,
}

/// The entries of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TreePage {
    /// Ordered by path.
    #[serde(rename = "tree")]
    pub entries: Vec<TreeEntry>,
    /// GitHub left entries out, because the tree is too large.
    #[serde(default)]
    pub truncated: bool,
}

/// A commit of one file.
#[derive(Debug, Clone)]
pub struct FileCommit<'a> {
    /// Path in the repository.
    pub path: &'a str,
    /// The branch; `None` is the mirror branch.
    pub branch: Option<&'a str>,
    /// The new content; `None` removes the file.
    pub bytes: Option<&'a [u8]>,
    /// Blob id of the content it replaces (compare-and-swap); `None` for a new file. A removal has one.
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

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// URL of its page.
    pub html_url: String,
    /// Whether it is still open.
    pub open: bool,
}

/// The current state of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullStatus {
    /// The part that is stored.
    pub pull: Pull,
    /// The commit on the mirror branch that merged it (by merge, squash or rebase); `None` while it isn't merged.
    pub merged_by: Option<GitSha>,
    /// The head of its branch; once the pull request has ended, the head at that time.
    pub head: GitSha,
}

/// The repository that mirrors the tasks, and its mirror branch.
///
/// # Errors
/// Every request may fail. After [`GitHubError::Unavailable`] a commit may or may not be on its branch, and a branch or
/// a pull request may or may not exist.
#[async_trait]
pub trait Repository: Send + Sync {
    /// Its settings.
    fn config(&self) -> &RepositoryConfig;

    /// How long requests are still rate-limited; zero when they aren't.
    fn wait(&self) -> Duration;

    /// The rate limit, as of the latest response.
    fn rate_limit(&self) -> Option<RateLimit>;

    /// The mirror branch's newest commit. `known` makes the request conditional. A branch that doesn't exist is an
    /// error: that must not read as removed files.
    async fn head(&self, known: Option<&HeadCommit>) -> Result<HeadLookup, GitHubError>;

    /// How `head` relates to `base`. A commit that GitHub doesn't have is [`Comparison::Unknown`].
    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError>;

    /// The mirror branch's last hundred updates, newest first.
    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError>;

    /// The entries of a tree, or of a commit's tree; with `recursive` also those of its subtrees. It is an
    /// error when it doesn't exist, or the replica doesn't have it yet.
    async fn tree(&self, sha: GitSha, recursive: bool) -> Result<TreePage, GitHubError>;

    /// A blob's content. `None` when the repository doesn't have it (any more); an error when it is larger than
    /// [`crate::task::MAX_FILE_BYTES`].
    async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError>;

    /// Commits one file, or its removal. Its mode stays.
    async fn commit_file(&self, file: &FileCommit<'_>) -> Result<CommitOutcome, GitHubError>;

    /// Commits several files at once to the mirror branch: a tree, a commit, and a fast-forward of the branch.
    async fn commit(&self, commit: &BatchCommit<'_>) -> Result<CommitOutcome, GitHubError>;

    /// The newest commit of a branch; `None` when the branch doesn't exist.
    async fn branch_head(&self, branch: &str) -> Result<Option<GitSha>, GitHubError>;

    /// Creates a branch. `false` when one of that name exists.
    async fn create_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError>;

    /// The blob id at `path` on a branch, or at a commit given by its id; `None` when there is nothing.
    async fn file_sha_at(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError>;

    /// Opens a pull request from a branch to the mirror branch. `None` when the branch has an open one.
    async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError>;

    /// A branch's pull request: the open one, else the one that was opened last.
    async fn find_pull(&self, branch: &str) -> Result<Option<PullStatus>, GitHubError>;

    /// The numbers of the newest hundred open pull requests. One that isn't among them may still be open.
    async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError>;

    /// The current state of a pull request.
    async fn pull(&self, number: u64) -> Result<PullStatus, GitHubError>;
}

/// Parses a commit id. `None` for forty zeros, which GitHub sends where there is no commit, and for invalid ids.
pub(super) fn parse_commit(sha: &str) -> Option<GitSha> {
    sha.parse().ok().filter(|sha| *sha != GitSha::NULL)
}

fn commit_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GitSha>, D::Error> {
    String::deserialize(deserializer).map(|sha| parse_commit(&sha))
}
