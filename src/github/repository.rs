//! The mirror repository. [`Repository`] is the interface that the sync uses, [`GitHubRepository`] its implementation
//! on GitHub's REST API.
//!
//! Reads aren't monotonic: GitHub answers from replicas, so a response may be older than an earlier one.

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

use super::app::InstallationTokenSource;
use super::transport::{CallError, GitHubError, RateLimit, Transport, encode_segment};
use crate::config::{ConfigError, Credentials, GitHubConfig, RepositoryConfig, Secret};
use crate::task::GitSha;

pub use commits::{
    BatchCommit, BatchCommitFile, CommitApi, CommitOutcome, CreatedCommit, FileCommit,
};
pub use files::{GitObjectApi, TreePage};
pub use pulls::{Pull, PullRequestApi, PullStatus};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchMove {
    /// The commit before; `None` when the branch was created.
    pub before: Option<GitSha>,
    /// The commit after; `None` when the branch was deleted.
    pub after: Option<GitSha>,
    /// Time of the update in whole seconds.
    pub at: DateTime<Utc>,
}

/// The repository that mirrors the tasks, and its mirror branch.
#[async_trait]
pub trait Repository: GitObjectApi + CommitApi + PullRequestApi {
    /// `owner/name`, as in webhook payloads.
    fn full_name(&self) -> String;

    /// The mirror branch.
    fn branch(&self) -> &str;

    /// Prefix of the pull requests' branches; `None` when commits go directly to the mirror branch.
    fn pull_prefix(&self) -> Option<&str>;

    /// How long requests are still rate-limited; zero when they aren't.
    fn wait(&self) -> Duration;

    /// The rate limit, as of the latest response.
    fn rate_limit(&self) -> Option<RateLimit>;

    /// The mirror branch's newest commit. `known` makes the request conditional.
    ///
    /// # Errors
    /// Also when the branch doesn't exist: that must not read as removed files.
    async fn head(&self, known: Option<&HeadCommit>) -> Result<HeadLookup, GitHubError>;

    /// How `head` relates to `base`. A commit that GitHub doesn't have is [`Comparison::Unknown`].
    ///
    /// # Errors
    /// When the call fails.
    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError>;

    /// The mirror branch's last hundred updates, newest first.
    ///
    /// # Errors
    /// When the call fails.
    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError>;
}

/// The mirror repository on GitHub.
///
/// Responses are deserialized into our types, with only the members that are used. octocrab's models require more,
/// some of which GitHub's API description has as optional (a tree's `url`) or nullable (an account's `gravatar_id`): a
/// write could succeed and its response be rejected. octocrab's typed calls are used where their models require
/// nothing that may be missing.
pub struct GitHubRepository {
    transport: Arc<Transport>,
    config: RepositoryConfig,
    app: Option<InstallationTokenSource>,
}

#[derive(Deserialize)]
struct RefResponse {
    object: ShaResponse,
}

#[derive(Deserialize)]
struct ShaResponse {
    sha: GitSha,
}

impl GitHubRepository {
    /// The configured repository; `None` when GitHub mode is off.
    ///
    /// # Errors
    /// When the app's key can't be parsed. The message holds no secret.
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
            } => Some(InstallationTokenSource::new(
                id,
                private_key,
                *installation,
            )?),
        };
        Ok(Some(Arc::new(Self {
            transport: Arc::clone(transport),
            config: repository,
            app,
        })))
    }

    /// One call with a valid token. After a 401 the app's token is invalidated (it was revoked before it expired), so
    /// that the next call requests a new one.
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
            && error.has_status(StatusCode::UNAUTHORIZED)
        {
            app.invalidate().await;
        }
        result
    }

    /// GETs JSON; `path` is relative to the repository's URL.
    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
    ) -> Result<T, CallError> {
        let route = self.route(path);
        self.call(
            operation,
            |it| async move { it.get(route, None::<&()>).await },
        )
        .await
    }

    /// POSTs JSON; `path` is relative to the repository's URL.
    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        let route = self.route(path);
        self.call(
            operation,
            |it| async move { it.post(route, Some(body)).await },
        )
        .await
    }

    /// Sends a prepared request and returns the headers and the raw body of a 2xx response.
    async fn send_raw(
        &self,
        operation: &'static str,
        path: &str,
        request: http::request::Builder,
    ) -> Result<(HeaderMap, Bytes), CallError> {
        let request = request.uri(self.route(path));
        let send = |it: Octocrab| async move {
            let response = it.execute(it.build_request(request, None::<&()>)?).await?;
            let (parts, body) = octocrab::map_github_error(response).await?.into_parts();
            Ok((parts.headers, body.collect().await?.to_bytes()))
        };
        self.call(operation, send).await
    }

    /// octocrab's calls for Git objects and refs.
    fn git<'a>(&self, octocrab: &'a Octocrab) -> GitHandler<'a> {
        octocrab.git(&self.config.owner, &self.config.repo)
    }

    fn route(&self, path: &str) -> String {
        format!("/repos/{}/{}/{path}", self.config.owner, self.config.repo)
    }

    async fn token(&self) -> Result<Secret, GitHubError> {
        match (&self.app, &self.config.credentials) {
            (Some(app), _) => app.get(&self.transport).await,
            (None, Credentials::Token(token)) => Ok(token.clone()),
            (None, Credentials::App { .. }) => Err(GitHubError::Unexpected {
                operation: "get a token",
                reason: "no app is configured",
            }),
        }
    }
}

