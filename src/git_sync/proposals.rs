//! Pushes changes by pull requests instead of commits to the mirrored branch (`src/git_sync/README.md`,
//! "Pull requests").

use std::ops::ControlFlow;

use super::branch::MergeState;
use super::commits::PublishedCommit;
use super::error::{GitSyncError, replica_lag_error};
use super::outgoing::{Outgoing, OutgoingFile, PushOutcome, PushStep};
use super::plan::Unpushed;
use super::proposal_branch::{BranchUse, branch_names, foreign_content};
use super::reviews::Reviews;
use super::sync_state::{PullNote, UserSyncState};
use crate::github::{Comparison, FileCommit, GitHubError, Pull, SideState, UserTree, merge};
use crate::task::{FileName, GitSha};
use crate::write::{BatchItem, FileOp, FileOutcome};

/// The mirrored branch, as read before anything is proposed.
#[derive(Clone, Copy)]
struct MirroredBranch<'a> {
    head: Option<GitSha>,
    tree: &'a UserTree,
}

/// The outcome of proposing one change.
enum Proposal {
    Done(ProposedChange),
    /// Git no longer has what the change replaces, or the local file was changed again.
    Stale,
    Reviewed(Review),
}

/// A reviewer's change of the file on a request's branch.
struct Review {
    /// The content that was proposed: the merge base.
    proposed: GitSha,
    /// The reviewer's content.
    on_branch: GitSha,
    /// The branch's head with it.
    commit: GitSha,
}

/// The branch that a change is committed to.
struct BranchTarget {
    branch: String,
    /// The file's content on the branch; `None` if it isn't there.
    on_branch: Option<GitSha>,
    /// The branch's open pull request; `None` if it has to be opened.
    pull: Option<Pull>,
}

/// A change that is on the branch of an open pull request.
struct ProposedChange {
    branch: String,
    published: PublishedCommit,
    pull: Pull,
}

/// Proposes a user's changes, by this `git.json`.
#[derive(Clone, Copy)]
pub(super) struct Proposals<'a> {
    pub out: Outgoing<'a>,
    pub sync_state: &'a UserSyncState,
    /// The prefix of the branches.
    pub prefix: &'a str,
}

