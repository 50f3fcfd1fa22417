//! PURE. Three-way reconciliation of one file: the last known Git content (base), the store's and Git's current one
//! (`src/git_sync/README.md`, "Three contents, one decision").

use crate::task::GitSha;

/// The three states of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconcileInput<'a> {
    /// The content that both sides last agreed on; `None` when there is none.
    pub base: Option<GitSha>,
    /// Contents of our own pushes whose outcome isn't known yet: where Git has one of them, it counts as the base.
    pub pushing: &'a [GitSha],
    /// The store's state.
    pub ours: SideState,
    /// Git's current state.
    pub theirs: SideState,
    /// The file was removed through the service, and Git isn't known to lack it since.
    pub removed: bool,
}

/// The state of a file on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideState {
    /// The file doesn't exist.
    Absent,
    /// The file has this content.
    Content(GitSha),
    /// Something that can't be a task file, or whose state is unknown.
    Other,
}

/// The action for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconcileAction {
    /// Base, store and Git are the same.
    NoChange,
    /// Both sides have this content: set the base to it.
    Agreed(GitSha),
    /// Neither side has the file: drop the base.
    ForgetBase,
    /// Write Git's content to the store.
    Take(GitSha),
    /// Remove the file from the store: it was removed in Git, and is unchanged here.
    Remove,
    /// The store's content isn't in Git yet; holds the content it replaces there.
    Unpushed(Option<GitSha>),
    /// The file was removed through the service, and Git still has this content.
    UnpushedRemoval(GitSha),
    /// Both sides changed the file.
    Merge {
        /// The common base, if known.
        base: Option<GitSha>,
        /// Git's content.
        theirs: GitSha,
    },
    /// A side is [`SideState::Other`]: leave the file as it is.
    Skip,
}

/// Decides what to do with one file.
pub fn decide(sides: &ReconcileInput<'_>) -> ReconcileAction {
    use SideState::{Absent, Content, Other};
    match (sides.ours, sides.theirs) {
        (Other, _) | (_, Other) => ReconcileAction::Skip,
        (Absent, Absent) => match sides.base {
            None => ReconcileAction::NoChange,
            Some(_) => ReconcileAction::ForgetBase,
        },
        (Absent, Content(theirs))
            if sides.removed && (sides.base == Some(theirs) || sides.pushing.contains(&theirs)) =>
        {
            ReconcileAction::UnpushedRemoval(theirs)
        }
        // The file was never here, or changed in Git after it was removed here, or an editor removed it here. A removal
        // outside the API isn't pushed: Git wins.
        (Absent, Content(theirs)) => ReconcileAction::Take(theirs),
        (Content(ours), Absent) if sides.base == Some(ours) => ReconcileAction::Remove,
        (Content(_), Absent) => ReconcileAction::Unpushed(None),
        (Content(ours), Content(theirs)) if ours == theirs => match sides.base {
            Some(base) if base == theirs && !sides.pushing.contains(&theirs) => {
                ReconcileAction::NoChange
            }
            _ => ReconcileAction::Agreed(theirs),
        },
        (Content(ours), Content(theirs)) => {
            let own_push = sides.pushing.contains(&theirs);
            let base = if own_push { Some(theirs) } else { sides.base };
            match base {
                Some(base) if base == ours => ReconcileAction::Take(theirs),
                Some(base) if base == theirs => ReconcileAction::Unpushed(Some(theirs)),
                base => ReconcileAction::Merge { base, theirs },
            }
        }
    }
}
