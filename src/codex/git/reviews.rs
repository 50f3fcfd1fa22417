//! Follows pull requests to their end: reviewers merge them, with or without changes, or close them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::head_order::{HEAD_READ_INTERVAL, HEAD_READS, replica_lag_error};
use super::reconcile::ReconcilePass;
use super::sync_state::{PullNote, UserSyncState};
use super::{GitMutation, GitSync, GitSyncError};
use crate::codex::Codex;
use crate::github::{Comparison, GitHubError, GitSnapshot, PullStatus, SideState, UserTree};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// The numbers of open requests, and when they were listed.
pub(super) type OpenPulls = (Instant, Arc<BTreeSet<u64>>);

/// A file's pull request that was merged.
pub(super) struct MergedPull {
    name: FileName,
    /// The proposed content, as recorded.
    proposed: GitSha,
    /// The proposed content that was merged: an older one if `proposed` was committed after the merge; `None` if the
    /// branch had no such file.
    had: Option<GitSha>,
}

/// A pull request that may be the source of a file's content in Git.
enum CandidatePull {
    Recorded(PullNote),
    /// Its opening was begun, and the outcome isn't known.
    Unconfirmed {
        branch: String,
        /// The commit its branch was made from.
        from: GitSha,
        /// The contents that may have been committed to it.
        sent: Vec<GitSha>,
    },
}

/// The result of refreshing the recorded pull requests.
pub(super) enum PullsOutcome {
    /// The state of each is known, and none was merged.
    Known,
    /// At least one was merged: Git's current contents have to be reconciled again.
    Merged,
    /// At least one was merged after the branch was read.
    MergedSince,
}

impl Codex {
    /// Records merged requests: what was merged becomes the base.
    pub(super) async fn record_merged(
        &self,
        git: &GitSync,
        user: &UserId,
        merged: &[MergedPull],
    ) -> Result<(), GitSyncError> {
        let note = |sync_state: &mut UserSyncState| {
            for it in merged {
                match git.breaks(GitMutation::ReviewUndone) {
                    true => drop(sync_state.pulls.remove(it.name.as_str())),
                    false => sync_state.record_merged_pull(&it.name, it.proposed, it.had),
                }
            }
        };
        self.update_sync_state(user, note).await.map(drop)
    }

