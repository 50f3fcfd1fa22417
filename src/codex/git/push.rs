//! Commits unpushed files: one commit per file while they are few, one for all when they are many
//! (`src/codex/git/README.md`, "Out").

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::plan::{Plan, Unpushed, unpushed};
use super::reconcile::is_done;
use super::report::SyncMode;
use super::sync_state::UserSyncState;
use super::{GitMutation, GitSync, GitSyncError, PublishedCommit, read_request};
use crate::cache::{Consistency, Snapshot};
use crate::codex::Codex;
use crate::github::{
    BatchCommit, BatchCommitFile, CommitOutcome, CommitSubject, FileCommit, GitHubError, SideState,
    batch_commit_message,
};
use crate::now::Now;
use crate::store::WriteIds;
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// Up to this many files get a commit each; more share one.
const MAX_SINGLE_COMMITS: usize = 10;

/// The most files in a shared commit; the rest go into the next one.
const MAX_COMMIT_FILES: usize = 1_000;

/// The file bytes in memory after which a step takes no further files.
const MAX_COMMIT_BYTES: usize = 16 << 20;

/// The most steps of one push, which repeats while either side changes.
const MAX_STEPS: u32 = 12;

/// The most reconcile passes within one push.
const MAX_RECONCILES: u32 = 3;

/// Files read from the store concurrently.
const CONCURRENT_READS: usize = 8;

/// A file that is about to be committed.
pub(super) struct OutgoingFile {
    pub file: Unpushed,
    pub text: Bytes,
    writes: WriteIds,
    pub story: CommitSubject,
    /// Its task is completed.
    pub done: bool,
    /// The file's contents in `pushing` right after this one was recorded there, itself included.
    pub open: Vec<GitSha>,
}

/// What follows after one step of a push.
pub(super) enum PushStep {
    /// Nothing is left to push.
    Done,
    /// Something was committed, or changed in the store: take the next step.
    Continue,
    /// Git doesn't have what was expected, or may not: reconcile first.
    Reconcile,
}

/// The outcome of committing one file.
pub(super) enum PushOutcome {
    Done(PublishedCommit),
    /// Git no longer has what it replaces. It wasn't committed, and won't be.
    Stale,
    /// GitHub denied it. It wasn't committed, and won't be.
    Rejected(GitSyncError),
    /// It may have been committed, or GitHub isn't available: don't try the others now.
    Unknown(GitSyncError),
}

impl PushOutcome {
    pub(super) fn of(sent: Result<CommitOutcome, GitHubError>) -> Self {
        match sent {
            Ok(CommitOutcome::Done(commit)) => Self::Done(PublishedCommit {
                commit: commit.sha,
                html_url: commit.html_url,
                parent: commit.parent,
                pull: None,
            }),
            Ok(CommitOutcome::Stale) => Self::Stale,
            Err(error) => error.into(),
        }
    }
}

impl From<GitHubError> for PushOutcome {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::Denied { .. } => Self::Rejected(error.into()),
            error => Self::Unknown(error.into()),
        }
    }
}

impl Codex {
    /// Commits the user's unpushed files, as far as possible.
    ///
    /// # Errors
    /// The first failure, after the other files were tried; [`GitSyncError::Contended`] when either side kept changing.
    pub(super) async fn push(
        &self,
        git: &Arc<GitSync>,
        user: &UserId,
        deadline: Instant,
        now: Now,
    ) -> Result<(), GitSyncError> {
        let _only = git.lock_user_push(user).await;
        let (mut reconciles, mut blocked) = (0, vec![]);
        for _ in 0..MAX_STEPS {
            let round = self.push_step(git, user, &blocked, reconciles > 0, now.later());
            match round.await? {
                PushStep::Done => return Ok(()),
                PushStep::Continue => {}
                PushStep::Reconcile if reconciles == MAX_RECONCILES => {
                    return Err(GitSyncError::Contended);
                }
                PushStep::Reconcile => {
                    reconciles += 1;
                    let mode = SyncMode::automatic(Some(deadline));
                    let report = self.reconcile(git, user, now.later(), mode).await?;
                    if report.closed {
                        // The user's folder in Git isn't usable: nothing can be pushed.
                        return Ok(());
                    }
                    blocked = report.blocked;
                }
            }
        }
        Err(GitSyncError::Contended)
    }

