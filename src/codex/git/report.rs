//! How far a sync may go, and what it came to.

use tokio::time::Instant;

use crate::github::Skipped;
use crate::task::{FileName, GitSha};

/// How far a sync may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyncMode {
    /// Whether files may be removed.
    pub removes: bool,
    /// So many removals somebody has confirmed.
    pub confirmed: Option<usize>,
    /// This commit somebody has confirmed: whatever the branch was at before, it was set there on purpose.
    pub confirmed_head: Option<GitSha>,
    /// Somebody asked for it: a mass removal is refused before anything is done, instead of being left
    /// out, and the time is remembered.
    pub by_hand: bool,
    /// When to leave the rest to the timer.
    pub until: Option<Instant>,
}

impl SyncMode {
    /// As the service does it without being asked.
    pub(super) fn by_itself(until: Option<Instant>) -> Self {
        Self {
            removes: true,
            confirmed: None,
            confirmed_head: None,
            by_hand: false,
            until,
        }
    }
}

/// What became of one user's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserReport {
    /// Files that were written.
    pub changed: usize,
    /// Files that were removed.
    pub deleted: usize,
    /// Files in which both sides' changes were brought together.
    pub merged: usize,
    /// What was passed over, and why.
    pub skipped: Vec<Skipped>,
    /// How many files the store has that Git doesn't have as they are, as of the last look.
    pub unpushed: usize,
    /// Files that can't be committed, because something else is in their place in Git.
    pub blocked: Vec<FileName>,
    /// The commit this is about.
    pub commit: Option<GitSha>,
    /// The files' fingerprint in that commit.
    pub folder: Option<GitSha>,
    /// Something else is in the folder's place there, or it has another name: the files weren't taken in.
    pub closed: bool,
    /// The last look found nothing to change here, and nobody writing: until it began, everything that
    /// Git has was here.
    pub clean: bool,
    /// Something is left for another time.
    pub unfinished: bool,
}

impl UserReport {
    /// Nothing is known, but that something is left.
    pub(super) fn unfinished() -> Self {
        Self {
            unfinished: true,
            ..Self::default()
        }
    }

    /// Whether something was changed here, or is to be committed: then there is a hint in the queue.
    pub(super) fn has_news(&self) -> bool {
        self.unpushed + self.changed + self.deleted + self.merged > 0
    }
}
