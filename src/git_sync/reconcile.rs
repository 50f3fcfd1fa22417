//! Reconciles one user's files: compares `git.json`, the store and Git, and applies what Git has to the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::apply::ReconcilePass;
use super::engine::UserSync;
use super::mutation::GitMutation;
use super::pending::InboundWrites;
use super::plan::{AgreedBase, GuardInput, Plan, settled_removals};
use super::report::{GitSyncError, SyncMode, UserReport};
use super::reviews;
use super::sync_state::{LastError, UserSyncState};
use crate::cache::{Consistency, Snapshot};
use crate::github::{GitSnapshot, SkipCode, UserTree, skipped};
use crate::now::Now;
use crate::store::{ETag, Prefix, WriteIds};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// The most rounds of one pass, which repeats while files change concurrently.
const MAX_ROUNDS: u32 = 6;

/// One synchronisation of one user's files.
pub(super) async fn reconcile(
    sync: UserSync<'_>,
    now: Now,
    mode: SyncMode,
) -> Result<UserReport, GitSyncError> {
    let mut pass = ReconcilePass {
        sync,
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
        let (sync, read) = (self.sync, self.read().await?);
        let (snapshot, newer) = (&read.snapshot, &read.newer);
        let head = snapshot.commit();
        let tree = sync.tree(snapshot).await?;
        if reviews::resolve(sync, newer, head, &tree, &mut self.waits).await? {
            return Ok(false);
        }
        let removed = sync.removed(&read.entry);
        let mut plan = Plan::of(&read.known, read.entry.table(), removed, &tree);
        if sync.engine.breaks(GitMutation::LocalOnlyFileRemoved) {
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
        let note = |sync_state: &mut UserSyncState| {
            self.note(&read, &tree, &plan.agreed, held.as_ref(), sync_state);
        };
        let noted = sync.update(note).await?;
        if !noted.is_newest(head, &[]) && head.is_some() {
            return Ok(false);
        }
        self.forget_removals(&read, &noted, &tree).await?;
        let (changes, are_left) = plan.allowed_changes(&noted, &self.confirmed);
        self.report.unfinished |= are_left;
        self.import(changes).await?;
        Ok(last || self.report.unfinished)
    }

    /// Forgets removals that have had their effect, so that they aren't taken for the cause of a later absence.
    async fn forget_removals(
        &self,
        read: &RoundInput,
        noted: &UserSyncState,
        tree: &UserTree,
    ) -> Result<(), GitSyncError> {
        let (entry, now) = (&read.entry, self.now.later());
        let UserSync { engine, user } = self.sync;
        let Some(at) = engine.writer.storage_time(&now) else {
            return Ok(());
        };
        let (removed, lo) = (entry.removed(), entry.bounds.lo);
        let settled = settled_removals(noted, entry.table(), lo, removed, tree, at);
        match settled.is_empty() {
            true => Ok(()),
            false => Ok(engine.writer.forget_removals(user, settled, &now).await?),
        }
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

    /// Records what the round has found, unless another pass or push has recorded a newer commit since. `held` are the
    /// files that are held now; `None` if removals weren't judged.
    fn note(
        &self,
        read: &RoundInput,
        tree: &UserTree,
        agreed: &[AgreedBase],
        held: Option<&BTreeSet<FileName>>,
        sync_state: &mut UserSyncState,
    ) {
        let (head, at) = (self.report.commit, self.now.utc);
        if !sync_state.is_newest(head, &read.passed) {
            return;
        }
        for agreed in agreed {
            agreed.note(sync_state);
        }
        sync_state.respelt = tree.respelt.iter().map(UserId::to_string).collect();
        sync_state.renamed = !tree.respelt.is_empty() && tree.folder.is_none();
        if sync_state.commit != head || self.mode.manual {
            sync_state.synced_at = Some(at);
        }
        if let Some(head) = head {
            sync_state.record_head(head, &read.abandoned);
        }
        if let Some(held) = held {
            // Replace those held before this pass; files that another pass has held since stay.
            let before = &read.newer.held;
            sync_state.held.retain(|name| !before.contains(name));
            sync_state.held.extend(held.iter().map(FileName::to_string));
        }
        let shown = sync_state.last_error.as_ref();
        let is_over = self.mode.request.clean && shown.is_some_and(LastError::is_from_reconcile);
        let error = self.error_to_show();
        if error.is_some() || is_over {
            sync_state.set_last_error(error, at);
        }
    }

    fn error_to_show(&self) -> Option<(&'static str, String)> {
        let skipped = |code, name| {
            let found = self.report.skipped.iter().find(|it| it.code == code);
            found.map(|it| (name, it.message.clone()))
        };
        let blocked = || {
            let path = self.sync.path(self.report.blocked.first()?);
            let message =
                format!("In Git {path} isn't a plain file of at most 1 MiB: move it away there.");
            Some(("not_a_file", message))
        };
        skipped(SkipCode::MassDelete, "mass_delete")
            .or_else(|| skipped(SkipCode::OtherSpelling, "other_spelling"))
            .or_else(blocked)
    }

    /// Reads both sides. The order matters (`src/git_sync/README.md`, "Several instances and crashes").
    async fn read(&mut self) -> Result<RoundInput, GitSyncError> {
        let sync = self.sync;
        let branch = &sync.engine.branch;
        let mut known = sync.state().await?;
        self.before.get_or_insert_with(|| known.files.clone());
        let entry = sync.read(self.now.later(), Consistency::Rebuilt).await?;
        // Of what `git.json` had when it was read: a file held later may have been created after the listing.
        let is_gone = |name: &&String| {
            let file = entry.table().find(name);
            file.is_none_or(|file| file.is_tombstone())
        };
        let held_and_gone = known.held.iter().filter(is_gone).cloned().collect();
        let inbound_before = known.taking.clone();
        if !inbound_before.is_empty() {
            known = self.resolve_inbound(known, &entry).await?;
        }
        let passed = known.known_heads();
        let confirmed = self.mode.request.confirm_head;
        let snapshot = branch.snapshot_after(&known, confirmed).await?;
        let head = snapshot.commit();
        let abandoned = branch.ask(|facts| facts.abandoned_by(&passed, head));
        let abandoned = abandoned.await?;
        if let Some(head) = confirmed.filter(|it| Some(*it) == head) {
            // Recorded at once, also when the pass then stops at another confirmation (`mass_delete`).
            let confirm = |sync_state: &mut UserSyncState| {
                if sync_state.is_newest(Some(head), &passed) {
                    sync_state.record_head(head, &abandoned);
                }
            };
            sync.update(confirm).await?;
            confirm(&mut known);
        }
        let newer = sync.state().await?;
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

    /// Resolves inbound writes without a recorded outcome: if a local file carries the write id of one, or its content
    /// was removed through the service, that write landed, and its content is what Git was known to hold. Expired ones
    /// are dropped.
    async fn resolve_inbound(
        &self,
        mut known: UserSyncState,
        entry: &Snapshot,
    ) -> Result<UserSyncState, GitSyncError> {
        let mut came_from = vec![];
        let names = known.taking.names();
        for name in names.filter_map(|name| name.parse::<FileName>().ok()) {
            let file = entry.table().find(name.as_str());
            let Some(file) = file.filter(|file| !file.is_tombstone()) else {
                let removed = self.sync.removed(entry).get(name.as_str());
                if let Some(sha) = removed.and_then(|it| it.sha)
                    && let Some(write) = known.taking.newest_of(&name, sha)
                    && write.base == known.base(&name)
                    && let Ok(id) = write.write.parse()
                {
                    let writes = WriteIds::default().with_newest(id);
                    came_from.push((name, write.base, Some(sha), writes));
                }
                continue;
            };
            let etag = ETag::new(file.etag);
            if let Some(blob) = self.sync.file(&name, &etag).await?
                && let Some(write) = known.taking.newest_in(&name, &blob.writes)
            {
                let base = known.base(&name);
                let landed = (write.base == base).then_some(write.sha);
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
        self.sync.update(resolve).await?;
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
            rules: self.sync.engine.branch.settings.rules,
        }
        .judge();
        self.confirmed = verdict.confirmed;
        let count = verdict.unconfirmed.len();
        if count > 0 && self.mode.manual {
            return Err(GitSyncError::MassDelete(count));
        }
        if count > 0 {
            plan.cancel_removals(|name| verdict.unconfirmed.contains(name));
            let message = format!(
                "{count} files have gone from Git, which is more than half: POST /sync?clean=true&confirm={count} removes them here."
            );
            let folder = Prefix::raw(self.sync.user);
            let held = skipped(folder.as_str(), SkipCode::MassDelete, message);
            self.report.skipped.push(held);
        }
        Ok(Some(verdict.held))
    }
}
