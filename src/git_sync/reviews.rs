//! Follows pull requests to their end: reviewers merge them, with or without changes, or close them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::branch::{HEAD_READ_INTERVAL, HEAD_READS, MergeState};
use super::engine::{GitSync, UserSync};
use super::mutation::GitMutation;
use super::next_step::PullsOutcome;
use super::report::GitSyncError;
use super::sync_state::{PullNote, UserSyncState};
use crate::github::{Comparison, GitHubError, PullStatus, SideState, UserTree};
use crate::task::{FileName, GitSha};

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
enum CandidatePull<'a> {
    Recorded(&'a PullNote),
    /// Its opening was begun, and the outcome isn't known.
    Unconfirmed {
        branch: &'a str,
        /// The commit its branch was made from.
        from: GitSha,
        /// The contents that may have been committed to it.
        sent: &'a [GitSha],
    },
}

impl CandidatePull<'_> {
    /// Whether it proposes what the file is in Git.
    fn proposes(&self, now: SideState) -> bool {
        match (self, now) {
            (Self::Recorded(note), SideState::Absent) => note.sha == GitSha::NULL,
            (Self::Recorded(note), now) => now == SideState::Content(note.sha),
            (Self::Unconfirmed { sent, .. }, SideState::Content(sha)) => sent.contains(&sha),
            (Self::Unconfirmed { .. }, _) => false,
        }
    }
}

/// The pull requests that may have changed a file in Git: those of files whose content there isn't the known one.
fn candidates<'a>(
    sync_state: &'a UserSyncState,
    tree: &UserTree,
) -> Vec<(FileName, CandidatePull<'a>)> {
    let recorded = sync_state.pulls.iter();
    let recorded = recorded.map(|(name, note)| (name, CandidatePull::Recorded(note)));
    let unconfirmed = sync_state.proposing.iter();
    let unconfirmed = unconfirmed.filter(|(name, _)| !sync_state.pulls.contains_key(*name));
    let unconfirmed = unconfirmed.filter_map(|(key, branch)| {
        let sent = sync_state.pushing.of(&key.parse().ok()?);
        let from = *sync_state.proposing_from.get(key)?;
        Some((key, CandidatePull::Unconfirmed { branch, from, sent }))
    });
    let has_moved = |(key, request): (&String, CandidatePull<'a>)| {
        let name: FileName = key.parse().ok()?;
        let before = sync_state.base(&name);
        let before = before.map_or(SideState::Absent, SideState::Content);
        let now = tree.side(&name);
        let moved = !request.proposes(now) && now != before && now != SideState::Other;
        moved.then_some((name, request))
    };
    recorded.chain(unconfirmed).filter_map(has_moved).collect()
}

