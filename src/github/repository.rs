//! The mirror repository, behind our own types. GitHub's documents stop here.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::app::AppToken;
use super::transport::{Call, GitHubError, RateLimit, Reply, Sender, Transport, segment};
use super::tree::{EntryKind, TreeEntry};
use crate::config::{Credentials, GitHubConfig, RepositoryConfig, Secret};
use crate::task::{GitSha, MAX_FILE_BYTES};

/// GitHub gives at most 7 MB of a tree, in 100,000 entries.
const MAX_TREE_BYTES: usize = 32 << 20;

/// What one request that makes a tree may carry of file contents; GitHub refuses more than some 40 MB.
const MAX_TREE_REQUEST: usize = 4 << 20;

/// Nor of entries, so that GitHub answers in time.
const MAX_TREE_ENTRIES: usize = 200;

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

/// A file to be committed.
#[derive(Debug, Clone)]
pub struct FileToPut<'a> {
    /// In the repository.
    pub path: &'a str,
    /// The branch, if it isn't the service's own.
    pub branch: Option<&'a str>,
    /// Its new text.
    pub bytes: &'a [u8],
    /// What it replaces; `None` when it is new there.
    pub replaces: Option<GitSha>,
    /// The commit's message.
    pub message: &'a str,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is there.
    Done(CommitMade),
    /// Something else was there than the commit builds on. Nothing happened.
    Stale,
}

/// A commit, for whoever wants to look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMade {
    /// The commit.
    pub sha: GitSha,
    /// A page that shows it.
    pub html_url: String,
    /// The commit it was made on.
    pub parent: Option<GitSha>,
}

/// Several files for one commit.
#[derive(Debug, Clone)]
pub struct FilesToCommit<'a> {
    /// The commit it builds on: the branch's newest.
    pub parent: GitSha,
    /// Paths in the repository, with their new texts.
    pub files: Vec<(String, Bytes)>,
    /// The commit's message.
    pub message: &'a str,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub html_url: String,
    /// Whether it is still open.
    pub open: bool,
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

#[derive(Deserialize)]
struct TreeAnswer {
    tree: Vec<EntryAnswer>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct EntryAnswer {
    path: String,
    mode: String,
    sha: GitSha,
    size: Option<u64>,
}

#[derive(Deserialize)]
struct PutAnswer {
    commit: CommitAnswer,
}

#[derive(Deserialize)]
struct CommitAnswer {
    sha: GitSha,
    html_url: String,
    parents: Vec<ShaAnswer>,
}

impl From<CommitAnswer> for CommitMade {
    fn from(answer: CommitAnswer) -> Self {
        Self {
            sha: answer.sha,
            html_url: answer.html_url,
            parent: answer.parents.first().map(|it| it.sha),
        }
    }
}

#[derive(Deserialize)]
struct GitCommitAnswer {
    tree: ShaAnswer,
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

#[derive(Serialize)]
struct Person<'a> {
    name: &'a str,
    email: &'a str,
}

#[derive(Serialize)]
struct PutBody<'a> {
    message: &'a str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<GitSha>,
    branch: &'a str,
    committer: Person<'a>,
    author: Person<'a>,
}

#[derive(Serialize)]
struct TreeBody<'a> {
    base_tree: GitSha,
    tree: Vec<EntryBody<'a>>,
}

#[derive(Serialize)]
struct EntryBody<'a> {
    path: &'a str,
    mode: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<GitSha>,
}

#[derive(Serialize)]
struct CommitBody<'a> {
    message: &'a str,
    tree: GitSha,
    parents: [GitSha; 1],
    author: Person<'a>,
    committer: Person<'a>,
}

/// No body.
const NONE: Option<&()> = None;

