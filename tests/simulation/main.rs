//! The protocol under every order of things: a deterministic simulation of several instances over one
//! store (COHERENCE.md, "Shown by"). What happens in a run follows from its seed alone.
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
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use codex_miroir::cache::Mutation;
use run::{Plan, Tally, run};

/// A number from the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

/// Steps of a run, before everything heals.
const STEPS: u32 = 700;

/// Runs of a search.
const SEEDS: u64 = 20_000;

/// Runs seeds from `first` on, on all cores, until one breaks a promise or there are `count`. What happened in all
/// of them, and the lowest seed that did, with what it broke.
pub(crate) fn search_with<T: Default + std::ops::AddAssign + Send>(
    first: u64,
    count: u64,
    run: impl Fn(u64) -> (T, Option<String>) + Sync,
) -> (T, Option<(u64, String)>) {
    let next = AtomicU64::new(first);
    let tally = Mutex::new(T::default());
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            let found = failed.lock().unwrap().as_ref().map(|(seed, _)| *seed);
            if seed >= first + count || found.is_some_and(|found| found < seed) {
                return;
            }
            let (happened, violation) = run(seed);
            *tally.lock().unwrap() += happened;
            if let Some(violation) = violation {
                let mut failed = failed.lock().unwrap();
                if failed.as_ref().is_none_or(|(before, _)| seed < *before) {
                    *failed = Some((seed, violation));
                }
                return;
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    (tally.into_inner().unwrap(), failed.into_inner().unwrap())
}

fn search(first: u64, count: u64, mutation: Option<Mutation>) -> (Tally, Option<(u64, String)>) {
    search_with(first, count, |seed| {
        let report = run(Plan {
            seed,
            steps: STEPS,
            mutation,
            traced: false,
        });
        (report.tally, report.violation)
    })
}

/// The same run once more, with all that happened.
fn explain(seed: u64, mutation: Option<Mutation>) -> String {
    let report = run(Plan {
        seed,
        steps: STEPS,
        mutation,
        traced: true,
    });
    format!(
        "{}\nseed {seed}: {}",
        report.log.join("\n"),
        report.violation.as_deref().unwrap_or("no violation")
    )
}

/// Prints one run and fails if it breaks a promise.
fn show(seed: u64, mutation: Option<Mutation>) {
    let said = explain(seed, mutation);
    println!("{said}");
    assert!(said.ends_with("no violation"), "a promise is broken");
}

#[test]
fn no_promise_is_broken_in_any_order_of_things() {
    if let Some(seed) = setting("SIMULATION_SEED") {
        return show(seed, chosen_mutation());
    }
    let (first, count) = (
        setting("SIMULATION_FIRST").unwrap_or(0),
        setting("SIMULATION_SEEDS").unwrap_or(SEEDS),
    );
    let began = Instant::now();
    let (tally, failed) = search(first, count, None);
    println!(
        "{count} seeds from {first} in {:.0?}: {tally:?}",
        began.elapsed()
    );
    if let Some((seed, _)) = failed {
        panic!("{}", explain(seed, None));
    }
    if count >= SEEDS {
        let Tally {
            steps,
            reads,
            writes,
            failures,
            crashes,
            lost,
            stale,
            tidied,
            freed,
        } = tally;
        assert!(steps >= 10_000_000, "only {steps} steps");
        for happened in [reads, writes, failures, crashes, lost, stale, tidied] {
            assert!(happened > 1_000, "too little happens: {tally:?}");
        }
        assert!(freed > 100, "too little happens: {tally:?}");
    }
}

#[test]
fn every_broken_rule_is_found() {
    if setting("SIMULATION_SEED").is_some() {
        return;
    }
    let count = setting("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let mut unfound = vec![];
    for mutation in Mutation::ALL {
        let began = Instant::now();
        let (tally, failed) = search(0, count, Some(mutation));
        match failed {
            Some((seed, violation)) => println!(
                "{mutation:?}: found after {} seeds, {} steps, {:.1?}: {violation}",
                seed + 1,
                tally.steps,
                began.elapsed()
            ),
            None => unfound.push(mutation),
        }
    }
    assert!(
        unfound.is_empty(),
        "not found in {count} seeds: {unfound:?}"
    );
}

/// The rule that `SIMULATION_MUTATION` names is broken in the run that is shown.
fn chosen_mutation() -> Option<Mutation> {
    let name = std::env::var("SIMULATION_MUTATION").ok()?;
    let named = Mutation::ALL
        .into_iter()
        .find(|it| format!("{it:?}") == name);
    Some(named.unwrap_or_else(|| panic!("SIMULATION_MUTATION is one of {:?}", Mutation::ALL)))
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..20 {
        let (one, two) = (explain(seed, None), explain(seed, None));
        let differ = one.lines().zip(two.lines()).find(|(one, two)| one != two);
        assert_eq!(differ, None, "seed {seed}");
    }
}
