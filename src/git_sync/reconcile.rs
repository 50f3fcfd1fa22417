//! Reconciles one user's files: compares `git.json`, the store and Git, and applies what Git has to the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::apply::Import;
use super::engine::Engine;
use super::error::GitSyncError;
use super::guard::GuardInput;
use super::mutation::GitMutation;
use super::pending::InboundWrites;
use super::plan::Plan;
use super::report::{SyncMode, UserReport};
use super::reviews::Reviews;
use super::round::{RoundFindings, error_to_show};
use super::sync_state::UserSyncState;
use crate::cache::{Consistency, Snapshot};
use crate::github::{GitSnapshot, SkipCode, Skipped, UserTree};
use crate::now::Now;
use crate::store::{ETag, Prefix};
use crate::task::{FileName, GitSha, TaskTable};
use crate::user::UserId;

/// The most rounds of one pass, which repeats while files change concurrently.
const MAX_ROUNDS: u32 = 6;

/// One synchronisation of one user's files.
pub(super) async fn reconcile(
    engine: &Engine,
    user: &UserId,
    now: Now,
    mode: SyncMode,
) -> Result<UserReport, GitSyncError> {
    let mut pass = ReconcilePass {
        engine,
        user,
        now,
        mode,
        report: UserReport::default(),
        before: None,
        confirmed: BTreeSet::new(),
        removed: BTreeSet::new(),
        waits: 0,
    };
    for _ in 0..MAX_ROUNDS {
        if pass.round().await? {
            return Ok(pass.report);
        }
    }
    pass.report.unfinished = true;
    Ok(pass.report)
}

/// One pass over one user's files, which repeats rounds until one finds nothing to change.
struct ReconcilePass<'a> {
    engine: &'a Engine,
    user: &'a UserId,
    now: Now,
    mode: SyncMode,
    report: UserReport,
    /// The base before this pass, for the guard against mass deletion.
    before: Option<BTreeMap<String, GitSha>>,
    /// Removals that a user has confirmed.
    confirmed: BTreeSet<FileName>,
    /// Files that this pass has removed.
    removed: BTreeSet<FileName>,
    /// How often this pass has waited for the state of pull requests.
    waits: u32,
}

/// What a round compares.
struct RoundInput {
    /// `git.json` as it was before the other reads, with the inbound writes that are resolved by them, the head that a
    /// user has confirmed, and the pushes that were unresolved at any time until then.
    known: UserSyncState,
    /// The inbound writes that it had.
    inbound_before: InboundWrites,
    /// Held files that were gone from the store.
    held_and_gone: BTreeSet<String>,
    entry: Arc<Snapshot>,
    snapshot: Arc<GitSnapshot>,
    /// The known heads that the snapshot comes after, and those of them that the branch was moved away from.
    passed: Vec<GitSha>,
    abandoned: Vec<GitSha>,
    /// `git.json` after the other reads.
    newer: UserSyncState,
}

