//! The order of the branch's heads. GitHub answers from replicas with lag, so a head that is read may be older than the
//! state in `git.json`; nothing may be concluded from such a head.
//!
//! A head is proven newer than a known commit if it has it in its history, or if the branch is known to have been moved
//! from there to the head: by a signed delivery of a forced push, or by the repository's activity. Nothing else proves
//! it: a branch that seems to be reset may be a lagging replica. A proof is void if this instance knows of a later move
//! back.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache as Moka;
use tokio::time::Instant;

use super::sync_state::UserSyncState;
use super::{GitMutation, GitSync, GitSyncError};
use crate::github::{BranchMove, Comparison, GitHubError, GitSnapshot, Push};
use crate::task::GitSha;

/// Reads of a head that isn't proven newer, before giving up.
pub(super) const HEAD_READS: u32 = 4;

/// Time between two reads: GitHub's replicas mostly catch up within a second.
pub(super) const HEAD_READ_INTERVAL: Duration = Duration::from_millis(250);

/// No replica lags more than this.
const MAX_REPLICA_LAG: Duration = Duration::from_secs(600);

/// Delivered moves that are kept, forced ones longer than others; the repository's activity has the older ones.
const MAX_MOVES: usize = 64;

/// The times of one move in a delivery and in the repository's activity differ by at most this.
const SAME_MOVE: TimeDelta = TimeDelta::seconds(5);

/// Cached comparisons of two commits.
const MAX_COMPARED: u64 = 10_000;

/// What this instance knows about the order of commits.
pub(super) struct HeadOrder {
    /// How the second commit compares to the first; this never changes.
    compared: Moka<(GitSha, GitSha), Comparison>,
    /// Since when a merge commit of a pull request, as reported by GitHub, has been missing in the branch's history.
    missing_since: Moka<GitSha, Instant>,
    deliveries: Mutex<DeliveryLog>,
}

/// A move of the branch, from a delivery.
#[derive(Clone, Copy)]
struct DeliveredMove {
    before: GitSha,
    after: GitSha,
    forced: bool,
    at: Option<DateTime<Utc>>,
}

/// What is known from deliveries.
#[derive(Default)]
struct DeliveryLog {
    /// Moves of the branch, in the order of their delivery.
    moves: VecDeque<DeliveredMove>,
    /// Heads that deliveries announced, since the last read that began after them.
    announced: BTreeSet<GitSha>,
}

/// How a head relates to the known heads.
enum HeadRelation {
    /// The branch was at all known heads before, or still is.
    Newer,
    /// Not proven newer than this known head; the known head may be the newer one.
    Unproven(GitSha),
    /// Can't be proven newer than this known head: the repository's activity isn't available.
    Unprovable(GitSha),
    /// The activity lists another head as the newest one.
    Lagging,
}

/// The repository's activity.
enum BranchActivity {
    NotRead,
    Listed(Vec<BranchMove>),
    /// The credentials don't allow it, or this GitHub doesn't have it.
    Unavailable,
}

impl Default for HeadOrder {
    fn default() -> Self {
        Self {
            compared: Moka::new(MAX_COMPARED),
            missing_since: Moka::new(MAX_COMPARED),
            deliveries: Mutex::default(),
        }
    }
}

impl HeadOrder {
    fn deliveries(&self) -> MutexGuard<'_, DeliveryLog> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn moves(&self) -> Vec<DeliveredMove> {
        self.deliveries().moves.iter().copied().collect()
    }

    /// Whether the branch has been without this reported merge commit for longer than any replica lags.
    fn is_past_max_lag(&self, commit: GitSha, now: Instant) -> bool {
        let since = self.missing_since.get_with(commit, || now);
        now.saturating_duration_since(since) >= MAX_REPLICA_LAG
    }

    /// Records a delivery.
    pub(super) fn record_delivery(&self, push: &Push) {
        let mut deliveries = self.deliveries();
        // Only the last commit in a chain of deliveries has to be awaited.
        if let Some(before) = push.before {
            deliveries.announced.remove(&before);
        }
        deliveries.announced.extend(push.after);
        if let (Some(before), Some(after)) = (push.before, push.after) {
            deliveries.moves.push_back(DeliveredMove {
                before,
                after,
                forced: push.forced,
                at: push.at,
            });
            if deliveries.moves.len() > MAX_MOVES {
                let oldest = deliveries
                    .moves
                    .iter()
                    .position(|it| !it.forced)
                    .unwrap_or(0);
                deliveries.moves.remove(oldest);
            }
        }
    }

    /// Records that `commit` was made on `parent`.
    pub(super) fn published(&self, parent: Option<GitSha>, commit: GitSha) {
        if let Some(parent) = parent {
            self.compared.insert((parent, commit), Comparison::Ahead);
        }
    }
}