    async fn push_step(
        &self,
        git: &GitSync,
        user: &UserId,
        blocked: &[FileName],
        reconciled: bool,
        now: Now,
    ) -> Result<PushStep, GitSyncError> {
        // Opening a pull request takes several GitHub requests; proposals of one process must not interleave.
        let _proposing = match &git.repository.config().pull_requests {
            Some(_) => Some(git.branch.lock().await),
            None => None,
        };
        let (sync_state, _) = self.sync_state(user).await?;
        let strict = read_request(user, now, Consistency::Strict);
        let entry = self.cache.read(&strict).await?.entry;
        let mut waiting = unpushed(&sync_state, entry.table());
        waiting.retain(|it| !blocked.contains(&it.name));
        if waiting.is_empty() {
            return Ok(PushStep::Done);
        }
        // Resolve the outcome of earlier pushes first, or unresolved ones would pile up. And if the user's folder was
        // renamed in Git, reconcile instead of creating a second folder.
        let is_unresolved = |it: &Unpushed| !sync_state.pushing.of(&it.name).is_empty();
        if !reconciled && (waiting.iter().any(is_unresolved) || sync_state.renamed) {
            return Ok(PushStep::Reconcile);
        }
        match &git.repository.config().pull_requests {
            Some(prefix) => self.propose(git, user, &sync_state, waiting, prefix).await,
            None if waiting.len() > MAX_SINGLE_COMMITS => {
                self.push_together(git, user, &sync_state, &entry, blocked)
                    .await
            }
            None => self.push_one_by_one(git, user, &sync_state, waiting).await,
        }
    }

    /// Reads the files' texts; skips files that changed since the snapshot.
    pub(super) async fn outgoing(
        &self,
        user: &UserId,
        sync_state: &UserSyncState,
        waiting: Vec<Unpushed>,
    ) -> Result<Vec<OutgoingFile>, GitSyncError> {
        let texts = stream::iter(waiting).map(|file| async move {
            let blob = self.raw(user, &file.name, &file.etag).await?;
            // An inbound write just came from Git: reconciling resolves it, and pushing it back would be wrong.
            let blob = blob.filter(|blob| !sync_state.is_inbound(&file.name, &blob.writes));
            let Some(blob) = blob else { return Ok(None) };
            let in_git = file.replaces.is_some();
            let was_done = sync_state.done.contains(file.name.as_str());
            Ok::<_, GitSyncError>(Some(OutgoingFile {
                story: CommitSubject::of(&file.name, &blob.bytes, in_git, was_done),
                done: is_done(&file.name, &blob.bytes),
                open: vec![],
                text: blob.bytes,
                writes: blob.writes,
                file,
            }))
        });
        let (mut texts, mut outgoing, mut bytes) =
            (texts.buffered(CONCURRENT_READS).boxed(), vec![], 0);
        while let Some(text) = texts.try_next().await? {
            let Some(it) = text else { continue };
            bytes += it.text.len();
            outgoing.push(it);
            if bytes > MAX_COMMIT_BYTES {
                break;
            }
        }
        Ok(outgoing)
    }

    /// Records the contents that are about to be committed in the sync state, so that a later tree that shows one is
    /// recognised as an own push, even if the answer got lost. Drops files whose base moved, or that came from Git,
    /// since they were selected.
    pub(super) async fn record_pushing(
        &self,
        git: &GitSync,
        user: &UserId,
        outgoing: &mut Vec<OutgoingFile>,
    ) -> Result<(), GitSyncError> {
        let wait = git.repository.wait();
        if !wait.is_zero() {
            let retry_after = wait;
            return Err(GitHubError::Limited { retry_after }.into());
        }
        let is_pushable = |sync_state: &UserSyncState, it: &OutgoingFile| {
            let name = &it.file.name;
            sync_state.base(name) == it.file.replaces && !sync_state.is_inbound(name, &it.writes)
        };
        let record = |sync_state: &mut UserSyncState| {
            for it in outgoing.iter() {
                if is_pushable(sync_state, it) && !git.breaks(GitMutation::PushIntentNotRecorded) {
                    sync_state.pushing.begin(&it.file.name, it.file.sha);
                }
            }
        };
        let sync_state = self.update_sync_state(user, record).await?;
        outgoing.retain(|it| is_pushable(&sync_state, it));
        for it in outgoing {
            it.open = sync_state.pushing.of(&it.file.name).to_vec();
        }
        Ok(())
    }

