//! Detects settings that have no effect: misspelled ones, which are variables with the prefix `CODEX_` that nothing
//! reads, and those of the older service.

use std::cell::RefCell;
use std::collections::BTreeSet;

use strsim::osa_distance;

use super::settings::Config;

/// The prefix of the settings that only this service has.
const PREFIX: &str = "CODEX_";

/// A variable that no setting is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSetting {
    /// Its name.
    pub variable: String,
    /// The setting with the most similar name, if one is similar enough.
    pub nearest: Option<String>,
}

/// The `variables` that begin with `CODEX_` and that no setting is read from.
pub fn unknown_settings(variables: impl IntoIterator<Item = String>) -> Vec<UnknownSetting> {
    let known = names();
    let prefixed = variables.into_iter().filter(|it| it.starts_with(PREFIX));
    let unknown = prefixed.filter(|it| !known.contains(it));
    let unknown = unknown.map(|variable| UnknownSetting {
        nearest: nearest(&variable, &known),
        variable,
    });
    unknown.collect()
}

/// The settings of the older service, and of its Node.js, that nothing here reads.
const OLDER: [&str; 8] = [
    "COSMOS_DB",
    "COSMOS_ENDPOINT",
    "COSMOS_KEY",
    "COSMOS_TASKS",
    "COSMOS_TIMELINE",
    "DAY_HORIZON",
    "USERS_CSV",
    "WEBSITE_NODE_DEFAULT_VERSION",
];

/// The `variables` that only the older service read.
pub fn older_settings(variables: impl IntoIterator<Item = String>) -> Vec<String> {
    let variables = variables.into_iter();
    variables.filter(|it| OLDER.contains(&&**it)).collect()
}

/// The variables that are looked up when none is set. Then no setting takes precedence over another, so this includes
/// all `CODEX_` settings; some of the platform's variables are looked up only if others are set.
fn names() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let _ = Config::from_lookup(|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    asked.into_inner()
}

/// The setting with the smallest edit distance, if that is less than half of the name. The prefix is ignored on both
/// sides: it doesn't distinguish settings, and may be there by mistake, as in `CODEX_PORT`.
fn nearest(variable: &str, known: &BTreeSet<String>) -> Option<String> {
    let written = variable.trim_start_matches(PREFIX);
    let near = known.iter().filter_map(|name| {
        let meant = name.trim_start_matches(PREFIX);
        let half = written.len().max(meant.len()).div_ceil(2);
        // The length difference is a lower bound of the distance: skip the comparison if it is too large.
        let may_be_near = written.len().abs_diff(meant.len()) < half;
        let distance = may_be_near.then(|| osa_distance(written, meant))?;
        (distance < half).then_some((distance, name))
    });
    near.min().map(|(_, name)| name.clone())
}
