//! Mutation testing: deliberate defects, one for each invariant of the synchronisation. The simulation of the Git
//! engine breaks one at a time and must detect each. Without the feature `mutations` every check for one is a constant
//! and compiles to nothing.

use crate::github::{GitSnapshot, SideState, SkipCode};
use crate::rules::{Rules, mutations};
use crate::task::{TOMBSTONE_FILE, git_sha};

mutations! {
    /// A broken rule of the Git engine.
    pub enum GitMutation {
        /// Something in a task file's place that isn't a plain file counts as absent.
        SkippedCountsAsAbsent,
        /// Something in a folder's place that isn't a folder counts as an empty folder.
        NonFolderCountsAsEmpty,
        /// Any head counts as the newest one.
        AnyHead,
        /// Own commits aren't recorded with the base.
        OwnCommitNotRecorded,
        /// The guard counts removals against the previous files together with the new ones.
        GuardCountsNewFiles,
        /// Held removals are judged anew.
        HeldRemovalsForgotten,
        /// A merged pull request isn't recorded as the base of Git's content.
        ReviewUndone,
        /// Pull requests that were merged without a change of the folder are never checked.
        QuietMergeMissed,
        /// A tombstone in the repository counts as a task file.
        TombstoneCountsAsTask,
        /// The base is moved before Git's content is written to the store.
        BaseBeforeWrite,
        /// A push is started without recording it.
        PushIntentNotRecorded,
        /// An inbound write is started without recording it.
        InboundWriteNotRecorded,
        /// A hint is removed without comparing its version.
        HintDeletedUnconditionally,
        /// That a file was removed through the service isn't known to the engine.
        ApiRemovalForgotten,
        /// A file that was never in Git is removed.
        LocalOnlyFileRemoved,
    }
}

/// The snapshot as the rules about reading trees let it be read; another one only where such a rule is broken.
pub(super) fn read_by(rules: Rules<GitMutation>, mut snapshot: GitSnapshot) -> GitSnapshot {
    if !cfg!(feature = "mutations") {
        return snapshot;
    }
    for tree in snapshot.tree.users.values_mut() {
        if rules.breaks(GitMutation::SkippedCountsAsAbsent) {
            tree.files.retain(|_, side| *side != SideState::Other);
        }
        if rules.breaks(GitMutation::NonFolderCountsAsEmpty) {
            tree.closed = false;
        }
        if rules.breaks(GitMutation::TombstoneCountsAsTask) {
            let content = SideState::Content(git_sha(TOMBSTONE_FILE.as_bytes()));
            let tombstones = tree.skipped.iter();
            let tombstones = tombstones.filter(|it| it.code == SkipCode::NotATask);
            let names = tombstones.filter_map(|it| it.file.rsplit('/').next()?.parse().ok());
            tree.files.extend(names.map(|name| (name, content)));
        }
    }
    snapshot
}