    /// Commits each file by itself.
    async fn push_one_by_one(
        &self,
        git: &GitSync,
        user: &UserId,
        sync_state: &UserSyncState,
        waiting: Vec<Unpushed>,
    ) -> Result<PushStep, GitSyncError> {
        let mut outgoing = self.outgoing(user, sync_state, waiting).await?;
        if outgoing.is_empty() {
            return Ok(PushStep::Reconcile);
        }
        self.record_pushing(git, user, &mut outgoing).await?;
        if outgoing.is_empty() {
            return Ok(PushStep::Reconcile);
        }
        self.commit_each(git, user, &outgoing).await
    }

    async fn commit_each(
        &self,
        git: &GitSync,
        user: &UserId,
        outgoing: &[OutgoingFile],
    ) -> Result<PushStep, GitSyncError> {
        let mut sent = vec![];
        for it in outgoing {
            let path = git.path(user, &it.file.name);
            let put = FileCommit {
                path: &path,
                branch: None,
                bytes: &it.text,
                replaces: it.file.replaces,
                message: &it.story.message(),
            };
            let outcome = {
                let _one_writer = git.branch.lock().await;
                PushOutcome::of(git.repository.put_file(&put).await)
            };
            let unknown = matches!(outcome, PushOutcome::Unknown(_));
            sent.push((it, outcome));
            if unknown {
                break;
            }
        }
        self.record_outcomes(git, user, sent).await
    }

    /// Commits all files in one commit on top of the head that was read.
    async fn push_together(
        &self,
        git: &GitSync,
        user: &UserId,
        sync_state: &UserSyncState,
        entry: &Snapshot,
        blocked: &[FileName],
    ) -> Result<PushStep, GitSyncError> {
        // The order of these reads matters (`src/codex/git/README.md`, "Several instances and crashes").
        let snapshot = git.snapshot_after(sync_state, None).await?;
        let (newer, _) = self.sync_state(user).await?;
        let tree = self.user_tree(&snapshot, user).await?;
        let mut plan = Plan::of(&newer, entry.table(), &tree);
        plan.retain_unmoved_bases(sync_state);
        let mut files = plan.unpushed;
        files.retain(|it| it.replaces == newer.base(&it.name));
        files.retain(|it| !blocked.contains(&it.name));
        let Some(parent) = snapshot.commit() else {
            // In an empty repository only the contents API can make the first commit.
            files.truncate(1);
            return self.push_one_by_one(git, user, &newer, files).await;
        };
        files.truncate(MAX_COMMIT_FILES);
        let mut outgoing = self.outgoing(user, &newer, files).await?;
        if outgoing.is_empty() {
            return Ok(PushStep::Reconcile);
        }
        self.record_pushing(git, user, &mut outgoing).await?;
        if outgoing.is_empty() {
            return Ok(PushStep::Reconcile);
        }
        let stories: Vec<CommitSubject> = outgoing.iter().map(|it| it.story.clone()).collect();
        let files = outgoing.iter().map(|it| BatchCommitFile {
            path: git.path(user, &it.file.name),
            bytes: it.text.clone(),
            executable: tree.executable.contains(&it.file.name),
        });
        let commit = BatchCommit {
            parent,
            files: files.collect(),
            message: &batch_commit_message(&stories),
        };
        let committed = {
            let _one_writer = git.branch.lock().await;
            git.repository.commit(&commit).await
        };
        if let Err(GitHubError::Denied { .. }) = committed {
            // GitHub may have denied a single file: commit each by itself so that the others get through.
            return self.commit_each(git, user, &outgoing).await;
        }
        let sent = outgoing
            .iter()
            .map(|it| (it, PushOutcome::of(committed.clone())));
        self.record_outcomes(git, user, sent.collect()).await
    }

