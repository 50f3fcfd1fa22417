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
mod shared;
#[path = "../support/shared_model.rs"]
mod shared_model;
mod world;

use codex_miroir::user_state::Mutation;
use mimalloc::MiMalloc;
use run::{Tally, run, run_with_shared_cache};
use search::Search;

/// As in the service; it saves a tenth of the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PROTOCOL: Search<Mutation, Tally> = Search {
    steps: 700,
    seeds: 20_000,
    short_seeds: 300,
    #[cfg(feature = "mutations")]
    mutations: || broken_rules(false),
    run,
};

const WITH_SHARED_CACHE: Search<Mutation, Tally> = Search {
    #[cfg(feature = "mutations")]
    mutations: || broken_rules(true),
    run: run_with_shared_cache,
    ..PROTOCOL
};

/// The rules of the shared cache, or the others.
#[cfg(feature = "mutations")]
fn broken_rules(of_shared_cache: bool) -> Vec<Mutation> {
    let is_of_shared_cache = |rule: &&Mutation| {
        matches!(
            rule,
            Mutation::SharedStampedLate
                | Mutation::SharedInexact
                | Mutation::SharedIgnoresSeen
                | Mutation::SharedByWritersBound
                | Mutation::SharedWithoutSkew
                | Mutation::SharedAgeFromReceipt
                | Mutation::SharedDespiteChange
        )
    };
    let all = Mutation::ALL.iter();
    let chosen = all.filter(|rule| is_of_shared_cache(rule) == of_shared_cache);
    chosen.copied().collect()
}

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
            ..
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

#[test]
fn no_promise_is_broken_with_a_shared_cache() {
    WITH_SHARED_CACHE.assert_no_violation(|tally| {
        for happened in [tally.reads, tally.shared, tally.hints, tally.shared_faults] {
            assert!(happened > 10_000, "too little happens: {tally:?}");
        }
    });
}

#[cfg(feature = "mutations")]
#[test]
fn every_broken_rule_of_the_shared_cache_is_found() {
    WITH_SHARED_CACHE.assert_mutations_are_found();
}

#[test]
fn a_seed_with_a_shared_cache_always_gives_the_same_run() {
    WITH_SHARED_CACHE.assert_deterministic();
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
