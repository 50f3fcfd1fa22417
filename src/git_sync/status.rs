//! The synchronisation status for the API: of all files of a user, and of one file after a write.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::commits::PublishedCommit;
use super::engine::Engine;
use super::error::GitSyncError;
use super::plan::{unmirrored, unpushed};
use super::push::push;
use super::sync_state::{LastError, PullNote};
use crate::cache::ReadRequest;
use crate::github::{
    RateLimit, SkipCode, Skipped, is_mirrored, name_too_long_message, other_spelling,
};
use crate::task::{FileName, GitSha};
use crate::user::UserId;
use crate::user_state::Version;

/// How long a write waits for its commit (`src/http/README.md`, "Waiting for Git").
const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// The synchronisation status of a user's files.
#[derive(Debug, Clone, PartialEq)]
pub struct GitStatus {
    /// The head that was last read.
    pub head: Option<GitSha>,
    /// When it was read.
    pub synced_at: Option<DateTime<Utc>>,
    /// Files whose content Git doesn't hold.
    pub unpushed: Vec<FileName>,
    /// Pull requests whose changes aren't merged yet, by file.
    pub pulls: Vec<(String, PullNote)>,
    /// The last error, if no operation has succeeded since.
    pub last_error: Option<LastError>,
    /// Files and folders that aren't mirrored, and why.
    pub problems: Vec<Skipped>,
    /// The rate limit in GitHub's last answer to this instance.
    pub rate_limit: Option<RateLimit>,
    /// The version of the user's data to which this applies.
    pub version: Version,
}

impl GitStatus {
    /// Reads it.
    pub(super) async fn read(engine: &Engine, request: &ReadRequest) -> Result<Self, GitSyncError> {
        let user = &request.user;
        let sync_state = engine.states.of(user).await?;
        let entry = engine.cache.read(request).await?.entry;
        let table = entry.table();
        let respelt = sync_state.respelt.iter();
        let respelt = respelt.filter_map(|it| UserId::parse(it).ok());
        let respelt = respelt.map(|it| other_spelling(&engine.base_path, user, &it));
        let unmirrored = unmirrored(table).into_iter().map(|name| Skipped {
            file: engine.path(user, &name),
            code: SkipCode::BadFileName,
            message: name_too_long_message(&name),
        });
        let problems = respelt.chain(unmirrored).collect();
        let unpushed = unpushed(&sync_state, table).into_iter();
        Ok(Self {
            head: sync_state.commit,
            synced_at: sync_state.synced_at,
            unpushed: unpushed.map(|it| it.name).collect(),
            pulls: sync_state.pulls.into_iter().collect(),
            last_error: sync_state.last_error,
            problems,
            rate_limit: engine.repository.rate_limit(),
            version: entry.bounds.hi,
        })
    }
}

/// Whether Git holds a written content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushState {
    /// It is committed to the mirrored branch.
    pub pushed: bool,
    /// It isn't yet: it is queued, or in an open pull request.
    pub pending: bool,
    /// Its commit, if the caller waited for it.
    pub published: Option<PublishedCommit>,
}

impl PushState {
    /// Queues the push of a file that was just written; with `wait`, waits up to ten seconds for its commit.
    pub(super) async fn start(
        engine: &Engine,
        request: &ReadRequest,
        name: &FileName,
        sha: GitSha,
        wait: bool,
    ) -> Self {
        if !is_mirrored(name) {
            return Self::default();
        }
        let user = &request.user;
        // Queued first: the caller may be dropped while it waits.
        engine.enqueue(user);
        if !wait {
            return Self {
                pending: true,
                ..Self::default()
            };
        }
        let deadline = request.now.started + COMMIT_WAIT;
        let push = push(engine, user, deadline, request.now.later());
        if let Ok(Err(error)) = tokio::time::timeout_at(deadline, push).await {
            tracing::warn!(%user, %error, "a commit that a request waits for failed; it will be retried");
        }
        let Some(published) = engine.commits.of(user, name, sha) else {
            // Another instance may have committed it.
            return Self::read(engine, request, name).await;
        };
        Self {
            pushed: published.pull.is_none(),
            pending: published.pull.is_some(),
            published: Some(published),
        }
    }

    /// Whether Git holds the file's current content, for a file that wasn't just written.
    pub(super) async fn read(engine: &Engine, request: &ReadRequest, name: &FileName) -> Self {
        if !is_mirrored(name) {
            return Self::default();
        }
        let sync_state = engine.states.of(&request.user).await;
        let held = sync_state.ok().and_then(|sync_state| sync_state.base(name));
        let read = engine.cache.read(request).await.ok();
        let ours = read.and_then(|read| read.entry.table().find(name.as_str())?.sha);
        let pushed = held.is_some() && held == ours;
        if !pushed {
            engine.enqueue(&request.user);
        }
        Self {
            pushed,
            pending: !pushed,
            published: None,
        }
    }
}