impl Proposals<'_> {
    /// Proposes each file on a branch and pull request of its own, or on the open one that the file has already.
    pub(super) async fn propose(self, waiting: Vec<Unpushed>) -> Result<PushStep, GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let snapshot = engine.branch.snapshot_after(self.sync_state, None).await?;
        let outgoing = self.out.read(self.sync_state, waiting).await?;
        if outgoing.is_empty() {
            return Ok(PushStep::Reconcile);
        }
        let tree = engine.user_tree(&snapshot, user).await?;
        let mirrored = MirroredBranch {
            head: snapshot.commit(),
            tree: &tree,
        };
        let Some(outgoing) = self.out.record(outgoing).await? else {
            return Ok(PushStep::Reconcile);
        };
        let mut sent = vec![];
        for it in &outgoing {
            let outcome = match self.propose_one(it, mirrored).await {
                Ok(Proposal::Done(proposed)) => {
                    self.record_proposed(it, proposed).await?;
                    continue;
                }
                Ok(Proposal::Reviewed(review)) => match self.merge_review(it, review).await {
                    Ok(()) => continue,
                    Err(error) => PushOutcome::Rejected(error),
                },
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
            let unknown = outcome.is_unknown();
            sent.push((it, outcome));
            if unknown {
                break;
            }
        }
        self.out.record_outcomes(sent).await
    }

    /// Commits a change to its branch and opens the pull request, where these aren't done yet.
    async fn propose_one(
        self,
        it: &OutgoingFile,
        mirrored: MirroredBranch<'_>,
    ) -> Result<Proposal, GitSyncError> {
        let target = match self.open_pull_target(it, mirrored.head).await? {
            ControlFlow::Break(proposal) => return Ok(proposal),
            ControlFlow::Continue(Some(target)) => Some(target),
            ControlFlow::Continue(None) => {
                let theirs = mirrored.tree.side(&it.file.name);
                let replaces = it.file.replaces;
                let replaces = replaces.map_or(SideState::Absent, SideState::Content);
                match mirrored.head.filter(|_| theirs == replaces) {
                    Some(head) => self.new_branch_target(it, head).await?,
                    None => None,
                }
            }
        };
        let Some(target) = target else {
            return Ok(Proposal::Stale);
        };
        let published = match target.on_branch == Some(it.file.sha) {
            true => None,
            false => match self.commit_to(&target, it).await? {
                Some(published) => Some(published),
                None => return Ok(Proposal::Stale),
            },
        };
        let branch = target.branch;
        let pull = match target.pull {
            Some(pull) => pull,
            None => self.open_pull(&branch, &it.story.message()).await?,
        };
        let published = match published {
            Some(published) => published,
            None => PublishedCommit {
                commit: self.head_of(&branch).await?,
                html_url: pull.html_url.clone(),
                parent: None,
                pull: None,
            },
        };
        Ok(Proposal::Done(ProposedChange {
            branch,
            published,
            pull,
        }))
    }

    /// Commits the change to the branch. `None` if it is stale.
    async fn commit_to(
        self,
        target: &BranchTarget,
        it: &OutgoingFile,
    ) -> Result<Option<PublishedCommit>, GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let (name, etag) = (&it.file.name, &it.file.etag);
        if engine.file(user, name, etag).await?.is_none() {
            // The file was changed after it was read, and the branch may already have the newer content, pushed by
            // another instance. Only while the store still has this version is any own content on the branch older.
            return Ok(None);
        }
        let put = FileCommit {
            path: &engine.path(user, name),
            branch: Some(&target.branch),
            bytes: &it.text,
            replaces: target.on_branch,
            message: &it.story.message(),
        };
        match PushOutcome::of(engine.repository.put_file(&put).await) {
            PushOutcome::Done(published) => Ok(Some(published)),
            PushOutcome::Stale => Ok(None),
            PushOutcome::Rejected(error) | PushOutcome::Unknown(error) => Err(error),
        }
    }

    /// Opens the branch's pull request, or finds the one that another instance opened first.
    async fn open_pull(self, branch: &str, title: &str) -> Result<Pull, GitSyncError> {
        let repository = &self.out.engine.repository;
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
        let head = self.out.engine.repository.branch_head(branch).await?;
        head.ok_or(GitHubError::Denied { operation, status })
    }

    /// Looks up the open request that is recorded for the file, and the file's content on its branch; `None` if no open
    /// one is recorded.
    async fn open_pull_target(
        self,
        it: &OutgoingFile,
        head: Option<GitSha>,
    ) -> Result<ControlFlow<Proposal, Option<BranchTarget>>, GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let name = &it.file.name;
        let Some(note) = self.sync_state.pulls.get(name.as_str()) else {
            return Ok(ControlFlow::Continue(None));
        };
        let seen = engine.repository.pull(note.pull.number).await?;
        match engine.branch.merge_state(&seen, head).await? {
            MergeState::NotMerged => {}
            MergeState::Merged => {
                let reviews = Reviews { engine, user };
                let merged = reviews.merged_pull(name, note, seen.head).await?;
                reviews.record_merged(&[merged]).await?;
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
        if let Some(before) = note.commit {
            match engine.branch.ask(|it| it.compare(before, commit)).await? {
                Comparison::Identical | Comparison::Ahead | Comparison::Diverged => {}
                Comparison::Behind | Comparison::Unknown => return Err(replica_lag_error().into()),
            }
        }
        let at = commit.to_string();
        let on_branch = engine.sha_in_git(user, name, &at).await?;
        let proposed = note.sha;
        if let Some(on_branch) = foreign_content(on_branch, [proposed, it.file.sha]) {
            // Unknown content isn't necessarily a reviewer's: it may be an own push whose answer was lost, or one by
            // another instance since `sync_state` was read. Re-read the sync state to tell them apart.
            let newer = engine.states.of(user).await?;
            let is_own =
                newer.pushing.of(name).contains(&on_branch) || newer.is_proposed(name, on_branch);
            if !is_own {
                let review = Review {
                    proposed,
                    on_branch,
                    commit,
                };
                return Ok(ControlFlow::Break(Proposal::Reviewed(review)));
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
    async fn merge_review(self, it: &OutgoingFile, review: Review) -> Result<(), GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let Unpushed { name, etag, .. } = &it.file;
        let theirs = engine.blob_in_git(review.on_branch).await?;
        let base = engine.repository.blob(review.proposed).await?;
        let Some(ours) = engine.file(user, name, etag).await? else {
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
            let now = (engine.clock)();
            let done = engine.write(user, now, "review", vec![change]).await?;
            if done.outcomes != [FileOutcome::Done] {
                return Ok(());
            }
        }
        // Record the reviewer's content as proposed only after the merge is stored. A crash before that merges once
        // more, which is harmless; the other order would overwrite the review.
        let note = |sync_state: &mut UserSyncState| {
            if let Some(note) = sync_state.pulls.get_mut(name.as_str())
                && note.sha == review.proposed
            {
                note.sha = review.on_branch;
                note.commit = Some(review.commit);
            }
        };
        engine.states.update(user, note).await.map(drop)
    }

    /// Creates a branch for a new request. An existing branch is reused only if the sync state names it as this file's
    /// (left by an interrupted push) and the file on it is unchanged or an own content. `None` when another instance
    /// has recorded a request, or another branch for one, since `sync_state` was read.
    async fn new_branch_target(
        self,
        it: &OutgoingFile,
        head: GitSha,
    ) -> Result<Option<BranchTarget>, GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let (name, repository) = (&it.file.name, &engine.repository);
        let mut recorded = self.sync_state.proposing.get(name.as_str()).cloned();
        let first = it.story.branch(self.prefix, user);
        for branch in branch_names(&first, recorded.as_deref(), it.file.sha, head) {
            let exists = repository.branch_head(&branch).await?.is_some();
            // Read after the branch check: another instance may have created the branch for this file in between.
            let newer = engine.states.of(user).await?;
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
            let on_branch = engine.sha_in_git(user, name, &branch).await?;
            let target = |pull| BranchTarget {
                branch: branch.clone(),
                on_branch,
                pull,
            };
            if is_new && branch_use == BranchUse::RecordAndCreate {
                return Ok(Some(target(None)));
            }
            let newer = engine.states.of(user).await?;
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
        let Outgoing { engine, user } = self.out;
        let note = |newer: &mut UserSyncState| {
            if !self.is_superseded(name, newer, before.as_deref()) {
                newer.begin_proposing(name, branch, head);
            }
        };
        let newer = engine.states.update(user, note).await?;
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
        let engine = self.out.engine;
        let Some(seen) = engine.repository.find_pull(branch).await? else {
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
        proposed: ProposedChange,
    ) -> Result<(), GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let ProposedChange {
            branch,
            published,
            pull,
        } = proposed;
        let (name, sha) = (&it.file.name, it.file.sha);
        tracing::info!(%user, op = "propose", task = %name.id(), pull = pull.number, "proposed");
        // The content stays in `pushing`: if a tree shows it later, it came from this request.
        let note = PullNote::new(branch, sha, published.commit, pull.clone());
        let published = PublishedCommit {
            pull: Some(pull),
            ..published
        };
        engine.commits.remember(user, name, sha, published);
        let change = |sync_state: &mut UserSyncState| sync_state.propose(name, note.clone());
        engine.states.update(user, change).await.map(drop)
    }
}
