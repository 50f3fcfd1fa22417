//! Branches and pull requests.

use std::collections::BTreeSet;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::files::MAX_TREE_BYTES;
use super::{GitHubRepository, Question, RefAnswer, Repository, ShaAnswer, says, segments};
use crate::github::transport::{GitHubError, Reply, segment};
use crate::task::GitSha;

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub html_url: String,
    /// Whether it is still open.
    pub open: bool,
}

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSeen {
    /// What is noted of it.
    pub pull: Pull,
    /// The commit on the service's own branch that it was merged by, whether merged, squashed or rebased.
    pub merged_by: Option<GitSha>,
    /// Where its branch is, and once it has ended where that was then.
    pub head: GitSha,
}

/// Branches and pull requests of the repository.
#[async_trait]
pub trait Pulls: Send + Sync {
    /// Where a branch is.
    ///
    /// # Errors
    /// Also when there is no such branch.
    async fn branch_head(&self, branch: &str) -> Result<GitSha, GitHubError>;

    /// Whether there is a branch of this name.
    ///
    /// # Errors
    /// When that can't be asked.
    async fn has_branch(&self, branch: &str) -> Result<bool, GitHubError>;

    /// Makes a branch. `false` when there is one of that name.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may be there, or not.
    async fn make_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError>;

    /// What a branch has at this path.
    ///
    /// # Errors
    /// When that can't be asked.
    async fn file_on(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError>;

    /// Opens a pull request of a branch onto the service's own. `None` when there is one already.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may be there, or not.
    async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError>;

    /// A branch's pull request: the open one, or the one that was opened last.
    ///
    /// # Errors
    /// When that can't be asked.
    async fn pull_of(&self, branch: &str) -> Result<Option<PullSeen>, GitHubError>;

    /// The numbers of open pull requests: the newest hundred. Of others it isn't said that they have ended.
    ///
    /// # Errors
    /// When that can't be asked.
    async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError>;

    /// A pull request as it is now.
    ///
    /// # Errors
    /// When that can't be asked.
    async fn pull(&self, number: u64) -> Result<PullSeen, GitHubError>;
}

#[derive(Deserialize)]
struct PullAnswer {
    number: u64,
    html_url: String,
    state: String,
    merged_at: Option<String>,
    merge_commit_sha: Option<GitSha>,
    base: BaseAnswer,
    head: HeadAnswer,
}

#[derive(Deserialize)]
struct NumberAnswer {
    number: u64,
}

#[derive(Deserialize)]
struct HeadAnswer {
    #[serde(rename = "ref")]
    reference: String,
    sha: GitSha,
}

#[derive(Deserialize)]
struct BaseAnswer {
    #[serde(rename = "ref")]
    reference: String,
}

impl From<PullAnswer> for Pull {
    fn from(answer: PullAnswer) -> Self {
        Self {
            number: answer.number,
            html_url: answer.html_url,
            open: answer.state == "open",
        }
    }
}

#[async_trait]
impl Pulls for GitHubRepository {
    async fn branch_head(&self, branch: &str) -> Result<GitSha, GitHubError> {
        let operation = "read a branch";
        let reply = self
            .branch_ref(operation, branch)
            .await?
            .success(operation)?;
        Ok(reply.json::<RefAnswer>(operation)?.object.sha)
    }

    async fn has_branch(&self, branch: &str) -> Result<bool, GitHubError> {
        let operation = "look for a branch";
        let reply = self.branch_ref(operation, branch).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        reply.success(operation).map(|_| true)
    }

    async fn make_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError> {
        let operation = "make a branch";
        let path = format!("{}/git/refs", self.path);
        let body = serde_json::json!({"ref": format!("refs/heads/{branch}"), "sha": at});
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        if reply.status == StatusCode::UNPROCESSABLE_ENTITY && says(&reply, "already exists") {
            return Ok(false);
        }
        reply.success(operation)?;
        Ok(true)
    }

    async fn file_on(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError> {
        let operation = "look for a file";
        let (file, branch) = (segments(path), segment(branch));
        let path = format!("{}/contents/{file}?ref={branch}", self.path);
        let question = Question {
            limit: Some(MAX_TREE_BYTES),
            ..Question::default()
        };
        let reply = self.get(operation, &path, question).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(
            reply.success(operation)?.json::<ShaAnswer>(operation)?.sha,
        ))
    }

    async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError> {
        let operation = "open a pull request";
        let path = format!("{}/pulls", self.path);
        let body = serde_json::json!({"title": title, "head": branch, "base": self.branch()});
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        let exists =
            reply.status == StatusCode::UNPROCESSABLE_ENTITY && says(&reply, "already exists");
        if exists {
            return Ok(None);
        }
        let pull: PullAnswer = reply.success(operation)?.json(operation)?;
        Ok(Some(pull.into()))
    }

    async fn pull_of(&self, branch: &str) -> Result<Option<PullSeen>, GitHubError> {
        let operation = "look for a pull request";
        let head = format!("{}:{branch}", self.config.owner);
        let path = format!("{}/pulls?state=all&head={}", self.path, segment(&head));
        let question = Question {
            limit: Some(MAX_TREE_BYTES),
            ..Question::default()
        };
        let reply = self.get(operation, &path, question).await?;
        let pulls: Vec<PullAnswer> = reply.success(operation)?.json(operation)?;
        // A filter that GitHub doesn't understand filters nothing.
        let of_branch = pulls.into_iter().filter(|it| it.head.reference == branch);
        let pulls: Vec<PullSeen> = of_branch.map(|it| self.seen(it)).collect();
        let open = pulls.iter().position(|it| it.pull.open).unwrap_or(0);
        Ok(pulls.into_iter().nth(open))
    }

    async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError> {
        let operation = "list pull requests";
        let path = format!("{}/pulls?state=open&per_page=100", self.path);
        let question = Question {
            limit: Some(MAX_TREE_BYTES),
            ..Question::default()
        };
        let reply = self.get(operation, &path, question).await?;
        let pulls: Vec<NumberAnswer> = reply.success(operation)?.json(operation)?;
        Ok(pulls.into_iter().map(|it| it.number).collect())
    }

    async fn pull(&self, number: u64) -> Result<PullSeen, GitHubError> {
        let operation = "read a pull request";
        let path = format!("{}/pulls/{number}", self.path);
        let reply = self
            .get(operation, &path, Question::default())
            .await?
            .success(operation)?;
        Ok(self.seen(reply.json(operation)?))
    }
}

impl GitHubRepository {
    fn seen(&self, answer: PullAnswer) -> PullSeen {
        // Of an open request the same member names a commit that only tries the merge. And a maintainer may have
        // chosen another branch to merge into.
        let merged = answer.merged_at.is_some() && answer.base.reference == self.branch();
        let merged_by = answer.merge_commit_sha.filter(|_| merged);
        PullSeen {
            head: answer.head.sha,
            pull: answer.into(),
            merged_by,
        }
    }

    async fn branch_ref(
        &self,
        operation: &'static str,
        branch: &str,
    ) -> Result<Reply, GitHubError> {
        let path = format!("{}/git/ref/heads/{}", self.path, segments(branch));
        self.get(operation, &path, Question::default()).await
    }
}
