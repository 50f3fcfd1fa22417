//! The mirror repository, behind our own types. GitHub's documents stop here.
//!
//! [`Repository`] is what the sync needs of it; [`GitHubRepository`] asks GitHub. Every answer may be older than
//! what was answered before: GitHub reads from replicas.

mod commits;
mod files;
mod pulls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::app::AppToken;
use super::transport::{Call, GitHubError, RateLimit, Reply, Sender, Transport, segment};
use crate::config::{ConfigError, Credentials, GitHubConfig, RepositoryConfig, Secret};
use crate::task::GitSha;

pub use commits::{CommitMade, Commits, Committed, FileToCommit, FileToPut, FilesToCommit};
pub use files::{Files, TreePage};
pub use pulls::{Pull, PullSeen, Pulls};

/// A branch's newest commit, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: GitSha,
    /// To ask with again, which is free while it is unchanged.
    pub etag: Option<String>,
}

/// What a look at a branch showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadSeen {
    /// Still the one it was asked with.
    Unchanged,
    /// The repository has no commit yet.
    Empty,
    /// This one.
    At(Head),
}

/// How one commit stands to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// It is the same.
    Identical,
    /// It has the other one in its history.
    Ahead,
    /// It is in the other one's history.
    Behind,
    /// Neither has the other one in its history.
    Diverged,
    /// One of them isn't there, or not yet.
    #[serde(skip)]
    Unknown,
}

/// A branch that was moved from one commit to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchMove {
    /// Where it was; `None` when it was made.
    pub before: Option<GitSha>,
    /// Where it is then; `None` when it was deleted.
    pub after: Option<GitSha>,
    /// When, in whole seconds.
    pub at: DateTime<Utc>,
}

/// The repository that mirrors the tasks, and its branch.
#[async_trait]
pub trait Repository: Files + Commits + Pulls {
    /// `owner/name`, as payloads call it.
    fn full_name(&self) -> String;

    /// The branch that mirrors the tasks.
    fn branch(&self) -> &str;

    /// With pull requests: what their branches begin with.
    fn pull_prefix(&self) -> Option<&str>;

    /// How long no requests are granted; nothing when they are.
    fn wait(&self) -> Duration;

    /// What was last said of the limits.
    fn rate_limit(&self) -> Option<RateLimit>;

    /// The branch's newest commit, if it isn't the one already known.
    ///
    /// # Errors
    /// Also when there is no such branch: nothing may be concluded from that.
    async fn head(&self, known: Option<&Head>) -> Result<HeadSeen, GitHubError>;

    /// How `head` stands to `base`.
    ///
    /// # Errors
    /// When that can't be asked. A commit that isn't there is [`Comparison::Unknown`].
    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError>;

    /// Where the branch was moved lately, the newest move first.
    ///
    /// # Errors
    /// When that can't be asked.
    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError>;
}

/// The mirror repository on GitHub.
pub struct GitHubRepository {
    transport: Arc<Transport>,
    config: RepositoryConfig,
    app: Option<AppToken>,
    path: String,
}

#[derive(Deserialize)]
struct RefAnswer {
    object: ShaAnswer,
}

#[derive(Deserialize)]
struct ShaAnswer {
    sha: GitSha,
}

/// What is unusual about a question.
#[derive(Debug, Default)]
struct Question<'a> {
    /// `If-None-Match`.
    known: Option<&'a str>,
    /// `Accept`.
    accept: Option<&'static str>,
    /// The most bytes an answer may have.
    limit: Option<usize>,
}

impl GitHubRepository {
    /// The repository of the settings; `None` while GitHub mode is off.
    ///
    /// # Errors
    /// When no client can be made, or the app's key can't be read; in words that hold no secret.
    pub fn new(
        config: &GitHubConfig,
        transport: &Arc<Transport>,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        let Some(repository) = config.repository.clone() else {
            return Ok(None);
        };
        let app = match &repository.credentials {
            Credentials::Token(_) => None,
            Credentials::App {
                id,
                private_key,
                installation,
            } => Some(AppToken::new(id, private_key, *installation)?),
        };
        let path = format!(
            "/repos/{}/{}",
            segment(&repository.owner),
            segment(&repository.repo)
        );
        Ok(Some(Arc::new(Self {
            transport: Arc::clone(transport),
            config: repository,
            app,
            path,
        })))
    }

    /// A token that was taken back before its end is got anew by the next request.
    async fn heed(&self, reply: &Reply) {
        if let (StatusCode::UNAUTHORIZED, Some(app)) = (reply.status, &self.app) {
            app.forget().await;
        }
    }

