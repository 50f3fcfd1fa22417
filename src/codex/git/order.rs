//! In which order the branch was at which commit. GitHub answers from replicas that lag behind what was written, so
//! a head that is read may be older than what `git.json` says Git holds; from such a head nothing may be concluded.
//!
//! A head comes after a commit when it has that one in its history, or when the branch is known to have been moved
//! there from it: a forced push, by a signed delivery or by the repository's own record of moves. Nothing else
//! proves it: what looks like a branch that was set back may be a replica that hasn't caught up. And what proves it
//! says nothing where this instance has heard that the branch went back since.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache as Moka;
use tokio::time::Instant;

use super::book::Book;
use super::{Git, GitMutation, GitTrouble};
use crate::github::{BranchMove, Comparison, GitHubError, GitSnapshot, Push};
use crate::task::GitSha;

/// How often a head is looked at that doesn't come after what is known.
pub(super) const LOOKS: u32 = 4;

/// Between two looks: GitHub's replicas mostly catch up within a second.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// A replica is never so late.
const LATEST: Duration = Duration::from_secs(600);

/// So many moves are remembered, forced ones longer than others; older ones are in the repository's record of them.
const MAX_MOVES: usize = 64;

/// A delivery and the repository's record may tell the same move's time by so many seconds apart.
const SAME_MOVE: TimeDelta = TimeDelta::seconds(5);

/// So many pairs of commits are remembered with how they stand to each other.
const MAX_COMPARED: u64 = 10_000;

/// What this instance knows of the order of commits.
pub(super) struct Order {
    /// How the second stands to the first, which never changes.
    compared: Moka<(GitSha, GitSha), Comparison>,
    /// Since when commits aren't in the branch's history that GitHub says a pull request was merged by.
    awaited: Moka<GitSha, Instant>,
    heard: Mutex<Heard>,
}

/// A move of the branch, by a delivery.
#[derive(Clone, Copy)]
struct HeardMove {
    before: GitSha,
    after: GitSha,
    forced: bool,
    at: Option<DateTime<Utc>>,
}

/// What deliveries have said.
#[derive(Default)]
struct Heard {
    /// Where the branch was moved, what was heard last at the end.
    moves: VecDeque<HeardMove>,
    /// Where deliveries say that the branch is, since the last look that began after them.
    announced: BTreeSet<GitSha>,
}

/// How a head stands to what Git is known to have been at.
enum Standing {
    /// The branch was at all of that before, or is.
    Later,
    /// Nothing proves it; this commit may be newer.
    Unproven(GitSha),
    /// Nothing can prove it: the repository doesn't tell where the branch was.
    Untold(GitSha),
    /// Another answer shows that this one is old.
    Lagging,
}

/// Where the branch has been, as far as it was asked.
enum Moves {
    NotAsked,
    Known(Vec<BranchMove>),
    /// The credentials don't allow it, or this GitHub doesn't have it.
    Closed,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            compared: Moka::new(MAX_COMPARED),
            awaited: Moka::new(MAX_COMPARED),
            heard: Mutex::default(),
        }
    }
}

impl Order {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moves(&self) -> Vec<HeardMove> {
        self.heard().moves.iter().copied().collect()
    }

    /// Whether this commit, at which GitHub says the branch was, was waited for until no replica can be so late.
    fn has_waited(&self, commit: GitSha, now: Instant) -> bool {
        let since = self.awaited.get_with(commit, || now);
        now.saturating_duration_since(since) >= LATEST
    }

    /// A delivery has come.
    pub(super) fn hear(&self, push: &Push) {
        let mut heard = self.heard();
        // Only where a chain of deliveries ends is to be looked for.
        if let Some(before) = push.before {
            heard.announced.remove(&before);
        }
        heard.announced.extend(push.after);
        if let (Some(before), Some(after)) = (push.before, push.after) {
            heard.moves.push_back(HeardMove {
                before,
                after,
                forced: push.forced,
                at: push.at,
            });
            if heard.moves.len() > MAX_MOVES {
                let oldest = heard.moves.iter().position(|it| !it.forced).unwrap_or(0);
                heard.moves.remove(oldest);
            }
        }
    }

