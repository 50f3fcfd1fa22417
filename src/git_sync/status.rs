//! The synchronisation status for the API: of all files of a user, and of one file after a write.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::engine::{GitSync, PublishedCommit};
use super::plan::{unmirrored, unpushed_names};
use super::push::push;
use super::report::GitSyncError;
use super::sync_state::{LastError, PullNote};
use crate::cache::ReadRequest;
use crate::github::{
    RateLimit, SkipCode, Skipped, is_mirrored, name_too_long_message, other_spelling, skipped,
};
use crate::task::{FileName, GitSha, TaskId};
use crate::user::UserId;
use crate::user_state::Version;

/// How long a write waits for its commit (`src/http/README.md`, "Waiting for Git").
const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// The synchronisation status of a user's files, as the API shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitStatus {
    #[schema(required)]
    head: Option<GitSha>,
    #[schema(required)]
    synced_at: Option<DateTime<Utc>>,
    unpushed: Vec<UnpushedTask>,
    /// Those whose changes aren't merged yet.
    pub pull_requests: Vec<PullRequestEntry>,
    #[schema(required)]
    last_error: Option<LastError>,
    #[schema(required)]
    rate_limit: Option<RateLimit>,
    problems: Vec<Skipped>,
    /// The version of the user's data to which this applies.
    #[serde(skip)]
    pub version: Version,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Unpushed)]
struct UnpushedTask {
    id: TaskId,
    filename: String,
}

/// A file's pull request.
#[derive(Serialize, ToSchema)]
#[schema(as = PullRequest)]
pub struct PullRequestEntry {
    /// The file.
    pub filename: String,
    /// The request.
    #[serde(flatten)]
    pub note: PullNote,
}

impl GitStatus {
    /// Reads it from the storage alone: GitHub isn't asked.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn read(git: &GitSync, request: &ReadRequest) -> Result<Self, GitSyncError> {
        let user = &request.user;
        let sync = git.of(user);
        let sync_state = sync.state().await?;
        let entry = git.cache.read(request).await?.entry;
        let table = entry.table();
        let unpushed = unpushed_names(&sync_state, table, entry.removed()).into_iter();
        let unpushed = unpushed.map(|name| UnpushedTask {
            id: name.id(),
            filename: name.to_string(),
        });
        let pulls = sync_state.pulls.into_iter();
        let pulls = pulls.map(|(filename, note)| PullRequestEntry {
            filename,
            note: note.shown(),
        });
        let respelt = sync_state.respelt.iter();
        let respelt = respelt.filter_map(|it| UserId::parse(it).ok());
        let base_path = &git.branch.settings.base_path;
        let respelt = respelt.map(|it| other_spelling(base_path, user, &it));
        let unmirrored = unmirrored(table).into_iter().map(|name| {
            let message = name_too_long_message(&name);
            skipped(sync.path(&name), SkipCode::BadFileName, message)
        });
        Ok(Self {
            head: sync_state.commit,
            synced_at: sync_state.synced_at,
            unpushed: unpushed.collect(),
            pull_requests: pulls.collect(),
            last_error: sync_state.last_error.map(LastError::shown),
            rate_limit: git.repository().rate_limit(),
            problems: respelt.chain(unmirrored).collect(),
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
    /// Whether Git holds the file's content `sha` after a request that has `written` it, or found it to be there
    /// already; without a `sha`, whether it lacks the file, after a request that has removed it. Queues its push; with
    /// `wait`, waits up to ten seconds for the commit of a written one.
    pub async fn after(
        git: &GitSync,
        request: &ReadRequest,
        name: &FileName,
        sha: Option<GitSha>,
        written: bool,
        wait: bool,
    ) -> Self {
        if !is_mirrored(name) {
            return Self::default();
        }
        let sync = git.of(&request.user);
        if written {
            // Queued first: the caller may be dropped while it waits.
            sync.enqueue();
            if !wait {
                return Self {
                    pending: true,
                    ..Self::default()
                };
            }
            let deadline = request.now.started + COMMIT_WAIT;
            let push = push(sync, deadline, request.now.later());
            if let Ok(Err(error)) = tokio::time::timeout_at(deadline, push).await {
                tracing::warn!(user = %sync.user, %error, "a commit that a request waits for failed; it will be retried");
            }
            if let Some((commit, pull)) = sync.published(name, sha) {
                return Self {
                    pushed: pull.is_none(),
                    pending: pull.is_some(),
                    published: Some((commit, pull)),
                };
            }
            // Another instance may have committed it.
        }
        let sync_state = sync.state().await.ok();
        let pushed = match sha {
            // A push whose outcome isn't known may still bring it there.
            None => sync_state
                .is_some_and(|it| it.base(name).is_none() && it.pushing.of(name).is_empty()),
            Some(_) => {
                let held = sync_state.and_then(|sync_state| sync_state.base(name));
                let read = git.cache.read(request).await.ok();
                let ours = read.and_then(|read| read.entry.table().find(name.as_str())?.sha);
                held.is_some() && held == ours
            }
        };
        if !pushed {
            sync.enqueue();
        }
        Self {
            pushed,
            pending: !pushed,
            published: None,
        }
    }
}
