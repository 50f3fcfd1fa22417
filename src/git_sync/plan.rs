//! PURE. Plans the synchronisation of one user's files from their three-way comparison, and judges planned removals:
//! suspiciously many are held until a user confirms them (`src/git_sync/README.md`, "The guard against mass deletion").

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::mutation::GitMutation;
use super::sync_state::UserSyncState;
use crate::github::{ReconcileAction, ReconcileInput, SideState, UserTree, decide, is_mirrored};
use crate::rules::Rules;
use crate::store::ETag;
use crate::task::{ContentView, FileName, FileView, GitSha, Parsed, Status, TaskTable, parse};
use crate::user_state::{RemovedFile, Version};

/// The age at which no push of a file goes on that had begun before the file was removed.
const MAX_PUSH_AGE: TimeDelta = TimeDelta::minutes(5);

/// The guard applies above this number of files, if they are more than half of all.
const MASS_REMOVAL_MIN: usize = 5;

/// What one pass has to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Moves of the base that change nothing in the store.
    pub agreed: Vec<AgreedBase>,
    /// Changes to the store, removals last.
    pub changes: Vec<LocalChange>,
    /// Files to commit.
    pub unpushed: Vec<Unpushed>,
    /// Files that can't be committed, because Git has something in their place that isn't a task file.
    pub blocked: Vec<FileName>,
}

/// A file for which the base differs from what Git holds.
#[derive(Debug, Clone)]
pub(super) struct AgreedBase {
    pub name: FileName,
    /// The base as planned on; it is moved only if it is still this one.
    pub before: Option<GitSha>,
    /// The content that Git holds.
    pub held: Option<GitSha>,
    /// Whether its task is done, if known.
    pub done: Option<bool>,
}

impl AgreedBase {
    /// Moves the base, unless it has moved since.
    pub(super) fn note(&self, sync_state: &mut UserSyncState) {
        match self.held {
            _ if sync_state.base(&self.name) != self.before => {}
            Some(held) => sync_state.set_base(&self.name, held, self.done),
            None => sync_state.clear_base(&self.name),
        }
    }
}

/// A change of a file in the store.
#[derive(Debug, Clone)]
pub(super) struct LocalChange {
    pub name: FileName,
    pub kind: LocalChangeKind,
    /// The base as planned on; the change is made only if it is still this one.
    pub base: Option<GitSha>,
    /// The version to replace, if the file exists.
    pub etag: Option<ETag>,
    /// The unresolved pushes of the file.
    pub pushing: Vec<GitSha>,
}

impl LocalChange {
    fn is_removal(&self) -> bool {
        self.kind == LocalChangeKind::Remove
    }
}

/// How a file in the store is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalChangeKind {
    /// It is replaced by Git's content.
    Take(GitSha),
    /// It is merged with Git's content (the second); the first is the base, if known.
    Merge(Option<GitSha>, GitSha),
    /// It is removed.
    Remove,
}

/// A file whose content Git doesn't hold, or that it still holds after its removal here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpushed {
    pub name: FileName,
    /// `None`: it was removed here.
    pub content: Option<UnpushedContent>,
    /// The content that Git holds in its place.
    pub replaces: Option<GitSha>,
}

/// The content of an unpushed file, and the file's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnpushedContent {
    pub sha: GitSha,
    pub etag: ETag,
}

impl Unpushed {
    fn new(name: FileName, content: Option<UnpushedContent>, replaces: Option<GitSha>) -> Self {
        Self {
            name,
            content,
            replaces,
        }
    }

    /// The content that Git shall have; `None` for no file.
    pub(super) fn sha(&self) -> Option<GitSha> {
        self.content.as_ref().map(|it| it.sha)
    }
}

/// Files that were removed through the service, by name.
pub type RemovedFiles = BTreeMap<String, RemovedFile>;

/// Files that aren't mirrored because of their names.
pub(super) fn unmirrored(table: &TaskTable) -> Vec<FileName> {
    let there = table.iter().filter(|file| !file.is_tombstone());
    let names = there.filter_map(|file| file.name.parse().ok());
    names.filter(|name| !is_mirrored(name)).collect()
}