    /// Records the outcomes in the sync state: a committed content becomes the base.
    pub(super) async fn record_outcomes(
        &self,
        git: &GitSync,
        user: &UserId,
        sent: Vec<(&OutgoingFile, PushOutcome)>,
    ) -> Result<PushStep, GitSyncError> {
        for (it, outcome) in &sent {
            if let PushOutcome::Done(published) = outcome {
                // Before the sync state, so that a waiting request that sees the new base also finds the commit.
                git.remember(user, &it.file.name, it.file.sha, published.clone());
                git.order.published(published.parent, published.commit);
            }
        }
        let note = |sync_state: &mut UserSyncState| {
            for (it, outcome) in &sent {
                let (name, sha) = (&it.file.name, it.file.sha);
                // A rejected content stays in `pushing`: another attempt may have committed it.
                let PushOutcome::Done(published) = outcome else {
                    continue;
                };
                if !git.breaks(GitMutation::OwnCommitNotRecorded) {
                    sync_state.record_own_commit(published.commit, published.parent);
                }
                let base = sync_state.base(name);
                if base == it.file.replaces {
                    sync_state.set_base_after_write(name, sha, it.done, &it.open);
                } else if base != Some(sha) {
                    // Another writer moved the base, which removed this content from `pushing`. The commit landed all
                    // the same, because Git had the replaced content again. Record it anew: a tree that shows it got it
                    // from here.
                    sync_state.pushing.begin(name, sha);
                }
            }
        };
        let sync_state = self.update_sync_state(user, note).await?;
        self.end_superseded(git, user, &sync_state, &sent).await?;
        let mut round = PushStep::Continue;
        let mut trouble = None;
        for (it, outcome) in sent {
            let task = it.file.name.id();
            match outcome {
                PushOutcome::Done(published) => {
                    tracing::info!(%user, op = "push", %task, commit = %published.commit, "committed");
                }
                PushOutcome::Stale => round = PushStep::Reconcile,
                PushOutcome::Rejected(error) | PushOutcome::Unknown(error) => {
                    trouble = trouble.or(Some(error))
                }
            }
        }
        trouble.map_or(Ok(round), Err)
    }

    /// Removes from `pushing` the contents that were committed after the base had moved, once Git has replaced them: if
    /// one shows up again later, it is an edit in Git and not an own push.
    async fn end_superseded(
        &self,
        git: &GitSync,
        user: &UserId,
        sync_state: &UserSyncState,
        sent: &[(&OutgoingFile, PushOutcome)],
    ) -> Result<(), GitSyncError> {
        let late = sent.iter().filter_map(|(it, outcome)| match outcome {
            PushOutcome::Done(published) if sync_state.base(&it.file.name) != Some(it.file.sha) => {
                Some((&it.file, published.commit))
            }
            _ => None,
        });
        let late: Vec<(&Unpushed, GitSha)> = late.collect();
        if late.is_empty() {
            return Ok(());
        }
        let snapshot = git.snapshot().await?;
        let tree = self.user_tree(&snapshot, user).await?;
        let mut replaced = vec![];
        for (file, commit) in late {
            let is_other = match tree.side(&file.name) {
                SideState::Content(sha) => sha != file.sha,
                SideState::Absent => true,
                SideState::Other => false,
            };
            // Otherwise the tree is from before the commit (a lagging replica), or the branch was reset.
            if is_other && git.follows(Some(commit), &snapshot).await? {
                replaced.push(file);
            }
        }
        let end = |sync_state: &mut UserSyncState| {
            for file in &replaced {
                sync_state.pushing.end(&file.name, file.sha);
            }
        };
        self.update_sync_state(user, end).await.map(drop)
    }
}
