//! The synchronisation status for the API: of all files of a user, and of one file after a write.

use chrono::{DateTime, Utc};

use super::plan::{unmirrored, unpushed};
use super::report::{SyncMode, UserReport};
use super::{COMMIT_WAIT, GitSyncError, LastError, PublishedCommit, PullNote};
use crate::cache::Consistency;
use crate::codex::{Codex, ReadRequest, TaskChanged, Version};
use crate::github::{
    Push, RateLimit, SkipCode, Skipped, is_mirrored, name_too_long_message, other_spelling,
};
use crate::task::{FileName, GitSha, TaskId};
use crate::user::UserId;

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

/// The options of `POST /sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRequest {
    /// Whether files that were removed from Git are removed here.
    pub clean: bool,
    /// The number of removals that the user has confirmed.
    pub confirm: Option<usize>,
    /// The head that the user has confirmed after the branch was rewritten on purpose.
    pub confirm_head: Option<GitSha>,
}

/// The result of `POST /sync`.
#[derive(Debug, Clone)]
pub struct SyncOutcome {
    /// What was done.
    pub report: UserReport,
    /// The version that contains it.
    pub version: Version,
    /// The number of the next new task.
    pub next_id: Option<TaskId>,
}

impl Codex {
    /// Synchronises one user's files, and queues what Git doesn't hold for a push.
    ///
    /// # Errors
    /// [`GitSyncError::MassDelete`] and [`GitSyncError::HistoryRewritten`] before anything is changed,
    /// [`GitSyncError::TooMany`] beyond the user's rate limit, and failed requests.
    pub async fn sync(
        &self,
        read_request: &ReadRequest,
        request: SyncRequest,
    ) -> Result<SyncOutcome, GitSyncError> {
        let git = self.git()?;
        let granted = self
            .rebuilds
            .take(&read_request.user, read_request.now.mono);
        granted.map_err(|retry_after| GitSyncError::TooMany { retry_after })?;
        let mode = SyncMode {
            allows_removal: request.clean,
            confirmed: request.confirm,
            confirmed_head: request.confirm_head,
            manual: true,
            ..SyncMode::automatic(None)
        };
        let report = self
            .reconcile(&git, &read_request.user, read_request.now, mode)
            .await?;
        if report.has_changes() || !report.clean {
            self.leave_hint(&read_request.user, read_request.now.later())
                .await?;
            git.enqueue(&read_request.user);
        }
        let current = super::read_request(
            &read_request.user,
            read_request.now.later(),
            Consistency::Strict,
        );
        let entry = self.cache.read(&current).await?.entry;
        Ok(SyncOutcome {
            report,
            version: entry.bounds.hi,
            next_id: entry.next_available_id(),
        })
    }

    /// The synchronisation status, from the storage alone: GitHub isn't asked.
    ///
    /// # Errors
    /// When GitHub mode is off, or the store can't be read.
    pub async fn git_status(&self, read_request: &ReadRequest) -> Result<GitStatus, GitSyncError> {
        let git = self.git()?;
        let (sync_state, _) = self.sync_state(&read_request.user).await?;
        let entry = self.cache.read(read_request).await?.entry;
        let respelt = sync_state
            .respelt
            .iter()
            .filter_map(|it| UserId::parse(it).ok());
        let respelt = respelt.map(|it| other_spelling(&git.base_path, &read_request.user, &it));
        let unmirrored = unmirrored(entry.table()).into_iter().map(|name| Skipped {
            file: git.path(&read_request.user, &name),
            code: SkipCode::BadFileName,
            message: name_too_long_message(&name),
        });
        Ok(GitStatus {
            head: sync_state.commit,
            synced_at: sync_state.synced_at,
            unpushed: unpushed(&sync_state, entry.table())
                .into_iter()
                .map(|it| it.name)
                .collect(),
            pulls: sync_state
                .pulls
                .into_iter()
                .map(|(name, note)| (name, note.without_internal()))
                .collect(),
            last_error: sync_state.last_error.map(LastError::without_internal),
            problems: respelt.chain(unmirrored).collect(),
            rate_limit: git.repository.rate_limit(),
            version: entry.bounds.hi,
        })
    }

    /// Queues the push of a file that was just written; with `wait`, waits up to ten seconds for its commit.
    pub async fn start_push(
        &self,
        read_request: &ReadRequest,
        name: &FileName,
        sha: GitSha,
        wait: bool,
    ) -> PushState {
        let Ok(git) = self.git() else {
            return PushState::default();
        };
        if !is_mirrored(name) {
            return PushState::default();
        }
        let pending = PushState {
            pending: true,
            ..PushState::default()
        };
        let user = &read_request.user;
        // Queued first: the caller may be dropped while it waits.
        git.enqueue(user);
        if !wait {
            return pending;
        }
        let now = read_request.now.later();
        let deadline = read_request.now.started + COMMIT_WAIT;
        let push = self.push(&git, user, deadline, now);
        if let Ok(Err(error)) = tokio::time::timeout_at(deadline, push).await {
            tracing::warn!(%user, %error, "a commit that a request waits for failed; it will be retried");
        }
        let Some(published) = git.published(user, name, sha) else {
            // Another instance may have committed it.
            return self.push_state(read_request, name).await;
        };
        PushState {
            pushed: published.pull.is_none(),
            pending: published.pull.is_some(),
            published: Some(published),
        }
    }

    /// The same after a change, which may have written nothing.
    pub async fn push_state_after(
        &self,
        read_request: &ReadRequest,
        task: &TaskChanged,
        wait: bool,
    ) -> PushState {
        match task.written {
            true => {
                self.start_push(read_request, &task.name, task.etag, wait)
                    .await
            }
            false => self.push_state(read_request, &task.name).await,
        }
    }

    /// Whether Git holds the file's current content, for a file that wasn't just written.
    pub async fn push_state(&self, read_request: &ReadRequest, name: &FileName) -> PushState {
        let Ok(git) = self.git() else {
            return PushState::default();
        };
        if !is_mirrored(name) {
            return PushState::default();
        }
        let held = self
            .sync_state(&read_request.user)
            .await
            .ok()
            .and_then(|(sync_state, _)| sync_state.base(name));
        let read = self.cache.read(read_request).await.ok();
        let ours = read.and_then(|read| read.entry.table().find(name.as_str())?.sha);
        let pushed = held.is_some() && held == ours;
        if !pushed {
            git.enqueue(&read_request.user);
        }
        PushState {
            pushed,
            pending: !pushed,
            published: None,
        }
    }

    /// The mirrored branch.
    ///
    /// # Errors
    /// When GitHub mode is off.
    pub fn mirrored_branch(&self) -> Result<&str, GitSyncError> {
        let git = self.git.as_ref().ok_or(GitSyncError::Off)?;
        Ok(&git.repository.config().branch)
    }

    /// Why a delivered push is ignored, if it is.
    pub fn ignored_reason(&self, push: &Push) -> Option<&'static str> {
        let Some(git) = &self.git else {
            return Some("GitHub mode is off");
        };
        let config = git.repository.config();
        if !push.repository.eq_ignore_ascii_case(&config.full_name()) {
            return Some("another repository");
        }
        let branch = push.reference.strip_prefix("refs/heads/");
        (branch != Some(config.branch.as_str())).then_some("another branch")
    }
}
