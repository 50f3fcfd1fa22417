//! The options of a synchronisation and what it did.

use tokio::time::Instant;

use crate::github::Skipped;
use crate::task::{FileName, GitSha};
use crate::user::UserId;

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

/// The options of one synchronisation.
#[derive(Debug, Clone, Copy)]
pub(super) struct SyncMode {
    pub request: SyncRequest,
    /// Requested by a user: a mass removal is an error before anything is done, instead of being left out, and the time
    /// is recorded.
    pub manual: bool,
    /// When to leave the rest to the timer.
    pub deadline: Option<Instant>,
}

impl SyncMode {
    /// The options of a synchronisation without a user's request.
    pub(super) fn automatic(deadline: Instant) -> Self {
        let request = SyncRequest {
            clean: true,
            confirm: None,
            confirm_head: None,
        };
        Self {
            request,
            manual: false,
            deadline: Some(deadline),
        }
    }
}

/// What a synchronisation of one user's files did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserReport {
    /// Files that were written.
    pub changed: usize,
    /// Files that were removed.
    pub deleted: usize,
    /// Files that were merged.
    pub merged: usize,
    /// What was skipped, and why.
    pub skipped: Vec<Skipped>,
    /// Files in the store whose content Git didn't hold in the last pass.
    pub unpushed: usize,
    /// Files that can't be committed, because Git has something else in their place.
    pub blocked: Vec<FileName>,
    /// The head that was read.
    pub commit: Option<GitSha>,
    /// The tree SHA of the user's folder in that commit.
    pub folder: Option<GitSha>,
    /// The folder wasn't imported: it isn't a folder in Git, or is spelled in another letter case.
    pub closed: bool,
    /// The last pass found nothing to change here and no write in progress: when it began, the store had everything
    /// that Git has.
    pub clean: bool,
    /// Work is left for a later synchronisation.
    pub unfinished: bool,
}

impl UserReport {
    /// The report of a synchronisation that failed or didn't run.
    pub(super) fn unfinished() -> Self {
        Self {
            unfinished: true,
            ..Self::default()
        }
    }

    /// Whether files were changed here or are to be committed: then there is a hint in the queue.
    pub fn has_changes(&self) -> bool {
        self.unpushed + self.changed + self.deleted + self.merged > 0
    }

    /// Whether a later pass has something to do.
    pub fn leaves_work(&self) -> bool {
        self.has_changes() || !self.clean
    }
}

/// What a fetch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// The head that was read.
    pub head: Option<GitSha>,
    /// The users whose files differed from that commit.
    pub users: Vec<(UserId, UserReport)>,
    /// Folders that can't belong to a user.
    pub skipped: Vec<Skipped>,
    /// Nothing was read, because an earlier run takes too long; the timer does it.
    pub postponed: bool,
}

/// What a run of the timer did. Its `Debug` is logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Users whose files were brought up to date from Git.
    pub fetched: usize,
    /// Queued users who are fully synchronised now.
    pub drained: usize,
    /// Users who stay in the queue.
    pub left: usize,
}
