//! Files on their way to Git: their contents are recorded before they are committed, and the outcomes after.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::engine::UserSync;
use super::mutation::GitMutation;
use super::plan::{Unpushed, is_done_text};
use super::report::GitSyncError;
use super::sync_state::UserSyncState;
use crate::github::{
    CommitOutcome, CommitSubject, CreatedCommit, GitHubError, SideState, TaskCommitKind,
};
use crate::store::WriteIds;
use crate::task::{FileName, GitSha};

/// The file bytes in memory after which a step takes no further files.
const MAX_COMMIT_BYTES: usize = 16 << 20;

const CONCURRENT_READS: usize = 8;

/// A file that is about to be committed.
pub(super) struct OutgoingFile {
    pub file: Unpushed,
    /// `None`: the file is removed.
    pub text: Option<Bytes>,
    writes: WriteIds,
    pub story: CommitSubject,
    /// Its task is completed.
    done: bool,
    /// The file's contents in `pushing` right after this one was recorded there, itself included.
    open: Vec<GitSha>,
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
    Done(CreatedCommit),
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
            Ok(CommitOutcome::Done(commit)) => Self::Done(commit),
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

impl OutgoingFile {
    fn removal(file: Unpushed) -> Self {
        Self {
            text: None,
            writes: WriteIds::default(),
            story: CommitSubject {
                id: file.name.id(),
                kind: TaskCommitKind::Deleted,
            },
            done: false,
            open: vec![],
            file,
        }
    }

    /// Whether it may still be committed: its base hasn't moved, and it didn't come from Git.
    fn is_pushable(&self, sync_state: &UserSyncState) -> bool {
        let name = &self.file.name;
        sync_state.base(name) == self.file.replaces && !sync_state.is_inbound(name, &self.writes)
    }

