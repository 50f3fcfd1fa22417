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
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{ETAG, HeaderMap, IF_NONE_MATCH};
use http_body_util::BodyExt;
use octocrab::Octocrab;
use octocrab::git::GitHandler;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::app::AppToken;
use super::transport::{CallError, GitHubError, RateLimit, Transport, segment};
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
///
/// Answers are read into types of our own with the members that are used. octocrab's models ask for more, and for some
/// that GitHub's description has as optional, such as a tree's `url`, or as perhaps null, such as an account's
/// `gravatar_id`: something would be done, and its answer refused. Its own calls are used where their models ask for
/// nothing that may be missing.
pub struct GitHubRepository {
    transport: Arc<Transport>,
    config: RepositoryConfig,
    app: Option<AppToken>,
}

#[derive(Deserialize)]
struct RefAnswer {
    object: ShaAnswer,
}

#[derive(Deserialize)]
struct ShaAnswer {
    sha: GitSha,
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
        Ok(Some(Arc::new(Self {
            transport: Arc::clone(transport),
            config: repository,
            app,
        })))
    }

    /// One call, with a token that is good now. One that was taken back before its end is got anew by the next call.
    async fn call<T, F>(
        &self,
        operation: &'static str,
        request: impl FnOnce(Octocrab) -> F + Send,
    ) -> Result<T, CallError>
    where
        F: Future<Output = octocrab::Result<T>> + Send,
    {
        let token = self.token().await.map_err(CallError::Failed)?;
        let octocrab = self
            .transport
            .for_service(&token)
            .map_err(CallError::Failed)?;
        let result = self.transport.call(operation, request(octocrab)).await;
        if let (Err(error), Some(app)) = (&result, &self.app)
            && error.is(StatusCode::UNAUTHORIZED)
        {
            app.forget().await;
        }
        result
    }

    /// A JSON document below the repository's address.
    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        below: &str,
    ) -> Result<T, CallError> {
        let route = self.route(below);
        self.call(
            operation,
            |it| async move { it.get(route, None::<&()>).await },
        )
        .await
    }

    /// What GitHub answers to a JSON document that is sent there.
    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        below: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        let route = self.route(below);
        self.call(
            operation,
            |it| async move { it.post(route, Some(body)).await },
        )
        .await
    }

    /// The whole answer to a request with these headers, unless it is a refusal.
    async fn ask(
        &self,
        operation: &'static str,
        below: &str,
        request: http::request::Builder,
    ) -> Result<(HeaderMap, Bytes), CallError> {
        let request = request.uri(self.route(below));
        let asked = |it: Octocrab| async move {
            let answer = it.execute(it.build_request(request, None::<&()>)?).await?;
            let (parts, body) = octocrab::map_github_error(answer).await?.into_parts();
            Ok((parts.headers, body.collect().await?.to_bytes()))
        };
        self.call(operation, asked).await
    }

    /// octocrab's calls of the repository's objects and branches.
    fn git<'a>(&self, octocrab: &'a Octocrab) -> GitHandler<'a> {
        octocrab.git(&self.config.owner, &self.config.repo)
    }

    fn route(&self, below: &str) -> String {
        format!("/repos/{}/{}/{below}", self.config.owner, self.config.repo)
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
        let below = format!("git/ref/heads/{}", segments(self.branch()));
        let request = http::Request::builder();
        let request = match known.and_then(|it| it.etag.as_deref()) {
            Some(etag) => request.header(IF_NONE_MATCH, etag),
            None => request,
        };
        // With octocrab's call of its own the condition couldn't be sent, and the tag wouldn't be in its answer.
        let (headers, bytes) = match self.ask(operation, &below, request).await {
            Err(refused) if refused.is(StatusCode::NOT_MODIFIED) => return Ok(HeadSeen::Unchanged),
            Err(refused) if refused.is(StatusCode::CONFLICT) => return Ok(HeadSeen::Empty),
            answer => answer?,
        };
        let answer: RefAnswer =
            serde_json::from_slice(&bytes).map_err(|_| GitHubError::Unexpected {
                operation,
                reason: "not the documented JSON",
            })?;
        let etag = headers.get(ETAG).and_then(|it| it.to_str().ok());
        Ok(HeadSeen::At(Head {
            commit: answer.object.sha,
            etag: etag.map(str::to_owned),
        }))
    }

    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError> {
        // The first page lists the files that differ, with their patches; the second one doesn't.
        let below = format!("compare/{base}...{head}?per_page=1&page=2");
        match self.get::<CompareAnswer>("compare commits", &below).await {
            Err(refused) if refused.is(StatusCode::NOT_FOUND) => Ok(Comparison::Unknown),
            answer => Ok(answer?.status),
        }
    }

    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError> {
        let branch = segment(&format!("refs/heads/{}", self.branch())).to_string();
        let below = format!("activity?ref={branch}&per_page=100");
        let answer: Vec<MoveAnswer> = self.get("read the branch's activity", &below).await?;
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

/// What a name of octocrab's answers says.
fn sha_of(operation: &'static str, text: &str) -> Result<GitSha, GitHubError> {
    let reason = "no name of anything in Git";
    text.parse()
        .map_err(|_| GitHubError::Unexpected { operation, reason })
}

/// A path or a branch's name, its slashes kept.
fn segments(path: &str) -> String {
    let parts: Vec<String> = path
        .split('/')
        .map(|part| segment(part).to_string())
        .collect();
    parts.join("/")
}
