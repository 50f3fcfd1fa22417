//! Pushes changes by pull requests instead of commits to the mirrored branch (`src/codex/git/README.md`,
//! "Pull requests").

use super::head_order::replica_lag_error;
use super::plan::Unpushed;
use super::push::{OutgoingFile, PushOutcome, PushStep};
use super::sync_state::{PullNote, UserSyncState};
use super::{GitSync, GitSyncError, PublishedCommit};
use crate::codex::Codex;
use crate::github::{Comparison, FileCommit, GitHubError, Pull, SideState, UserTree, merge};
use crate::task::GitSha;
use crate::user::UserId;
use crate::write::{BatchItem, FileOp, FileOutcome};

/// The highest number suffix of a branch name, for names taken by branches that were never deleted. After that the
/// suffix is the content's SHA, or where that was proposed before, the SHA of the commit the branch is made from.
const MAX_COUNTED: u32 = 3;

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
    /// A reviewer has changed the file on the branch.
    Reviewed {
        /// The content that was proposed: the merge base.
        proposed: GitSha,
        /// The reviewer's content.
        on_branch: GitSha,
        /// The branch's head with it.
        commit: GitSha,
    },
}

/// The state of the pull request that is recorded for a file.
enum PullLookup {
    Found(BranchTarget),
    /// A reviewer has changed the file on the branch; fields as in [`Proposal::Reviewed`].
    Reviewed {
        proposed: GitSha,
        on_branch: GitSha,
        commit: GitSha,
    },
    /// The request was merged: reconcile before proposing again.
    Outdated,
    /// No open request is recorded.
    Absent,
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

impl Codex {
    /// Proposes each file on a branch and pull request of its own, or on the open one that the file has already.
    pub(super) async fn propose(
        &self,
        git: &GitSync,
        user: &UserId,
        sync_state: &UserSyncState,
        waiting: Vec<Unpushed>,
        prefix: &str,
    ) -> Result<PushStep, GitSyncError> {
        let snapshot = git.snapshot_after(sync_state, None).await?;
        let mut outgoing = self.outgoing(user, sync_state, waiting).await?;
        if outgoing.is_empty() {
            return Ok(PushStep::Reconcile);
        }
        let tree = self.user_tree(&snapshot, user).await?;
        let mirrored = MirroredBranch {
            head: snapshot.commit(),
            tree: &tree,
        };
        self.record_pushing(git, user, &mut outgoing).await?;
        if outgoing.is_empty() {
            return Ok(PushStep::Reconcile);
        }
        let mut sent = vec![];
        for it in &outgoing {
            let outcome = match self
                .propose_one(git, user, sync_state, it, mirrored, prefix)
                .await
            {
                Ok(Proposal::Done(proposed)) => {
                    self.record_proposed(git, user, it, proposed).await?;
                    continue;
                }
                Ok(Proposal::Reviewed {
                    proposed,
                    on_branch,
                    commit,
                }) => {
                    let review = (on_branch, commit);
                    match self.merge_review(git, user, it, proposed, review).await {
                        Ok(()) => continue,
                        Err(trouble) => PushOutcome::Rejected(trouble),
                    }
                }
                Ok(Proposal::Stale) => PushOutcome::Stale,
                // A lagging replica or unexpected answer concerns this request only: go on with the others.
                Err(GitSyncError::GitHub(error))
                    if error == replica_lag_error()
                        || matches!(error, GitHubError::Unexpected { .. }) =>
                {
                    PushOutcome::Rejected(error.into())
                }
                Err(GitSyncError::GitHub(error)) => error.into(),
                Err(trouble) => PushOutcome::Rejected(trouble),
            };
            let unknown = matches!(outcome, PushOutcome::Unknown(_));
            sent.push((it, outcome));
            if unknown {
                break;
            }
        }
        self.record_outcomes(git, user, sent).await
    }