    /// Records that it is committed: its content becomes the base.
    fn note_commit(
        &self,
        commit: &CreatedCommit,
        unrecorded: bool,
        sync_state: &mut UserSyncState,
    ) {
        let (name, sha) = (&self.file.name, self.file.sha());
        if !unrecorded {
            sync_state.record_own_commit(commit.sha, commit.parent);
        }
        let base = sync_state.base(name);
        if base == self.file.replaces {
            match sha {
                Some(sha) => sync_state.set_base_after_write(name, sha, self.done, &self.open),
                None => sync_state.clear_base_after_commit(name, &self.open),
            }
        } else if let Some(sha) = sha.filter(|_| base != sha) {
            // Another writer moved the base, which removed this content from `pushing`. The commit landed all the
            // same, because Git had the replaced content again. Record it anew: a tree that shows it got it from here.
            sync_state.pushing.begin(name, sha);
        }
    }
}

/// Reads the files and records that they are about to be committed. `None` if none of them can be.
pub(super) async fn begin(
    sync: UserSync<'_>,
    sync_state: &UserSyncState,
    waiting: Vec<Unpushed>,
) -> Result<Option<Vec<OutgoingFile>>, GitSyncError> {
    let outgoing = read(sync, sync_state, waiting).await?;
    record(sync, outgoing).await
}

/// Reads the files' texts; skips files that changed since the snapshot.
pub(super) async fn read(
    sync: UserSync<'_>,
    sync_state: &UserSyncState,
    waiting: Vec<Unpushed>,
) -> Result<Vec<OutgoingFile>, GitSyncError> {
    let texts = stream::iter(waiting).map(|file| async move {
        let Some(content) = &file.content else {
            return Ok(Some(OutgoingFile::removal(file)));
        };
        let blob = sync.file(&file.name, &content.etag).await?;
        // An inbound write just came from Git: reconciling resolves it, and pushing it back would be wrong.
        let blob = blob.filter(|blob| !sync_state.is_inbound(&file.name, &blob.writes));
        let Some(blob) = blob else { return Ok(None) };
        let in_git = file.replaces.is_some();
        let was_done = sync_state.done.contains(file.name.as_str());
        Ok::<_, GitSyncError>(Some(OutgoingFile {
            story: CommitSubject::of(&file.name, &blob.bytes, in_git, was_done),
            done: is_done_text(&file.name, &blob.bytes),
            open: vec![],
            text: Some(blob.bytes),
            writes: blob.writes,
            file,
        }))
    });
    let (mut texts, mut outgoing, mut bytes) =
        (texts.buffered(CONCURRENT_READS).boxed(), vec![], 0);
    while let Some(text) = texts.try_next().await? {
        let Some(it) = text else { continue };
        bytes += it.text.as_ref().map_or(0, Bytes::len);
        outgoing.push(it);
        if bytes > MAX_COMMIT_BYTES {
            break;
        }
    }
    Ok(outgoing)
}

/// Records the contents that are about to be committed in the sync state, so that a later tree that shows one is
/// recognised as an own push, even if the answer got lost. Drops files whose base moved, or that came from Git,
/// since they were selected; `None` if none is left.
pub(super) async fn record(
    sync: UserSync<'_>,
    mut outgoing: Vec<OutgoingFile>,
) -> Result<Option<Vec<OutgoingFile>>, GitSyncError> {
    if outgoing.is_empty() {
        return Ok(None);
    }
    let retry_after = sync.engine.repository().wait();
    if !retry_after.is_zero() {
        return Err(GitHubError::Limited { retry_after }.into());
    }
    let unrecorded = sync.engine.breaks(GitMutation::PushIntentNotRecorded);
    let record = |sync_state: &mut UserSyncState| {
        for it in &outgoing {
            if let Some(sha) = it.file.sha()
                && it.is_pushable(sync_state)
                && !unrecorded
            {
                sync_state.pushing.begin(&it.file.name, sha);
            }
        }
    };
    let sync_state = sync.update(record).await?;
    outgoing.retain(|it| it.is_pushable(&sync_state));
    for it in &mut outgoing {
        it.open = sync_state.pushing.of(&it.file.name).to_vec();
    }
    Ok(Some(outgoing).filter(|it| !it.is_empty()))
}

pub(super) async fn record_outcomes(
    sync: UserSync<'_>,
    sent: Vec<(&OutgoingFile, PushOutcome)>,
) -> Result<PushStep, GitSyncError> {
    let UserSync { engine, user } = sync;
    for (it, outcome) in &sent {
        if let PushOutcome::Done(commit) = outcome {
            // Before the sync state, so that a waiting request that sees the new base also finds the commit.
            sync.remember(&it.file, (commit.clone(), None));
            engine.branch.record_own_commit(commit.parent, commit.sha);
        }
    }
    let unrecorded = engine.breaks(GitMutation::OwnCommitNotRecorded);
    let note = |sync_state: &mut UserSyncState| {
        for (it, outcome) in &sent {
            // A rejected content stays in `pushing`: another attempt may have committed it.
            if let PushOutcome::Done(commit) = outcome {
                it.note_commit(commit, unrecorded, sync_state);
            }
        }
    };
    let sync_state = sync.update(note).await?;
    end_superseded(sync, &sync_state, &sent).await?;
    let mut step = PushStep::Continue;
    let mut first_error = None;
    for (it, outcome) in sent {
        let task = it.file.name.id();
        match outcome {
            PushOutcome::Done(commit) => {
                tracing::info!(%user, op = "push", %task, commit = %commit.sha, "committed");
            }
            PushOutcome::Stale => step = PushStep::Reconcile,
            PushOutcome::Rejected(error) | PushOutcome::Unknown(error) => {
                first_error = first_error.or(Some(error));
            }
        }
    }
    first_error.map_or(Ok(step), Err)
}

/// Removes from `pushing` the contents that were committed after the base had moved, once Git has replaced them: if
/// one shows up again later, it is an edit in Git and not an own push.
async fn end_superseded(
    sync: UserSync<'_>,
    sync_state: &UserSyncState,
    sent: &[(&OutgoingFile, PushOutcome)],
) -> Result<(), GitSyncError> {
    let late = sent.iter().filter_map(|(it, outcome)| match outcome {
        PushOutcome::Done(commit) if sync_state.base(&it.file.name) != it.file.sha() => {
            Some((&it.file.name, it.file.sha()?, commit.sha))
        }
        _ => None,
    });
    let late: Vec<(&FileName, GitSha, GitSha)> = late.collect();
    if late.is_empty() {
        return Ok(());
    }
    let branch = &sync.engine.branch;
    let snapshot = branch.snapshot().await?;
    let tree = sync.tree(&snapshot).await?;
    let mut replaced = vec![];
    for (name, sha, commit) in late {
        let now = tree.side(name);
        let is_other = now != SideState::Other && now != SideState::Content(sha);
        // Otherwise the tree is from before the commit (a lagging replica), or the branch was reset.
        let (commit, head) = (Some(commit), snapshot.commit());
        if is_other && branch.ask(|facts| facts.follows(commit, head)).await? {
            replaced.push((name, sha));
        }
    }
    let end = |sync_state: &mut UserSyncState| {
        for (name, sha) in &replaced {
            sync_state.pushing.end(name, *sha);
        }
    };
    sync.update(end).await.map(drop)
}
