//! PURE. Plans the synchronisation of one user's files from their three-way comparison.

use std::collections::{BTreeMap, BTreeSet};

use super::sync_state::UserSyncState;
use crate::github::{ReconcileAction, ReconcileInput, SideState, UserTree, decide, is_mirrored};
use crate::store::ETag;
use crate::task::{ContentView, FileName, FileView, GitSha, Status, TaskTable};

/// The guard against mass deletion applies above this number of files, if they are more than half of all.
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
    /// Moves the base.
    pub(super) fn note(&self, sync_state: &mut UserSyncState) {
        match self.held {
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

/// A file whose content Git doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpushed {
    pub name: FileName,
    pub sha: GitSha,
    pub etag: ETag,
    /// The content that Git holds in its place.
    pub replaces: Option<GitSha>,
}

/// Files that aren't mirrored because of their names.
pub(super) fn unmirrored(table: &TaskTable) -> Vec<FileName> {
    let there = table.iter().filter(|file| !file.is_tombstone());
    let names = there.filter_map(|file| file.name.parse().ok());
    names.filter(|name| !is_mirrored(name)).collect()
}

impl Plan {
    /// Plans from `git.json`, the store and Git's tree.
    pub(super) fn of(sync_state: &UserSyncState, table: &TaskTable, tree: &UserTree) -> Self {
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
            };
            plan.add(name, file.as_ref(), &sides);
        }
        plan.changes
            .sort_by_key(|change| change.kind == LocalChangeKind::Remove);
        plan.unpushed
            .retain(|it| !sync_state.is_proposed(&it.name, it.sha));
        plan
    }

    fn add(&mut self, name: FileName, file: Option<&FileView<'_>>, sides: &ReconcileInput<'_>) {
        // Not a tombstone's version: the write that creates the file in its place finds that itself.
        let there = file.filter(|file| !file.is_tombstone());
        let etag = there.map(|file| ETag::new(file.etag));
        let before = sides.base;
        let mut change = |name, kind| {
            let (base, etag) = (before, etag.clone());
            self.changes.push(LocalChange {
                name,
                kind,
                base,
                etag,
            });
        };
        match decide(sides) {
            ReconcileAction::NoChange => {}
            ReconcileAction::Skip => {
                let is_ours = matches!(sides.ours, SideState::Content(sha) if before != Some(sha));
                if is_ours && sides.theirs == SideState::Other && is_mirrored(&name) {
                    self.blocked.push(name);
                }
            }
            ReconcileAction::Agreed(sha) => self.agreed.push(AgreedBase {
                name,
                before,
                held: Some(sha),
                done: Some(file.is_some_and(is_done)),
            }),
            ReconcileAction::ForgetBase => self.agreed.push(AgreedBase {
                name,
                before,
                held: None,
                done: None,
            }),
            ReconcileAction::Take(theirs) => change(name, LocalChangeKind::Take(theirs)),
            ReconcileAction::Merge { base, theirs } => {
                change(name, LocalChangeKind::Merge(base, theirs))
            }
            ReconcileAction::Remove => change(name, LocalChangeKind::Remove),
            ReconcileAction::Unpushed(replaces) => {
                if before != replaces {
                    self.agreed.push(AgreedBase {
                        name: name.clone(),
                        before,
                        held: replaces,
                        done: None,
                    });
                }
                if let (SideState::Content(sha), Some(etag)) = (sides.ours, etag) {
                    self.unpushed.push(Unpushed {
                        name,
                        sha,
                        etag,
                        replaces,
                    });
                }
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

    /// The removals that need a confirmation: all planned ones if they, with those that this sync has `removed_before`,
    /// are more than [`MASS_REMOVAL_MIN`] and than half of what Git held `before` it; otherwise only those already
    /// `held`. A file that has another name in Git now counts as renamed, not removed.
    pub(super) fn mass_removals(
        &self,
        held: &BTreeSet<String>,
        before: &BTreeMap<String, GitSha>,
        removed_before: &BTreeSet<FileName>,
        tree: &UserTree,
    ) -> BTreeSet<FileName> {
        let removed = self
            .changes
            .iter()
            .filter(|it| it.kind == LocalChangeKind::Remove);
        let is_new = |name: &&FileName| !before.contains_key(name.as_str());
        let mut renamed: BTreeMap<GitSha, usize> = BTreeMap::new();
        for name in tree.files.keys().filter(is_new) {
            if let SideState::Content(sha) = tree.side(name) {
                *renamed.entry(sha).or_default() += 1;
            }
        }
        let gone = removed.filter(|it| {
            let again = it.base.and_then(|sha| renamed.get_mut(&sha));
            let again = again.filter(|left| **left > 0);
            again.map(|left| *left -= 1).is_none()
        });
        let mut gone: BTreeSet<FileName> = gone.map(|it| it.name.clone()).collect();
        let all = gone.len() + removed_before.len();
        if all <= MASS_REMOVAL_MIN || all * 2 <= before.len() {
            gone.retain(|it| held.contains(it.as_str()));
        }
        gone
    }

    /// [`GitMutation::LocalOnlyFileRemoved`](super::GitMutation).
    pub(super) fn remove_what_git_never_had(&mut self) {
        let gone = self.unpushed.extract_if(.., |it| it.replaces.is_none());
        self.changes.extend(gone.map(|it| LocalChange {
            name: it.name,
            kind: LocalChangeKind::Remove,
            base: None,
            etag: Some(it.etag),
        }));
    }

    /// Cancels the removals of these files.
    pub(super) fn cancel_removals(&mut self, files: &BTreeSet<FileName>) {
        self.changes
            .retain(|it| it.kind != LocalChangeKind::Remove || !files.contains(&it.name));
    }

    /// Cancels all removals.
    pub(super) fn cancel_all_removals(&mut self) {
        self.changes.retain(|it| it.kind != LocalChangeKind::Remove);
    }
}

/// Files whose content Git doesn't hold according to `git.json`, without reading Git.
pub(super) fn unpushed(sync_state: &UserSyncState, table: &TaskTable) -> Vec<Unpushed> {
    let as_known = UserTree {
        files: sync_state
            .files
            .iter()
            .filter_map(|(name, sha)| Some((name.parse().ok()?, SideState::Content(*sha))))
            .collect(),
        ..UserTree::default()
    };
    Plan::of(sync_state, table, &as_known).unpushed
}

fn side(file: &FileView<'_>) -> SideState {
    match (file.is_tombstone(), file.sha) {
        (true, _) => SideState::Absent,
        (false, Some(sha)) => SideState::Content(sha),
        (false, None) => SideState::Other,
    }
}

/// Whether the file's task is done.
pub(super) fn is_done(file: &FileView<'_>) -> bool {
    matches!(file.content, ContentView::Task(task) if task.status == Status::Abgeschlossen)
}