    /// Updates the recorded state of requests that are recorded as open, as of `since` or later. The change in a
    /// request that was closed without a merge stays local, and isn't proposed again before the next edit.
    pub(super) async fn refresh_pulls(
        &self,
        git: &GitSync,
        user: &UserId,
        head: Option<GitSha>,
        since: Instant,
    ) -> Result<PullsOutcome, GitSyncError> {
        let (sync_state, _) = self.sync_state(user).await?;
        let recorded = sync_state.pulls.iter().filter(|(_, note)| note.pull.open);
        let recorded: Vec<_> = recorded.collect();
        if recorded.is_empty() {
            return Ok(PullsOutcome::Known);
        }
        let open = git.open_pulls(since).await?;
        let ended = recorded
            .into_iter()
            .filter(|(_, note)| !open.contains(&note.pull.number));
        let mut outcome = PullsOutcome::Known;
        let mut merged = vec![];
        for (name, note) in ended {
            let seen = match git.repository.pull(note.pull.number).await {
                Ok(seen) => seen,
                Err(GitHubError::Denied { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if let (Some(commit), Ok(name)) = (seen.merged_by, name.parse()) {
                match git.branch_reached(commit, head).await? {
                    Some(true) => {
                        merged.push(git.merged_pull(user, &name, note, seen.head).await?);
                        continue;
                    }
                    Some(false) => {
                        outcome = PullsOutcome::MergedSince;
                        continue;
                    }
                    None => {}
                }
            }
            if seen.pull != note.pull {
                let change = |sync_state: &mut UserSyncState| {
                    if let Some(note) = sync_state.pulls.get_mut(name) {
                        note.pull = seen.pull.clone();
                    }
                };
                self.update_sync_state(user, change).await?;
            }
        }
        if merged.is_empty() {
            return Ok(outcome);
        }
        self.record_merged(git, user, &merged).await?;
        Ok(PullsOutcome::Merged)
    }
}

impl GitSync {
    async fn lookup_pull(
        &self,
        request: &CandidatePull,
    ) -> Result<Option<PullStatus>, GitHubError> {
        match request {
            CandidatePull::Recorded(note) => self.repository.pull(note.pull.number).await.map(Some),
            CandidatePull::Unconfirmed { branch, .. } => self.repository.find_pull(branch).await,
        }
    }

    /// The open requests, listed at `since` or later; concurrent callers share one listing.
    async fn open_pulls(&self, since: Instant) -> Result<Arc<BTreeSet<u64>>, GitHubError> {
        let mut last = self.open_pulls.lock().await;
        if let Some((at, numbers)) = &*last
            && *at >= since
        {
            return Ok(Arc::clone(numbers));
        }
        let at = (self.clock)().started;
        let numbers = Arc::new(self.repository.open_pulls().await?);
        *last = Some((at, Arc::clone(&numbers)));
        Ok(numbers)
    }

    /// Describes a merged request whose branch was at `head` when it was merged. Commits added later weren't merged.
    pub(super) async fn merged_pull(
        &self,
        user: &UserId,
        name: &FileName,
        note: &PullNote,
        head: GitSha,
    ) -> Result<MergedPull, GitSyncError> {
        let put_later = match note.commit {
            Some(commit) => match self.compare(commit, head).await? {
                Comparison::Identical | Comparison::Ahead | Comparison::Diverged => false,
                Comparison::Behind => true,
                Comparison::Unknown => return Err(replica_lag_error().into()),
            },
            None => false,
        };
        let had = match put_later {
            true => {
                let path = self.path(user, name);
                self.repository
                    .file_sha_at(&head.to_string(), &path)
                    .await?
            }
            false => Some(note.sha),
        };
        Ok(MergedPull {
            name: name.clone(),
            proposed: note.sha,
            had,
        })
    }
}

impl ReconcilePass<'_> {
    /// Checks, for files whose content in Git changed, whether a merge of their pull request changed it. If so, records
    /// the proposed content as the base, so that a reviewer's changes to it win. `true` if there was such a merge.
    pub(super) async fn resolve_pulls(
        &mut self,
        sync_state: &UserSyncState,
        snapshot: &GitSnapshot,
        tree: &UserTree,
    ) -> Result<bool, GitSyncError> {
        let has_moved = |(key, request): (&String, CandidatePull)| {
            let name: FileName = key.parse().ok()?;
            let before = sync_state
                .base(&name)
                .map_or(SideState::Absent, SideState::Content);
            let now = tree.side(&name);
            let is_known = match &request {
                CandidatePull::Recorded(note) => now == SideState::Content(note.sha),
                CandidatePull::Unconfirmed { sent, .. } => {
                    matches!(now, SideState::Content(sha) if sent.contains(&sha))
                }
            };
            let moved = !is_known && now != before && now != SideState::Other;
            moved.then_some((name, request))
        };
        let recorded = sync_state.pulls.iter();
        let recorded = recorded.map(|(name, note)| (name, CandidatePull::Recorded(note.clone())));
        let unconfirmed = sync_state.proposing.iter();
        let unconfirmed = unconfirmed.filter(|(name, _)| !sync_state.pulls.contains_key(*name));
        let unconfirmed = unconfirmed.filter_map(|(key, branch)| {
            let sent = sync_state.pushing.of(&key.parse().ok()?).to_vec();
            let (branch, from) = (branch.clone(), *sync_state.proposing_from.get(key)?);
            Some((key, CandidatePull::Unconfirmed { branch, from, sent }))
        });
        let mut open: Vec<(FileName, CandidatePull)> =
            recorded.chain(unconfirmed).filter_map(has_moved).collect();
        let mut merged = vec![];
        // GitHub may report a merge late: wait a bounded number of times per pass for requests that look open.
        while !open.is_empty() {
            let mut unmerged = vec![];
            for (name, request) in open {
                let seen = match self.git.lookup_pull(&request).await {
                    Ok(seen) => seen,
                    Err(GitHubError::Denied { .. } | GitHubError::Unexpected { .. }) => continue,
                    Err(error) => return Err(error.into()),
                };
                let merged_by = seen.as_ref().and_then(|it| Some((it.merged_by?, it.head)));
                match merged_by {
                    Some((commit, head)) => {
                        let reached = self.git.branch_reached(commit, snapshot.commit()).await?;
                        if reached == Some(true) {
                            merged.extend(self.merged_candidate(&name, &request, head).await?);
                        }
                    }
                    None if seen.is_none_or(|it| it.pull.open) => unmerged.push((name, request)),
                    None => {}
                }
            }
            if unmerged.is_empty() || self.waited == HEAD_READS {
                break;
            }
            self.waited += 1;
            tokio::time::sleep(HEAD_READ_INTERVAL).await;
            open = unmerged;
        }
        if merged.is_empty() {
            return Ok(false);
        }
        let codex = self.codex;
        codex.record_merged(self.git, self.user, &merged).await?;
        Ok(true)
    }

    /// Describes the merged request; `None` if what it proposed can't be determined.
    async fn merged_candidate(
        &self,
        name: &FileName,
        request: &CandidatePull,
        head: GitSha,
    ) -> Result<Option<MergedPull>, GitSyncError> {
        let (from, sent) = match request {
            CandidatePull::Recorded(note) => {
                return self
                    .git
                    .merged_pull(self.user, name, note, head)
                    .await
                    .map(Some);
            }
            CandidatePull::Unconfirmed { from, sent, .. } => (*from, sent),
        };
        // The branch must descend from `from`: an earlier request may have used the same branch name.
        match self.git.compare(from, head).await? {
            Comparison::Ahead => {}
            Comparison::Unknown => return Err(replica_lag_error().into()),
            Comparison::Identical | Comparison::Behind | Comparison::Diverged => return Ok(None),
        }
        let path = self.git.path(self.user, name);
        let had = self
            .git
            .repository
            .file_sha_at(&head.to_string(), &path)
            .await?;
        let proposed = match (had.filter(|had| sent.contains(had)), &sent[..]) {
            (Some(had), _) => had,
            // A reviewer changed it, and only one content can have been proposed.
            (None, [only]) => *only,
            (None, _) => return Ok(None),
        };
        Ok(Some(MergedPull {
            name: name.clone(),
            proposed,
            had: Some(proposed),
        }))
    }
}
