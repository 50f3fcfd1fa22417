//! Branches and pull requests.

use std::collections::BTreeSet;

use async_trait::async_trait;
use http::StatusCode;
use octocrab::Octocrab;
use octocrab::params::repos::Reference;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GitHubRepository, RefAnswer, Repository, ShaAnswer, segments};
use crate::github::transport::{CallError, GitHubError, segment};
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
        Ok(self.branch_ref("read a branch", branch).await?)
    }

    async fn has_branch(&self, branch: &str) -> Result<bool, GitHubError> {
        match self.branch_ref("look for a branch", branch).await {
            Err(refused) if refused.is(StatusCode::NOT_FOUND) => Ok(false),
            found => Ok(found.map(|_| true)?),
        }
    }

    async fn make_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError> {
        let branch = Reference::Branch(branch.to_owned());
        let made = |it: Octocrab| async move {
            let git = self.git(&it);
            git.create_ref(&branch, at.to_string()).await
        };
        match self.call("make a branch", made).await {
            Err(refused) if refused.says(StatusCode::UNPROCESSABLE_ENTITY, "already exists") => {
                Ok(false)
            }
            made => Ok(made.map(|_| true)?),
        }
    }

    async fn file_on(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError> {
        let below = format!("contents/{}?ref={}", segments(path), segment(branch));
        match self.get::<ShaAnswer>("look for a file", &below).await {
            Err(refused) if refused.is(StatusCode::NOT_FOUND) => Ok(None),
            found => Ok(Some(found?.sha)),
        }
    }

    async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError> {
        let body = serde_json::json!({"title": title, "head": branch, "base": self.branch()});
        let opened = self.post::<PullAnswer>("open a pull request", "pulls", &body);
        match opened.await {
            Err(refused) if refused.says(StatusCode::UNPROCESSABLE_ENTITY, "already exists") => {
                Ok(None)
            }
            opened => Ok(Some(opened?.into())),
        }
    }

    async fn pull_of(&self, branch: &str) -> Result<Option<PullSeen>, GitHubError> {
        let head = format!("{}:{branch}", self.config.owner);
        let below = format!("pulls?state=all&head={}", segment(&head));
        let pulls: Vec<PullAnswer> = self.get("look for a pull request", &below).await?;
        // A filter that GitHub doesn't understand filters nothing.
        let of_branch = pulls.into_iter().filter(|it| it.head.reference == branch);
        let pulls: Vec<PullSeen> = of_branch.map(|it| self.seen(it)).collect();
        let open = pulls.iter().position(|it| it.pull.open).unwrap_or(0);
        Ok(pulls.into_iter().nth(open))
    }

    async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError> {
        let below = "pulls?state=open&per_page=100";
        let pulls: Vec<NumberAnswer> = self.get("list pull requests", below).await?;
        Ok(pulls.into_iter().map(|it| it.number).collect())
    }

    async fn pull(&self, number: u64) -> Result<PullSeen, GitHubError> {
        let below = format!("pulls/{number}");
        Ok(self.seen(self.get("read a pull request", &below).await?))
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

    async fn branch_ref(&self, operation: &'static str, branch: &str) -> Result<GitSha, CallError> {
        let below = format!("git/ref/heads/{}", segments(branch));
        let answer: RefAnswer = self.get(operation, &below).await?;
        Ok(answer.object.sha)
    }
}
