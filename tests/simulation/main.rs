//! The cache protocol under random schedules: a deterministic simulation of several instances on one store
//! (tests/README.md, "The simulation of the cache"). The seed alone determines a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod checker;
mod git;
mod run;
mod search;
mod world;

use codex_miroir::user_state::Mutation;
use run::{Tally, run};
use search::Search;

const PROTOCOL: Search<Mutation, Tally> = Search {
    steps: 700,
    seeds: 20_000,
    short_seeds: 300,
    #[cfg(feature = "mutations")]
    mutations: Mutation::ALL,
    run,
};

#[test]
fn no_promise_is_broken_in_any_order_of_things() {
    PROTOCOL.assert_no_violation(|tally| {
        let Tally {
            steps,
            reads,
            writes,
            deletions,
            failures,
            crashes,
            lost,
            stale,
            janitor_passes,
            removed_tombstones,
        } = tally;
        assert!(steps >= 10_000_000, "only {steps} steps");
        for happened in [
            reads,
            writes,
            deletions,
            failures,
            crashes,
            lost,
            stale,
            janitor_passes,
        ] {
            assert!(happened > 1_000, "too little happens: {tally:?}");
        }
        assert!(removed_tombstones > 100, "too little happens: {tally:?}");
    });
}

#[cfg(feature = "mutations")]
#[test]
fn every_broken_rule_is_found() {
    PROTOCOL.assert_mutations_are_found();
}

#[test]
fn a_seed_always_gives_the_same_run() {
    PROTOCOL.assert_deterministic();
}
