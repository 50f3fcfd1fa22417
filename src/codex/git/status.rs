//! What a user is told of Git: the state of everything, and of one file after a write.

use chrono::{DateTime, Utc};

use super::plan::{unmirrored, unpushed};
use super::report::{SyncMode, UserReport};
use super::{GitTrouble, LastError, Made, PullNote, WAIT};
use crate::cache::Freshness;
use crate::codex::{Codex, TaskChanged, Version, Want};
use crate::github::{Push, RateLimit, SkipCode, Skipped, is_mirrored, other_spelling, too_long};
use crate::task::{FileName, GitSha, TaskId};
use crate::user::UserId;

/// How a user's files and Git stand.
#[derive(Debug, Clone, PartialEq)]
pub struct GitStatus {
    /// The commit that was last looked at.
    pub head: Option<GitSha>,
    /// When that was.
    pub synced_at: Option<DateTime<Utc>>,
    /// Files that Git doesn't have as they are.
    pub unpushed: Vec<FileName>,
    /// Pull requests with changes that aren't merged yet.
    pub pulls: Vec<(String, PullNote)>,
    /// What went wrong last, if nothing has gone well since.
    pub last_error: Option<LastError>,
    /// Files that don't go to Git, folders that aren't taken from there, and why.
    pub problems: Vec<Skipped>,
    /// What GitHub last said of its limits to this instance.
    pub rate_limit: Option<RateLimit>,
    /// The version of the user's data that this is about.
    pub version: Version,
}

/// Whether Git has what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitState {
    /// It is committed.
    pub pushed: bool,
    /// It will be.
    pub pending: bool,
    /// Where, for whoever waited for it.
    pub made: Option<Made>,
}

/// What a user asks of a sync by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRequest {
    /// Whether files that have gone from Git go here, too.
    pub clean: bool,
    /// So many of them somebody has confirmed.
    pub confirm: Option<usize>,
    /// The branch was set to this commit on purpose.
    pub confirm_head: Option<GitSha>,
}

/// What a sync by hand came to.
#[derive(Debug, Clone)]
pub struct Synced {
    /// What was done.
    pub report: UserReport,
    /// The version that contains it.
    pub version: Version,
    /// The number the next new task gets.
    pub next_id: Option<TaskId>,
}

impl Codex {
    /// Brings one user's files and Git together, and starts to push what Git doesn't have.
    ///
    /// # Errors
    /// [`GitTrouble::MassDelete`] before anything is done.
    pub async fn sync(&self, want: &Want, request: SyncRequest) -> Result<Synced, GitTrouble> {
        let git = self.git()?;
        let granted = self.rebuilds.take(&want.user, want.now.mono);
        granted.map_err(|retry_after| GitTrouble::TooMany { retry_after })?;
        let mode = SyncMode {
            removes: request.clean,
            confirmed: request.confirm,
            confirmed_head: request.confirm_head,
            by_hand: true,
            ..SyncMode::by_itself(None)
        };
        let report = self.reconcile(&git, &want.user, want.now, mode).await?;
        if report.has_news() || !report.clean {
            self.leave_hint(&want.user, want.now.later()).await?;
            git.enqueue(&want.user);
        }
        let strict = super::want(&want.user, want.now.later(), Freshness::Strict);
        let entry = self.cache.read(&strict).await?.entry;
        Ok(Synced {
            report,
            version: entry.knowledge.hi,
            next_id: entry.next_available_id(),
        })
    }

    /// How the user's files and Git stand, as far as that is known here: GitHub isn't asked.
    ///
    /// # Errors
    /// When GitHub mode is off, or the store can't be read.
    pub async fn git_status(&self, want: &Want) -> Result<GitStatus, GitTrouble> {
        let git = self.git()?;
        let (book, _) = self.book(&want.user).await?;
        let entry = self.cache.read(want).await?.entry;
        let respelt = book.respelt.iter().filter_map(|it| UserId::parse(it).ok());
        let respelt = respelt.map(|it| other_spelling(&git.base_path, &want.user, &it));
        let unmirrored = unmirrored(entry.table()).into_iter().map(|name| Skipped {
            file: git.path(&want.user, &name),
            code: SkipCode::BadFileName,
            message: too_long(&name),
        });
        Ok(GitStatus {
            head: book.commit,
            synced_at: book.synced_at,
            unpushed: unpushed(&book, entry.table())
                .into_iter()
                .map(|it| it.name)
                .collect(),
            pulls: book
                .pulls
                .into_iter()
                .map(|(name, note)| (name, note.known()))
                .collect(),
            last_error: book.last_error.map(LastError::known),
            problems: respelt.chain(unmirrored).collect(),
            rate_limit: git.repository.rate_limit(),
            version: entry.knowledge.hi,
        })
    }

    /// Starts the push of a file that was just written; with `wait`, stays for its commit, but not for
    /// long.
    pub async fn pushed(&self, want: &Want, name: &FileName, sha: GitSha, wait: bool) -> GitState {
        let Ok(git) = self.git() else {
            return GitState::default();
        };
        if !is_mirrored(name) {
            return GitState::default();
        }
        let pending = GitState {
            pending: true,
            ..GitState::default()
        };
        let user = &want.user;
        // Whoever asks may go before it is done.
        git.enqueue(user);
        if !wait {
            return pending;
        }
        let now = want.now.later();
        let until = want.now.started + WAIT;
        let push = self.push(&git, user, until, now);
        if let Ok(Err(error)) = tokio::time::timeout_at(until, push).await {
            tracing::warn!(%user, %error, "a commit that somebody waits for is left for later");
        }
        let Some(made) = git.made(user, name, sha) else {
            // Another instance may have committed it.
            return self.git_state(want, name).await;
        };
        GitState {
            pushed: made.pull.is_none(),
            pending: made.pull.is_some(),
            made: Some(made),
        }
    }

    /// The same after a change, which may have had nothing to write.
    pub async fn git_after(&self, want: &Want, task: &TaskChanged, wait: bool) -> GitState {
        match task.written {
            true => self.pushed(want, &task.name, task.etag, wait).await,
            false => self.git_state(want, &task.name).await,
        }
    }

    /// Whether Git has a file as it is, which wasn't written just now.
    pub async fn git_state(&self, want: &Want, name: &FileName) -> GitState {
        let Ok(git) = self.git() else {
            return GitState::default();
        };
        if !is_mirrored(name) {
            return GitState::default();
        }
        let held = self
            .book(&want.user)
            .await
            .ok()
            .and_then(|(book, _)| book.base(name));
        let read = self.cache.read(want).await.ok();
        let ours = read.and_then(|read| read.entry.table().find(name.as_str())?.sha);
        let pushed = held.is_some() && held == ours;
        if !pushed {
            git.enqueue(&want.user);
        }
        GitState {
            pushed,
            pending: !pushed,
            made: None,
        }
    }

    /// The branch that mirrors the tasks.
    ///
    /// # Errors
    /// When GitHub mode is off.
    pub fn mirrored_branch(&self) -> Result<&str, GitTrouble> {
        let git = self.git.as_ref().ok_or(GitTrouble::Off)?;
        Ok(git.repository.branch())
    }

    /// Why a push is of no interest here, if it isn't.
    pub fn is_ignored(&self, push: &Push) -> Option<&'static str> {
        let Some(git) = &self.git else {
            return Some("GitHub mode is off");
        };
        let branch = push.reference.strip_prefix("refs/heads/");
        if !push
            .repository
            .eq_ignore_ascii_case(&git.repository.full_name())
        {
            return Some("another repository");
        }
        (branch != Some(git.repository.branch())).then_some("another branch")
    }
}
