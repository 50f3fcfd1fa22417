//! The Git engine under every order of things: instances between one store and a repository in memory, whose
//! replicas lag, with editors in the folder, people with clones, reviewers, and deliveries that are lost, late or
//! doubled.

mod checker;
pub(crate) mod repository;
mod run;

use std::time::Instant;

use codex_miroir::codex::GitMutation;

use crate::{search_with, setting};
use run::{Plan, Tally, run};

/// Steps of a run, before everything heals.
const STEPS: u32 = 350;

/// Runs of a search.
const SEEDS: u64 = 10_000;

fn plan(seed: u64, mutation: Option<GitMutation>, traced: bool) -> Plan {
    Plan {
        seed,
        steps: STEPS,
        mutation,
        traced,
    }
}

/// The same run once more, with all that happened.
fn explain(seed: u64, mutation: Option<GitMutation>) -> String {
    let report = run(plan(seed, mutation, true));
    format!(
        "{}\nseed {seed}: {}",
        report.log.join("\n"),
        report.violation.as_deref().unwrap_or("no violation")
    )
}

#[test]
fn nothing_acknowledged_vanishes_between_the_store_and_git() {
    if let Some(seed) = setting("SIMULATION_SEED") {
        let said = explain(seed, chosen_mutation());
        println!("{said}");
        assert!(said.ends_with("no violation"), "a promise is broken");
        return;
    }
    let (first, count) = (
        setting("SIMULATION_FIRST").unwrap_or(0),
        setting("SIMULATION_SEEDS").unwrap_or(SEEDS),
    );
    let began = Instant::now();
    let (tally, failed) = search_with(first, count, |seed| {
        let report = run(plan(seed, None, false));
        (report.tally, report.violation)
    });
    println!(
        "Git: {count} seeds from {first} in {:.0?}: {tally:?}",
        began.elapsed()
    );
    if let Some((seed, _)) = failed {
        panic!("{}", explain(seed, None));
    }
    if count >= SEEDS {
        let Tally {
            steps,
            writes,
            commits,
            pushes,
            forced,
            deliveries,
            crashes,
            lost,
            behind,
            merged,
            held,
        } = tally;
        assert!(steps >= 1_000_000, "only {steps} steps");
        for happened in [
            writes, commits, pushes, forced, deliveries, crashes, lost, behind, merged, held,
        ] {
            assert!(happened > 300, "too little happens: {tally:?}");
        }
    }
}

#[test]
fn every_broken_rule_of_the_git_engine_is_found() {
    if setting("SIMULATION_SEED").is_some() {
        return;
    }
    let count = setting("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let mut unfound = vec![];
    for mutation in GitMutation::ALL {
        let began = Instant::now();
        let (tally, failed) = search_with(0, count, |seed| {
            let report = run(plan(seed, Some(mutation), false));
            (report.tally, report.violation)
        });
        match failed {
            Some((seed, violation)) => println!(
                "{mutation:?}: found after {} seeds, {} steps, {:.1?}: {violation}",
                seed + 1,
                tally.steps,
                began.elapsed(),
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
fn chosen_mutation() -> Option<GitMutation> {
    let name = std::env::var("SIMULATION_MUTATION").ok()?;
    GitMutation::ALL
        .into_iter()
        .find(|it| format!("{it:?}") == name)
}

#[test]
fn a_seed_of_the_git_engine_always_gives_the_same_run() {
    for seed in 0..20 {
        let (one, two) = (explain(seed, None), explain(seed, None));
        let differ = one.lines().zip(two.lines()).find(|(one, two)| one != two);
        assert_eq!(differ, None, "seed {seed}");
    }
}