#[derive(Deserialize)]
struct CompareResponse {
    status: Comparison,
}

#[derive(Deserialize)]
struct ActivityResponse {
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

    async fn head(&self, known: Option<&HeadCommit>) -> Result<HeadLookup, GitHubError> {
        let operation = "read the branch";
        let path = format!("git/ref/heads/{}", encode_path(self.branch()));
        let request = http::Request::builder();
        let request = match known.and_then(|it| it.etag.as_deref()) {
            Some(etag) => request.header(IF_NONE_MATCH, etag),
            None => request,
        };
        // octocrab's typed call can't send `If-None-Match`, and its model has no ETag.
        let (headers, bytes) = match self.send_raw(operation, &path, request).await {
            Err(error) if error.has_status(StatusCode::NOT_MODIFIED) => {
                return Ok(HeadLookup::Unchanged);
            }
            Err(error) if error.has_status(StatusCode::CONFLICT) => return Ok(HeadLookup::Empty),
            response => response?,
        };
        let response: RefResponse =
            serde_json::from_slice(&bytes).map_err(|_| GitHubError::Unexpected {
                operation,
                reason: "not the documented JSON",
            })?;
        let etag = headers.get(ETAG).and_then(|it| it.to_str().ok());
        Ok(HeadLookup::At(HeadCommit {
            commit: response.object.sha,
            etag: etag.map(str::to_owned),
        }))
    }

    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError> {
        // Page 2: only the first page lists the changed files with their patches.
        let path = format!("compare/{base}...{head}?per_page=1&page=2");
        match self.get::<CompareResponse>("compare commits", &path).await {
            Err(error) if error.has_status(StatusCode::NOT_FOUND) => Ok(Comparison::Unknown),
            response => Ok(response?.status),
        }
    }

    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError> {
        let branch = encode_segment(&format!("refs/heads/{}", self.branch())).to_string();
        let path = format!("activity?ref={branch}&per_page=100");
        let activity: Vec<ActivityResponse> = self.get("read the branch's activity", &path).await?;
        let moves = activity.into_iter().map(|it| BranchMove {
            before: parse_commit(&it.before),
            after: parse_commit(&it.after),
            at: it.timestamp,
        });
        Ok(moves.collect())
    }
}

/// Parses a commit id. `None` for forty zeros, which GitHub sends where there is no commit, and for invalid ids.
pub(super) fn parse_commit(sha: &str) -> Option<GitSha> {
    sha.parse().ok().filter(|sha| *sha != GitSha([0; 20]))
}

/// Parses an object id of octocrab's models.
fn parse_object_id(operation: &'static str, text: &str) -> Result<GitSha, GitHubError> {
    let reason = "an invalid object id";
    text.parse()
        .map_err(|_| GitHubError::Unexpected { operation, reason })
}

/// Percent-encodes a path or a branch name; its slashes stay.
fn encode_path(path: &str) -> String {
    let parts: Vec<String> = path
        .split('/')
        .map(|part| encode_segment(part).to_string())
        .collect();
    parts.join("/")
}
