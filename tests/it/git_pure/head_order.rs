//! The order of heads (`src/git_sync/README.md`, "Order of heads"), decided from given comparisons.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use codex_miroir::git_sync::head_order::{
    BranchActivity, DeliveredMove, HeadFacts, HeadQuestion, HeadRelation, activity_proves, unlisted,
};
use codex_miroir::github::{BranchMove, Comparison};
use codex_miroir::rules::Rules;
use codex_miroir::task::GitSha;
use proptest::prelude::*;

use super::sha;
use crate::support::cases;

/// Commits by number, each with its parents, which have lower numbers.
#[derive(Debug, Clone)]
struct History(Vec<Vec<usize>>);

impl History {
    fn has(&self, commit: usize, earlier: usize) -> bool {
        commit == earlier || self.0[commit].iter().any(|it| self.has(*it, earlier))
    }

    fn compare(&self, base: GitSha, head: GitSha) -> Comparison {
        let number = |sha| (0..self.0.len()).find(|it| commit(*it) == sha);
        let (Some(base), Some(head)) = (number(base), number(head)) else {
            return Comparison::Unknown;
        };
        match (self.has(head, base), self.has(base, head)) {
            (true, true) => Comparison::Identical,
            (true, false) => Comparison::Ahead,
            (false, true) => Comparison::Behind,
            (false, false) => Comparison::Diverged,
        }
    }

