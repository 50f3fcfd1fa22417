//! The other decisions of the synchronisation: the guard against mass deletion, the next step of a push and of a queued
//! user's synchronisation, folders in another letter case, branches of proposals.

use std::collections::{BTreeMap, BTreeSet};

use codex_miroir::git_sync::UserReport;
use codex_miroir::git_sync::case_conflicts::{CaseConflict, case_conflicts};
use codex_miroir::git_sync::next_step::{
    BranchUse, DrainChoice, PullsOutcome, PushChoice, PushSituation, branch_names, foreign_content,
};
use codex_miroir::git_sync::plan::{GuardInput, GuardVerdict};
use codex_miroir::github::{SideState, UserTree};
use codex_miroir::rules::Rules;
use codex_miroir::task::{FileName, GitSha, git_sha};
use codex_miroir::user::UserId;
use proptest::prelude::*;

use super::sha;
use crate::support::cases;

fn name(number: usize) -> FileName {
    format!("{number:04}.md").parse().unwrap()
}

fn content(number: usize) -> GitSha {
    git_sha(number.to_string().as_bytes())
}

fn names(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<FileName> {
    numbers.into_iter().map(name).collect()
}

/// A sync after which `gone` of the files below `before` are removed, `renamed` of which have a new name in Git.
#[derive(Debug, Clone, Default)]
struct Removals {
    before: usize,
    gone: usize,
    renamed: usize,
    removed: usize,
    held: BTreeSet<usize>,
    held_and_gone: BTreeSet<usize>,
    confirmed: BTreeSet<usize>,
    count: Option<usize>,
}

fn judge(it: &Removals) -> GuardVerdict {
    let left = (it.gone..it.before).map(|number| (name(number), content(number)));
    let renamed = (0..it.renamed).map(|number| (name(1_000 + number), content(number)));
    let files = left
        .chain(renamed)
        .map(|(name, sha)| (name, SideState::Content(sha)));
    let tree = UserTree {
        files: files.collect(),
        ..UserTree::default()
    };
    let texts =
        |numbers: &BTreeSet<usize>| numbers.iter().map(|it| name(*it).to_string()).collect();
    let before: BTreeMap<String, GitSha> = (0..it.before)
        .map(|it| (name(it).to_string(), content(it)))
        .collect();
    GuardInput {
        removals: (0..it.gone)
            .map(|it| (name(it), Some(content(it))))
            .collect(),
        tree: &tree,
        before: &before,
        removed: &names(2_000..2_000 + it.removed),
        held: &texts(&it.held),
        held_and_gone: &texts(&it.held_and_gone),
        confirmed: &names(it.confirmed.iter().copied()),
        confirmed_count: it.count,
        rules: Rules::default(),
    }
    .judge()
}

#[test]
fn the_guard_holds_many_removals_until_they_are_confirmed() {
    let none = Removals::default();
    let rows = [
        (
            Removals {
                before: 10,
                gone: 5,
                ..none.clone()
            },
            0,
            0,
            "five",
        ),
        (
            Removals {
                before: 10,
                gone: 6,
                ..none.clone()
            },
            6,
            6,
            "more than five, and than half",
        ),
        (
            Removals {
                before: 12,
                gone: 6,
                ..none.clone()
            },
            0,
            0,
            "half",
        ),
        (
            Removals {
                before: 11,
                gone: 6,
                renamed: 1,
                ..none.clone()
            },
            0,
            0,
            "one has a new name",
        ),
        (
            Removals {
                before: 10,
                gone: 4,
                removed: 2,
                ..none.clone()
            },
            4,
            4,
            "with those of this sync before",
        ),
        (
            Removals {
                before: 10,
                gone: 2,
                held: [1, 8].into(),
                ..none.clone()
            },
            1,
            1,
            "a held one, which isn't released by fewer",
        ),
        (
            Removals {
                before: 10,
                gone: 2,
                held: [1].into(),
                held_and_gone: [1].into(),
                ..none.clone()
            },
            1,
            1,
            "one that was gone here",
        ),
        (
            Removals {
                before: 10,
                gone: 0,
                held: [11].into(),
                ..none.clone()
            },
            0,
            1,
            "one that isn't removed now is still held",
        ),
        (
            Removals {
                before: 10,
                gone: 0,
                held: [11].into(),
                held_and_gone: [11].into(),
                ..none.clone()
            },
            0,
            0,
            "unless it is gone here",
        ),
        (
            Removals {
                before: 10,
                gone: 6,
                count: Some(6),
                ..none.clone()
            },
            0,
            0,
            "confirmed",
        ),
        (
            Removals {
                before: 10,
                gone: 6,
                count: Some(5),
                ..none.clone()
            },
            6,
            6,
            "another number is confirmed",
        ),
        (
            Removals {
                before: 10,
                gone: 7,
                confirmed: (0..6).collect(),
                count: Some(6),
                ..none.clone()
            },
            1,
            1,
            "one more than was confirmed",
        ),
    ];
    for (removals, unconfirmed, held, why) in rows {
        let verdict = judge(&removals);
        assert_eq!(
            (verdict.unconfirmed.len(), verdict.held.len()),
            (unconfirmed, held),
            "{why}"
        );
    }
}

#[test]
fn each_step_of_a_push_follows_from_what_it_finds() {
    let found = PushSituation {
        waiting: 1,
        unresolved: false,
        renamed: false,
        reconciled: false,
        proposes: false,
    };
    let rows = [
        (
            PushSituation {
                waiting: 0,
                ..found
            },
            PushChoice::Done,
        ),
        (
            PushSituation {
                waiting: 0,
                unresolved: true,
                renamed: true,
                ..found
            },
            PushChoice::Done,
        ),
        (found, PushChoice::CommitEach),
        (
            PushSituation {
                waiting: 10,
                ..found
            },
            PushChoice::CommitEach,
        ),
        (
            PushSituation {
                waiting: 11,
                ..found
            },
            PushChoice::CommitTogether,
        ),
        (
            PushSituation {
                waiting: 11,
                proposes: true,
                ..found
            },
            PushChoice::Propose,
        ),
        (
            PushSituation {
                unresolved: true,
                ..found
            },
            PushChoice::Reconcile,
        ),
        (
            PushSituation {
                renamed: true,
                proposes: true,
                ..found
            },
            PushChoice::Reconcile,
        ),
        (
            PushSituation {
                unresolved: true,
                reconciled: true,
                ..found
            },
            PushChoice::CommitEach,
        ),
        (
            PushSituation {
                renamed: true,
                reconciled: true,
                waiting: 11,
                ..found
            },
            PushChoice::CommitTogether,
        ),
    ];
    for (situation, choice) in rows {
        assert_eq!(situation.choose(), choice, "{situation:?}");
    }
}

#[test]
fn a_queued_user_is_done_when_each_part_left_nothing() {
    let clean = UserReport {
        clean: true,
        ..UserReport::default()
    };
    let rows = [
        (clean.clone(), DrainChoice::GoOn),
        (
            UserReport {
                closed: true,
                ..clean.clone()
            },
            DrainChoice::GoOn,
        ),
        (UserReport::default(), DrainChoice::Again),
        (
            UserReport {
                unpushed: 1,
                ..clean.clone()
            },
            DrainChoice::Again,
        ),
        (
            UserReport {
                changed: 1,
                ..clean.clone()
            },
            DrainChoice::Again,
        ),
        (
            UserReport {
                deleted: 1,
                ..clean.clone()
            },
            DrainChoice::Again,
        ),
        (
            UserReport {
                merged: 1,
                ..clean.clone()
            },
            DrainChoice::Again,
        ),
        (
            UserReport {
                unfinished: true,
                ..clean.clone()
            },
            DrainChoice::Leave,
        ),
        (
            UserReport {
                unfinished: true,
                changed: 1,
                ..clean
            },
            DrainChoice::Leave,
        ),
    ];
    for (report, choice) in rows {
        assert_eq!(DrainChoice::after_pass(&report), choice, "{report:?}");
    }
    assert_eq!(
        DrainChoice::after_pulls(PullsOutcome::Known),
        DrainChoice::GoOn
    );
    assert_eq!(
        DrainChoice::after_pulls(PullsOutcome::Ended),
        DrainChoice::Again
    );
    assert_eq!(
        DrainChoice::after_pulls(PullsOutcome::MergedSince),
        DrainChoice::Leave
    );
    for (recorded, arrived) in [(false, false), (false, true), (true, true)] {
        assert_eq!(
            DrainChoice::after_recording(recorded, arrived),
            DrainChoice::Again
        );
    }
    assert_eq!(DrainChoice::after_recording(true, false), DrainChoice::GoOn);
}

#[test]
fn a_login_has_one_folder() {
    let ids = |names: &str| {
        names
            .split_whitespace()
            .map(|it| UserId::parse(it).unwrap())
            .collect::<BTreeSet<_>>()
    };
    let rows = [
        ("anna", "", ""),
        ("anna", "anna", ""),
        ("Anna", "anna", "Anna:anna"),
        ("Anna anna", "anna", "Anna:anna"),
        ("ANNA Anna", "", "Anna:ANNA"),
        ("Anna bob", "anna ANNA ben", "Anna:ANNA,anna"),
    ];
    for (users, folders, expected) in rows {
        let found = case_conflicts(ids(users), ids(folders));
        let shown = found.iter().map(|CaseConflict { user, here }| {
            let here: Vec<String> = here.iter().map(UserId::to_string).collect();
            format!("{user}:{}", here.join(","))
        });
        assert_eq!(
            shown.collect::<Vec<_>>().join(" "),
            expected,
            "{users} in {folders}"
        );
    }
}

#[test]
fn a_branch_is_used_if_it_is_free_or_recorded_for_the_file() {
    let (a, b) = (sha('a'), sha('b'));
    let short = [a, b].map(|it| format!("codex/0042-{:.7}", it.to_string()));
    let all = [
        "codex/0042",
        "codex/0042-2",
        "codex/0042-3",
        &short[0],
        &short[1],
    ];
    assert_eq!(branch_names("codex/0042", None, a, b), all);
    let resumed = branch_names("codex/0042", Some("codex/0042-2"), a, b);
    assert_eq!(
        resumed,
        [
            "codex/0042-2",
            "codex/0042",
            "codex/0042-3",
            &short[0],
            &short[1]
        ]
    );
    assert_eq!(branch_names("codex/0042", Some("other"), a, b)[0], "other");
    for (exists, is_recorded, expected) in [
        (true, true, BranchUse::Resume),
        (false, true, BranchUse::Resume),
        (true, false, BranchUse::Skip),
        (false, false, BranchUse::RecordAndCreate),
    ] {
        assert_eq!(BranchUse::of(exists, is_recorded), expected);
    }
    assert_eq!(foreign_content(None, [a]), None);
    assert_eq!(foreign_content(Some(a), [b, a]), None);
    assert_eq!(foreign_content(Some(a), [b]), Some(a));
    assert_eq!(foreign_content(Some(a), []), Some(a));
}

prop_compose! {
    fn any_removals()(
        before in 0..24_usize,
        part in 0..=24_usize,
        renamed in 0..4_usize,
        removed in 0..8_usize,
        held in prop::collection::btree_set(0..30_usize, 0..6),
        held_and_gone in prop::collection::btree_set(0..30_usize, 0..3),
        count in prop::option::of(0..24_usize),
    ) -> Removals {
        let gone = part.min(before);
        Removals { before, gone, renamed: renamed.min(gone), removed, held, held_and_gone, confirmed: BTreeSet::new(), count }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn what_is_not_confirmed_is_held_and_can_be_confirmed_by_its_number(removals in any_removals()) {
        let verdict = judge(&removals);
        prop_assert!(verdict.unconfirmed.is_subset(&verdict.held));
        prop_assert!(verdict.confirmed.is_disjoint(&verdict.held));
        prop_assert!(verdict.unconfirmed.is_subset(&names(0..removals.gone)));
        let all_gone = removals.gone - removals.renamed;
        let all = all_gone + removals.removed;
        let unasked = judge(&Removals { count: None, ..removals.clone() }).unconfirmed;
        match all <= 5 || all * 2 <= removals.before {
            true => prop_assert!(unasked.is_subset(&names(removals.held.iter().copied()))),
            false => prop_assert_eq!(unasked.len(), all_gone),
        }
        let count = Some(unasked.len());
        let confirmed = judge(&Removals { count, ..removals });
        prop_assert!(confirmed.unconfirmed.is_empty());
    }

    #[test]
    fn a_hint_goes_only_after_a_pass_that_left_nothing(
        clean in prop::bool::weighted(0.8),
        unfinished in prop::bool::weighted(0.2),
        closed in any::<bool>(),
        left in prop::array::uniform4(prop::sample::select(vec![0_usize, 0, 0, 1])),
    ) {
        let [unpushed, changed, deleted, merged] = left;
        let report = UserReport { clean, unfinished, closed, unpushed, changed, deleted, merged, ..UserReport::default() };
        let is_done = DrainChoice::after_pass(&report) == DrainChoice::GoOn;
        prop_assert_eq!(is_done, clean && !unfinished && left == [0; 4]);
    }

    #[test]
    fn a_push_reconciles_at_most_once_for_the_same_reason(
        waiting in 0..30_usize,
        unresolved: bool,
        renamed: bool,
        reconciled: bool,
        proposes: bool,
    ) {
        let situation = PushSituation { waiting, unresolved, renamed, reconciled, proposes };
        let choice = situation.choose();
        prop_assert_eq!(choice == PushChoice::Done, waiting == 0);
        prop_assert!(choice != PushChoice::Reconcile || !reconciled && (unresolved || renamed));
        let after = PushSituation { reconciled: true, ..situation }.choose();
        prop_assert_eq!(after == PushChoice::Propose, proposes && waiting > 0);
        prop_assert_ne!(after, PushChoice::Reconcile);
    }

    #[test]
    fn every_user_has_a_folder_here_or_is_the_first_of_the_login(
        users in prop::collection::btree_set("[aA][bB]?", 0..5),
        folders in prop::collection::btree_set("[aA][bB]?", 0..4),
    ) {
        let ids = |names: &BTreeSet<String>| names.iter().map(|it| UserId::parse(it).unwrap()).collect::<BTreeSet<_>>();
        let (users, folders) = (ids(&users), ids(&folders));
        let found = case_conflicts(users.clone(), folders.clone());
        for user in users {
            let conflict = found.iter().find(|it| it.user == user);
            match conflict {
                Some(CaseConflict { here, .. }) => {
                    prop_assert!(!here.contains(&user) && !here.is_empty());
                    prop_assert!(here.iter().all(|it| it.folded() == user.folded()));
                }
                None => {
                    let others = folders.iter().filter(|it| it.folded() == user.folded());
                    prop_assert!(folders.contains(&user) || others.count() == 0);
                }
            }
        }
    }

    #[test]
    fn the_names_of_a_proposals_branches_differ_and_the_recorded_one_is_first(recorded in prop::option::of("p/1(-[23])?|q")) {
        let found = branch_names("p/1", recorded.as_deref(), sha('a'), sha('b'));
        prop_assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
        prop_assert_eq!(&found[0], recorded.as_deref().unwrap_or("p/1"));
        prop_assert!(found.iter().any(|it| it == "p/1"));
    }
}