impl Plan {
    pub(super) fn of(
        sync_state: &UserSyncState,
        table: &TaskTable,
        removed: &RemovedFiles,
        tree: &UserTree,
    ) -> Self {
        let mut plan = Self::default();
        let known = sync_state.files.keys().chain(sync_state.pushing.names());
        let ours = table.iter().filter_map(|file| file.name.parse().ok());
        let names: BTreeSet<FileName> = ours
            .chain(known.filter_map(|name| name.parse().ok()))
            .chain(tree.files.keys().cloned())
            .collect();
        for name in names {
            let file = table.find(name.as_str());
            let sides = ReconcileInput {
                base: sync_state.base(&name),
                pushing: sync_state.pushing.of(&name),
                ours: file.as_ref().map_or(SideState::Absent, side),
                theirs: tree.side(&name),
                // A closed request brings the file back.
                removed: removed.contains_key(name.as_str())
                    && !sync_state.is_removal_rejected(&name),
            };
            plan.add(name, file.as_ref(), &sides);
        }
        plan.changes.sort_by_key(LocalChange::is_removal);
        plan.unpushed
            .retain(|it| !sync_state.is_proposed(&it.name, it.sha()));
        plan
    }

    fn add(&mut self, name: FileName, file: Option<&FileView<'_>>, sides: &ReconcileInput<'_>) {
        // Not a tombstone's version: the write that creates the file in its place finds that itself.
        let there = file.filter(|file| !file.is_tombstone());
        let etag = there.map(|file| ETag::new(file.etag));
        let before = sides.base;
        let change = |kind| LocalChange {
            name: name.clone(),
            kind,
            base: before,
            etag: etag.clone(),
            pushing: sides.pushing.to_vec(),
        };
        let agreed = |held, done| AgreedBase {
            name: name.clone(),
            before,
            held,
            done,
        };
        match decide(sides) {
            ReconcileAction::NoChange => {}
            ReconcileAction::Skip => {
                let is_ours = matches!(sides.ours, SideState::Content(sha) if before != Some(sha));
                if is_ours && sides.theirs == SideState::Other && is_mirrored(&name) {
                    self.blocked.push(name);
                }
            }
            ReconcileAction::Agreed(sha) => {
                let done = file.is_some_and(is_done);
                self.agreed.push(agreed(Some(sha), Some(done)));
            }
            ReconcileAction::ForgetBase => self.agreed.push(agreed(None, None)),
            ReconcileAction::Take(theirs) => {
                self.changes.push(change(LocalChangeKind::Take(theirs)))
            }
            ReconcileAction::Merge { base, theirs } => {
                self.changes
                    .push(change(LocalChangeKind::Merge(base, theirs)));
            }
            ReconcileAction::Remove => self.changes.push(change(LocalChangeKind::Remove)),
            ReconcileAction::Unpushed(replaces) => {
                if before != replaces {
                    self.agreed.push(agreed(replaces, None));
                }
                if let (SideState::Content(sha), Some(etag)) = (sides.ours, etag) {
                    let content = Some(UnpushedContent { sha, etag });
                    self.unpushed.push(Unpushed::new(name, content, replaces));
                }
            }
            ReconcileAction::UnpushedRemoval(held) => {
                if before != Some(held) {
                    self.agreed.push(agreed(Some(held), None));
                }
                self.unpushed.push(Unpushed::new(name, None, Some(held)));
            }
        }
    }

    /// Excludes files whose base has moved in `newer`, by a concurrent pass. Whether there were any.
    pub(super) fn retain_unmoved_bases(&mut self, newer: &UserSyncState) -> bool {
        let before = self.len();
        self.agreed.retain(|it| newer.base(&it.name) == it.before);
        self.changes.retain(|it| newer.base(&it.name) == it.base);
        let rebased = |it: &Unpushed| self.agreed.iter().any(|agreed| agreed.name == it.name);
        self.unpushed
            .retain(|it| newer.base(&it.name) == it.replaces || rebased(it));
        self.len() < before
    }

    /// Excludes files by name. Whether there were any.
    pub(super) fn exclude(&mut self, is_named: impl Fn(&FileName) -> bool) -> bool {
        let before = self.len();
        self.agreed.retain(|it| !is_named(&it.name));
        self.changes.retain(|it| !is_named(&it.name));
        self.unpushed.retain(|it| !is_named(&it.name));
        self.len() < before
    }

    fn len(&self) -> usize {
        self.agreed.len() + self.changes.len() + self.unpushed.len()
    }

    /// The planned removals, with the content that Git held.
    pub(super) fn removals(&self) -> Vec<(FileName, Option<GitSha>)> {
        let removals = self.changes.iter().filter(|it| it.is_removal());
        removals.map(|it| (it.name.clone(), it.base)).collect()
    }

