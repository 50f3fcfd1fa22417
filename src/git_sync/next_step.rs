//! PURE. What a push and the synchronisation of a queued user do next (`src/git_sync/README.md`, "Out"), and which
//! branch a change is proposed on ("Pull requests").

use super::report::UserReport;
use crate::task::GitSha;

/// Up to this many files get a commit each; more share one.
pub(super) const MAX_SINGLE_COMMITS: usize = 10;

/// The highest number suffix of a branch name, for names taken by branches that were never deleted. After that the
/// suffix is the content's SHA, or where that was proposed before, the SHA of the commit the branch is made from.
const MAX_COUNTED: u32 = 3;

/// What a push finds before its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushSituation {
    /// Files to commit.
    pub waiting: usize,
    /// Whether an earlier push of one of them has an unknown outcome.
    pub unresolved: bool,
    /// Whether the user's folder was renamed in Git.
    pub renamed: bool,
    /// Whether this push has reconciled already.
    pub reconciled: bool,
    /// Whether changes go into pull requests.
    pub proposes: bool,
}

/// The next step of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushChoice {
    /// Nothing is left to push.
    Done,
    /// Reconcile first.
    Reconcile,
    /// Propose each file in a pull request.
    Propose,
    /// Commit each file by itself.
    CommitEach,
    /// Commit all files together.
    CommitTogether,
}

impl PushSituation {
    /// Decides.
    pub fn choose(self) -> PushChoice {
        // Resolve the outcome of earlier pushes first, or unresolved ones would pile up. And if the user's folder was
        // renamed in Git, reconcile instead of creating a second folder.
        let must_reconcile = !self.reconciled && (self.unresolved || self.renamed);
        match self.waiting {
            0 => PushChoice::Done,
            _ if must_reconcile => PushChoice::Reconcile,
            _ if self.proposes => PushChoice::Propose,
            1..=MAX_SINGLE_COMMITS => PushChoice::CommitEach,
            _ => PushChoice::CommitTogether,
        }
    }
}

/// The result of refreshing the recorded pull requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullsOutcome {
    /// The state of each is known, and none has ended in a way that changes anything here.
    Known,
    /// At least one was merged, or one that removes a file was closed: Git's current contents have to be reconciled
    /// again.
    Ended,
    /// At least one was merged after the branch was read.
    MergedSince,
}

/// What follows after a part of one user's synchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainChoice {
    /// The part left nothing to do: go on with the next one.
    GoOn,
    /// Start again with another pass.
    Again,
    /// Leave the rest to a later run; the hint stays.
    Leave,
}

impl DrainChoice {
    /// After the pass with this report.
    pub fn after_pass(report: &UserReport) -> Self {
        match report {
            report if report.unfinished => Self::Leave,
            report if report.leaves_work() => Self::Again,
            _ => Self::GoOn,
        }
    }

    /// After the recorded pull requests were refreshed.
    pub fn after_pulls(outcome: PullsOutcome) -> Self {
        match outcome {
            PullsOutcome::Known => Self::GoOn,
            PullsOutcome::Ended => Self::Again,
            PullsOutcome::MergedSince => Self::Leave,
        }
    }

    /// After the pass was recorded in the repository's state, or wasn't because that has changed. A fetch that
    /// `arrived` during the pass saw the folder that was recorded before, and may have a newer snapshot.
    pub fn after_recording(recorded: bool, arrived: bool) -> Self {
        match recorded && !arrived {
            true => Self::GoOn,
            false => Self::Again,
        }
    }
}

/// The names to try for a new request's branch, in this order. First the one that is `recorded`: it may have an open
/// request whose answer was lost.
pub fn branch_names(
    first: &str,
    recorded: Option<&str>,
    content: GitSha,
    head: GitSha,
) -> Vec<String> {
    let counted = (2..=MAX_COUNTED).map(|number| format!("{first}-{number}"));
    let named = [content, head].map(|sha| format!("{first}-{:.7}", sha.to_string()));
    let others = std::iter::once(first.to_owned())
        .chain(counted)
        .chain(named);
    let others = others.filter(|it| Some(it.as_str()) != recorded);
    recorded
        .map(str::to_owned)
        .into_iter()
        .chain(others)
        .collect()
}

/// What is done with a branch of one of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchUse {
    /// It is another change's or person's: try the next name.
    Skip,
    /// Record it, then create it.
    RecordAndCreate,
    /// It is recorded for this file, by an interrupted push: create it if it isn't there, and go on with it.
    Resume,
}

impl BranchUse {
    /// Decides, by whether the branch exists, and whether it is recorded for this file.
    pub fn of(exists: bool, is_recorded: bool) -> Self {
        match (exists, is_recorded) {
            (_, true) => Self::Resume,
            (true, false) => Self::Skip,
            (false, false) => Self::RecordAndCreate,
        }
    }
}

/// The content of the file on a branch, if it is neither absent nor one of the `own` ones: then it is a reviewer's, or
/// that of another change.
pub fn foreign_content(
    on_branch: Option<GitSha>,
    own: impl IntoIterator<Item = GitSha>,
) -> Option<GitSha> {
    let mut own = own.into_iter();
    on_branch.filter(|sha| own.all(|it| it != *sha))
}
