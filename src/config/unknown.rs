//! Variables that are called as settings are, and are none.

use std::cell::RefCell;
use std::collections::BTreeSet;

use strsim::osa_distance;

use super::Config;

/// What the names of settings of this service alone begin with.
const OURS: &str = "CODEX_";

/// A variable that no setting is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub variable: String,
    /// The setting that is called nearly so.
    pub nearest: Option<String>,
}

/// Those of `variables` that begin with `CODEX_` and that nothing reads.
pub fn unknown(variables: impl IntoIterator<Item = String>) -> Vec<Unknown> {
    let known = names();
    let ours = variables.into_iter().filter(|it| it.starts_with(OURS));
    let unknown = ours.filter(|it| !known.contains(it));
    let told = unknown.map(|variable| Unknown {
        nearest: nearest(&variable, &known),
        variable,
    });
    told.collect()
}

/// What is asked for where nothing is set. Then no setting hides another one, so these are all of this service's
/// own; of the platform's some are only asked for beside others.
fn names() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let _ = Config::from_lookup(|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    asked.into_inner()
}

/// The setting that takes the fewest slips, if these are less than half of the name. What all names begin with says
/// nothing, and one that has it may be meant without it, as in `CODEX_PORT`.
fn nearest(variable: &str, known: &BTreeSet<String>) -> Option<String> {
    let written = variable.trim_start_matches(OURS);
    let near = known.iter().filter_map(|name| {
        let meant = name.trim_start_matches(OURS);
        let half = written.len().max(meant.len()).div_ceil(2);
        // A longer one can't be near, and needn't be compared.
        let may_be = written.len().abs_diff(meant.len()) < half;
        let slips = may_be.then(|| osa_distance(written, meant))?;
        (slips < half).then_some((slips, name))
    });
    near.min().map(|(_, name)| name.clone())
}