/// Updates the recorded state of requests that are recorded as open, as of `since` or later. The change in a
/// request that was closed without a merge stays local, and isn't proposed again before the next edit.
pub(super) async fn refresh(
    sync: UserSync<'_>,
    head: Option<GitSha>,
    since: Instant,
) -> Result<PullsOutcome, GitSyncError> {
    let sync_state = sync.state().await?;
    if !sync_state.has_open_pulls() {
        return Ok(PullsOutcome::Known);
    }
    let open = open_pulls(sync.engine, since).await?;
    let has_ended = |note: &PullNote| note.pull.open && !open.contains(&note.pull.number);
    let ended = sync_state.pulls.iter().filter(|(_, note)| has_ended(note));
    let mut outcome = PullsOutcome::Known;
    let mut merged = vec![];
    for (key, note) in ended {
        let seen = match sync.engine.repository().pull(note.pull.number).await {
            Ok(seen) => seen,
            Err(GitHubError::Denied { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        if let Ok(name) = key.parse() {
            match sync.engine.branch.merge_state(&seen, head).await? {
                MergeState::NotMerged => {}
                MergeState::Merged => {
                    merged.push(merged_pull(sync, &name, note, seen.head).await?);
                    continue;
                }
                MergeState::MergedSince => {
                    outcome = PullsOutcome::MergedSince;
                    continue;
                }
            }
        }
        if seen.pull != note.pull {
            if note.sha == GitSha::NULL && !seen.pull.open {
                // Git's content comes back here.
                outcome = PullsOutcome::Ended;
            }
            let change = |sync_state: &mut UserSyncState| {
                if let Some(note) = sync_state.pulls.get_mut(key) {
                    note.pull = seen.pull.clone();
                }
            };
            sync.update(change).await?;
        }
    }
    if merged.is_empty() {
        return Ok(outcome);
    }
    record_merged(sync, &merged).await?;
    Ok(PullsOutcome::Ended)
}

/// The open requests, listed at `since` or later; concurrent callers share one listing.
async fn open_pulls(engine: &GitSync, since: Instant) -> Result<Arc<BTreeSet<u64>>, GitHubError> {
    let mut last = engine.open_pulls.lock().await;
    if let Some((at, numbers)) = &*last
        && *at >= since
    {
        return Ok(Arc::clone(numbers));
    }
    let at = engine.clock().started;
    let numbers = Arc::new(engine.repository().open_pulls().await?);
    *last = Some((at, Arc::clone(&numbers)));
    Ok(numbers)
}

/// Checks, for files whose content in Git changed, whether a merge of their pull request changed it. If so, records
/// the proposed content as the base, so that a reviewer's changes to it win. `true` if there was such a merge.
///
/// GitHub may report a merge late: waits for requests that look open, a bounded number of times per pass, which
/// `waits` counts.
pub(super) async fn resolve(
    sync: UserSync<'_>,
    sync_state: &UserSyncState,
    head: Option<GitSha>,
    tree: &UserTree,
    waits: &mut u32,
) -> Result<bool, GitSyncError> {
    let mut open = candidates(sync_state, tree);
    let mut merged = vec![];
    while !open.is_empty() {
        let mut unmerged = vec![];
        for (name, request) in open {
            let seen = match look_up(sync.engine, &request).await {
                Ok(seen) => seen,
                Err(GitHubError::Denied { .. } | GitHubError::Unexpected { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(seen) = seen.filter(|it| it.merged_by.is_some() || !it.pull.open) else {
                unmerged.push((name, request));
                continue;
            };
            if let MergeState::Merged = sync.engine.branch.merge_state(&seen, head).await? {
                merged.extend(merged_candidate(sync, &name, &request, seen.head).await?);
            }
        }
        if unmerged.is_empty() || *waits == HEAD_READS {
            break;
        }
        *waits += 1;
        sleep(HEAD_READ_INTERVAL).await;
        open = unmerged;
    }
    if merged.is_empty() {
        return Ok(false);
    }
    record_merged(sync, &merged).await?;
    Ok(true)
}

async fn look_up(
    engine: &GitSync,
    request: &CandidatePull<'_>,
) -> Result<Option<PullStatus>, GitHubError> {
    let repository = engine.repository();
    match request {
        CandidatePull::Recorded(note) => repository.pull(note.pull.number).await.map(Some),
        CandidatePull::Unconfirmed { branch, .. } => repository.find_pull(branch).await,
    }
}

/// Records merged requests: what was merged becomes the base.
pub(super) async fn record_merged(
    sync: UserSync<'_>,
    merged: &[MergedPull],
) -> Result<(), GitSyncError> {
    let undone = sync.engine.breaks(GitMutation::ReviewUndone);
    let note = |sync_state: &mut UserSyncState| {
        for it in merged {
            match undone {
                true => drop(sync_state.pulls.remove(it.name.as_str())),
                false => sync_state.record_merged_pull(&it.name, it.proposed, it.had),
            }
        }
    };
    sync.update(note).await.map(drop)
}

/// Describes a merged request whose branch was at `head` when it was merged. Commits added later weren't merged.
pub(super) async fn merged_pull(
    sync: UserSync<'_>,
    name: &FileName,
    note: &PullNote,
    head: GitSha,
) -> Result<MergedPull, GitSyncError> {
    let branch = &sync.engine.branch;
    let had = match note.commit {
        Some(commit) if branch.compare(commit, head).await? == Comparison::Behind => {
            sync.sha_in_git(name, &head.to_string()).await?
        }
        _ => Some(note.sha),
    };
    Ok(MergedPull {
        name: name.clone(),
        proposed: note.sha,
        had,
    })
}

/// Describes the merged request; `None` if what it proposed can't be determined.
async fn merged_candidate(
    sync: UserSync<'_>,
    name: &FileName,
    request: &CandidatePull<'_>,
    head: GitSha,
) -> Result<Option<MergedPull>, GitSyncError> {
    let (from, sent) = match request {
        CandidatePull::Recorded(note) => {
            return merged_pull(sync, name, note, head).await.map(Some);
        }
        CandidatePull::Unconfirmed { from, sent, .. } => (*from, *sent),
    };
    // The branch must descend from `from`: an earlier request may have used the same branch name.
    if sync.engine.branch.compare(from, head).await? != Comparison::Ahead {
        return Ok(None);
    }
    let had = sync.sha_in_git(name, &head.to_string()).await?;
    let proposed = match (had.filter(|had| sent.contains(had)), sent) {
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
