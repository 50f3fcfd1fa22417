//! The mirror repository on GitHub's REST API.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, ETAG, HeaderMap, IF_NONE_MATCH};
use http_body_util::BodyExt;
use octocrab::Octocrab;
use octocrab::git::GitHandler;
use octocrab::models::repos::CommitAuthor;
use octocrab::params::repos::Reference;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::api_json::{
    CompareResponse, CreateTreeBody, GitCommitResponse, NumberResponse, PullResponse, PutFileBody,
    PutFileResponse, RefResponse, ShaResponse, TreeEntryBody,
};
use super::app::InstallationTokenSource;
use super::error::{CallError, GitHubError, unless};
use super::repository::{
    BatchCommit, BatchCommitFile, BranchMove, CommitOutcome, Comparison, CreatedCommit, FileCommit,
    HeadCommit, HeadLookup, Pull, PullStatus, Repository, TreePage,
};
use super::transport::{MaxBytes, RateLimit, Transport, encode_path, encode_segment};
use crate::config::{ConfigError, Credentials, GitHubConfig, RepositoryConfig, Secret};
use crate::task::{GitSha, MAX_FILE_BYTES};

/// Most bytes of paths and contents in one request that creates a tree; GitHub refuses more than about 40 MB.
const MAX_TREE_REQUEST: usize = 4 << 20;

/// Most entries in one request that creates a tree, so that GitHub responds before the timeout.
const MAX_TREE_ENTRIES: usize = 200;

/// The mirror repository on GitHub.
///
/// Responses are deserialized into our types, with only the members that are used. octocrab's models require more,
/// some of which GitHub's API description has as optional (a tree's `url`) or nullable (an account's `gravatar_id`): a
/// write could succeed and its response be rejected. octocrab's typed calls are used where their models require
/// nothing that may be missing.
pub struct GitHubRepository {
    pub(super) transport: Arc<Transport>,
    pub(super) config: RepositoryConfig,
    pub(super) token: RepositoryToken,
}

pub(super) enum RepositoryToken {
    Fixed(Secret),
    App(InstallationTokenSource),
}

impl GitHubRepository {
    /// The configured repository; `None` when GitHub mode is off. The error is about the app's key, and holds no secret.
    pub fn new(
        config: &GitHubConfig,
        transport: &Arc<Transport>,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        let Some(config) = config.repository.clone() else {
            return Ok(None);
        };
        let token = match &config.credentials {
            Credentials::Token(token) => RepositoryToken::Fixed(token.clone()),
            Credentials::App {
                id,
                private_key,
                installation,
            } => {
                let source = InstallationTokenSource::new(id, private_key, *installation);
                RepositoryToken::App(source?)
            }
        };
        Ok(Some(Arc::new(Self {
            transport: Arc::clone(transport),
            config,
            token,
        })))
    }

    /// octocrab with a valid token, for one call.
    async fn octocrab(&self) -> Result<Octocrab, GitHubError> {
        match &self.token {
            RepositoryToken::Fixed(token) => self.transport.for_service(token),
            RepositoryToken::App(app) => {
                let token = app.get(&self.transport).await?;
                self.transport.for_service(&token.secret)
            }
        }
    }

    /// Awaits a call. After a 401 the app's token is invalidated (it was revoked before it expired), so that the next
    /// call requests a new one.
    async fn call<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = octocrab::Result<T>> + Send,
    ) -> Result<T, CallError> {
        let result = self.transport.call(operation, request).await;
        if let (Err(error), RepositoryToken::App(app)) = (&result, &self.token)
            && error.has_status(StatusCode::UNAUTHORIZED)
        {
            app.invalidate().await;
        }
        result
    }

    /// GETs JSON; `path` is relative to the repository's URL.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
    ) -> Result<T, CallError> {
        let octocrab = self.octocrab().await?;
        let request = octocrab.get(self.route(path), None::<&()>);
        self.call(operation, request).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        let octocrab = self.octocrab().await?;
        let request = octocrab.post(self.route(path), Some(body));
        self.call(operation, request).await
    }

    /// Sends a prepared request and returns the headers and the raw body of a 2xx response.
    pub(super) async fn send_raw(
        &self,
        operation: &'static str,
        path: &str,
        request: http::request::Builder,
    ) -> Result<(HeaderMap, Bytes), CallError> {
        let octocrab = self.octocrab().await?;
        let request = request.uri(self.route(path));
        let send = async move {
            let request = octocrab.build_request(request, None::<&()>)?;
            let response = octocrab.execute(request).await?;
            let (parts, body) = octocrab::map_github_error(response).await?.into_parts();
            Ok((parts.headers, body.collect().await?.to_bytes()))
        };
        self.call(operation, send).await
    }

    fn git<'a>(&self, octocrab: &'a Octocrab) -> GitHandler<'a> {
        octocrab.git(&self.config.owner, &self.config.repo)
    }

    fn route(&self, path: &str) -> String {
        let route = format!("/repos/{}/{path}", self.config.full_name());
        route.trim_end_matches('/').to_owned()
    }

    async fn add_to_tree(
        &self,
        base_tree: GitSha,
        files: &[BatchCommitFile],
    ) -> Result<GitSha, GitHubError> {
        let mut tree = vec![];
        for file in files {
            let content = std::str::from_utf8(&file.bytes).ok();
            tree.push(TreeEntryBody {
                path: &file.path,
                mode: if file.executable { "100755" } else { "100644" },
                kind: "blob",
                content,
                sha: match content {
                    Some(_) => None,
                    None => Some(self.create_blob(&file.bytes).await?),
                },
            });
        }
        let body = CreateTreeBody { base_tree, tree };
        let created: ShaResponse = self.post("make a tree", "git/trees", &body).await?;
        Ok(created.sha)
    }

    /// For content that isn't UTF-8: a tree's JSON can hold text only.
    async fn create_blob(&self, bytes: &[u8]) -> Result<String, GitHubError> {
        let octocrab = self.octocrab().await?;
        let create = self.git(&octocrab).create_blob(STANDARD.encode(bytes));
        let create = create.encoding("base64").send();
        Ok(self.call("make a blob", create).await?.sha)
    }

    fn committer_identity(&self) -> CommitAuthor {
        CommitAuthor {
            name: self.config.committer_name.clone(),
            email: Some(self.config.committer_email.clone()),
            date: None,
        }
    }

    fn status_of(&self, response: PullResponse) -> PullStatus {
        // For an open pull request `merge_commit_sha` is a test merge. And a maintainer may have retargeted the pull
        // request to another base branch.
        let merged = response.merged_at.is_some() && response.base.reference == self.config.branch;
        let merged_by = response.merge_commit_sha.filter(|_| merged);
        PullStatus {
            pull: Pull {
                number: response.number,
                html_url: response.html_url,
                open: response.state == "open",
            },
            merged_by,
            head: response.head.sha,
        }
    }
}

