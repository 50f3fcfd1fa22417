//! The guard against mass deletions: what nobody may have meant to remove stays until somebody confirms it.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::plan::{Change, Kind, Plan};
use super::reconcile::Reconciling;
use super::{GitMutation, GitTrouble};
use crate::github::{Side, SkipCode, Skipped, UserTree};
use crate::store::Prefix;
use crate::task::{FileName, GitSha};

impl Reconciling<'_> {
    /// Holds back removals that nobody may have meant; those that wait for somebody now, where that is looked at. Of
    /// those that waited before, these are `over`: they had gone from here by the listing that came after.
    pub(super) fn guard(
        &mut self,
        plan: &mut Plan,
        tree: &UserTree,
        book: &Book,
        before: &BTreeMap<String, GitSha>,
        over: &BTreeSet<String>,
    ) -> Result<Option<BTreeSet<FileName>>, GitTrouble> {
        // From a repository without a commit nothing follows, and what isn't in the user's folder may be in another one.
        if !self.mode.removes || self.report.commit.is_none() || !tree.respelt.is_empty() {
            plan.keep_all();
            return Ok(None);
        }
        let held = match self.git.breaks(GitMutation::HeldIsForgotten) {
            true => &BTreeSet::new(),
            false => &book.held,
        };
        // Until Git has the file again, also while something else is in its place, or it was just changed.
        let names = held.difference(over).filter_map(|name| name.parse().ok());
        let mut still: BTreeSet<FileName> = names
            .filter(|name| !matches!(tree.side(name), Side::Content(_)))
            .collect();
        let mut held = plan.to_confirm(held, before, &self.removed, tree);
        held.retain(|it| !self.confirmed.contains(it));
        let count = held.len();
        if self.mode.confirmed == Some(count) && self.confirmed.is_empty() {
            self.confirmed = std::mem::take(&mut held);
        }
        still.retain(|it| !self.confirmed.contains(it));
        if held.is_empty() {
            return Ok(Some(still));
        }
        if self.mode.by_hand {
            return Err(GitTrouble::MassDelete(count));
        }
        plan.keep(&held);
        self.report.skipped.push(Skipped {
            file: Prefix::raw(self.user).as_str().to_owned(),
            code: SkipCode::MassDelete,
            message: format!(
                "{count} files have gone from Git, which is more than half: POST /sync?clean=true&confirm={count} removes them here."
            ),
        });
        still.extend(held);
        Ok(Some(still))
    }

    /// Without removals that wait for somebody by now, as another instance may have seen, and without those of files
    /// that somebody may be about to make as Git had them before: they would come back.
    pub(super) fn allowed(&mut self, mut changes: Vec<Change>, book: &Book) -> Vec<Change> {
        let removes = |it: &Change, names: &dyn Fn(&str) -> bool| {
            it.kind == Kind::Remove && names(it.name.as_str())
        };
        let confirmed = |it: &Change| self.confirmed.contains(&it.name);
        changes.retain(|it| confirmed(it) || !removes(it, &|name| book.held.contains(name)));
        let all = changes.len();
        changes.retain(|it| !removes(it, &|name| book.taking.contains_key(name)));
        self.report.unfinished |= changes.len() < all;
        changes
    }
}