    /// Answers the questions of a decision. None may be asked twice.
    fn decide<T>(
        &self,
        deliveries: &[DeliveredMove],
        activity: &BranchActivity,
        decide: impl Fn(&HeadFacts<'_>) -> Result<T, HeadQuestion>,
    ) -> T {
        let mut answers = HashMap::new();
        let mut read = BranchActivity::NotRead;
        loop {
            let decided = {
                let compared = |base, head| answers.get(&(base, head)).copied();
                decide(&HeadFacts {
                    compared: &compared,
                    deliveries,
                    activity: &read,
                    rules: Rules::default(),
                })
            };
            match decided {
                Ok(decision) => return decision,
                Err(HeadQuestion::Compare(base, head)) => {
                    let answer = self.compare(base, head);
                    assert_eq!(answers.insert((base, head), answer), None);
                }
                Err(HeadQuestion::Activity) => {
                    assert_eq!(read, BranchActivity::NotRead);
                    read = activity.clone();
                }
            }
        }
    }
}

fn commit(number: usize) -> GitSha {
    sha(char::from(b'a' + number as u8))
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn delivered(before: char, after: char, forced: bool, seconds: Option<i64>) -> DeliveredMove {
    DeliveredMove {
        before: sha(before),
        after: sha(after),
        forced,
        at: seconds.map(at),
    }
}

fn listed(before: char, after: char, seconds: i64) -> BranchMove {
    BranchMove {
        before: Some(sha(before)),
        after: Some(sha(after)),
        at: at(seconds),
    }
}

/// `a`, on it `b`, on that `c`; and on `a` also `d`.
fn history() -> History {
    History(vec![vec![], vec![0], vec![1], vec![0]])
}

#[test]
fn each_proof_of_the_order_of_heads_holds() {
    let unavailable = || BranchActivity::Unavailable;
    let moves = |moves: &[BranchMove]| BranchActivity::Listed(moves.to_vec());
    let forced = |before, after| delivered(before, after, true, None);
    let pushed = |before, after| delivered(before, after, false, None);
    let rows = [
        (
            "b",
            "",
            'c',
            vec![],
            unavailable(),
            HeadRelation::Newer,
            "it has the known one in its history",
        ),
        (
            "b",
            "",
            'b',
            vec![],
            unavailable(),
            HeadRelation::Newer,
            "it is the known one",
        ),
        (
            "",
            "",
            'b',
            vec![],
            unavailable(),
            HeadRelation::Newer,
            "nothing is known",
        ),
        (
            "c",
            "",
            'b',
            vec![],
            unavailable(),
            HeadRelation::Unprovable(sha('c')),
            "it may be a lagging read",
        ),
        (
            "bc",
            "",
            'b',
            vec![],
            unavailable(),
            HeadRelation::Unprovable(sha('c')),
            "it comes after one of two",
        ),
        (
            "d",
            "",
            'c',
            vec![],
            unavailable(),
            HeadRelation::Unprovable(sha('d')),
            "another history",
        ),
        (
            "c",
            "",
            'b',
            vec![forced('c', 'b')],
            unavailable(),
            HeadRelation::Newer,
            "a delivery reports the move",
        ),
        (
            "b",
            "",
            'd',
            vec![forced('c', 'd')],
            unavailable(),
            HeadRelation::Newer,
            "from a descendant",
        ),
        (
            "c",
            "",
            'b',
            vec![forced('c', 'a')],
            unavailable(),
            HeadRelation::Unprovable(sha('c')),
            "what was there before the move isn't made since",
        ),
        (
            "d",
            "",
            'c',
            vec![forced('d', 'b')],
            unavailable(),
            HeadRelation::Newer,
            "with a commit on top since",
        ),
        (
            "c",
            "",
            'b',
            vec![pushed('c', 'b')],
            unavailable(),
            HeadRelation::Unprovable(sha('c')),
            "not a forced one",
        ),
        (
            "c",
            "",
            'b',
            vec![forced('c', 'b'), pushed('b', 'c')],
            unavailable(),
            HeadRelation::Unprovable(sha('c')),
            "a later move leads back",
        ),
        (
            "c",
            "",
            'b',
            vec![pushed('b', 'c'), forced('c', 'b')],
            unavailable(),
            HeadRelation::Newer,
            "an earlier one doesn't",
        ),
        (
            "c",
            "",
            'b',
            vec![],
            moves(&[listed('c', 'b', 2)]),
            HeadRelation::Newer,
            "the activity lists the move",
        ),
        (
            "c",
            "",
            'b',
            vec![],
            moves(&[listed('d', 'b', 2)]),
            HeadRelation::Unproven(sha('c')),
            "another move",
        ),
        (
            "c",
            "",
            'b',
            vec![],
            moves(&[listed('b', 'c', 2)]),
            HeadRelation::Lagging,
            "another head is the newest",
        ),
        (
            "c",
            "",
            'b',
            vec![pushed('b', 'c')],
            moves(&[listed('c', 'b', 2)]),
            HeadRelation::Unproven(sha('c')),
            "a move back isn't listed yet",
        ),
        (
            "a",
            "c",
            'b',
            vec![],
            unavailable(),
            HeadRelation::Unprovable(sha('a')),
            "it is in the history that the branch was moved away from",
        ),
        (
            "a",
            "c",
            'd',
            vec![],
            unavailable(),
            HeadRelation::Newer,
            "it isn't",
        ),
        (
            "a",
            "c",
            'b',
            vec![forced('a', 'b')],
            unavailable(),
            HeadRelation::Newer,
            "it was moved there again",
        ),
        (
            "a",
            "c",
            'b',
            vec![],
            moves(&[listed('a', 'b', 3), listed('b', 'a', 2)]),
            HeadRelation::Newer,
            "it was there before, and again",
        ),
        (
            "a",
            "c",
            'b',
            vec![],
            moves(&[listed('a', 'b', 3)]),
            HeadRelation::Unproven(sha('a')),
            "it may be the time before",
        ),
    ];
    for (known, abandoned, head, deliveries, activity, expected, why) in rows {
        let shas = |letters: &str| letters.chars().map(sha).collect::<Vec<_>>();
        let (known, abandoned) = (shas(known), shas(abandoned));
        let relation = history().decide(&deliveries, &activity, |facts| {
            facts.relation(&known, &abandoned, sha(head))
        });
        assert_eq!(relation, expected, "{why}");
    }
}

#[test]
fn whether_a_merge_has_reached_the_branch_is_known_or_waited_for() {
    let rows = [
        ('b', None, false, Some(false), "the branch has no commit"),
        ('b', Some('c'), false, Some(true), "it is in the history"),
        (
            'c',
            Some('b'),
            false,
            Some(false),
            "it comes after the head: the read may lag",
        ),
        (
            'c',
            Some('b'),
            true,
            Some(true),
            "no replica lags so long: the branch was reset",
        ),
        (
            'z',
            Some('b'),
            false,
            Some(false),
            "the replica doesn't know it yet",
        ),
        ('d', Some('c'), false, None, "the branch was rewritten"),
    ];
    for (commit, head, is_lag_over, expected, why) in rows {
        let reached = history().decide(&[], &BranchActivity::Unavailable, |facts| {
            facts.reach(sha(commit), head.map(sha), || is_lag_over)
        });
        assert_eq!(reached, expected, "{why}");
    }
}

#[test]
fn announced_commits_are_reached_or_forced_away() {
    let forced = [delivered('c', 'd', true, None)];
    let rows: [(&str, char, &[DeliveredMove], bool); 5] = [
        ("", 'a', &[], true),
        ("ab", 'c', &[], true),
        ("ac", 'b', &[], false),
        ("c", 'd', &[], false),
        ("c", 'd', &forced, true),
    ];
    for (announced, head, deliveries, expected) in rows {
        let announced: Vec<GitSha> = announced.chars().map(sha).collect();
        let reached = history().decide(deliveries, &BranchActivity::Unavailable, |facts| {
            facts.has_reached_all(sha(head), &announced)
        });
        assert_eq!(reached, expected, "{announced:?} at {head}");
    }
    let known = ['a', 'c'].map(sha);
    let left = |head: Option<char>| {
        history().decide(&[], &BranchActivity::Unavailable, |facts| {
            facts.abandoned_by(&known, head.map(sha))
        })
    };
    assert_eq!(left(Some('d')), [sha('c')]);
    assert_eq!(left(Some('c')), []);
    assert_eq!(left(None), []);
}

#[test]
fn a_delivery_is_listed_by_its_commits_and_its_time() {
    let rows = [
        (delivered('a', 'b', false, Some(10)), false, "the same move"),
        (
            delivered('a', 'b', false, Some(15)),
            false,
            "a delivery's time differs a little",
        ),
        (
            delivered('a', 'b', false, Some(16)),
            true,
            "the same commits again",
        ),
        (
            delivered('a', 'b', false, None),
            false,
            "the same commits, without a time",
        ),
        (
            delivered('b', 'c', false, None),
            true,
            "another move, without a time",
        ),
        (delivered('b', 'c', false, Some(11)), true, "a later move"),
        (
            delivered('b', 'c', false, Some(10)),
            false,
            "from before the listed period",
        ),
    ];
    for (it, expected, why) in rows {
        let left = unlisted(&[it], &[listed('a', 'b', 10)]);
        assert_eq!(!left.is_empty(), expected, "{why}");
        assert_eq!(unlisted(&[it], &[]), [it]);
    }
}

#[test]
fn the_activity_proves_what_it_lists() {
    let moves = [
        listed('c', 'b', 3),
        listed('b', 'c', 2),
        listed('a', 'b', 1),
    ];
    let rows = [
        ('c', 'b', false, true),
        ('a', 'b', false, true),
        ('d', 'b', false, false),
        ('b', 'c', false, false),
        ('c', 'b', true, true),
        ('a', 'b', true, false),
    ];
    for (base, head, again, expected) in rows {
        let proven = activity_proves(&moves, sha(base), sha(head), again);
        assert_eq!(proven, expected, "{base} before {head}, again: {again}");
    }
    assert!(!activity_proves(&[], sha('a'), sha('b'), false));
}

fn any_history() -> impl Strategy<Value = History> {
    let commits = prop::collection::vec(
        prop::collection::vec(any::<prop::sample::Index>(), 1..3),
        1..7,
    );
    commits.prop_map(|commits| {
        let parents = commits.iter().enumerate();
        let parents = parents.map(|(at, it)| it.iter().map(|it| it.index(at + 1)).collect());
        History(std::iter::once(vec![]).chain(parents).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    /// Without deliveries and activity only the history proves anything.
    #[test]
    fn without_moves_a_head_is_newer_if_it_has_all_known_ones(
        history in any_history(),
        known in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        head in any::<prop::sample::Index>(),
    ) {
        let count = history.0.len();
        let head = head.index(count);
        let known: Vec<usize> = known.iter().map(|it| it.index(count)).collect();
        let shas: Vec<GitSha> = known.iter().map(|it| commit(*it)).collect();
        let relation = history.decide(&[], &BranchActivity::Unavailable, |facts| facts.relation(&shas, &[], commit(head)));
        let missing = known.iter().find(|it| !history.has(head, **it));
        let expected = missing.map_or(HeadRelation::Newer, |it| HeadRelation::Unprovable(commit(*it)));
        prop_assert_eq!(relation, expected);
    }

    /// With the branch's complete activity, its newest position is newer than all before; another one only if its
    /// history shows it.
    #[test]
    fn the_newest_listed_position_is_newer_than_all_before(
        history in any_history(),
        positions in prop::collection::vec(any::<prop::sample::Index>(), 2..6),
        known in any::<prop::sample::Index>(),
        head in any::<prop::sample::Index>(),
    ) {
        let positions: Vec<usize> = positions.iter().map(|it| it.index(history.0.len())).collect();
        let (known, head) = (positions[known.index(positions.len())], positions[head.index(positions.len())]);
        let moves = positions.windows(2).enumerate().rev().map(|(at_second, pair)| BranchMove {
            before: Some(commit(pair[0])),
            after: Some(commit(pair[1])),
            at: at(at_second as i64),
        });
        let activity = BranchActivity::Listed(moves.collect());
        let relation = history.decide(&[], &activity, |facts| facts.relation(&[commit(known)], &[], commit(head)));
        let is_newer = history.has(head, known) || positions.last() == Some(&head);
        prop_assert_eq!(relation, if is_newer { HeadRelation::Newer } else { HeadRelation::Lagging });
    }
}
