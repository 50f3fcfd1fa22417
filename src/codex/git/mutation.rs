//! Deliberate defects, one for each rule that keeps the store and the repository right: the simulation of the Git
//! engine switches them on at run time and must find each. Without the feature `mutations` every question for one is
//! answered by a constant, and nothing of them is left in the binary.

use super::Git;
#[cfg(feature = "mutations")]
use crate::github::{GitSnapshot, SkipCode};
use crate::github::{Side, UserTree};
use crate::task::GitSha;
#[cfg(feature = "mutations")]
use crate::task::{SETTLED_FILE, git_sha};

/// A rule of the Git engine that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitMutation {
    /// What stands in the place of a task file, and is none, counts as gone.
    PassedOverIsAbsent,
    /// What stands in the place of a folder, and is none, counts as an empty folder.
    NoFolderIsEmpty,
    /// Whatever head is shown is taken for the newest.
    AnyHead,
    /// Commits made here aren't noted with the base.
    OwnCommitIsForgotten,
    /// Removals are counted against what there is with all that comes in, too.
    GuardCountsLater,
    /// Removals that were held are judged anew.
    HeldIsForgotten,
    /// A merged pull request doesn't tell what Git's content came from.
    ReviewIsUndone,
    /// Nobody asks what became of a pull request that left the folder as it was.
    QuietMergeIsMissed,
    /// The text that stands for an absent file is a task file in the repository.
    SettledIsAFile,
    /// The base says that the store has Git's content before it was written.
    BaseBeforeWrite,
    /// What is about to be committed isn't noted.
    PushIsNotNoted,
    /// What is about to be taken isn't noted.
    TakeIsNotNoted,
    /// A hint is removed whatever it says.
    HintOfOthersGoes,
    /// What Git never had is removed, too.
    NeverInGitIsGone,
}

impl GitMutation {
    /// Every one.
    #[cfg(feature = "mutations")]
    pub const ALL: [Self; 14] = [
        Self::PassedOverIsAbsent,
        Self::NoFolderIsEmpty,
        Self::AnyHead,
        Self::OwnCommitIsForgotten,
        Self::GuardCountsLater,
        Self::HeldIsForgotten,
        Self::ReviewIsUndone,
        Self::QuietMergeIsMissed,
        Self::SettledIsAFile,
        Self::BaseBeforeWrite,
        Self::PushIsNotNoted,
        Self::TakeIsNotNoted,
        Self::HintOfOthersGoes,
        Self::NeverInGitIsGone,
    ];
}

impl Git {
    /// Whether this rule is broken on purpose.
    #[cfg(feature = "mutations")]
    pub(super) fn breaks(&self, mutation: GitMutation) -> bool {
        self.mutation.get() == Some(&mutation)
    }

    #[cfg(not(feature = "mutations"))]
    pub(super) const fn breaks(&self, _: GitMutation) -> bool {
        false
    }

    /// What a look that breaks a rule sees.
    #[cfg(feature = "mutations")]
    pub(super) fn misread(&self, snapshot: &mut GitSnapshot) {
        for tree in snapshot.tree.users.values_mut() {
            if self.breaks(GitMutation::PassedOverIsAbsent) {
                tree.files.retain(|_, side| *side != Side::Other);
            }
            if self.breaks(GitMutation::NoFolderIsEmpty) {
                tree.closed = false;
            }
            if self.breaks(GitMutation::SettledIsAFile) {
                let settled = tree
                    .skipped
                    .iter()
                    .filter(|it| it.code == SkipCode::NotATask);
                let names = settled.filter_map(|it| it.file.rsplit('/').next()?.parse().ok());
                let content = Side::Content(git_sha(SETTLED_FILE.as_bytes()));
                let read = names.map(|name| (name, content)).collect::<Vec<_>>();
                tree.files.extend(read);
            }
        }
    }
}

/// [`GitMutation::GuardCountsLater`]: what Git has now.
pub(super) fn newcomers(tree: &UserTree) -> impl Iterator<Item = (String, GitSha)> {
    let files = tree.files.keys();
    files.filter_map(|name| match tree.side(name) {
        Side::Content(sha) => Some((name.to_string(), sha)),
        _ => None,
    })
}
