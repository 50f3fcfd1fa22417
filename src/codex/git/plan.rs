//! PURE. What is to be done with one user's files, by the three sides of each.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use crate::github::{Decision, Side, Sides, UserTree, decide, is_mirrored};
use crate::store::ETag;
use crate::task::{ContentView, FileName, FileView, GitSha, Status, TaskTable};

/// More files than this, and more than half of them, are only removed when somebody confirms it.
const FEW: usize = 5;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What the base is to say without anything being changed here.
    pub agreed: Vec<Agreed>,
    /// To be written or removed here, what is removed last.
    pub changes: Vec<Change>,
    /// To be committed.
    pub unpushed: Vec<Unpushed>,
    /// To be committed, if there weren't something in their place in Git that isn't a task's text.
    pub blocked: Vec<FileName>,
}

/// A file of which Git holds something else than the base says.
#[derive(Debug, Clone)]
pub(super) struct Agreed {
    pub name: FileName,
    /// What the base says, which must still be so when it is changed.
    pub before: Option<GitSha>,
    /// What Git holds.
    pub held: Option<GitSha>,
    /// Whether that is done, where that is known.
    pub done: Option<bool>,
}

impl Agreed {
    /// Writes it into the base.
    pub(super) fn note(&self, book: &mut Book) {
        match self.held {
            Some(held) => book.hold(&self.name, held, self.done),
            None => book.drop(&self.name),
        }
    }
}

/// A file to be changed here.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub name: FileName,
    pub kind: Kind,
    /// What the base says, which must still be so when it is changed.
    pub base: Option<GitSha>,
    /// The version that is there, if one is.
    pub etag: Option<ETag>,
}

/// What becomes of a file here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It becomes Git's.
    Take(GitSha),
    /// It becomes Git's and ours together.
    Merge(Option<GitSha>, GitSha),
    /// It goes.
    Remove,
}

/// A file that Git doesn't have as it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpushed {
    pub name: FileName,
    pub sha: GitSha,
    pub etag: ETag,
    /// What Git has instead.
    pub replaces: Option<GitSha>,
}

/// Files of these that never go to Git, because nothing of their name would be taken back from there.
pub(super) fn unmirrored(table: &TaskTable) -> Vec<FileName> {
    let there = table.iter().filter(|file| !file.is_settled());
    let names = there.filter_map(|file| file.name.parse().ok());
    names.filter(|name| !is_mirrored(name)).collect()
}

impl Plan {
    /// By what `git.json` says, what the store has, and what Git has.
    pub(super) fn of(book: &Book, table: &TaskTable, tree: &UserTree) -> Self {
        let mut plan = Self::default();
        let noted = book.files.keys().chain(book.pushing.names());
        let ours = table.iter().filter_map(|file| file.name.parse().ok());
        let names: BTreeSet<FileName> = ours
            .chain(noted.filter_map(|name| name.parse().ok()))
            .chain(tree.files.keys().cloned())
            .collect();
        for name in names {
            let file = table.find(name.as_str());
            let sides = Sides {
                base: book.base(&name),
                pushing: book.pushing.of(&name),
                ours: file.as_ref().map_or(Side::Absent, side),
                theirs: tree.side(&name),
            };
            plan.add(name, file.as_ref(), &sides);
        }
        plan.changes
            .sort_by_key(|change| change.kind == Kind::Remove);
        plan.unpushed
            .retain(|it| !book.is_proposed(&it.name, it.sha));
        plan
    }