impl Repository {
    /// The repository of the settings; `None` while GitHub mode is off.
    ///
    /// # Errors
    /// When no client can be made, or the app's key can't be read; in words that hold no secret.
    pub fn new(
        config: &GitHubConfig,
        transport: &Arc<Transport>,
    ) -> Result<Option<Arc<Self>>, String> {
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
        let token = self.token().await?;
        let call = Call {
            known: known.and_then(|it| it.etag.as_deref()),
            ..Call::get(operation, &path, Sender::Service(&token))
        };
        let reply = self.transport.send(call, NONE).await?;
        self.heed(&reply).await;
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

    /// Every entry of a commit's tree that lies at or below `base`; others may be among them. One
    /// request, unless the repository is so large that GitHub doesn't tell all of it at once.
    ///
    /// # Errors
    /// A tree that can't be had whole is an error: nothing may be concluded from a part.
    pub async fn tree(&self, commit: GitSha, base: &str) -> Result<Vec<TreeEntry>, GitHubError> {
        let (entries, truncated) = self.tree_at(commit, true).await?;
        if !truncated {
            return Ok(entries);
        }
        let mut sha = commit;
        for part in base.split('/') {
            match folder(&self.whole_folder(sha).await?, part) {
                Some(found) => sha = found,
                None => return Ok(vec![]),
            }
        }
        let (below, truncated) = self.tree_at(sha, true).await?;
        if !truncated {
            return Ok(prefixed(below, base));
        }
        let mut found = vec![];
        for user in self.whole_folder(sha).await? {
            let path = format!("{base}/{}", user.path);
            if user.kind != EntryKind::Folder {
                continue;
            }
            let inside = self.whole_folder(user.sha).await?;
            if let Some(tasks) = folder(&inside, "tasks") {
                let path = format!("{path}/tasks");
                found.extend(prefixed(self.whole_folder(tasks).await?, &path));
                found.extend(
                    inside
                        .into_iter()
                        .filter(|it| it.path == "tasks")
                        .map(|it| TreeEntry {
                            path: path.clone(),
                            ..it
                        }),
                );
            }
        }
        Ok(found)
    }

    async fn whole_folder(&self, sha: GitSha) -> Result<Vec<TreeEntry>, GitHubError> {
        match self.tree_at(sha, false).await? {
            (_, true) => Err(GitHubError::Unexpected {
                operation: "read the tree",
                reason: "a folder has too many entries",
            }),
            (entries, false) => Ok(entries),
        }
    }

    async fn tree_at(
        &self,
        sha: GitSha,
        recursive: bool,
    ) -> Result<(Vec<TreeEntry>, bool), GitHubError> {
        let operation = "read the tree";
        let query = if recursive { "?recursive=1" } else { "" };
        let path = format!("{}/git/trees/{sha}{query}", self.path);
        let token = self.token().await?;
        let call = Call {
            limit: MAX_TREE_BYTES,
            ..Call::get(operation, &path, Sender::Service(&token))
        };
        let reply = self.transport.send(call, NONE).await?.success(operation)?;
        let answer: TreeAnswer = reply.json(operation)?;
        let entries = answer.tree.into_iter().map(|entry| TreeEntry {
            kind: match entry.mode.as_str() {
                "100644" | "100755" | "100664" => EntryKind::File,
                "040000" => EntryKind::Folder,
                "120000" => EntryKind::Link,
                _ => EntryKind::Other,
            },
            path: entry.path,
            sha: entry.sha,
            size: entry.size,
        });
        Ok((entries.collect(), answer.truncated))
    }

    /// A file's content. `None` when Git doesn't have it (any more).
    ///
    /// # Errors
    /// Also when it is larger than a task may be.
    pub async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError> {
        let operation = "read a file";
        let path = format!("{}/git/blobs/{sha}", self.path);
        let token = self.token().await?;
        let call = Call {
            accept: "application/vnd.github.raw+json",
            limit: MAX_FILE_BYTES,
            ..Call::get(operation, &path, Sender::Service(&token))
        };
        let reply = self.transport.send(call, NONE).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(reply.success(operation)?.bytes))
    }

    /// Commits one file.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may be there, or not.
    pub async fn put_file(&self, file: &FileToPut<'_>) -> Result<Committed, GitHubError> {
        let operation = "commit a file";
        let path = format!("{}/contents/{}", self.path, segments(file.path));
        let body = PutBody {
            message: file.message,
            content: STANDARD.encode(file.bytes),
            sha: file.replaces,
            branch: file.branch.unwrap_or(self.branch()),
            committer: self.committer(),
            author: self.committer(),
        };
        let reply = self.write(operation, Method::PUT, &path, &body).await?;
        // Without a SHA of what it replaces, a file that is there is refused as unprocessable.
        let exists = reply.status == StatusCode::UNPROCESSABLE_ENTITY
            && file.replaces.is_none()
            && says(&reply, "sha");
        // A rule of the repository refuses with the same status.
        let moved = reply.status == StatusCode::CONFLICT && !says(&reply, "rule violation");
        if moved || exists {
            return Ok(Committed::Stale);
        }
        let answer: PutAnswer = reply.success(operation)?.json(operation)?;
        Ok(Committed::Done(answer.commit.into()))
    }

    /// Commits several files at once: one tree, one commit, and a move of the branch that loses nothing.
    ///
    /// # Errors
    /// After [`GitHubError::Unavailable`] it may be there, or not.
    pub async fn commit(&self, commit: &FilesToCommit<'_>) -> Result<Committed, GitHubError> {
        let operation = "commit files";
        let mut tree = self.tree_of(commit.parent).await?;
        for chunk in chunks(&commit.files) {
            tree = self.add_to_tree(tree, chunk).await?;
        }
        let body = CommitBody {
            message: commit.message,
            tree,
            parents: [commit.parent],
            author: self.committer(),
            committer: self.committer(),
        };
        let path = format!("{}/git/commits", self.path);
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        let made: CommitAnswer = reply.success(operation)?.json(operation)?;
        let path = format!("{}/git/refs/heads/{}", self.path, segments(self.branch()));
        let body = serde_json::json!({"sha": made.sha, "force": false});
        let reply = self.write(operation, Method::PATCH, &path, &body).await?;
        if reply.status == StatusCode::UNPROCESSABLE_ENTITY && says(&reply, "fast forward") {
            return Ok(Committed::Stale);
        }
        reply.success(operation)?;
        Ok(Committed::Done(made.into()))
    }

