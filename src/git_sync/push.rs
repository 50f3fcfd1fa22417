//! Commits unpushed files: one commit per file while they are few, one for all when they are many
//! (`src/git_sync/README.md`, "Out").

use tokio::time::Instant;

use super::engine::UserSync;
use super::next_step::{MAX_SINGLE_COMMITS, PushChoice, PushSituation};
use super::outgoing::{self, OutgoingFile, PushOutcome, PushStep};
use super::plan::{Plan, Unpushed, unpushed};
use super::proposals::propose;
use super::reconcile::reconcile;
use super::report::{GitSyncError, SyncMode};
use super::sync_state::UserSyncState;
use crate::cache::{Consistency, Snapshot};
use crate::github::{
    BatchCommit, BatchCommitFile, CommitSubject, FileCommit, GitHubError, batch_commit_message,
};
use crate::now::Now;
use crate::task::FileName;

/// The most files in a shared commit; the rest go into the next one.
const MAX_COMMIT_FILES: usize = 1_000;

/// The most steps of one push, which repeats while either side changes.
const MAX_STEPS: u32 = 12;

/// The most reconcile passes within one push.
const MAX_RECONCILES: u32 = 3;

/// Commits the user's unpushed files, as far as possible. Fails with the first failure, after the other files were
/// tried; with [`GitSyncError::Contended`] when either side kept changing.
pub(super) async fn push(
    sync: UserSync<'_>,
    deadline: Instant,
    now: Now,
) -> Result<(), GitSyncError> {
    let lock = sync.engine.push_locks.open(sync.user);
    let _only = lock.lock().await;
    // Files that can't be committed, because Git has something else in their place.
    let mut blocked = vec![];
    let mut reconciles = 0;
    for _ in 0..MAX_STEPS {
        match step(sync, &blocked, reconciles > 0, now.later()).await? {
            PushStep::Done => return Ok(()),
            PushStep::Continue => {}
            PushStep::Reconcile if reconciles == MAX_RECONCILES => {
                return Err(GitSyncError::Contended);
            }
            PushStep::Reconcile => {
                reconciles += 1;
                let mode = SyncMode::automatic(deadline);
                let report = reconcile(sync, now.later(), mode).await?;
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

async fn step(
    sync: UserSync<'_>,
    blocked: &[FileName],
    reconciled: bool,
    now: Now,
) -> Result<PushStep, GitSyncError> {
    let engine = sync.engine;
    let prefix = engine.pull_prefix();
    // Opening a pull request takes several GitHub requests; proposals of one process must not interleave.
    let _proposing = match prefix {
        Some(_) => Some(engine.committing.lock().await),
        None => None,
    };
    let sync_state = sync.state().await?;
    let entry = sync.read(now, Consistency::Strict).await?;
    let mut waiting = unpushed(&sync_state, entry.table(), sync.removed(&entry));
    waiting.retain(|it| !blocked.contains(&it.name));
    let is_unresolved = |it: &Unpushed| !sync_state.pushing.of(&it.name).is_empty();
    let situation = PushSituation {
        waiting: waiting.len(),
        unresolved: waiting.iter().any(is_unresolved),
        renamed: sync_state.renamed,
        reconciled,
        proposes: prefix.is_some(),
    };
    match (situation.choose(), prefix) {
        (PushChoice::Done, _) => Ok(PushStep::Done),
        (PushChoice::Reconcile, _) => Ok(PushStep::Reconcile),
        (PushChoice::Propose, Some(prefix)) => propose(sync, &sync_state, prefix, waiting).await,
        // `Propose` is only chosen with a prefix.
        (PushChoice::CommitEach, _) | (PushChoice::Propose, None) => {
            push_one_by_one(sync, &sync_state, waiting).await
        }
        (PushChoice::CommitTogether, _) if waiting.iter().any(|it| it.content.is_none()) => {
            // A removal gets a commit of its own, also with many others.
            waiting.retain(|it| it.content.is_none());
            waiting.truncate(MAX_SINGLE_COMMITS);
            push_one_by_one(sync, &sync_state, waiting).await
        }
        (PushChoice::CommitTogether, _) => push_together(sync, blocked, &sync_state, &entry).await,
    }
}

/// Commits all files in one commit on top of the head that was read.
async fn push_together(
    sync: UserSync<'_>,
    blocked: &[FileName],
    sync_state: &UserSyncState,
    entry: &Snapshot,
) -> Result<PushStep, GitSyncError> {
    let engine = sync.engine;
    // The order of these reads matters (`src/git_sync/README.md`, "Several instances and crashes").
    let snapshot = engine.branch.snapshot_after(sync_state, None).await?;
    let newer = sync.state().await?;
    let tree = sync.tree(&snapshot).await?;
    let mut plan = Plan::of(&newer, entry.table(), sync.removed(entry), &tree);
    plan.retain_unmoved_bases(sync_state);
    let mut files = plan.unpushed;
    files.retain(|it| it.replaces == newer.base(&it.name) && !blocked.contains(&it.name));
    files.retain(|it| it.content.is_some());
    let Some(parent) = snapshot.commit() else {
        // In an empty repository only the contents API can make the first commit.
        files.truncate(1);
        return push_one_by_one(sync, &newer, files).await;
    };
    files.truncate(MAX_COMMIT_FILES);
    let Some(outgoing) = outgoing::begin(sync, &newer, files).await? else {
        return Ok(PushStep::Reconcile);
    };
    let stories: Vec<CommitSubject> = outgoing.iter().map(|it| it.story.clone()).collect();
    let files = outgoing.iter().filter_map(|it| {
        Some(BatchCommitFile {
            path: sync.path(&it.file.name),
            bytes: it.text.clone()?,
            executable: tree.executable.contains(&it.file.name),
        })
    });
    let commit = BatchCommit {
        parent,
        files: files.collect(),
        message: &batch_commit_message(&stories),
    };
    let committed = {
        let _one_writer = engine.committing.lock().await;
        engine.repository().commit(&commit).await
    };
    if let Err(GitHubError::Denied { .. }) = committed {
        // GitHub may have denied a single file: commit each by itself so that the others get through.
        return commit_each(sync, &outgoing).await;
    }
    let sent = outgoing
        .iter()
        .map(|it| (it, PushOutcome::of(committed.clone())));
    outgoing::record_outcomes(sync, sent.collect()).await
}

async fn push_one_by_one(
    sync: UserSync<'_>,
    sync_state: &UserSyncState,
    waiting: Vec<Unpushed>,
) -> Result<PushStep, GitSyncError> {
    match outgoing::begin(sync, sync_state, waiting).await? {
        Some(outgoing) => commit_each(sync, &outgoing).await,
        None => Ok(PushStep::Reconcile),
    }
}

async fn commit_each(
    sync: UserSync<'_>,
    outgoing: &[OutgoingFile],
) -> Result<PushStep, GitSyncError> {
    let engine = sync.engine;
    let mut sent = vec![];
    for it in outgoing {
        let put = FileCommit {
            path: &sync.path(&it.file.name),
            branch: None,
            bytes: it.text.as_deref(),
            replaces: it.file.replaces,
            message: &it.story.message(),
        };
        let outcome = {
            let _one_writer = engine.committing.lock().await;
            PushOutcome::of(engine.repository().commit_file(&put).await)
        };
        let unknown = matches!(outcome, PushOutcome::Unknown(_));
        sent.push((it, outcome));
        if unknown {
            break;
        }
    }
    outgoing::record_outcomes(sync, sent).await
}
