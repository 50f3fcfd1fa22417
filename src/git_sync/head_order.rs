//! PURE, except that [`HeadFacts::reach`] calls back to its caller's clock. The order of the branch's heads. GitHub
//! answers from replicas with lag, so a head that is read may be older than the state in `git.json`; nothing may be
//! concluded from such a head.
//!
//! A head is proven newer than a known commit if it has it in its history, or if the branch is known to have been moved
//! from there to the head: by a signed delivery of a forced push, or by the repository's activity. Nothing else proves
//! it: a branch that seems to be reset may be a lagging replica. A proof is void if this instance knows of a later move
//! back.
//!
//! Each function decides from [`HeadFacts`]. If a fact is missing that only GitHub has, it returns the
//! [`HeadQuestion`]; the caller adds the answer and asks again.

use chrono::{DateTime, TimeDelta, Utc};

use super::mutation::GitMutation;
use crate::github::{BranchMove, Comparison};
use crate::rules::Rules;
use crate::task::GitSha;

/// The times of one move in a delivery and in the repository's activity differ by at most this.
const SAME_MOVE: TimeDelta = TimeDelta::seconds(5);

/// A move of the branch, from a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveredMove {
    /// The head before.
    pub before: GitSha,
    /// The head after.
    pub after: GitSha,
    /// Whether `before` isn't in the history of `after`.
    pub forced: bool,
    /// When GitHub received the push, if known.
    pub at: Option<DateTime<Utc>>,
}

/// The repository's activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchActivity {
    /// It wasn't read yet.
    NotRead,
    /// The last moves of the branch, the newest first.
    Listed(Vec<BranchMove>),
    /// The credentials don't allow it, or this GitHub doesn't have it.
    Unavailable,
}

/// What is known of a branch's commits and moves. Each method's error is the question to answer first.
pub struct HeadFacts<'a> {
    /// How the second commit compares to the first; `None` where that isn't known yet.
    pub compared: &'a dyn Fn(GitSha, GitSha) -> Option<Comparison>,
    /// Moves of the branch, in the order of their delivery.
    pub deliveries: &'a [DeliveredMove],
    /// The repository's activity.
    pub activity: &'a BranchActivity,
    /// The rules to keep.
    pub rules: Rules<GitMutation>,
}

/// A fact that is missing for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadQuestion {
    /// How the second commit compares to the first.
    Compare(GitSha, GitSha),
    /// The repository's activity.
    Activity,
}

/// How a head relates to the known heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadRelation {
    /// The branch was at all known heads before, or still is.
    Newer,
    /// Not proven newer than this known head; the known head may be the newer one.
    Unproven(GitSha),
    /// Can't be proven newer than this known head: the repository's activity isn't available.
    Unprovable(GitSha),
    /// The activity lists another head as the newest one.
    Lagging,
}