impl ReconcilePass<'_> {
    /// Compares base, store and Git once and applies the difference. `true` if no further round is needed.
    async fn round(&mut self) -> Result<bool, GitSyncError> {
        let read = self.read().await?;
        let (snapshot, newer) = (&read.snapshot, &read.newer);
        let head = snapshot.commit();
        let tree = self.engine.user_tree(snapshot, self.user).await?;
        let reviews = Reviews {
            engine: self.engine,
            user: self.user,
        };
        if reviews.resolve(newer, head, &tree, &mut self.waits).await? {
            return Ok(false);
        }
        let mut plan = Plan::of(&read.known, read.entry.table(), &tree);
        if self.engine.rules.breaks(GitMutation::LocalOnlyFileRemoved) {
            plan.remove_what_git_never_had();
        }
        if head.is_none() && !read.known.files.is_empty() {
            // The repository has lost all commits: conclude nothing from its empty tree.
            plan.agreed.clear();
        }
        // Exclude files with an inbound write recorded since: the listed file may come from it.
        let moved = plan.retain_unmoved_bases(newer)
            | plan.exclude(|name| newer.taking.has_since(&read.inbound_before, name));
        self.report_round(head, &tree, &mut plan);
        let held = self.guard(&mut plan, &tree, &read)?;
        let last = plan.changes.is_empty() && !moved;
        self.report.clean = last && read.entry.bounds.exact;
        let findings = RoundFindings {
            mode: self.mode,
            at: self.now.utc,
            tree: &tree,
            head,
            passed: &read.passed,
            abandoned: &read.abandoned,
            agreed: &plan.agreed,
            held_before: &newer.held,
            held: held.as_ref(),
            error: error_to_show(&self.report, |name| self.engine.path(self.user, name)),
        };
        let note = |sync_state: &mut UserSyncState| findings.note(sync_state);
        let noted = self.engine.states.update(self.user, note).await?;
        if !noted.is_newest(head, &[]) && head.is_some() {
            return Ok(false);
        }
        let (changes, are_left) = plan.allowed_changes(&noted, &self.confirmed);
        self.report.unfinished |= are_left;
        let import = Import {
            engine: self.engine,
            user: self.user,
            now: self.now,
            deadline: self.mode.deadline,
            pushing: &read.known.pushing,
            report: &mut self.report,
            removed: &mut self.removed,
        };
        import.run(changes).await?;
        Ok(last || self.report.unfinished)
    }

    /// Records in the report what was read, and what of the plan isn't applied here.
    fn report_round(&mut self, head: Option<GitSha>, tree: &UserTree, plan: &mut Plan) {
        self.report.commit = head;
        self.report.folder = tree.folder;
        self.report.closed = tree.closed;
        self.report.skipped = tree.skipped.clone();
        self.report.unpushed = plan.unpushed.len();
        self.report.blocked = std::mem::take(&mut plan.blocked);
    }

    /// Reads both sides. The order matters (`src/git_sync/README.md`, "Several instances and crashes").
    async fn read(&mut self) -> Result<RoundInput, GitSyncError> {
        let Self { engine, user, .. } = *self;
        let mut known = engine.states.of(user).await?;
        self.before.get_or_insert_with(|| known.files.clone());
        let now = self.now.later();
        let entry = engine.read(user, now, Consistency::Rebuilt).await?;
        // Of what `git.json` had when it was read: a file held later may have been created after the listing.
        let is_gone = |name: &&String| {
            let file = entry.table().find(name);
            file.is_none_or(|file| file.is_tombstone())
        };
        let held_and_gone = known.held.iter().filter(is_gone).cloned().collect();
        let inbound_before = known.taking.clone();
        if !inbound_before.is_empty() {
            known = self.resolve_inbound(known, entry.table()).await?;
        }
        let passed = known.known_heads();
        let confirmed = self.mode.request.confirm_head;
        let snapshot = engine.branch.snapshot_after(&known, confirmed).await?;
        let head = snapshot.commit();
        let abandoned = engine.branch.ask(|facts| facts.abandoned_by(&passed, head));
        let abandoned = abandoned.await?;
        if let Some(head) = confirmed.filter(|it| Some(*it) == head) {
            // Recorded at once, also when the pass then stops at another confirmation (`mass_delete`).
            let confirm = |sync_state: &mut UserSyncState| {
                if sync_state.is_newest(Some(head), &passed) {
                    sync_state.record_head(head, &abandoned);
                }
            };
            engine.states.update(user, confirm).await?;
            confirm(&mut known);
        }
        let newer = engine.states.of(user).await?;
        known.pushing.extend_from(&newer.pushing);
        Ok(RoundInput {
            known,
            inbound_before,
            held_and_gone,
            entry,
            snapshot,
            passed,
            abandoned,
            newer,
        })
    }

    /// Resolves inbound writes without a recorded outcome: if a local file carries the write id of one, that write
    /// landed, and its content is what Git was known to hold. Expired ones are dropped.
    async fn resolve_inbound(
        &self,
        mut known: UserSyncState,
        table: &TaskTable,
    ) -> Result<UserSyncState, GitSyncError> {
        let mut came_from = vec![];
        for name in known.taking.names() {
            let Ok(name) = name.parse::<FileName>() else {
                continue;
            };
            let file = table.find(name.as_str());
            let Some(file) = file.filter(|file| !file.is_tombstone()) else {
                continue;
            };
            let etag = ETag::new(file.etag);
            if let Some(blob) = self.engine.file(self.user, &name, &etag).await?
                && let Some(write) = known.taking.newest_in(&name, &blob.writes)
            {
                let base = known.base(&name);
                let landed = write.is_based_on(base).then_some(write.sha);
                came_from.push((name, base, landed, blob.writes));
            }
        }
        let now = self.now.later().utc;
        let resolve = |newer: &mut UserSyncState| {
            for (name, base, landed, writes) in &came_from {
                if let Some(sha) = landed
                    && newer.base(name) == *base
                {
                    newer.set_base(name, *sha, None);
                }
                newer.taking.end_in(name, writes);
            }
            newer.taking.drop_expired(now);
        };
        self.engine.states.update(self.user, resolve).await?;
        // Apply it to the old sync state, not the stored one: that may name contents in Git that came to the store
        // after the listing.
        resolve(&mut known);
        Ok(known)
    }

    /// Takes unconfirmed mass removals out of the plan. Returns all held files; `None` if removals aren't judged in
    /// this round.
    fn guard(
        &mut self,
        plan: &mut Plan,
        tree: &UserTree,
        read: &RoundInput,
    ) -> Result<Option<BTreeSet<FileName>>, GitSyncError> {
        // Without a commit the absence of a file proves nothing, and a missing file may be in another spelling's
        // folder.
        if !self.mode.request.clean || self.report.commit.is_none() || !tree.respelt.is_empty() {
            plan.cancel_removals(|_| true);
            return Ok(None);
        }
        let verdict = GuardInput {
            removals: plan.removals(),
            tree,
            before: self.before.as_ref().unwrap_or(&read.known.files),
            removed: &self.removed,
            held: &read.newer.held,
            held_and_gone: &read.held_and_gone,
            confirmed: &self.confirmed,
            confirmed_count: self.mode.request.confirm,
            rules: self.engine.rules,
        }
        .judge();
        self.confirmed = verdict.confirmed;
        let count = verdict.unconfirmed.len();
        if count > 0 && self.mode.manual {
            return Err(GitSyncError::MassDelete(count));
        }
        if count > 0 {
            plan.cancel_removals(|name| verdict.unconfirmed.contains(name));
            self.report.skipped.push(Skipped {
                file: Prefix::raw(self.user).as_str().to_owned(),
                code: SkipCode::MassDelete,
                message: format!(
                    "{count} files have gone from Git, which is more than half: POST /sync?clean=true&confirm={count} removes them here."
                ),
            });
        }
        Ok(Some(verdict.held))
    }
}
