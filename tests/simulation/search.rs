//! The search through seeds for one that violates a guarantee, for both simulations.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The parameters of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<M> {
    pub(crate) seed: u64,
    /// Steps with faults, before the final recovery phase.
    pub(crate) steps: u32,
    /// The deliberate defect that is switched on.
    pub(crate) mutation: Option<M>,
    /// Whether to record a trace.
    pub(crate) traced: bool,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct RunReport<T> {
    /// The guarantee that was violated, and how.
    pub(crate) violation: Option<String>,
    pub(crate) log: Vec<String>,
    /// Counts of events, to assert coverage.
    pub(crate) tally: T,
}

/// A simulation.
pub(crate) struct Search<M: 'static, T> {
    /// Steps of a run with faults, before the final recovery phase.
    pub(crate) steps: u32,
    /// The default number of seeds of a whole search.
    pub(crate) seeds: u64,
    /// The default number of seeds without the feature `mutations`: of a short search, in an unoptimised build.
    pub(crate) short_seeds: u64,
    /// The deliberate defects, each of which must be found.
    #[cfg(feature = "mutations")]
    pub(crate) mutations: fn() -> Vec<M>,
    pub(crate) run: fn(Plan<M>) -> RunReport<T>,
}

/// The command that runs the simulations as this build does.
const REPLAY: &str = match cfg!(feature = "mutations") {
    true => "tests/run simulation",
    false => "cargo test --test simulation -- --nocapture",
};

/// A numeric environment variable.
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
    /// Runs the seeds that the environment selects, asserts that none violates a guarantee, and passes the summed
    /// tally to `check_coverage`.
    pub(crate) fn assert_no_violation(&self, check_coverage: impl FnOnce(T)) {
        if let Some(seed) = setting("SIMULATION_SEED") {
            let log = self.explain(seed, self.chosen_mutation());
            println!("{log}");
            assert!(log.ends_with("no violation"), "a promise is broken");
            return;
        }
        let first = setting("SIMULATION_FIRST").unwrap_or(0);
        let count = self.count();
        let began = Instant::now();
        let (tally, failed) = self.search(first, count, None);
        let took = began.elapsed();
        println!("{count} seeds from {first} in {took:.0?}: {tally:?}");
        if let Some((seed, _)) = failed {
            let trace = self.explain(seed, None);
            panic!("{trace}\nreplay: SIMULATION_SEED={seed} {REPLAY}");
        }
        if count >= self.seeds {
            check_coverage(tally);
        }
    }

    /// The number of seeds to run.
    fn count(&self) -> u64 {
        let default = match cfg!(feature = "mutations") {
            true => self.seeds,
            false => self.short_seeds,
        };
        setting("SIMULATION_SEEDS").unwrap_or(default)
    }

    /// Asserts that each deliberate defect leads to a violation.
    #[cfg(feature = "mutations")]
    pub(crate) fn assert_mutations_are_found(&self) {
        if setting("SIMULATION_SEED").is_some() {
            return;
        }
        let count = self.count();
        let mut unfound = vec![];
        for rule in (self.mutations)() {
            let began = Instant::now();
            let (_, failed) = self.search(0, count, Some(rule));
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

    /// Asserts that a seed always gives the same trace.
    pub(crate) fn assert_deterministic(&self) {
        let seeds = if cfg!(feature = "mutations") { 20 } else { 5 };
        for seed in 0..seeds {
            let (one, two) = (self.explain(seed, None), self.explain(seed, None));
            let differ = one.lines().zip(two.lines()).find(|(one, two)| one != two);
            assert_eq!(differ, None, "seed {seed}");
        }
    }

    /// Runs up to `count` seeds from `first` on, on all cores, until one has a violation. Returns the summed tally,
    /// and the lowest seed with a violation.
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

    fn play(&self, seed: u64, mutation: Option<M>, traced: bool) -> RunReport<T> {
        (self.run)(Plan {
            seed,
            steps: self.steps,
            mutation,
            traced,
        })
    }

    /// A run's trace and result.
    fn explain(&self, seed: u64, mutation: Option<M>) -> String {
        let report = self.play(seed, mutation, true);
        format!(
            "{}\nseed {seed}: {}",
            report.log.join("\n"),
            report.violation.as_deref().unwrap_or("no violation")
        )
    }

    /// The mutation that `SIMULATION_MUTATION` names.
    #[cfg(not(feature = "mutations"))]
    fn chosen_mutation(&self) -> Option<M> {
        let is_unset = std::env::var_os("SIMULATION_MUTATION").is_none();
        assert!(
            is_unset,
            "only `tests/run simulation` can switch a defect on"
        );
        None
    }

    /// The mutation that `SIMULATION_MUTATION` names.
    #[cfg(feature = "mutations")]
    fn chosen_mutation(&self) -> Option<M> {
        let name = std::env::var("SIMULATION_MUTATION").ok()?;
        let mutations = (self.mutations)();
        let named = mutations.iter().find(|it| format!("{it:?}") == name);
        let named = named.unwrap_or_else(|| panic!("{name} isn't one of {mutations:?}"));
        Some(*named)
    }
}