impl HeadFacts<'_> {
    /// How `head` relates to the `known` heads of a branch that was moved away from the `abandoned` ones.
    pub fn relation(
        &self,
        known: &[GitSha],
        abandoned: &[GitSha],
        head: GitSha,
    ) -> Result<HeadRelation, HeadQuestion> {
        if self.rules.breaks(GitMutation::AnyHead) {
            return Ok(HeadRelation::Newer);
        }
        for base in known {
            let is_abandoned = *base != head && self.is_abandoned(abandoned, *base, head)?;
            if !is_abandoned && self.has_in_history(head, *base)? {
                continue;
            }
            if self.is_forced_away(*base, head, is_abandoned)? {
                continue;
            }
            let moves = match self.activity {
                BranchActivity::NotRead => return Err(HeadQuestion::Activity),
                BranchActivity::Unavailable => return Ok(HeadRelation::Unprovable(*base)),
                BranchActivity::Listed(moves) => moves,
            };
            let is_proven = activity_proves(moves, *base, head, is_abandoned)
                && !self.leads_back_to(head, *base, unlisted(self.deliveries, moves))?;
            match newest(moves) {
                _ if is_proven => {}
                Some(newest) if newest == head => return Ok(HeadRelation::Unproven(*base)),
                _ => return Ok(HeadRelation::Lagging),
            }
        }
        Ok(HeadRelation::Newer)
    }

    /// Whether the branch, whose head is `head`, has contained `commit`. `None` when this can't be known any more: the
    /// branch was rewritten since, and no delivery or activity shows it.
    ///
    /// `is_lag_over` tells whether the branch has been without the commit for longer than any replica lags. It reads
    /// the clock and may record when the commit was first found missing, so it is called only if nothing else decides.
    pub fn reach(
        &self,
        commit: GitSha,
        head: Option<GitSha>,
        is_lag_over: impl FnOnce() -> bool,
    ) -> Result<Option<bool>, HeadQuestion> {
        let Some(head) = head else {
            return Ok(Some(false));
        };
        Ok(match self.relation(&[commit], &[], head)? {
            HeadRelation::Newer => Some(true),
            HeadRelation::Unproven(_) | HeadRelation::Lagging => Some(false),
            // A lagging replica either doesn't know the commit, or knows that it comes after its head. A branch that
            // was reset to before the commit looks the same, but stays so.
            HeadRelation::Unprovable(_) => match self.compare(head, commit)? {
                Comparison::Diverged | Comparison::Behind | Comparison::Identical => None,
                Comparison::Ahead | Comparison::Unknown => Some(is_lag_over()),
            },
        })
    }

    /// Whether `head` is at or after each of these commits. One that a forced push has removed from the branch since is
    /// skipped, unless it was restored.
    pub fn has_reached_all<'a>(
        &self,
        head: GitSha,
        announced: impl IntoIterator<Item = &'a GitSha>,
    ) -> Result<bool, HeadQuestion> {
        for commit in announced {
            let passed = self.has_in_history(head, *commit)?;
            if !passed && !self.is_forced_away(*commit, head, false)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The `known` heads that aren't in the history of the new `head`: the branch was moved away from them.
    pub fn abandoned_by(
        &self,
        known: &[GitSha],
        head: Option<GitSha>,
    ) -> Result<Vec<GitSha>, HeadQuestion> {
        let mut abandoned = vec![];
        for commit in known {
            if head.is_some() && !self.follows(Some(*commit), head)? {
                abandoned.push(*commit);
            }
        }
        Ok(abandoned)
    }

    /// Whether `head` has this commit in its history.
    pub fn follows(
        &self,
        commit: Option<GitSha>,
        head: Option<GitSha>,
    ) -> Result<bool, HeadQuestion> {
        match (commit, head) {
            (Some(commit), Some(head)) => self.has_in_history(head, commit),
            (None, _) => Ok(true),
            (Some(_), None) => Ok(false),
        }
    }

    /// Whether `commit` is `earlier`, or has it in its history.
    fn has_in_history(&self, commit: GitSha, earlier: GitSha) -> Result<bool, HeadQuestion> {
        let comparison = self.compare(earlier, commit)?;
        Ok(matches!(
            comparison,
            Comparison::Identical | Comparison::Ahead
        ))
    }

    /// How `head` compares to `base`.
    pub fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, HeadQuestion> {
        if base == head {
            return Ok(Comparison::Identical);
        }
        (self.compared)(base, head).ok_or(HeadQuestion::Compare(base, head))
    }

    /// Whether `head` belongs to a history that the branch was moved away from, to `base` or an ancestor of it. Then
    /// `head` having `base` in its history proves nothing.
    fn is_abandoned(
        &self,
        abandoned: &[GitSha],
        base: GitSha,
        head: GitSha,
    ) -> Result<bool, HeadQuestion> {
        for old in abandoned {
            if self.has_in_history(*old, head)? && !self.has_in_history(base, *old)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether deliveries report a forced push to `head`, from `base` or, unless `from_there`, from a descendant of it,
    /// and no later move back.
    fn is_forced_away(
        &self,
        base: GitSha,
        head: GitSha,
        from_there: bool,
    ) -> Result<bool, HeadQuestion> {
        let Some(at) = self.forced_move(base, head, from_there)? else {
            return Ok(false);
        };
        let forced = self.deliveries[at];
        let later = self.deliveries.iter().enumerate();
        let later = later.filter(|(index, it)| match (it.at, forced.at) {
            (Some(at), Some(forced)) if at != forced => at > forced,
            _ => *index > at,
        });
        let later = later.map(|(_, it)| *it).collect();
        Ok(!self.leads_back_to(head, base, later)?)
    }

    /// The index of the forced push that led to `head`. Deliveries may be late: one of a push from before `base` is no
    /// proof.
    fn forced_move(
        &self,
        base: GitSha,
        head: GitSha,
        from_there: bool,
    ) -> Result<Option<usize>, HeadQuestion> {
        let moves = self.deliveries.iter().enumerate().rev();
        for (at, DeliveredMove { before, after, .. }) in moves.filter(|(_, it)| it.forced) {
            let (before, after) = (*before, *after);
            if after != head {
                // Or to an ancestor of `head`, with commits on top since; what was there before the push is in the
                // history of `before`.
                let made_since =
                    self.has_in_history(head, after)? && !self.has_in_history(before, head)?;
                if !made_since {
                    continue;
                }
            }
            let follows = match from_there {
                true => before == base,
                false => self.has_in_history(before, base)?,
            };
            if follows {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether these moves lead from `head` to a commit that has `base` in its history again. Then a `head` without
    /// `base` is a lagging read.
    fn leads_back_to(
        &self,
        head: GitSha,
        base: GitSha,
        mut moves: Vec<DeliveredMove>,
    ) -> Result<bool, HeadQuestion> {
        let mut reached = vec![head];
        while let Some(at) = reached.pop() {
            while let Some(next) = moves.iter().position(|it| it.before == at) {
                let next = moves.swap_remove(next).after;
                match self.compare(base, next)? {
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
}

/// The delivered moves that the repository's activity doesn't list yet, since it lags; the newest activity comes first.
/// The same pair of commits may occur twice, if a branch was reset to an ancestor and moved forward again.
pub fn unlisted(deliveries: &[DeliveredMove], listed: &[BranchMove]) -> Vec<DeliveredMove> {
    let is_unlisted = |it: &&DeliveredMove| {
        let pair = (Some(it.before), Some(it.after));
        let same = listed.iter().find(|it| (it.before, it.after) == pair);
        match (it.at, same, listed.last()) {
            (Some(at), Some(same), _) => at > same.at + SAME_MOVE,
            (None, Some(_), _) => false,
            // From before the listed period.
            (Some(at), None, Some(oldest)) => at > oldest.at,
            _ => true,
        }
    };
    deliveries.iter().filter(is_unlisted).copied().collect()
}

fn newest(moves: &[BranchMove]) -> Option<GitSha> {
    moves.first().and_then(|it| it.after)
}

/// Whether the activity proves that the branch is at `head` and was at `base` before; with `again`, that it was at
/// `head` even before that. `moves` may be outdated, but has no gaps.
pub fn activity_proves(moves: &[BranchMove], base: GitSha, head: GitSha, again: bool) -> bool {
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