    /// `commit` was made on `parent`.
    pub(super) fn made(&self, parent: Option<GitSha>, commit: GitSha) {
        if let Some(parent) = parent {
            self.compared.insert((parent, commit), Comparison::Ahead);
        }
    }
}

impl Git {
    /// The repository as it is now, if that comes after what `book` names, or is `confirmed`. A replica that lags gets
    /// a while to catch up.
    ///
    /// # Errors
    /// [`GitTrouble::HistoryRewritten`] when the branch is at a commit of which nothing proves that.
    pub(super) async fn snapshot_after(
        &self,
        book: &Book,
        confirmed: Option<GitSha>,
    ) -> Result<Arc<GitSnapshot>, GitTrouble> {
        let known = book.known_heads();
        let mut unproven = None;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let snapshot = self.snapshot().await?;
            let Some(head) = snapshot.commit().filter(|it| Some(*it) != confirmed) else {
                return Ok(snapshot);
            };
            unproven = match self.standing(&known, &book.left, head).await? {
                Standing::Later => return Ok(snapshot),
                Standing::Unproven(base) | Standing::Untold(base) => Some((base, head)),
                Standing::Lagging => None,
            };
        }
        Err(match unproven {
            Some((base, head)) => GitTrouble::HistoryRewritten { base, head },
            None => lags().into(),
        })
    }

    /// The repository as it is now, and where deliveries say it is, as far as a while of waiting helps.
    pub(super) async fn snapshot_announced(&self) -> Result<Arc<GitSnapshot>, GitTrouble> {
        let announced = std::mem::take(&mut self.order.heard().announced);
        let mut look = 1;
        loop {
            let snapshot = self.snapshot().await?;
            if look == LOOKS || self.shows(&snapshot, &announced).await? {
                return Ok(snapshot);
            }
            look += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether none of these commits is newer than the branch is shown at. One that was left since by a forced push
    /// isn't, unless that was put right.
    async fn shows(
        &self,
        snapshot: &GitSnapshot,
        announced: &BTreeSet<GitSha>,
    ) -> Result<bool, GitTrouble> {
        let Some(head) = snapshot.commit() else {
            return Ok(announced.is_empty());
        };
        for commit in announced {
            let passed = self.has_in_history(head, *commit).await?;
            if !passed && !self.is_left_for(*commit, head, false).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the branch, as it is shown, follows this commit.
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

    /// Those of `known` that the branch was set away from, to be at `head`.
    pub(super) async fn left_by(
        &self,
        known: &[GitSha],
        head: Option<GitSha>,
    ) -> Result<Vec<GitSha>, GitHubError> {
        let mut left = vec![];
        for commit in known {
            if let Some(head) = head
                && !self.has_in_history(head, *commit).await?
            {
                left.push(*commit);
            }
        }
        Ok(left)
    }

    async fn standing(
        &self,
        known: &[GitSha],
        left: &[GitSha],
        head: GitSha,
    ) -> Result<Standing, GitHubError> {
        if self.breaks(GitMutation::AnyHead) {
            return Ok(Standing::Later);
        }
        let mut moves = Moves::NotAsked;
        for base in known {
            let is_left = *base != head && self.is_left(left, *base, head).await?;
            let follows = !is_left && self.has_in_history(head, *base).await?;
            if follows {
                continue;
            }
            if self.is_left_for(*base, head, is_left).await? {
                continue;
            }
            if let Moves::NotAsked = moves {
                moves = match self.repository.moves().await {
                    Ok(moves) if moves.is_empty() => Moves::Closed,
                    Ok(moves) => Moves::Known(moves),
                    Err(GitHubError::Denied { .. } | GitHubError::Unexpected { .. }) => {
                        Moves::Closed
                    }
                    Err(error) => return Err(error),
                };
            }
            match &moves {
                Moves::Known(moves)
                    if is_moved(moves, *base, head, is_left)
                        && !self
                            .leads_back(head, *base, unlisted(self.order.moves(), moves))
                            .await? => {}
                Moves::Known(moves) if newest(moves) != Some(head) => return Ok(Standing::Lagging),
                Moves::Known(_) => return Ok(Standing::Unproven(*base)),
                Moves::NotAsked | Moves::Closed => return Ok(Standing::Untold(*base)),
            }
        }
        Ok(Standing::Later)
    }

    /// Whether `head` is of a history that the branch was set away from, to `base` or to what came before that: then
    /// that it comes after `base` in its own history says nothing.
    async fn is_left(
        &self,
        left: &[GitSha],
        base: GitSha,
        head: GitSha,
    ) -> Result<bool, GitHubError> {
        for left in left {
            if self.has_in_history(*left, head).await? && !self.has_in_history(base, *left).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the branch has been at `commit`, as it is shown at `head`. `None` when that will never be known: it was
    /// rewritten since, and nothing tells of it.
    pub(super) async fn has_been_at(
        &self,
        commit: GitSha,
        head: Option<GitSha>,
    ) -> Result<Option<bool>, GitHubError> {
        let Some(head) = head else {
            return Ok(Some(false));
        };
        Ok(match self.standing(&[commit], &[], head).await? {
            Standing::Later => Some(true),
            Standing::Unproven(_) | Standing::Lagging => Some(false),
            // A replica that hasn't seen it yet knows nothing of it, or that it comes later. So it is with a branch that
            // was set back to before it, but that stays so.
            Standing::Untold(_) => match self.compare(head, commit).await? {
                Comparison::Diverged | Comparison::Behind | Comparison::Identical => None,
                Comparison::Ahead | Comparison::Unknown => {
                    let now = (self.clock)().started;
                    Some(self.order.has_waited(commit, now))
                }
            },
        })
    }

    /// Whether deliveries say that the branch was set to `head` by force, from `base` or, unless it must be
    /// `from_there`, from what came after it, and don't say that this was put right.
    async fn is_left_for(
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
        Ok(!self.leads_back(head, base, later).await?)
    }

    /// Which of `moves` set the branch to `head` by force.
    /// A delivery may come late: one about what was before `base` says nothing.
    async fn forced_move(
        &self,
        moves: &[HeardMove],
        base: GitSha,
        head: GitSha,
        from_there: bool,
    ) -> Result<Option<usize>, GitHubError> {
        let forced = moves.iter().enumerate().rev().filter(|(_, it)| it.forced);
        for (at, HeardMove { before, after, .. }) in forced {
            let (before, after) = (*before, *after);
            if after != head {
                // Or to what `head` was made on since; what was there before the push is in the history of `before`.
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

    /// Whether these moves lead on from `head` to where `base` is in the branch's history again. Then a `head` without
    /// `base` is shown late.
    async fn leads_back(
        &self,
        head: GitSha,
        base: GitSha,
        mut moves: Vec<HeardMove>,
    ) -> Result<bool, GitHubError> {
        let mut reached = vec![head];
        while let Some(at) = reached.pop() {
            while let Some(next) = moves.iter().position(|it| it.before == at) {
                let next = moves.swap_remove(next).after;
                match self.compare(base, next).await? {
                    // A replica that doesn't know it yet is the one that is late.
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

/// What is shown is older than what was written.
pub(super) fn lags() -> GitHubError {
    GitHubError::Unavailable {
        operation: "read the branch",
        reason: "it shows a commit from before what is known".to_owned(),
    }
}

/// The moves that were heard and aren't among those that the repository lists, the newest first: it lists late. The
/// same move may come twice, where a branch was set back to an ancestor and put right.
fn unlisted(mut heard: Vec<HeardMove>, listed: &[BranchMove]) -> Vec<HeardMove> {
    heard.retain(|it| {
        let pair = (Some(it.before), Some(it.after));
        let same = listed.iter().find(|it| (it.before, it.after) == pair);
        match (it.at, same, listed.last()) {
            (Some(at), Some(same), _) => at > same.at + SAME_MOVE,
            (None, Some(_), _) => false,
            // Of before all that is listed.
            (Some(at), None, Some(oldest)) => at > oldest.at,
            _ => true,
        }
    });
    heard
}

fn newest(moves: &[BranchMove]) -> Option<GitSha> {
    moves.first().and_then(|it| it.after)
}

/// Whether the branch is at `head`, and was at `base` before; with `again`, at `head` even before that. `moves` may be
/// of a while ago, but is whole up to then.
fn is_moved(moves: &[BranchMove], base: GitSha, head: GitSha, again: bool) -> bool {
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