    async fn get(
        &self,
        operation: &'static str,
        path: &str,
        question: Question<'_>,
    ) -> Result<Reply, GitHubError> {
        let token = self.token().await?;
        let usual = Call::get(operation, path, Sender::Service(&token));
        let call = Call {
            known: question.known,
            accept: question.accept.unwrap_or(usual.accept),
            limit: question.limit.unwrap_or(usual.limit),
            ..usual
        };
        let reply = self.transport.send(call, None::<&()>).await?;
        self.heed(&reply).await;
        Ok(reply)
    }

    async fn write(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Reply, GitHubError> {
        let token = self.token().await?;
        let call = Call::sending(operation, method, path, Sender::Service(&token));
        let reply = self.transport.send(call, Some(body)).await?;
        self.heed(&reply).await;
        Ok(reply)
    }

    async fn token(&self) -> Result<Secret, GitHubError> {
        match (&self.app, &self.config.credentials) {
            (Some(app), _) => app.get(&self.transport).await,
            (None, Credentials::Token(token)) => Ok(token.clone()),
            (None, Credentials::App { .. }) => Err(GitHubError::Unexpected {
                operation: "get a token",
                reason: "there is no app",
            }),
        }
    }
}

#[derive(Deserialize)]
struct CompareAnswer {
    status: Comparison,
}

#[derive(Deserialize)]
struct MoveAnswer {
    before: String,
    after: String,
    timestamp: DateTime<Utc>,
}

#[async_trait]
impl Repository for GitHubRepository {
    fn full_name(&self) -> String {
        format!("{}/{}", self.config.owner, self.config.repo)
    }

    fn branch(&self) -> &str {
        &self.config.branch
    }

    fn pull_prefix(&self) -> Option<&str> {
        self.config.pull_requests.as_deref()
    }

    fn wait(&self) -> Duration {
        self.transport.wait()
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        self.transport.rate_limit()
    }

    async fn head(&self, known: Option<&Head>) -> Result<HeadSeen, GitHubError> {
        let operation = "read the branch";
        let path = format!("{}/git/ref/heads/{}", self.path, segments(self.branch()));
        let question = Question {
            known: known.and_then(|it| it.etag.as_deref()),
            ..Question::default()
        };
        let reply = self.get(operation, &path, question).await?;
        match reply.status {
            StatusCode::NOT_MODIFIED => Ok(HeadSeen::Unchanged),
            StatusCode::CONFLICT => Ok(HeadSeen::Empty),
            _ => {
                let reply = reply.success(operation)?;
                let answer: RefAnswer = reply.json(operation)?;
                Ok(HeadSeen::At(Head {
                    commit: answer.object.sha,
                    etag: reply.etag,
                }))
            }
        }
    }

    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError> {
        let operation = "compare commits";
        // The first page lists the files that differ, with their patches; the second one doesn't.
        let path = format!("{}/compare/{base}...{head}?per_page=1&page=2", self.path);
        let question = Question {
            limit: Some(files::MAX_TREE_BYTES),
            ..Question::default()
        };
        let reply = self.get(operation, &path, question).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(Comparison::Unknown);
        }
        let answer: CompareAnswer = reply.success(operation)?.json(operation)?;
        Ok(answer.status)
    }

    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError> {
        let operation = "read the branch's activity";
        let branch = segment(&format!("refs/heads/{}", self.branch())).to_string();
        let path = format!("{}/activity?ref={branch}&per_page=100", self.path);
        let question = Question {
            limit: Some(files::MAX_TREE_BYTES),
            ..Question::default()
        };
        let reply = self.get(operation, &path, question).await?;
        let answer: Vec<MoveAnswer> = reply.success(operation)?.json(operation)?;
        let moves = answer.into_iter().map(|it| BranchMove {
            before: commit_of(&it.before),
            after: commit_of(&it.after),
            at: it.timestamp,
        });
        Ok(moves.collect())
    }
}

/// GitHub says forty zeros where there is no commit.
pub(super) fn commit_of(sha: &str) -> Option<GitSha> {
    sha.parse().ok().filter(|sha| *sha != GitSha([0; 20]))
}

/// Whether a refusal's message has these words: statuses alone don't tell refusals apart.
fn says(reply: &Reply, words: &str) -> bool {
    String::from_utf8_lossy(&reply.bytes)
        .to_lowercase()
        .contains(words)
}

/// A path or a branch's name, its slashes kept.
fn segments(path: &str) -> String {
    let parts: Vec<String> = path
        .split('/')
        .map(|part| segment(part).to_string())
        .collect();
    parts.join("/")
}
