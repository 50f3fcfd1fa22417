//! The Git engine under random schedules: instances between one store and a repository in memory with lagging
//! replicas, editors in the folder, people with clones, reviewers, and webhook deliveries that are lost, late or
//! duplicated.

mod checker;
pub(crate) mod repository;
mod run;

use codex_miroir::git_sync::GitMutation;

use crate::search::Search;
use run::{Tally, run};

const ENGINE: Search<GitMutation, Tally> = Search {
    steps: 300,
    seeds: 10_000,
    short_seeds: 100,
    #[cfg(feature = "mutations")]
    mutations: || GitMutation::ALL.to_vec(),
    run,
};

#[test]
fn nothing_acknowledged_vanishes_between_the_store_and_git() {
    ENGINE.assert_no_violation(|tally| {
        let Tally {
            steps,
            writes,
            deletions,
            commits,
            pushes,
            forced,
            deliveries,
            crashes,
            lost,
            behind,
            merged,
            held,
            requests,
        } = tally;
        assert!(steps >= 1_000_000, "only {steps} steps");
        for happened in [
            writes, deletions, commits, pushes, forced, deliveries, crashes, lost, behind, merged,
            held,
        ] {
            assert!(happened > 300, "too little happens: {tally:?}");
        }
        assert!(requests > 10_000, "too few requests are checked: {tally:?}");
    });
}

#[cfg(feature = "mutations")]
#[test]
fn every_broken_rule_of_the_git_engine_is_found() {
    ENGINE.assert_mutations_are_found();
}

#[test]
fn a_seed_of_the_git_engine_always_gives_the_same_run() {
    ENGINE.assert_deterministic();
}
