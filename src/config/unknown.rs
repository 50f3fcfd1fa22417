//! Variables that are called as settings are, and are none.

use std::cell::RefCell;
use std::collections::BTreeSet;

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
    let bare = |name: &str| -> Vec<char> { name.trim_start_matches(OURS).chars().collect() };
    let written = bare(variable);
    let near = known.iter().filter_map(|name| {
        let meant = bare(name);
        let half = written.len().max(meant.len()).div_ceil(2);
        // A longer one can't be near, and needn't be compared.
        let may_be = written.len().abs_diff(meant.len()) < half;
        let slips = may_be.then(|| slips(&written, &meant))?;
        (slips < half).then_some((slips, name))
    });
    near.min().map(|(_, name)| name.clone())
}

/// How many letters are too many, missing, wrong, or in the other order than their neighbour.
fn slips(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let wrong = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = wrong.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
