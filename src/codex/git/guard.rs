//! The guard against mass deletion: suspiciously many removals are held until a user confirms them.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{LocalChange, LocalChangeKind, Plan};
use super::reconcile::ReconcilePass;
use super::sync_state::UserSyncState;
use super::{GitMutation, GitSyncError};
use crate::github::{SideState, SkipCode, Skipped, UserTree};
use crate::store::Prefix;
use crate::task::{FileName, GitSha};

impl ReconcilePass<'_> {
    /// Takes unconfirmed mass removals out of the plan. Returns all held files; `None` if removals aren't judged in
    /// this pass. Earlier held files in `over` were no longer in the store when it was listed.
    pub(super) fn guard(
        &mut self,
        plan: &mut Plan,
        tree: &UserTree,
        sync_state: &UserSyncState,
        before: &BTreeMap<String, GitSha>,
        over: &BTreeSet<String>,
    ) -> Result<Option<BTreeSet<FileName>>, GitSyncError> {
        // Without a commit the absence of a file proves nothing, and a missing file may be in another spelling's
        // folder.
        if !self.mode.allows_removal || self.report.commit.is_none() || !tree.respelt.is_empty() {
            plan.cancel_all_removals();
            return Ok(None);
        }
        let held = match self.git.breaks(GitMutation::HeldRemovalsForgotten) {
            true => &BTreeSet::new(),
            false => &sync_state.held,
        };
        // A file is held until Git has it again, even if Git has something else in its place or it was just edited.
        let names = held.difference(over).filter_map(|name| name.parse().ok());
        let mut still: BTreeSet<FileName> = names
            .filter(|name| !matches!(tree.side(name), SideState::Content(_)))
            .collect();
        let mut held = plan.mass_removals(held, before, &self.removed, tree);
        held.retain(|it| !self.confirmed.contains(it));
        let count = held.len();
        if self.mode.confirmed == Some(count) && self.confirmed.is_empty() {
            self.confirmed = std::mem::take(&mut held);
        }
        still.retain(|it| !self.confirmed.contains(it));
        if held.is_empty() {
            return Ok(Some(still));
        }
        if self.mode.manual {
            return Err(GitSyncError::MassDelete(count));
        }
        plan.cancel_removals(&held);
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

    /// Drops removals that another instance holds by now, and those of files with an inbound write in progress: it
    /// would recreate them with the content that Git had before.
    pub(super) fn allowed(
        &mut self,
        mut changes: Vec<LocalChange>,
        sync_state: &UserSyncState,
    ) -> Vec<LocalChange> {
        let is_named_removal = |it: &LocalChange, names: &dyn Fn(&str) -> bool| {
            it.kind == LocalChangeKind::Remove && names(it.name.as_str())
        };
        let confirmed = |it: &LocalChange| self.confirmed.contains(&it.name);
        changes.retain(|it| {
            confirmed(it) || !is_named_removal(it, &|name| sync_state.held.contains(name))
        });
        let all = changes.len();
        changes.retain(|it| !is_named_removal(it, &|name| sync_state.taking.contains_key(name)));
        self.report.unfinished |= changes.len() < all;
        changes
    }
}