    /// The defect [`GitMutation::LocalOnlyFileRemoved`](super::mutation::GitMutation).
    pub(super) fn remove_what_git_never_had(&mut self) {
        let gone = self.unpushed.extract_if(.., |it| it.replaces.is_none());
        self.changes.extend(gone.map(|it| LocalChange {
            name: it.name,
            kind: LocalChangeKind::Remove,
            base: None,
            etag: it.content.map(|it| it.etag),
            pushing: vec![],
        }));
    }

    pub(super) fn cancel_removals(&mut self, is_named: impl Fn(&FileName) -> bool) {
        self.changes
            .retain(|it| !it.is_removal() || !is_named(&it.name));
    }

    /// Takes out the changes, without removals that another instance holds by now and that aren't `confirmed`, and
    /// without those of files with an inbound write in progress: it would recreate them with the content that Git had
    /// before. And whether any of the latter were left, for a later sync.
    pub(super) fn allowed_changes(
        &mut self,
        newer: &UserSyncState,
        confirmed: &BTreeSet<FileName>,
    ) -> (Vec<LocalChange>, bool) {
        let is_held = |name: &FileName| newer.held.contains(name.as_str());
        self.cancel_removals(|name| is_held(name) && !confirmed.contains(name));
        let all = self.changes.len();
        self.cancel_removals(|name| newer.taking.contains_file(name));
        let changes = std::mem::take(&mut self.changes);
        let are_left = changes.len() < all;
        (changes, are_left)
    }
}

/// Which of the removals recorded in `removed` have had their effect, or lost to a later edit: the file is here again
/// and in Git, or for long in neither. `lo`: every change up to it is in `table`.
pub fn settled_removals(
    sync_state: &UserSyncState,
    table: &TaskTable,
    lo: Version,
    removed: &RemovedFiles,
    tree: &UserTree,
    now: DateTime<Utc>,
) -> Vec<(FileName, Version)> {
    let is_settled = |name: &FileName, removal: &RemovedFile| {
        let file = table.find(name.as_str());
        let is_here = file.is_some_and(|file| !file.is_tombstone());
        match (is_here, tree.side(name)) {
            _ if removal.version > lo => false,
            (true, theirs) => matches!(theirs, SideState::Content(_)),
            (false, SideState::Absent) => {
                // A push that had read the file before it was removed may be under way.
                let is_sent = !sync_state.pushing.of(name).is_empty();
                let is_old = now - removal.at > MAX_PUSH_AGE;
                is_old && !is_sent && sync_state.base(name).is_none()
            }
            (false, _) => false,
        }
    };
    let names = removed
        .iter()
        .filter_map(|(name, it)| Some((name.parse().ok()?, it)));
    let settled = names.filter(|(name, removal)| is_settled(name, removal));
    settled
        .map(|(name, it): (FileName, _)| (name, it.version))
        .collect()
}

/// Files whose content Git doesn't hold according to `git.json`, without reading Git.
pub(super) fn unpushed(
    sync_state: &UserSyncState,
    table: &TaskTable,
    removed: &RemovedFiles,
) -> Vec<Unpushed> {
    let as_known = UserTree {
        files: sync_state
            .files
            .iter()
            .filter_map(|(name, sha)| Some((name.parse().ok()?, SideState::Content(*sha))))
            .collect(),
        ..UserTree::default()
    };
    Plan::of(sync_state, table, removed, &as_known).unpushed
}

/// The names of those files.
pub fn unpushed_names(
    sync_state: &UserSyncState,
    table: &TaskTable,
    removed: &RemovedFiles,
) -> Vec<FileName> {
    let unpushed = unpushed(sync_state, table, removed).into_iter();
    unpushed.map(|it| it.name).collect()
}

fn side(file: &FileView<'_>) -> SideState {
    match (file.is_tombstone(), file.sha) {
        (true, _) => SideState::Absent,
        (false, Some(sha)) => SideState::Content(sha),
        (false, None) => SideState::Other,
    }
}

fn is_done(file: &FileView<'_>) -> bool {
    matches!(file.content, ContentView::Task(task) if task.status == Status::Abgeschlossen)
}

/// Whether the text parses as a completed task.
pub(super) fn is_done_text(name: &FileName, text: &[u8]) -> bool {
    matches!(parse(name, text), Parsed::Task(task) if task.status == Status::Abgeschlossen)
}

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
