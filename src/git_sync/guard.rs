//! PURE. The guard against mass deletion: suspiciously many removals are held until a user confirms them
//! (`src/git_sync/README.md`, "The guard against mass deletion").

use std::collections::{BTreeMap, BTreeSet};

use super::mutation::GitMutation;
use crate::github::{SideState, UserTree};
use crate::rules::Rules;
use crate::task::{FileName, GitSha};

/// The guard applies above this number of files, if they are more than half of all.
const MASS_REMOVAL_MIN: usize = 5;

/// What the guard judges by.
pub struct GuardInput<'a> {
    /// The planned removals, with the content that Git held.
    pub removals: Vec<(FileName, Option<GitSha>)>,
    /// What Git holds now.
    pub tree: &'a UserTree,
    /// What Git held before this sync.
    pub before: &'a BTreeMap<String, GitSha>,
    /// Files that this sync has removed already.
    pub removed: &'a BTreeSet<FileName>,
    /// Files that are held so far.
    pub held: &'a BTreeSet<String>,
    /// Those among them that were no longer in the store when it was listed.
    pub held_and_gone: &'a BTreeSet<String>,
    /// Removals that a user has confirmed in an earlier round.
    pub confirmed: &'a BTreeSet<FileName>,
    /// The number of removals that the user confirms.
    pub confirmed_count: Option<usize>,
    /// The rules to keep.
    pub rules: Rules<GitMutation>,
}

/// The guard's verdict on the removals of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardVerdict {
    /// Removals that need a confirmation.
    pub unconfirmed: BTreeSet<FileName>,
    /// Removals that a user has confirmed, in this round or before.
    pub confirmed: BTreeSet<FileName>,
    /// All files that are held from now on.
    pub held: BTreeSet<FileName>,
}

impl GuardInput<'_> {
    /// Judges the removals.
    pub fn judge(&self) -> GuardVerdict {
        let none = BTreeSet::new();
        let held_before = match self.rules.breaks(GitMutation::HeldRemovalsForgotten) {
            true => &none,
            false => self.held,
        };
        let mut confirmed = self.confirmed.clone();
        let mut unconfirmed = self.mass_removals(held_before);
        unconfirmed.retain(|it| !confirmed.contains(it));
        if self.confirmed_count == Some(unconfirmed.len()) && confirmed.is_empty() {
            confirmed = std::mem::take(&mut unconfirmed);
        }
        // A file is held until Git has it again, even if Git has something else in its place or it was just edited.
        let names = held_before.difference(self.held_and_gone);
        let names = names.filter_map(|name| name.parse().ok());
        let still_held = names.filter(|name| {
            !matches!(self.tree.side(name), SideState::Content(_)) && !confirmed.contains(name)
        });
        let held = still_held.chain(unconfirmed.iter().cloned()).collect();
        GuardVerdict {
            unconfirmed,
            confirmed,
            held,
        }
    }

    /// The removals that need a confirmation: all planned ones if they, with those of this sync before, are more than
    /// [`MASS_REMOVAL_MIN`] and than half of what Git held; otherwise only those already held. A file that has another
    /// name in Git now counts as renamed, not removed.
    fn mass_removals(&self, held: &BTreeSet<String>) -> BTreeSet<FileName> {
        let mut renamed: BTreeMap<GitSha, usize> = BTreeMap::new();
        let mut held_in_git = self.before.len();
        for name in self.tree.files.keys() {
            let is_new = !self.before.contains_key(name.as_str());
            let SideState::Content(sha) = self.tree.side(name) else {
                continue;
            };
            match self.rules.breaks(GitMutation::GuardCountsNewFiles) {
                true => held_in_git += usize::from(is_new),
                false if is_new => *renamed.entry(sha).or_default() += 1,
                false => {}
            }
        }
        let is_gone = |(_, base): &&(FileName, Option<GitSha>)| {
            let again = base.and_then(|sha| renamed.get_mut(&sha));
            let again = again.filter(|left| **left > 0);
            again.map(|left| *left -= 1).is_none()
        };
        let gone = self.removals.iter().filter(is_gone);
        let mut gone: BTreeSet<FileName> = gone.map(|(name, _)| name.clone()).collect();
        let all = gone.len() + self.removed.len();
        if all <= MASS_REMOVAL_MIN || all * 2 <= held_in_git {
            gone.retain(|it| held.contains(it.as_str()));
        }
        gone
    }
}