impl GitSync {
    /// Reads the repository, if its head is proven newer than `sync_state` or is the `confirmed` one. The read is repeated
    /// while a replica may be lagging.
    ///
    /// # Errors
    /// [`GitSyncError::HistoryRewritten`] when the head isn't proven newer; [`GitHubError::Unavailable`] when it is
    /// known to be old.
    pub(super) async fn snapshot_after(
        &self,
        sync_state: &UserSyncState,
        confirmed: Option<GitSha>,
    ) -> Result<Arc<GitSnapshot>, GitSyncError> {
        let known = sync_state.known_heads();
        let mut unproven = None;
        for read in 0..HEAD_READS {
            if read > 0 {
                tokio::time::sleep(HEAD_READ_INTERVAL).await;
            }
            let snapshot = self.snapshot().await?;
            let Some(head) = snapshot.commit().filter(|it| Some(*it) != confirmed) else {
                return Ok(snapshot);
            };
            unproven = match self
                .relation_to(&known, &sync_state.abandoned, head)
                .await?
            {
                HeadRelation::Newer => return Ok(snapshot),
                HeadRelation::Unproven(base) | HeadRelation::Unprovable(base) => Some((base, head)),
                HeadRelation::Lagging => None,
            };
        }
        Err(match unproven {
            Some((base, head)) => GitSyncError::HistoryRewritten { base, head },
            None => replica_lag_error().into(),
        })
    }

    /// Reads the repository, repeatedly until it has the commits that deliveries announced, or the reads are used up.
    pub(super) async fn snapshot_announced(&self) -> Result<Arc<GitSnapshot>, GitSyncError> {
        let announced = std::mem::take(&mut self.order.deliveries().announced);
        let mut reads = 1;
        loop {
            let snapshot = self.snapshot().await?;
            if reads == HEAD_READS || self.has_reached_all(&snapshot, &announced).await? {
                return Ok(snapshot);
            }
            reads += 1;
            tokio::time::sleep(HEAD_READ_INTERVAL).await;
        }
    }

