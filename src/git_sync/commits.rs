//! The commits that this process made recently.

use moka::sync::Cache as Moka;

use crate::github::{CreatedCommit, Pull};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// Capacity of the cache of recent commits.
const MAX_RECENT: u64 = 1_000;

/// A commit of a task file, and where GitHub shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCommit {
    /// The commit.
    pub commit: GitSha,
    /// The URL of its page.
    pub html_url: String,
    /// Its parent, if known.
    pub parent: Option<GitSha>,
    /// The pull request that contains it, if `CREATE_VIA_PR` is on.
    pub pull: Option<Pull>,
}

impl From<CreatedCommit> for PublishedCommit {
    fn from(created: CreatedCommit) -> Self {
        Self {
            commit: created.sha,
            html_url: created.html_url,
            parent: created.parent,
            pull: None,
        }
    }
}

/// The last committed content of each file and its commit, for writes that wait for it.
pub(super) struct RecentCommits(Moka<(UserId, FileName), (GitSha, PublishedCommit)>);

impl Default for RecentCommits {
    fn default() -> Self {
        Self(Moka::new(MAX_RECENT))
    }
}

impl RecentCommits {
    pub(super) fn remember(
        &self,
        user: &UserId,
        name: &FileName,
        sha: GitSha,
        commit: PublishedCommit,
    ) {
        self.0.insert((user.clone(), name.clone()), (sha, commit));
    }

    /// The commit of this content, if it is the last one of the file that this process made.
    pub(super) fn of(
        &self,
        user: &UserId,
        name: &FileName,
        sha: GitSha,
    ) -> Option<PublishedCommit> {
        let (last, published) = self.0.get(&(user.clone(), name.clone()))?;
        (last == sha).then_some(published)
    }
}