    fn add(&mut self, name: FileName, file: Option<&FileView<'_>>, sides: &Sides<'_>) {
        // A settled file's version is known to whoever puts a new one in its place.
        let there = file.filter(|file| !file.is_settled());
        let etag = there.map(|file| ETag::new(file.etag));
        let before = sides.base;
        let mut change = |name, kind| {
            let (base, etag) = (before, etag.clone());
            self.changes.push(Change {
                name,
                kind,
                base,
                etag,
            });
        };
        match decide(sides) {
            Decision::Nothing => {}
            Decision::Leave => {
                let is_ours = matches!(sides.ours, Side::Content(sha) if before != Some(sha));
                if is_ours && sides.theirs == Side::Other && is_mirrored(&name) {
                    self.blocked.push(name);
                }
            }
            Decision::Agreed(sha) => self.agreed.push(Agreed {
                name,
                before,
                held: Some(sha),
                done: Some(file.is_some_and(is_done)),
            }),
            Decision::Forget => self.agreed.push(Agreed {
                name,
                before,
                held: None,
                done: None,
            }),
            Decision::Take(theirs) => change(name, Kind::Take(theirs)),
            Decision::Merge { base, theirs } => change(name, Kind::Merge(base, theirs)),
            Decision::Remove => change(name, Kind::Remove),
            Decision::Unpushed(replaces) => {
                if before != replaces {
                    self.agreed.push(Agreed {
                        name: name.clone(),
                        before,
                        held: replaces,
                        done: None,
                    });
                }
                if let (Side::Content(sha), Some(etag)) = (sides.ours, etag) {
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

    /// Leaves out files whose base another look has moved meanwhile. Whether there were any.
    pub(super) fn keep_unmoved(&mut self, newer: &Book) -> bool {
        let before = self.len();
        self.agreed.retain(|it| newer.base(&it.name) == it.before);
        self.changes.retain(|it| newer.base(&it.name) == it.base);
        let rebased = |it: &Unpushed| self.agreed.iter().any(|agreed| agreed.name == it.name);
        self.unpushed
            .retain(|it| newer.base(&it.name) == it.replaces || rebased(it));
        self.len() < before
    }

    /// Leaves out files with these names. Whether there were any.
    pub(super) fn leave_out(&mut self, is_named: impl Fn(&FileName) -> bool) -> bool {
        let before = self.len();
        self.agreed.retain(|it| !is_named(&it.name));
        self.changes.retain(|it| !is_named(&it.name));
        self.unpushed.retain(|it| !is_named(&it.name));
        self.len() < before
    }

    fn len(&self) -> usize {
        self.agreed.len() + self.changes.len() + self.unpushed.len()
    }

    /// The files that only go when somebody confirms it: those that were `held` before, and all that would go at
    /// once when they are, with those that this sync has `removed_before`, more than half of what Git held `before` it. One that has another name in Git now
    /// doesn't go.
    pub(super) fn to_confirm(
        &self,
        held: &BTreeSet<String>,
        before: &BTreeMap<String, GitSha>,
        removed_before: &BTreeSet<FileName>,
        tree: &UserTree,
    ) -> BTreeSet<FileName> {
        let removed = self.changes.iter().filter(|it| it.kind == Kind::Remove);
        let is_new = |name: &&FileName| !before.contains_key(name.as_str());
        let mut renamed: BTreeMap<GitSha, usize> = BTreeMap::new();
        for name in tree.files.keys().filter(is_new) {
            if let Side::Content(sha) = tree.side(name) {
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
        if all <= FEW || all * 2 <= before.len() {
            gone.retain(|it| held.contains(it.as_str()));
        }
        gone
    }

    /// [`GitMutation::NeverInGitIsGone`](super::GitMutation).
    pub(super) fn remove_what_git_never_had(&mut self) {
        let gone = self.unpushed.extract_if(.., |it| it.replaces.is_none());
        self.changes.extend(gone.map(|it| Change {
            name: it.name,
            kind: Kind::Remove,
            base: None,
            etag: Some(it.etag),
        }));
    }

    /// These files don't go.
    pub(super) fn keep(&mut self, files: &BTreeSet<FileName>) {
        self.changes
            .retain(|it| it.kind != Kind::Remove || !files.contains(&it.name));
    }

    /// Nothing goes.
    pub(super) fn keep_all(&mut self) {
        self.changes.retain(|it| it.kind != Kind::Remove);
    }
}

/// What the store doesn't share with Git yet, as far as `git.json` can tell without a look at Git.
pub(super) fn unpushed(book: &Book, table: &TaskTable) -> Vec<Unpushed> {
    let as_known = UserTree {
        files: book
            .files
            .iter()
            .filter_map(|(name, sha)| Some((name.parse().ok()?, Side::Content(*sha))))
            .collect(),
        ..UserTree::default()
    };
    Plan::of(book, table, &as_known).unpushed
}

fn side(file: &FileView<'_>) -> Side {
    match (file.is_settled(), file.sha) {
        (true, _) => Side::Absent,
        (false, Some(sha)) => Side::Content(sha),
        (false, None) => Side::Other,
    }
}

/// Whether a file says that its task is done.
pub(super) fn is_done(file: &FileView<'_>) -> bool {
    matches!(file.content, ContentView::Task(task) if task.status == Status::Abgeschlossen)
}
