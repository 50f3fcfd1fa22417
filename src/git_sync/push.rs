//! Commits unpushed files: one commit per file while they are few, one for all when they are many
//! (`src/git_sync/README.md`, "Out").

use tokio::time::Instant;

use super::engine::Engine;
use super::error::GitSyncError;
use super::next_step::{PushChoice, PushSituation};
use super::outgoing::{Outgoing, OutgoingFile, PushOutcome, PushStep};
use super::plan::{Plan, Unpushed, unpushed};
use super::proposals::Proposals;
use super::reconcile::reconcile;
use super::report::SyncMode;
use super::sync_state::UserSyncState;
use crate::cache::{Consistency, Snapshot};
use crate::github::{
    BatchCommit, BatchCommitFile, CommitSubject, FileCommit, GitHubError, batch_commit_message,
};
use crate::now::Now;
use crate::task::FileName;
use crate::user::UserId;

/// The most files in a shared commit; the rest go into the next one.
const MAX_COMMIT_FILES: usize = 1_000;

/// The most steps of one push, which repeats while either side changes.
const MAX_STEPS: u32 = 12;

/// The most reconcile passes within one push.
const MAX_RECONCILES: u32 = 3;

/// Commits the user's unpushed files, as far as possible.
///
/// # Errors
/// The first failure, after the other files were tried; [`GitSyncError::Contended`] when either side kept changing.
pub(super) async fn push(
    engine: &Engine,
    user: &UserId,
    deadline: Instant,
    now: Now,
) -> Result<(), GitSyncError> {
    let lock = engine.push_locks.open(user);
    let _only = lock.lock().await;
    let mut push = UserPush {
        out: Outgoing { engine, user },
        blocked: vec![],
    };
    let mut reconciles = 0;
    for _ in 0..MAX_STEPS {
        match push.step(reconciles > 0, now.later()).await? {
            PushStep::Done => return Ok(()),
            PushStep::Continue => {}
            PushStep::Reconcile if reconciles == MAX_RECONCILES => {
                return Err(GitSyncError::Contended);
            }
            PushStep::Reconcile => {
                reconciles += 1;
                let mode = SyncMode::automatic(deadline);
                let report = reconcile(engine, user, now.later(), mode).await?;
                if report.closed {
                    // The user's folder in Git isn't usable: nothing can be pushed.
                    return Ok(());
                }
                push.blocked = report.blocked;
            }
        }
    }
    Err(GitSyncError::Contended)
}

/// A push of one user's files.
struct UserPush<'a> {
    out: Outgoing<'a>,
    /// Files that can't be committed, because Git has something else in their place.
    blocked: Vec<FileName>,
}

impl UserPush<'_> {
    async fn step(&self, reconciled: bool, now: Now) -> Result<PushStep, GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let prefix = engine.pull_prefix();
        // Opening a pull request takes several GitHub requests; proposals of one process must not interleave.
        let _proposing = match prefix {
            Some(_) => Some(engine.committing.lock().await),
            None => None,
        };
        let sync_state = engine.states.of(user).await?;
        let entry = engine.read(user, now, Consistency::Strict).await?;
        let mut waiting = unpushed(&sync_state, entry.table());
        waiting.retain(|it| !self.blocked.contains(&it.name));
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
            (PushChoice::Propose, Some(prefix)) => {
                let proposals = Proposals {
                    out: self.out,
                    sync_state: &sync_state,
                    prefix,
                };
                proposals.propose(waiting).await
            }
            // `Propose` is only chosen with a prefix.
            (PushChoice::CommitEach, _) | (PushChoice::Propose, None) => {
                self.push_one_by_one(&sync_state, waiting).await
            }
            (PushChoice::CommitTogether, _) => self.push_together(&sync_state, &entry).await,
        }
    }

    /// Commits all files in one commit on top of the head that was read.
    async fn push_together(
        &self,
        sync_state: &UserSyncState,
        entry: &Snapshot,
    ) -> Result<PushStep, GitSyncError> {
        let Outgoing { engine, user } = self.out;
        // The order of these reads matters (`src/git_sync/README.md`, "Several instances and crashes").
        let snapshot = engine.branch.snapshot_after(sync_state, None).await?;
        let newer = engine.states.of(user).await?;
        let tree = engine.user_tree(&snapshot, user).await?;
        let mut plan = Plan::of(&newer, entry.table(), &tree);
        plan.retain_unmoved_bases(sync_state);
        let mut files = plan.unpushed;
        files.retain(|it| it.replaces == newer.base(&it.name) && !self.blocked.contains(&it.name));
        let Some(parent) = snapshot.commit() else {
            // In an empty repository only the contents API can make the first commit.
            files.truncate(1);
            return self.push_one_by_one(&newer, files).await;
        };
        files.truncate(MAX_COMMIT_FILES);
        let Some(outgoing) = self.out.begin(&newer, files).await? else {
            return Ok(PushStep::Reconcile);
        };
        let stories: Vec<CommitSubject> = outgoing.iter().map(|it| it.story.clone()).collect();
        let files = outgoing.iter().map(|it| BatchCommitFile {
            path: engine.path(user, &it.file.name),
            bytes: it.text.clone(),
            executable: tree.executable.contains(&it.file.name),
        });
        let commit = BatchCommit {
            parent,
            files: files.collect(),
            message: &batch_commit_message(&stories),
        };
        let committed = {
            let _one_writer = engine.committing.lock().await;
            engine.repository.commit(&commit).await
        };
        if let Err(GitHubError::Denied { .. }) = committed {
            // GitHub may have denied a single file: commit each by itself so that the others get through.
            return self.commit_each(&outgoing).await;
        }
        let sent = outgoing
            .iter()
            .map(|it| (it, PushOutcome::of(committed.clone())));
        self.out.record_outcomes(sent.collect()).await
    }

    /// Commits each file by itself.
    async fn push_one_by_one(
        &self,
        sync_state: &UserSyncState,
        waiting: Vec<Unpushed>,
    ) -> Result<PushStep, GitSyncError> {
        match self.out.begin(sync_state, waiting).await? {
            Some(outgoing) => self.commit_each(&outgoing).await,
            None => Ok(PushStep::Reconcile),
        }
    }

    async fn commit_each(&self, outgoing: &[OutgoingFile]) -> Result<PushStep, GitSyncError> {
        let Outgoing { engine, user } = self.out;
        let mut sent = vec![];
        for it in outgoing {
            let put = FileCommit {
                path: &engine.path(user, &it.file.name),
                branch: None,
                bytes: &it.text,
                replaces: it.file.replaces,
                message: &it.story.message(),
            };
            let outcome = {
                let _one_writer = engine.committing.lock().await;
                PushOutcome::of(engine.repository.put_file(&put).await)
            };
            let unknown = outcome.is_unknown();
            sent.push((it, outcome));
            if unknown {
                break;
            }
        }
        self.out.record_outcomes(sent).await
    }
}
