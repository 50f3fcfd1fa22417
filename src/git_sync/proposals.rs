//! Pushes changes by pull requests instead of commits to the mirrored branch (`src/git_sync/README.md`,
//! "Pull requests").

use std::ops::ControlFlow;

use serde_json::Map;

use super::branch::MergeState;
use super::engine::UserSync;
use super::next_step::{BranchUse, branch_names, foreign_content};
use super::outgoing::{self, OutgoingFile, PushOutcome, PushStep};
use super::plan::{Unpushed, UnpushedContent};
use super::report::{GitSyncError, replica_lag_error};
use super::reviews;
use super::sync_state::{PullNote, UserSyncState};
use crate::github::{
    Comparison, CreatedCommit, FileCommit, GitHubError, Pull, SideState, UserTree, merge,
};
use crate::task::{FileName, GitSha};
use crate::write::{BatchItem, FileOp, FileOutcome};

/// The outcome of proposing one change.
enum Proposal {
    /// It is on the branch of an open pull request.
    Done(PullNote, CreatedCommit),
    /// Git no longer has what the change replaces, or the local file was changed again.
    Stale,
    /// A reviewer changed the file on the recorded request's branch: to this content, in this commit.
    Reviewed { theirs: GitSha, commit: GitSha },
}

/// The branch that a change is committed to.
struct BranchTarget {
    branch: String,
    /// The file's content on the branch; `None` if it isn't there.
    on_branch: Option<GitSha>,
    /// The branch's open pull request; `None` if it has to be opened.
    pull: Option<Pull>,
}

/// Proposes a user's changes, by this `git.json` and the mirrored branch as it was read before.
#[derive(Clone, Copy)]
struct Proposals<'a> {
    sync: UserSync<'a>,
    sync_state: &'a UserSyncState,
    /// The prefix of the branches.
    prefix: &'a str,
    head: Option<GitSha>,
    tree: &'a UserTree,
}

/// Proposes each file on a branch and pull request of its own, or on the open one that the file has already.
pub(super) async fn propose(
    sync: UserSync<'_>,
    sync_state: &UserSyncState,
    prefix: &str,
    waiting: Vec<Unpushed>,
) -> Result<PushStep, GitSyncError> {
    let snapshot = sync.engine.branch.snapshot_after(sync_state, None).await?;
    let outgoing = outgoing::read(sync, sync_state, waiting).await?;
    if outgoing.is_empty() {
        return Ok(PushStep::Reconcile);
    }
    let proposals = Proposals {
        sync,
        sync_state,
        prefix,
        head: snapshot.commit(),
        tree: &*sync.tree(&snapshot).await?,
    };
    let Some(outgoing) = outgoing::record(sync, outgoing).await? else {
        return Ok(PushStep::Reconcile);
    };
    let mut sent = vec![];
    for it in &outgoing {
        let outcome = match proposals.propose_one(it).await {
            Ok(Proposal::Done(note, commit)) => {
                proposals.record_proposed(it, note, commit).await?;
                continue;
            }
            Ok(Proposal::Reviewed { theirs, commit }) => {
                match proposals.merge_review(it, theirs, commit).await {
                    Ok(()) => continue,
                    Err(error) => PushOutcome::Rejected(error),
                }
            }
            Ok(Proposal::Stale) => PushOutcome::Stale,
            // A lagging replica or unexpected answer concerns this request only: go on with the others.
            Err(GitSyncError::GitHub(error))
                if error != replica_lag_error()
                    && !matches!(error, GitHubError::Unexpected { .. }) =>
            {
                error.into()
            }
            Err(error) => PushOutcome::Rejected(error),
        };
        let unknown = matches!(outcome, PushOutcome::Unknown(_));
        sent.push((it, outcome));
        if unknown {
            break;
        }
    }
    outgoing::record_outcomes(sync, sent).await
}

