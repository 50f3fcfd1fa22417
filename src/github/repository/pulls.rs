//! Branches and pull requests.

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::files::MAX_TREE_BYTES;
use super::{Question, RefAnswer, Repository, ShaAnswer, says, segments};
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

#[derive(Deserialize)]
struct PullAnswer {
    number: u64,
    html_url: String,
    state: String,
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

impl Repository {
    /// Where a branch is.
    pub async fn branch_head(&self, branch: &str) -> Result<GitSha, GitHubError> {
        let operation = "read a branch";
        let reply = self
            .branch_ref(operation, branch)
            .await?
            .success(operation)?;
        Ok(reply.json::<RefAnswer>(operation)?.object.sha)
    }

    /// Whether there is a branch of this name.
    pub async fn has_branch(&self, branch: &str) -> Result<bool, GitHubError> {
        let operation = "look for a branch";
        let reply = self.branch_ref(operation, branch).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        reply.success(operation).map(|_| true)
    }

    async fn branch_ref(
        &self,
        operation: &'static str,
        branch: &str,
    ) -> Result<Reply, GitHubError> {
        let path = format!("{}/git/ref/heads/{}", self.path, segments(branch));
        self.get(operation, &path, Question::default()).await
    }

    /// Makes a branch. `false` when there is one of that name.
    pub async fn make_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError> {
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

    /// What a branch has at this path.
    pub async fn file_on(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError> {
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

    /// Opens a pull request of a branch onto the service's own. `None` when there is one already.
    pub async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError> {
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

    /// The open pull request of a branch.
    pub async fn pull_of(&self, branch: &str) -> Result<Option<Pull>, GitHubError> {
        let operation = "look for a pull request";
        let head = format!("{}:{branch}", self.config.owner);
        let path = format!("{}/pulls?state=open&head={}", self.path, segment(&head));
        let reply = self
            .get(operation, &path, Question::default())
            .await?
            .success(operation)?;
        let pulls: Vec<PullAnswer> = reply.json(operation)?;
        Ok(pulls.into_iter().next().map(Pull::from))
    }

    /// A pull request as it is now.
    pub async fn pull(&self, number: u64) -> Result<Pull, GitHubError> {
        let operation = "read a pull request";
        let path = format!("{}/pulls/{number}", self.path);
        let reply = self
            .get(operation, &path, Question::default())
            .await?
            .success(operation)?;
        Ok(reply.json::<PullAnswer>(operation)?.into())
    }
}