#[async_trait]
impl Repository for GitHubRepository {
    fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    fn wait(&self) -> Duration {
        self.transport.wait()
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        self.transport.rate_limit()
    }

    async fn head(&self, known: Option<&HeadCommit>) -> Result<HeadLookup, GitHubError> {
        let operation = "read the branch";
        let path = format!("git/ref/heads/{}", encode_path(&self.config.branch));
        let mut request = http::Request::builder();
        if let Some(etag) = known.and_then(|it| it.etag.as_deref()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        // octocrab's typed call can't send `If-None-Match`, and its model has no ETag.
        let (headers, bytes) = match self.send_raw(operation, &path, request).await {
            Err(error) if error.has_status(StatusCode::NOT_MODIFIED) => {
                return Ok(HeadLookup::Unchanged);
            }
            Err(error) if error.has_status(StatusCode::CONFLICT) => return Ok(HeadLookup::Empty),
            response => response?,
        };
        let response: RefResponse = serde_json::from_slice(&bytes)
            .map_err(|_| GitHubError::unexpected(operation, "not the documented JSON"))?;
        let etag = headers.get(ETAG).and_then(|it| it.to_str().ok());
        Ok(HeadLookup::At(HeadCommit {
            commit: response.object.sha,
            etag: etag.map(str::to_owned),
        }))
    }

    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError> {
        // Page 2: only the first page lists the changed files with their patches.
        let path = format!("compare/{base}...{head}?per_page=1&page=2");
        let compared = self.get("compare commits", &path).await;
        let compared: Option<CompareResponse> = unless(compared, StatusCode::NOT_FOUND, "")?;
        Ok(compared.map_or(Comparison::Unknown, |it| it.status))
    }

    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError> {
        let branch = encode_segment(&format!("refs/heads/{}", self.config.branch)).to_string();
        let path = format!("activity?ref={branch}&per_page=100");
        Ok(self.get("read the branch's activity", &path).await?)
    }

    async fn tree(&self, sha: GitSha, recursive: bool) -> Result<TreePage, GitHubError> {
        let query = if recursive { "?recursive=1" } else { "" };
        let path = format!("git/trees/{sha}{query}");
        Ok(self.get("read the tree", &path).await?)
    }

    async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError> {
        // Raw: octocrab's typed call gets JSON with the content in base64, and without a size limit.
        let request = http::Request::builder()
            .header(ACCEPT, "application/vnd.github.raw+json")
            .extension(MaxBytes(MAX_FILE_BYTES));
        let path = format!("git/blobs/{sha}");
        let found = self.send_raw("read a file", &path, request).await;
        Ok(unless(found, StatusCode::NOT_FOUND, "")?.map(|(_, bytes)| bytes))
    }

    async fn commit_file(&self, file: &FileCommit<'_>) -> Result<CommitOutcome, GitHubError> {
        let branch = file.branch.unwrap_or(&self.config.branch);
        // octocrab's typed call misspells `committer`, so that GitHub would take the token's owner.
        let body = PutFileBody {
            message: file.message,
            content: file.bytes.map(|bytes| STANDARD.encode(bytes)),
            sha: file.replaces,
            branch,
            committer: self.committer_identity(),
            author: self.committer_identity(),
        };
        let octocrab = self.octocrab().await?;
        let route = self.route(&format!("contents/{}", encode_path(file.path)));
        let operation = "commit a file";
        let response: Result<PutFileResponse, _> = match file.bytes {
            Some(_) => self.call(operation, octocrab.put(route, Some(&body))).await,
            None => {
                self.call(operation, octocrab.delete(route, Some(&body)))
                    .await
            }
        };
        let stale = response.as_ref().is_err_and(|error| {
            // Without `sha`, GitHub answers 422 for a file that exists.
            let exists = error.has_message(StatusCode::UNPROCESSABLE_ENTITY, "sha");
            // Repository rules refuse with 409, too, so the message decides.
            let moved = |part| error.has_message(StatusCode::CONFLICT, part);
            let taken = file.replaces.is_none() && exists;
            taken || moved("does not match") || moved("but expected")
        });
        // What is to be removed is gone; or the token may not write, from which GitHub hides that.
        let is_missing = file.bytes.is_none()
            && (response.as_ref()).is_err_and(|it| it.has_message(StatusCode::NOT_FOUND, ""));
        if stale || is_missing && self.file_sha_at(branch, file.path).await? != file.replaces {
            return Ok(CommitOutcome::Stale);
        }
        let created = response?.commit;
        Ok(CommitOutcome::Done(CreatedCommit {
            sha: created.sha,
            html_url: created.html_url,
            parent: created.parents.first().map(|it| it.sha),
        }))
    }

    async fn commit(&self, commit: &BatchCommit<'_>) -> Result<CommitOutcome, GitHubError> {
        // octocrab's model requires the author and the signature of anyone's commit; only the tree is needed.
        let path = format!("git/commits/{}", commit.parent);
        let parent: GitCommitResponse = self.get("read a commit", &path).await?;
        let mut tree = parent.tree.sha;
        for chunk in chunks(&commit.files) {
            tree = self.add_to_tree(tree, chunk).await?;
        }
        let octocrab = self.octocrab().await?;
        let create = self
            .git(&octocrab)
            .create_commit(commit.message, tree.to_string());
        let create = create
            .parents(vec![commit.parent.to_string()])
            .author(self.committer_identity())
            .committer(self.committer_identity());
        let created = self.call("commit files", create.send()).await?;
        // octocrab has ids as texts.
        let sha = created.sha.parse();
        let sha =
            sha.map_err(|_| GitHubError::unexpected("commit files", "an invalid object id"))?;
        let branch = Reference::Branch(encode_path(&self.config.branch).to_string());
        let octocrab = self.octocrab().await?;
        let update = self.git(&octocrab).update_ref(&branch, created.sha);
        let updated = self.call("commit files", update.force(false).send()).await;
        let updated = unless(updated, StatusCode::UNPROCESSABLE_ENTITY, "fast forward")?;
        Ok(updated.map_or(CommitOutcome::Stale, |_| {
            CommitOutcome::Done(CreatedCommit {
                sha,
                html_url: created.html_url,
                parent: Some(commit.parent),
            })
        }))
    }

    async fn branch_head(&self, branch: &str) -> Result<Option<GitSha>, GitHubError> {
        let path = format!("git/ref/heads/{}", encode_path(branch));
        let found = self.get::<RefResponse>("read a branch", &path).await;
        Ok(unless(found, StatusCode::NOT_FOUND, "")?.map(|it| it.object.sha))
    }

    async fn create_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError> {
        let branch = Reference::Branch(branch.to_owned());
        let octocrab = self.octocrab().await?;
        let git = self.git(&octocrab);
        let created = git.create_ref(&branch, at.to_string());
        let created = self.call("make a branch", created).await;
        let created = unless(created, StatusCode::UNPROCESSABLE_ENTITY, "already exists")?;
        Ok(created.is_some())
    }

    async fn file_sha_at(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError> {
        let (path, branch) = (encode_path(path), encode_segment(branch));
        let path = format!("contents/{path}?ref={branch}");
        let found = self.get::<ShaResponse>("look for a file", &path).await;
        Ok(unless(found, StatusCode::NOT_FOUND, "")?.map(|it| it.sha))
    }

    async fn open_pull(&self, branch: &str, title: &str) -> Result<Option<Pull>, GitHubError> {
        let body = serde_json::json!({"title": title, "head": branch, "base": &self.config.branch});
        let opened = self.post("open a pull request", "pulls", &body).await;
        let opened = unless(opened, StatusCode::UNPROCESSABLE_ENTITY, "already exists")?;
        Ok(opened.map(|it| self.status_of(it).pull))
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
        let pulls: Vec<NumberResponse> = self.get("list pull requests", path).await?;
        Ok(pulls.into_iter().map(|it| it.number).collect())
    }

    async fn pull(&self, number: u64) -> Result<PullStatus, GitHubError> {
        let path = format!("pulls/{number}");
        Ok(self.status_of(self.get("read a pull request", &path).await?))
    }
}

/// Splits files into chunks, one request each, by [`MAX_TREE_REQUEST`] and [`MAX_TREE_ENTRIES`]. A larger file gets a
/// chunk of its own.
fn chunks(files: &[BatchCommitFile]) -> Vec<&[BatchCommitFile]> {
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