    async fn tree_of(&self, commit: GitSha) -> Result<GitSha, GitHubError> {
        let operation = "read a commit";
        let path = format!("{}/git/commits/{commit}", self.path);
        let token = self.token().await?;
        let call = Call::get(operation, &path, Sender::Service(&token));
        let reply = self.transport.send(call, NONE).await?.success(operation)?;
        Ok(reply.json::<GitCommitAnswer>(operation)?.tree.sha)
    }

    async fn add_to_tree(
        &self,
        base_tree: GitSha,
        files: &[(String, Bytes)],
    ) -> Result<GitSha, GitHubError> {
        let operation = "make a tree";
        let mut tree = vec![];
        for (path, bytes) in files {
            let content = std::str::from_utf8(bytes).ok();
            let sha = match content {
                Some(_) => None,
                None => Some(self.make_blob(bytes).await?),
            };
            let (mode, kind) = ("100644", "blob");
            tree.push(EntryBody {
                path,
                mode,
                kind,
                content,
                sha,
            });
        }
        let path = format!("{}/git/trees", self.path);
        let body = TreeBody { base_tree, tree };
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        Ok(reply.success(operation)?.json::<ShaAnswer>(operation)?.sha)
    }

    /// Only texts can stand in a tree's document.
    async fn make_blob(&self, bytes: &[u8]) -> Result<GitSha, GitHubError> {
        let operation = "make a blob";
        let path = format!("{}/git/blobs", self.path);
        let body = serde_json::json!({"content": STANDARD.encode(bytes), "encoding": "base64"});
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        Ok(reply.success(operation)?.json::<ShaAnswer>(operation)?.sha)
    }

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
        let token = self.token().await?;
        let call = Call::get(operation, &path, Sender::Service(&token));
        self.transport.send(call, NONE).await
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
        let token = self.token().await?;
        let call = Call {
            limit: MAX_TREE_BYTES,
            ..Call::get(operation, &path, Sender::Service(&token))
        };
        let reply = self.transport.send(call, NONE).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(
            reply.success(operation)?.json::<ShaAnswer>(operation)?.sha,
        ))
    }

    /// Opens a pull request of a branch onto the service's own.
    pub async fn open_pull(&self, branch: &str, title: &str) -> Result<Pull, GitHubError> {
        let operation = "open a pull request";
        let path = format!("{}/pulls", self.path);
        let body = serde_json::json!({"title": title, "head": branch, "base": self.branch()});
        let reply = self.write(operation, Method::POST, &path, &body).await?;
        Ok(reply
            .success(operation)?
            .json::<PullAnswer>(operation)?
            .into())
    }

    /// The open pull request of a branch.
    pub async fn pull_of(&self, branch: &str) -> Result<Option<Pull>, GitHubError> {
        let operation = "look for a pull request";
        let head = format!("{}:{branch}", self.config.owner);
        let path = format!("{}/pulls?state=open&head={}", self.path, segment(&head));
        let token = self.token().await?;
        let call = Call::get(operation, &path, Sender::Service(&token));
        let reply = self.transport.send(call, NONE).await?.success(operation)?;
        let pulls: Vec<PullAnswer> = reply.json(operation)?;
        Ok(pulls.into_iter().next().map(Pull::from))
    }

    /// A pull request as it is now.
    pub async fn pull(&self, number: u64) -> Result<Pull, GitHubError> {
        let operation = "read a pull request";
        let path = format!("{}/pulls/{number}", self.path);
        let token = self.token().await?;
        let call = Call::get(operation, &path, Sender::Service(&token));
        let reply = self.transport.send(call, NONE).await?.success(operation)?;
        Ok(reply.json::<PullAnswer>(operation)?.into())
    }

    /// A token that was taken back before its end is got anew by the next request.
    async fn heed(&self, reply: &Reply) {
        if let (StatusCode::UNAUTHORIZED, Some(app)) = (reply.status, &self.app) {
            app.forget().await;
        }
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

    fn committer(&self) -> Person<'_> {
        Person {
            name: &self.config.committer_name,
            email: &self.config.committer_email,
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

fn folder(entries: &[TreeEntry], name: &str) -> Option<GitSha> {
    let is_it = |it: &&TreeEntry| it.path == name && it.kind == EntryKind::Folder;
    entries.iter().find(is_it).map(|it| it.sha)
}

fn prefixed(entries: Vec<TreeEntry>, folder: &str) -> Vec<TreeEntry> {
    let under = |it: TreeEntry| TreeEntry {
        path: format!("{folder}/{}", it.path),
        ..it
    };
    entries.into_iter().map(under).collect()
}

/// Files for one request each, by what they weigh.
fn chunks(files: &[(String, Bytes)]) -> Vec<&[(String, Bytes)]> {
    let mut chunks = vec![];
    let (mut from, mut weight) = (0, 0);
    for (at, (path, bytes)) in files.iter().enumerate() {
        let more = path.len() + bytes.len();
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
