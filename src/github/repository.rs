//! The mirror repository, behind our own types. GitHub's documents stop here.

mod commits;
mod files;
mod pulls;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::app::AppToken;
use super::transport::{Call, GitHubError, RateLimit, Reply, Sender, Transport, segment};
use crate::config::{ConfigError, Credentials, GitHubConfig, RepositoryConfig, Secret};
use crate::task::GitSha;

pub use commits::{CommitMade, Committed, FileToPut, FilesToCommit};
pub use pulls::Pull;

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

/// The mirror repository.
pub struct Repository {
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

impl Repository {
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

    /// `owner/name`, as payloads call it.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.config.owner, self.config.repo)
    }

    /// The branch that mirrors the tasks.
    pub fn branch(&self) -> &str {
        &self.config.branch
    }

    /// With pull requests: what their branches begin with.
    pub fn pull_prefix(&self) -> Option<&str> {
        self.config.pull_requests.as_deref()
    }

    /// How long GitHub grants no requests; nothing when it does.
    pub fn wait(&self) -> Duration {
        self.transport.wait()
    }

    /// What GitHub last said of its limits.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.transport.rate_limit()
    }

    /// The branch's newest commit, if it isn't the one already known.
    ///
    /// # Errors
    /// Also when there is no such branch: nothing may be concluded from that.
    pub async fn head(&self, known: Option<&Head>) -> Result<HeadSeen, GitHubError> {
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