impl Proposals<'_> {
    /// Commits a change to its branch and opens the pull request, where these aren't done yet.
    async fn propose_one(self, it: &OutgoingFile) -> Result<Proposal, GitSyncError> {
        let target = match self.open_pull_target(it).await? {
            ControlFlow::Break(proposal) => return Ok(proposal),
            ControlFlow::Continue(Some(target)) => Some(target),
            ControlFlow::Continue(None) => self.new_branch_target(it).await?,
        };
        let Some(target) = target else {
            return Ok(Proposal::Stale);
        };
        let committed = match target.on_branch == it.file.sha() {
            true => None,
            false => match self.commit_to(&target, it).await? {
                Some(commit) => Some(commit),
                None => return Ok(Proposal::Stale),
            },
        };
        let branch = target.branch;
        let pull = match target.pull {
            Some(pull) => pull,
            None => self.open_pull(&branch, &it.story.message()).await?,
        };
        let commit = match committed {
            Some(commit) => commit,
            None => CreatedCommit {
                sha: self.head_of(&branch).await?,
                html_url: pull.html_url.clone(),
                parent: None,
            },
        };
        let note = PullNote {
            branch,
            sha: it.file.sha().unwrap_or(GitSha::NULL),
            commit: Some(commit.sha),
            pull,
            unknown: Map::new(),
        };
        Ok(Proposal::Done(note, commit))
    }

    /// Commits the change to the branch. `None` if it is stale.
    async fn commit_to(
        self,
        target: &BranchTarget,
        it: &OutgoingFile,
    ) -> Result<Option<CreatedCommit>, GitSyncError> {
        let sync = self.sync;
        let name = &it.file.name;
        if let Some(content) = &it.file.content
            && sync.file(name, &content.etag).await?.is_none()
        {
            // The file was changed after it was read, and the branch may already have the newer content, pushed by
            // another instance. Only while the store still has this version is any own content on the branch older.
            return Ok(None);
        }
        let put = FileCommit {
            path: &sync.path(name),
            branch: Some(&target.branch),
            bytes: it.text.as_deref(),
            replaces: target.on_branch,
            message: &it.story.message(),
        };
        match PushOutcome::of(sync.engine.repository().commit_file(&put).await) {
            PushOutcome::Done(commit) => Ok(Some(commit)),
            PushOutcome::Stale => Ok(None),
            PushOutcome::Rejected(error) | PushOutcome::Unknown(error) => Err(error),
        }
    }

    /// Opens the branch's pull request, or finds the one that another instance opened first.
    async fn open_pull(self, branch: &str, title: &str) -> Result<Pull, GitSyncError> {
        let repository = self.sync.engine.repository();
        if let Some(pull) = repository.open_pull(branch, title).await? {
            return Ok(pull);
        }
        let seen = repository.find_pull(branch).await?;
        let pull = seen.map(|it| it.pull).filter(|it| it.open);
        pull.ok_or(GitSyncError::Contended)
    }

    /// The newest commit of a pull request's branch, which must exist.
    async fn head_of(self, branch: &str) -> Result<GitSha, GitHubError> {
        let (operation, status) = ("read a branch", 404);
        let head = self.sync.engine.repository().branch_head(branch).await?;
        head.ok_or(GitHubError::Denied { operation, status })
    }

    /// Looks up the open request that is recorded for the file, and the file's content on its branch; `None` if no open
    /// one is recorded.
    async fn open_pull_target(
        self,
        it: &OutgoingFile,
    ) -> Result<ControlFlow<Proposal, Option<BranchTarget>>, GitSyncError> {
        let (sync, engine) = (self.sync, self.sync.engine);
        let name = &it.file.name;
        let Some(note) = self.sync_state.pulls.get(name.as_str()) else {
            return Ok(ControlFlow::Continue(None));
        };
        let seen = engine.repository().pull(note.pull.number).await?;
        match engine.branch.merge_state(&seen, self.head).await? {
            MergeState::NotMerged => {}
            MergeState::Merged => {
                let merged = reviews::merged_pull(sync, name, note, seen.head).await?;
                reviews::record_merged(sync, &[merged]).await?;
                // Reconcile before proposing again.
                return Ok(ControlFlow::Break(Proposal::Stale));
            }
            MergeState::MergedSince => return Err(replica_lag_error().into()),
        }
        if !seen.pull.open {
            return Ok(ControlFlow::Continue(None));
        }
        // A head behind the own commit comes from a lagging replica; a diverged one was rewritten by a reviewer.
        let commit = self.head_of(&note.branch).await?;
        if let Some(before) = note.commit
            && engine.branch.compare(before, commit).await? == Comparison::Behind
        {
            return Err(replica_lag_error().into());
        }
        let on_branch = sync.sha_in_git(name, &commit.to_string()).await?;
        // A removal is one of a reviewer's text, too: the branch's history keeps that.
        if let Some(sha) = it.file.sha()
            && let Some(theirs) = foreign_content(on_branch, [note.sha, sha])
        {
            // Unknown content isn't necessarily a reviewer's: it may be an own push whose answer was lost, or one by
            // another instance since `sync_state` was read. Re-read the sync state to tell them apart.
            let newer = sync.state().await?;
            let is_own =
                newer.pushing.of(name).contains(&theirs) || newer.is_proposed(name, Some(theirs));
            if !is_own {
                return Ok(ControlFlow::Break(Proposal::Reviewed { theirs, commit }));
            }
        }
        Ok(ControlFlow::Continue(Some(BranchTarget {
            branch: note.branch.clone(),
            on_branch,
            pull: Some(seen.pull),
        })))
    }

    /// Both the reviewer and the local user changed the file since it was proposed: merges both into the local file,
    /// with the proposed content as base. A later step proposes the result.
    async fn merge_review(
        self,
        it: &OutgoingFile,
        on_branch: GitSha,
        commit: GitSha,
    ) -> Result<(), GitSyncError> {
        let (sync, engine) = (self.sync, self.sync.engine);
        let Unpushed { name, content, .. } = &it.file;
        let Some(UnpushedContent { etag, .. }) = content else {
            return Ok(());
        };
        let note = self.sync_state.pulls.get(name.as_str());
        let Some(proposed) = note.map(|note| note.sha) else {
            return Ok(());
        };
        let theirs = engine.blob_in_git(on_branch).await?;
        let base = engine.repository().blob(proposed).await?;
        let Some(ours) = sync.file(name, etag).await? else {
            return Ok(());
        };
        let merged = merge(name, base.as_deref(), &ours.bytes, &theirs);
        if merged.bytes != ours.bytes {
            let change = BatchItem {
                name: name.clone(),
                operation: FileOp::Replace {
                    bytes: merged.bytes.into(),
                    etag: etag.clone(),
                    writes: ours.writes,
                },
                merged: merged.conflicts,
                write: None,
            };
            let done = sync.write(engine.clock(), "review", vec![change]).await?;
            if done.outcomes != [FileOutcome::Done] {
                return Ok(());
            }
        }
        // Record the reviewer's content as proposed only after the merge is stored. A crash before that merges once
        // more, which is harmless; the other order would overwrite the review.
        let note = |sync_state: &mut UserSyncState| {
            if let Some(note) = sync_state.pulls.get_mut(name.as_str())
                && note.sha == proposed
            {
                note.sha = on_branch;
                note.commit = Some(commit);
            }
        };
        sync.update(note).await.map(drop)
    }

    /// Creates a branch for a new request. An existing branch is reused only if the sync state names it as this file's
    /// (left by an interrupted push) and the file on it is unchanged or an own content. `None` when Git no longer has
    /// what the change replaces, or another instance has recorded a request, or another branch for one, since
    /// `sync_state` was read.
    async fn new_branch_target(
        self,
        it: &OutgoingFile,
    ) -> Result<Option<BranchTarget>, GitSyncError> {
        let sync = self.sync;
        let (name, repository) = (&it.file.name, sync.engine.repository());
        let replaces = it.file.replaces;
        let replaces = replaces.map_or(SideState::Absent, SideState::Content);
        let Some(head) = self.head.filter(|_| self.tree.side(name) == replaces) else {
            return Ok(None);
        };
        let mut recorded = self.sync_state.proposing.get(name.as_str()).cloned();
        let first = it.story.branch(self.prefix, sync.user);
        let content = it.file.sha().or(it.file.replaces).unwrap_or(head);
        for branch in branch_names(&first, recorded.as_deref(), content, head) {
            let exists = repository.branch_head(&branch).await?.is_some();
            // Read after the branch check: another instance may have created the branch for this file in between.
            let newer = sync.state().await?;
            if self.is_superseded(name, &newer, recorded.as_deref()) {
                return Ok(None);
            }
            let branch_use = BranchUse::of(exists, recorded.as_ref() == Some(&branch));
            match branch_use {
                BranchUse::Skip => continue,
                BranchUse::Resume => {}
                BranchUse::RecordAndCreate => {
                    let before = recorded.replace(branch.clone());
                    if !self.record_branch(name, before, &branch, head).await? {
                        return Ok(None);
                    }
                }
            }
            // A branch that appeared since the check belongs to another instance that proposes the same change.
            let is_new = repository.create_branch(&branch, head).await?;
            let on_branch = sync.sha_in_git(name, &branch).await?;
            let target = |pull| BranchTarget {
                branch: branch.clone(),
                on_branch,
                pull,
            };
            if is_new && branch_use == BranchUse::RecordAndCreate {
                return Ok(Some(target(None)));
            }
            let newer = sync.state().await?;
            if self.is_superseded(name, &newer, recorded.as_deref()) {
                return Ok(None);
            }
            let sent = newer.pushing.of(name).iter().copied();
            if foreign_content(on_branch, sent.chain(it.file.replaces)).is_some() {
                continue;
            }
            let pull = self.open_pull_of(&branch, head).await?;
            return Ok(Some(target(pull)));
        }
        Err(GitSyncError::Contended)
    }

    /// Records the branch for the file's request in place of the one `before`. `false` if it is superseded.
    async fn record_branch(
        self,
        name: &FileName,
        before: Option<String>,
        branch: &str,
        head: GitSha,
    ) -> Result<bool, GitSyncError> {
        let note = |newer: &mut UserSyncState| {
            if !self.is_superseded(name, newer, before.as_deref()) {
                newer.begin_proposing(name, branch, head);
            }
        };
        let newer = self.sync.update(note).await?;
        Ok(!self.is_superseded(name, &newer, Some(branch)))
    }

    /// Whether another instance has recorded a request for the file since `sync_state` was read, or another branch than
    /// the `recorded` one.
    fn is_superseded(self, name: &FileName, newer: &UserSyncState, recorded: Option<&str>) -> bool {
        let key = name.as_str();
        newer.pulls.get(key) != self.sync_state.pulls.get(key)
            || newer.proposing.get(key).map(String::as_str) != recorded
    }

    /// The open request of an own branch. One that was merged after `head` was read is treated as replica lag: `head`
    /// lacks its contents.
    async fn open_pull_of(self, branch: &str, head: GitSha) -> Result<Option<Pull>, GitSyncError> {
        let engine = self.sync.engine;
        let Some(seen) = engine.repository().find_pull(branch).await? else {
            return Ok(None);
        };
        match engine.branch.merge_state(&seen, Some(head)).await? {
            MergeState::MergedSince => Err(replica_lag_error().into()),
            MergeState::Merged | MergeState::NotMerged => Ok(Some(seen.pull).filter(|it| it.open)),
        }
    }

    async fn record_proposed(
        self,
        it: &OutgoingFile,
        note: PullNote,
        commit: CreatedCommit,
    ) -> Result<(), GitSyncError> {
        let (sync, name) = (self.sync, &it.file.name);
        tracing::info!(user = %sync.user, op = "propose", task = %name.id(), pull = note.pull.number, "proposed");
        sync.remember(&it.file, (commit, Some(note.pull.clone())));
        // The content stays in `pushing`: if a tree shows it later, it came from this request.
        let change = |sync_state: &mut UserSyncState| sync_state.propose(name, note.clone());
        sync.update(change).await.map(drop)
    }
}
