//! Branches and pull requests.

use std::collections::BTreeSet;

use async_trait::async_trait;
use http::StatusCode;
use octocrab::Octocrab;
use octocrab::params::repos::Reference;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GitHubRepository, RefResponse, Repository, ShaResponse, encode_path};
use crate::github::transport::{GitHubError, encode_segment};
use crate::task::GitSha;

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

/// Branches and pull requests of the repository.
#[async_trait]
pub trait PullRequestApi: Send + Sync {
    /// The newest commit of a branch; `None` when the branch doesn't exist.
    ///
    /// # Errors
    /// When the call fails.
    async fn branch_head(&self, branch: &str) -> Result<Option<GitSha>, GitHubError>;

    /// Creates a branch. `false` when one of that name exists.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may or may not exist.
    async fn create_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError>;

    /// The blob id at `path` on a branch, or at a commit given by its id; `None` when there is nothing.
    ///
    /// # Errors
    /// When the call fails.
    async fn file_sha_at(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError>;

    /// Opens a pull request from a branch to the mirror branch. `None` when the branch has an open one.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may or may not exist.
    async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError>;

    /// A branch's pull request: the open one, else the one that was opened last.
    ///
    /// # Errors
    /// When the call fails.
    async fn find_pull(&self, branch: &str) -> Result<Option<PullStatus>, GitHubError>;

    /// The numbers of the newest hundred open pull requests. One that isn't among them may still be open.
    ///
    /// # Errors
    /// When the call fails.
    async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError>;

    /// The current state of a pull request.
    ///
    /// # Errors
    /// When the call fails.
    async fn pull(&self, number: u64) -> Result<PullStatus, GitHubError>;
}

#[derive(Deserialize)]
struct PullResponse {
    number: u64,
    html_url: String,
    state: String,
    merged_at: Option<String>,
    merge_commit_sha: Option<GitSha>,
    base: PullBaseResponse,
    head: PullHeadResponse,
}

#[derive(Deserialize)]
struct PullNumberResponse {
    number: u64,
}

#[derive(Deserialize)]
struct PullHeadResponse {
    #[serde(rename = "ref")]
    reference: String,
    sha: GitSha,
}

#[derive(Deserialize)]
struct PullBaseResponse {
    #[serde(rename = "ref")]
    reference: String,
}

impl From<PullResponse> for Pull {
    fn from(response: PullResponse) -> Self {
        Self {
            number: response.number,
            html_url: response.html_url,
            open: response.state == "open",
        }
    }
}

#[async_trait]
impl PullRequestApi for GitHubRepository {
    async fn branch_head(&self, branch: &str) -> Result<Option<GitSha>, GitHubError> {
        let path = format!("git/ref/heads/{}", encode_path(branch));
        match self.get::<RefResponse>("read a branch", &path).await {
            Err(error) if error.has_status(StatusCode::NOT_FOUND) => Ok(None),
            found => Ok(Some(found?.object.sha)),
        }
    }

    async fn create_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError> {
        let branch = Reference::Branch(branch.to_owned());
        let create = |it: Octocrab| async move {
            let git = self.git(&it);
            git.create_ref(&branch, at.to_string()).await
        };
        match self.call("make a branch", create).await {
            Err(error) if error.has_message(StatusCode::UNPROCESSABLE_ENTITY, "already exists") => {
                Ok(false)
            }
            created => Ok(created.map(|_| true)?),
        }
    }

    async fn file_sha_at(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError> {
        let path = format!(
            "contents/{}?ref={}",
            encode_path(path),
            encode_segment(branch)
        );
        match self.get::<ShaResponse>("look for a file", &path).await {
            Err(error) if error.has_status(StatusCode::NOT_FOUND) => Ok(None),
            found => Ok(Some(found?.sha)),
        }
    }

    async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError> {
        let body = serde_json::json!({"title": title, "head": branch, "base": self.branch()});
        let opened = self.post::<PullResponse>("open a pull request", "pulls", &body);
        match opened.await {
            Err(error) if error.has_message(StatusCode::UNPROCESSABLE_ENTITY, "already exists") => {
                Ok(None)
            }
            opened => Ok(Some(opened?.into())),
        }
    }

    async fn find_pull(&self, branch: &str) -> Result<Option<PullStatus>, GitHubError> {
        let head = format!("{}:{branch}", self.config.owner);
        let path = format!("pulls?state=all&head={}", encode_segment(&head));
        let pulls: Vec<PullResponse> = self.get("look for a pull request", &path).await?;
        // GitHub ignores a `head` filter that it doesn't understand, and then lists all pull requests.
        let of_branch = pulls.into_iter().filter(|it| it.head.reference == branch);
        let pulls: Vec<PullStatus> = of_branch.map(|it| self.status_of(it)).collect();
        let index = pulls.iter().position(|it| it.pull.open).unwrap_or(0);
        Ok(pulls.into_iter().nth(index))
    }

    async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError> {
        let path = "pulls?state=open&per_page=100";
        let pulls: Vec<PullNumberResponse> = self.get("list pull requests", path).await?;
        Ok(pulls.into_iter().map(|it| it.number).collect())
    }

    async fn pull(&self, number: u64) -> Result<PullStatus, GitHubError> {
        let path = format!("pulls/{number}");
        Ok(self.status_of(self.get("read a pull request", &path).await?))
    }
}

impl GitHubRepository {
    fn status_of(&self, response: PullResponse) -> PullStatus {
        // For an open pull request `merge_commit_sha` is a test merge. And a maintainer may have retargeted the pull
        // request to another base branch.
        let merged = response.merged_at.is_some() && response.base.reference == self.branch();
        let merged_by = response.merge_commit_sha.filter(|_| merged);
        PullStatus {
            head: response.head.sha,
            pull: response.into(),
            merged_by,
        }
    }
}