    /// Commits a change to its branch and opens the pull request, where these aren't done yet.
    async fn propose_one(
        &self,
        git: &GitSync,
        user: &UserId,
        sync_state: &UserSyncState,
        it: &OutgoingFile,
        mirrored: MirroredBranch<'_>,
        prefix: &str,
    ) -> Result<Proposal, GitSyncError> {
        let place = match self
            .open_pull_target(git, user, sync_state, it, mirrored.head)
            .await?
        {
            PullLookup::Found(place) => Some(place),
            PullLookup::Reviewed {
                proposed,
                on_branch,
                commit,
            } => {
                return Ok(Proposal::Reviewed {
                    proposed,
                    on_branch,
                    commit,
                });
            }
            PullLookup::Outdated => return Ok(Proposal::Stale),
            PullLookup::Absent => {
                let theirs = mirrored.tree.side(&it.file.name);
                let replaces = it
                    .file
                    .replaces
                    .map_or(SideState::Absent, SideState::Content);
                let Some(head) = mirrored.head.filter(|_| theirs == replaces) else {
                    return Ok(Proposal::Stale);
                };
                self.new_branch_target(git, user, sync_state, it, head, prefix)
                    .await?
            }
        };
        let Some(place) = place else {
            return Ok(Proposal::Stale);
        };
        let published = if place.on_branch == Some(it.file.sha) {
            None
        } else if self
            .raw(user, &it.file.name, &it.file.etag)
            .await?
            .is_none()
        {
            // The file was changed after it was read, and the branch may already have the newer content, pushed by
            // another instance. Only while the store still has this version is any own content on the branch older.
            return Ok(Proposal::Stale);
        } else {
            let path = git.path(user, &it.file.name);
            let put = FileCommit {
                path: &path,
                branch: Some(&place.branch),
                bytes: &it.text,
                replaces: place.on_branch,
                message: &it.story.message(),
            };
            match PushOutcome::of(git.repository.put_file(&put).await) {
                PushOutcome::Done(published) => Some(published),
                PushOutcome::Stale => return Ok(Proposal::Stale),
                PushOutcome::Rejected(trouble) | PushOutcome::Unknown(trouble) => {
                    return Err(trouble);
                }
            }
        };
        let branch = place.branch;
        let pull = match place.pull {
            Some(pull) => pull,
            None => {
                let title = it.story.message();
                match git.repository.open_pull(&branch, &title).await? {
                    Some(pull) => pull,
                    // Another instance opened it first.
                    None => {
                        let pull = git.open_pull_of(&branch).await?;
                        pull.ok_or(GitSyncError::Contended)?
                    }
                }
            }
        };
        let published = match published {
            Some(published) => published,
            None => {
                let commit = git.proposed_head(&branch).await?;
                let html_url = pull.html_url.clone();
                PublishedCommit {
                    commit,
                    html_url,
                    parent: None,
                    pull: None,
                }
            }
        };
        Ok(Proposal::Done(ProposedChange {
            branch,
            published,
            pull,
        }))
    }

    /// Looks up the open request that is recorded for the file, and the file's content on its branch.
    async fn open_pull_target(
        &self,
        git: &GitSync,
        user: &UserId,
        sync_state: &UserSyncState,
        it: &OutgoingFile,
        head: Option<GitSha>,
    ) -> Result<PullLookup, GitSyncError> {
        let name = &it.file.name;
        let Some(note) = sync_state.pulls.get(name.as_str()) else {
            return Ok(PullLookup::Absent);
        };
        let seen = git.repository.pull(note.pull.number).await?;
        if let Some(commit) = seen.merged_by {
            match git.branch_reached(commit, head).await? {
                Some(true) => {
                    let merged = git.merged_pull(user, name, note, seen.head).await?;
                    self.record_merged(git, user, &[merged]).await?;
                    return Ok(PullLookup::Outdated);
                }
                Some(false) => return Err(replica_lag_error().into()),
                None => {}
            }
        }
        if !seen.pull.open {
            return Ok(PullLookup::Absent);
        }
        let (branch, path) = (note.branch.clone(), git.path(user, name));
        // A head behind the own commit comes from a lagging replica; a diverged one was rewritten by a reviewer.
        let commit = git.proposed_head(&branch).await?;
        if let Some(before) = note.commit {
            match git.compare(before, commit).await? {
                Comparison::Identical | Comparison::Ahead | Comparison::Diverged => {}
                Comparison::Behind | Comparison::Unknown => return Err(replica_lag_error().into()),
            }
        }
        let on_branch = git
            .repository
            .file_sha_at(&commit.to_string(), &path)
            .await?;
        if let Some(on_branch) = on_branch.filter(|sha| *sha != note.sha && *sha != it.file.sha) {
            // Unknown content isn't necessarily a reviewer's: it may be an own push whose answer was lost, or one by
            // another instance since `sync_state` was read. Re-read the sync state to tell them apart.
            let (newer, _) = self.sync_state(user).await?;
            let is_own =
                newer.pushing.of(name).contains(&on_branch) || newer.is_proposed(name, on_branch);
            if !is_own {
                let proposed = note.sha;
                return Ok(PullLookup::Reviewed {
                    proposed,
                    on_branch,
                    commit,
                });
            }
        }
        let pull = Some(seen.pull);
        Ok(PullLookup::Found(BranchTarget {
            branch,
            on_branch,
            pull,
        }))
    }

