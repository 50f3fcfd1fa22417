//! Looking through many seeds for one that breaks a promise, as both simulations do.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What a run is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<M> {
    pub(crate) seed: u64,
    /// Before everything heals.
    pub(crate) steps: u32,
    /// The rule that is broken.
    pub(crate) mutation: Option<M>,
    /// Whether what happens is written down.
    pub(crate) traced: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Report<T> {
    /// The promise that was broken, and how.
    pub(crate) violation: Option<String>,
    pub(crate) log: Vec<String>,
    /// What happened, so that one can see that things do.
    pub(crate) tally: T,
}

/// A simulation.
pub(crate) struct Search<M: 'static, T> {
    /// Of a run, before everything heals.
    pub(crate) steps: u32,
    /// Runs of a search.
    pub(crate) seeds: u64,
    /// The rules that can be broken, each of which must be found.
    pub(crate) rules: &'static [M],
    pub(crate) run: fn(Plan<M>) -> Report<T>,
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

impl<M, T> Search<M, T>
where
    M: Copy + Debug + Sync,
    T: Default + Debug + std::ops::AddAssign + Send,
{
    /// Plays the seeds that the environment asks for, which must break no promise, and has `enough` look at what
    /// happened in all of them.
    pub(crate) fn finds_nothing(&self, enough: impl FnOnce(T)) {
        if let Some(seed) = setting("SIMULATION_SEED") {
            let said = self.explain(seed, self.chosen_rule());
            println!("{said}");
            assert!(said.ends_with("no violation"), "a promise is broken");
            return;
        }
        let first = setting("SIMULATION_FIRST").unwrap_or(0);
        let count = setting("SIMULATION_SEEDS").unwrap_or(self.seeds);
        let began = Instant::now();
        let (tally, failed) = self.search(first, count, None);
        let took = began.elapsed();
        println!("{count} seeds from {first} in {took:.0?}: {tally:?}");
        if let Some((seed, _)) = failed {
            panic!("{}", self.explain(seed, None));
        }
        if count >= self.seeds {
            enough(tally);
        }
    }

    /// Breaks each rule, which must break a promise.
    pub(crate) fn finds_every_broken_rule(&self) {
        if setting("SIMULATION_SEED").is_some() {
            return;
        }
        let count = setting("SIMULATION_SEEDS").unwrap_or(self.seeds);
        let mut unfound = vec![];
        for rule in self.rules {
            let began = Instant::now();
            let (_, failed) = self.search(0, count, Some(*rule));
            let took = began.elapsed();
            match failed {
                Some((seed, violation)) => {
                    let seeds = seed + 1;
                    println!("{rule:?}: found after {seeds} seeds, {took:.1?}: {violation}");
                }
                None => unfound.push(rule),
            }
        }
        assert!(
            unfound.is_empty(),
            "not found in {count} seeds: {unfound:?}"
        );
    }

    /// A seed always gives the same run.
    pub(crate) fn repeats(&self) {
        for seed in 0..20 {
            let (one, two) = (self.explain(seed, None), self.explain(seed, None));
            let differ = one.lines().zip(two.lines()).find(|(one, two)| one != two);
            assert_eq!(differ, None, "seed {seed}");
        }
    }

    /// Runs seeds from `first` on, on all cores, until one breaks a promise or there are `count`. What happened in
    /// all of them, and the lowest seed that did, with what it broke.
    fn search(&self, first: u64, count: u64, mutation: Option<M>) -> (T, Option<(u64, String)>) {
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
                let report = self.play(seed, mutation, false);
                *tally.lock().unwrap() += report.tally;
                if let Some(violation) = report.violation {
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

    fn play(&self, seed: u64, mutation: Option<M>, traced: bool) -> Report<T> {
        (self.run)(Plan {
            seed,
            steps: self.steps,
            mutation,
            traced,
        })
    }

    /// A run with all that happened.
    fn explain(&self, seed: u64, mutation: Option<M>) -> String {
        let report = self.play(seed, mutation, true);
        format!(
            "{}\nseed {seed}: {}",
            report.log.join("\n"),
            report.violation.as_deref().unwrap_or("no violation")
        )
    }

    /// The one that `SIMULATION_MUTATION` names.
    fn chosen_rule(&self) -> Option<M> {
        let name = std::env::var("SIMULATION_MUTATION").ok()?;
        let named = self.rules.iter().find(|it| format!("{it:?}") == name);
        let named = named.unwrap_or_else(|| panic!("{name} isn't one of {:?}", self.rules));
        Some(*named)
    }
}