    /// Whether the snapshot is at or after each of these commits. One that a forced push has removed from the branch
    /// since is skipped, unless it was restored.
    async fn has_reached_all(
        &self,
        snapshot: &GitSnapshot,
        announced: &BTreeSet<GitSha>,
    ) -> Result<bool, GitSyncError> {
        let Some(head) = snapshot.commit() else {
            return Ok(announced.is_empty());
        };
        for commit in announced {
            let passed = self.has_in_history(head, *commit).await?;
            if !passed && !self.is_forced_away(*commit, head, false).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the head of the snapshot has this commit in its history.
    pub(super) async fn follows(
        &self,
        commit: Option<GitSha>,
        snapshot: &GitSnapshot,
    ) -> Result<bool, GitHubError> {
        match (commit, snapshot.commit()) {
            (Some(commit), Some(head)) => self.has_in_history(head, commit).await,
            (None, _) => Ok(true),
            (Some(_), None) => Ok(false),
        }
    }

    /// The `known` heads that aren't in the history of the new `head`: the branch was moved away from them.
    pub(super) async fn abandoned_by(
        &self,
        known: &[GitSha],
        head: Option<GitSha>,
    ) -> Result<Vec<GitSha>, GitHubError> {
        let mut abandoned = vec![];
        for commit in known {
            if let Some(head) = head
                && !self.has_in_history(head, *commit).await?
            {
                abandoned.push(*commit);
            }
        }
        Ok(abandoned)
    }

    /// How `head` relates to the `known` heads of a branch that was moved away from the `abandoned` ones.
    async fn relation_to(
        &self,
        known: &[GitSha],
        abandoned: &[GitSha],
        head: GitSha,
    ) -> Result<HeadRelation, GitHubError> {
        if self.breaks(GitMutation::AnyHead) {
            return Ok(HeadRelation::Newer);
        }
        let mut moves = BranchActivity::NotRead;
        for base in known {
            let is_abandoned = *base != head && self.is_abandoned(abandoned, *base, head).await?;
            let follows = !is_abandoned && self.has_in_history(head, *base).await?;
            if follows {
                continue;
            }
            if self.is_forced_away(*base, head, is_abandoned).await? {
                continue;
            }
            if let BranchActivity::NotRead = moves {
                moves = match self.repository.moves().await {
                    Ok(moves) if moves.is_empty() => BranchActivity::Unavailable,
                    Ok(moves) => BranchActivity::Listed(moves),
                    Err(GitHubError::Denied { .. } | GitHubError::Unexpected { .. }) => {
                        BranchActivity::Unavailable
                    }
                    Err(error) => return Err(error),
                };
            }
            match &moves {
                BranchActivity::Listed(moves)
                    if activity_proves(moves, *base, head, is_abandoned)
                        && !self
                            .leads_back_to(head, *base, unlisted(self.order.moves(), moves))
                            .await? => {}
                BranchActivity::Listed(moves) if newest(moves) != Some(head) => {
                    return Ok(HeadRelation::Lagging);
                }
                BranchActivity::Listed(_) => return Ok(HeadRelation::Unproven(*base)),
                BranchActivity::NotRead | BranchActivity::Unavailable => {
                    return Ok(HeadRelation::Unprovable(*base));
                }
            }
        }
        Ok(HeadRelation::Newer)
    }

    /// Whether `head` belongs to a history that the branch was moved away from, to `base` or an ancestor of it. Then
    /// `head` having `base` in its history proves nothing.
    async fn is_abandoned(
        &self,
        abandoned: &[GitSha],
        base: GitSha,
        head: GitSha,
    ) -> Result<bool, GitHubError> {
        for old in abandoned {
            if self.has_in_history(*old, head).await? && !self.has_in_history(base, *old).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the branch, whose head is `head`, has contained `commit`. `None` when this can't be known any more: the
    /// branch was rewritten since, and no delivery or activity shows it.
    pub(super) async fn branch_reached(
        &self,
        commit: GitSha,
        head: Option<GitSha>,
    ) -> Result<Option<bool>, GitHubError> {
        let Some(head) = head else {
            return Ok(Some(false));
        };
        Ok(match self.relation_to(&[commit], &[], head).await? {
            HeadRelation::Newer => Some(true),
            HeadRelation::Unproven(_) | HeadRelation::Lagging => Some(false),
            // A lagging replica either doesn't know the commit, or knows that it comes after its head. A branch that
            // was reset to before the commit looks the same, but stays so.
            HeadRelation::Unprovable(_) => match self.compare(head, commit).await? {
                Comparison::Diverged | Comparison::Behind | Comparison::Identical => None,
                Comparison::Ahead | Comparison::Unknown => {
                    let now = (self.clock)().started;
                    Some(self.order.is_past_max_lag(commit, now))
                }
            },
        })
    }

    /// Whether deliveries report a forced push to `head`, from `base` or, unless `from_there`, from a descendant of it,
    /// and no later move back.
    async fn is_forced_away(
        &self,
        base: GitSha,
        head: GitSha,
        from_there: bool,
    ) -> Result<bool, GitHubError> {
        let moves = self.order.moves();
        let Some(at) = self.forced_move(&moves, base, head, from_there).await? else {
            return Ok(false);
        };
        let forced = moves[at];
        let later = moves
            .into_iter()
            .enumerate()
            .filter(|(index, it)| match (it.at, forced.at) {
                (Some(at), Some(forced)) if at != forced => at > forced,
                _ => *index > at,
            });
        let later = later.map(|(_, it)| it).collect();
        Ok(!self.leads_back_to(head, base, later).await?)
    }

    /// The index of the forced push in `moves` that led to `head`. Deliveries may be late: one of a push from before
    /// `base` is no proof.
    async fn forced_move(
        &self,
        moves: &[DeliveredMove],
        base: GitSha,
        head: GitSha,
        from_there: bool,
    ) -> Result<Option<usize>, GitHubError> {
        let forced = moves.iter().enumerate().rev().filter(|(_, it)| it.forced);
        for (at, DeliveredMove { before, after, .. }) in forced {
            let (before, after) = (*before, *after);
            if after != head {
                // Or to an ancestor of `head`, with commits on top since; what was there before the push is in the
                // history of `before`.
                let made_since = self.has_in_history(head, after).await?
                    && !self.has_in_history(before, head).await?;
                if !made_since {
                    continue;
                }
            }
            let follows = match from_there {
                true => before == base,
                false => self.has_in_history(before, base).await?,
            };
            if follows {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether these moves lead from `head` to a commit that has `base` in its history again. Then a `head` without
    /// `base` is a lagging read.
    async fn leads_back_to(
        &self,
        head: GitSha,
        base: GitSha,
        mut moves: Vec<DeliveredMove>,
    ) -> Result<bool, GitHubError> {
        let mut reached = vec![head];
        while let Some(at) = reached.pop() {
            while let Some(next) = moves.iter().position(|it| it.before == at) {
                let next = moves.swap_remove(next).after;
                match self.compare(base, next).await? {
                    // A commit that the replica doesn't know yet is newer than the replica.
                    Comparison::Identical | Comparison::Ahead | Comparison::Unknown => {
                        return Ok(true);
                    }
                    Comparison::Behind | Comparison::Diverged => reached.push(next),
                }
            }
        }
        Ok(false)
    }

    /// Whether `commit` is `earlier`, or has it in its history.
    async fn has_in_history(&self, commit: GitSha, earlier: GitSha) -> Result<bool, GitHubError> {
        let comparison = self.compare(earlier, commit).await?;
        Ok(matches!(
            comparison,
            Comparison::Identical | Comparison::Ahead
        ))
    }

    /// How `head` compares to `base`; cached unless a replica doesn't know one of them.
    pub(super) async fn compare(
        &self,
        base: GitSha,
        head: GitSha,
    ) -> Result<Comparison, GitHubError> {
        if base == head {
            return Ok(Comparison::Identical);
        }
        if let Some(comparison) = self.order.compared.get(&(base, head)) {
            return Ok(comparison);
        }
        let comparison = self.repository.compare(base, head).await?;
        if comparison != Comparison::Unknown {
            self.order.compared.insert((base, head), comparison);
        }
        Ok(comparison)
    }
}

/// The error for a read that is older than what is known.
pub(super) fn replica_lag_error() -> GitHubError {
    GitHubError::Unavailable {
        operation: "read the branch",
        reason: "it shows an older commit than the known one".to_owned(),
    }
}

/// The delivered moves that the repository's activity doesn't list yet, since it lags; the newest activity comes first.
/// The same pair of commits may occur twice, if a branch was reset to an ancestor and moved forward again.
fn unlisted(mut deliveries: Vec<DeliveredMove>, listed: &[BranchMove]) -> Vec<DeliveredMove> {
    deliveries.retain(|it| {
        let pair = (Some(it.before), Some(it.after));
        let same = listed.iter().find(|it| (it.before, it.after) == pair);
        match (it.at, same, listed.last()) {
            (Some(at), Some(same), _) => at > same.at + SAME_MOVE,
            (None, Some(_), _) => false,
            // From before the listed period.
            (Some(at), None, Some(oldest)) => at > oldest.at,
            _ => true,
        }
    });
    deliveries
}

fn newest(moves: &[BranchMove]) -> Option<GitSha> {
    moves.first().and_then(|it| it.after)
}

/// Whether the activity proves that the branch is at `head` and was at `base` before; with `again`, that it was at
/// `head` even before that. `moves` may be outdated, but has no gaps.
fn activity_proves(moves: &[BranchMove], base: GitSha, head: GitSha, again: bool) -> bool {
    if newest(moves) != Some(head) {
        return false;
    }
    let at_base = |it: &BranchMove| it.after == Some(base);
    match (again, moves.iter().position(at_base)) {
        (false, at) => at.is_some() || moves.iter().any(|it| it.before == Some(base)),
        (true, Some(at)) => moves[at..].iter().any(|it| it.before == Some(head)),
        (true, None) => false,
    }
}