    /// Both the reviewer and the local user changed the file since it was proposed: merges both into the local file,
    /// with the proposed content as base. A later step proposes the result.
    async fn merge_review(
        &self,
        git: &GitSync,
        user: &UserId,
        it: &OutgoingFile,
        proposed: GitSha,
        (on_branch, commit): (GitSha, GitSha),
    ) -> Result<(), GitSyncError> {
        let Unpushed { name, etag, .. } = &it.file;
        let theirs = git.blob(on_branch).await?;
        let base = git.repository.blob(proposed).await?;
        let Some(ours) = self.raw(user, name, etag).await? else {
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
            let writer = self.write_context_for(user, (git.clock)(), "review");
            let done = self.writer.write_batch(writer, vec![change]).await?;
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
        self.update_sync_state(user, note).await.map(drop)
    }

    /// Creates a branch for a new request. An existing branch is reused only if the sync state names it as this file's
    /// (left by an interrupted push) and the file on it is unchanged or an own content. `None` when another instance
    /// has recorded a request, or another branch for one, since `sync_state` was read.
    async fn new_branch_target(
        &self,
        git: &GitSync,
        user: &UserId,
        sync_state: &UserSyncState,
        it: &OutgoingFile,
        head: GitSha,
        prefix: &str,
    ) -> Result<Option<BranchTarget>, GitSyncError> {
        let name = &it.file.name;
        let key = name.as_str();
        let path = git.path(user, name);
        let mut begun = sync_state.proposing.get(key).cloned();
        let is_superseded = |newer: &UserSyncState, begun: &Option<String>| {
            newer.pulls.get(key) != sync_state.pulls.get(key)
                || newer.proposing.get(key) != begun.as_ref()
        };
        let first = it.story.branch(prefix, user);
        let counted = (2..=MAX_COUNTED).map(|number| format!("{first}-{number}"));
        let named = [it.file.sha, head].map(|sha| format!("{first}-{:.7}", sha.to_string()));
        let others = [first.clone()].into_iter().chain(counted).chain(named);
        // First the branch that is recorded: it may have an open request whose answer was lost.
        let others = others.filter(|it| begun.as_ref() != Some(it));
        let branches: Vec<String> = begun.iter().cloned().chain(others).collect();
        for branch in branches {
            let there = git.repository.branch_head(&branch).await?.is_some();
            // Read after the branch check: another instance may have created the branch for this file in between.
            let (newer, _) = self.sync_state(user).await?;
            if is_superseded(&newer, &begun) {
                return Ok(None);
            }
            let is_own = begun.as_ref() == Some(&branch);
            if there && !is_own {
                continue;
            }
            if !is_own {
                let note = |newer: &mut UserSyncState| {
                    if !is_superseded(newer, &begun) {
                        newer.begin_proposing(name, &branch, head);
                    }
                };
                let newer = self.update_sync_state(user, note).await?;
                begun = Some(branch.clone());
                if is_superseded(&newer, &begun) {
                    return Ok(None);
                }
            }
            // A branch that appeared since the check belongs to another instance that proposes the same change.
            let is_new = git.repository.create_branch(&branch, head).await?;
            let on_branch = git.repository.file_sha_at(&branch, &path).await?;
            if is_new && !is_own {
                let pull = None;
                return Ok(Some(BranchTarget {
                    branch,
                    on_branch,
                    pull,
                }));
            }
            let (newer, _) = self.sync_state(user).await?;
            if is_superseded(&newer, &begun) {
                return Ok(None);
            }
            let is_expected = |sha: &GitSha| {
                Some(*sha) == it.file.replaces || newer.pushing.of(name).contains(sha)
            };
            if on_branch.as_ref().is_none_or(is_expected) {
                let seen = git.repository.find_pull(&branch).await?;
                // A request merged after `head` was read: `head` lacks its contents, so treat it as replica lag.
                if let Some(commit) = seen.as_ref().and_then(|it| it.merged_by)
                    && git.branch_reached(commit, Some(head)).await? == Some(false)
                {
                    return Err(replica_lag_error().into());
                }
                let pull = seen.map(|it| it.pull).filter(|it| it.open);
                return Ok(Some(BranchTarget {
                    branch,
                    on_branch,
                    pull,
                }));
            }
        }
        Err(GitSyncError::Contended)
    }

    async fn record_proposed(
        &self,
        git: &GitSync,
        user: &UserId,
        it: &OutgoingFile,
        proposed: ProposedChange,
    ) -> Result<(), GitSyncError> {
        let ProposedChange {
            branch,
            published,
            pull,
        } = proposed;
        let made_on = published.commit;
        let (name, sha) = (&it.file.name, it.file.sha);
        tracing::info!(%user, op = "propose", task = %name.id(), pull = pull.number, "proposed");
        let published = PublishedCommit {
            pull: Some(pull.clone()),
            ..published
        };
        git.remember(user, name, sha, published);
        // The content stays in `pushing`: if a tree shows it later, it came from this request.
        let note = PullNote::new(branch, sha, made_on, pull);
        let change = |sync_state: &mut UserSyncState| sync_state.propose(name, note.clone());
        self.update_sync_state(user, change).await.map(drop)
    }
}

impl GitSync {
    /// The newest commit of a pull request's branch, which must exist.
    async fn proposed_head(&self, branch: &str) -> Result<GitSha, GitHubError> {
        let (operation, status) = ("read a branch", 404);
        let head = self.repository.branch_head(branch).await?;
        head.ok_or(GitHubError::Denied { operation, status })
    }

    async fn open_pull_of(&self, branch: &str) -> Result<Option<Pull>, GitHubError> {
        let seen = self.repository.find_pull(branch).await?;
        Ok(seen.map(|it| it.pull).filter(|it| it.open))
    }
}
