//! What all parts of the synchronisation share: the two sides, the documents about them, and what one process keeps in
//! memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use moka::sync::Cache as Moka;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::branch::{Branch, GitSettings};
use super::mutation::GitMutation;
use super::plan::{RemovedFiles, Unpushed};
use super::queue::{FetchRuns, Hints, Outbox, hint};
use super::report::GitSyncError;
use super::states::{CAS_ATTEMPTS, SyncStates, to_bytes};
use super::sync_state::UserSyncState;
use crate::cache::{Cache, Consistency, ReadRequest, Snapshot};
use crate::github::{CreatedCommit, GitHubError, GitSnapshot, Pull, Repository, UserTree};
use crate::now::Now;
use crate::owners::spellings;
use crate::per_user::PerUser;
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt, BlobUpdate, ETag, StoreError};
use crate::task::{FileName, GitSha, MAX_FILE_BYTES, git_sha};
use crate::user::UserId;
use crate::user_state::ReadError;
use crate::write::{BatchItem, BatchResult, WriteContext, WriteError, Writer};

const MAX_RECENT_COMMITS: u64 = 1_000;

/// The synchronisation of one store with one repository.
pub struct GitSync {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) cache: Arc<Cache>,
    pub(super) writer: Writer,
    pub(super) states: SyncStates,
    pub(super) hints: Hints,
    pub(super) branch: Branch,
    pub(super) runs: FetchRuns,
    pub(super) outbox: Outbox,
    /// The last committed content of each file and its commit, for writes that wait for it.
    recent: Moka<(UserId, FileName), (Option<GitSha>, PublishedCommit)>,
    /// Serialises this process's commits to a branch.
    pub(super) committing: Mutex<()>,
    /// The numbers of the open pull requests, as last listed, and when.
    pub(super) open_pulls: Mutex<Option<(Instant, Arc<BTreeSet<u64>>)>>,
    /// One lock per user whose files are being committed. A second push waits and then finds nothing left, instead of
    /// committing the same again.
    pub(super) push_locks: PerUser<Mutex<()>>,
    /// Users whose hints the timer left in the queue, and since when they wait.
    pub(super) unserved: parking_lot::Mutex<BTreeMap<UserId, Instant>>,
    pub(super) timer_runs: AtomicUsize,
}

/// A commit that this process made, and the pull request that contains it, if `CREATE_VIA_PR` is on.
pub type PublishedCommit = (CreatedCommit, Option<Pull>);

impl GitSync {
    /// The synchronisation of `store`, whose files are read by `cache` and written by `writer`.
    pub fn new(
        settings: GitSettings,
        store: Arc<dyn BlobStore>,
        cache: Arc<Cache>,
        writer: Writer,
    ) -> Self {
        let config = settings.repository.config();
        let full_name = config.full_name().to_lowercase();
        Self {
            states: SyncStates {
                store: Arc::clone(&store),
                place: format!("{full_name}@{}:{}", config.branch, settings.base_path),
                proposes: config.pull_requests.is_some(),
            },
            hints: Hints {
                store: Arc::clone(&store),
                rules: settings.rules,
            },
            branch: Branch::new(settings),
            store,
            cache,
            writer,
            runs: FetchRuns::default(),
            outbox: Outbox::default(),
            recent: Moka::new(MAX_RECENT_COMMITS),
            committing: Mutex::default(),
            open_pulls: Mutex::default(),
            push_locks: PerUser::default(),
            unserved: parking_lot::Mutex::default(),
            timer_runs: AtomicUsize::default(),
        }
    }

    pub(super) fn repository(&self) -> &dyn Repository {
        &*self.branch.settings.repository
    }

    pub(super) fn clock(&self) -> Now {
        (self.branch.settings.clock)()
    }

    pub(super) fn breaks(&self, rule: GitMutation) -> bool {
        self.branch.settings.rules.breaks(rule)
    }

    /// The prefix of the branches for pull requests; `None` where changes are committed to the mirrored branch.
    pub(super) fn pull_prefix(&self) -> Option<&str> {
        self.repository().config().pull_requests.as_deref()
    }

    pub(super) fn of<'a>(&'a self, user: &'a UserId) -> UserSync<'a> {
        UserSync { engine: self, user }
    }

    /// The content of a task file in Git. Fails also when it is larger than a task file may be, or doesn't match its
    /// SHA.
    pub(super) async fn blob_in_git(&self, sha: GitSha) -> Result<Bytes, GitHubError> {
        let operation = "read a file";
        let unexpected = |reason| GitHubError::Unexpected { operation, reason };
        let blob = self.repository().blob(sha).await?;
        let bytes = blob.ok_or_else(|| unexpected("the blob is missing"))?;
        if bytes.len() > MAX_FILE_BYTES || git_sha(&bytes) != sha {
            return Err(unexpected(
                "the content is too large or doesn't match its SHA",
            ));
        }
        Ok(bytes)
    }
}

/// The synchronisation of one user's files.
#[derive(Clone, Copy)]
pub(super) struct UserSync<'a> {
    pub engine: &'a GitSync,
    pub user: &'a UserId,
}

impl<'a> UserSync<'a> {
    /// The user's `git.json`.
    pub(super) async fn state(self) -> Result<UserSyncState, GitSyncError> {
        let blob = self.engine.store.read(&BlobKey::git(self.user)).await?;
        self.engine.states.user_state(blob)
    }

    /// Updates the user's `git.json` by compare-and-swap. `change` is applied again to a newer state after a lost race,
    /// so it has to check its preconditions itself. [`GitSyncError::Contended`] after too many lost races.
    pub(super) async fn update(
        self,
        change: impl Fn(&mut UserSyncState) + Send + Sync,
    ) -> Result<UserSyncState, GitSyncError> {
        let decide = |blob| {
            let before = self.engine.states.user_state(blob)?;
            let mut state = before.clone();
            change(&mut state);
            Ok::<_, GitSyncError>(match state == before {
                true => BlobUpdate::Keep(state),
                false => BlobUpdate::Write(to_bytes(&state), state),
            })
        };
        let (store, key) = (&self.engine.store, BlobKey::git(self.user));
        let updated = store.update(&key, CAS_ATTEMPTS, decide).await?;
        updated.ok_or(GitSyncError::Contended)
    }

    pub(super) fn path(self, name: &FileName) -> String {
        let folder = &self.engine.branch.settings.base_path;
        format!("{folder}/{}/tasks/{name}", self.user)
    }

    /// Queues a push and fetch of the user's files for the background worker.
    pub(super) fn enqueue(self) {
        self.engine.outbox.add(self.user, self.engine.clock());
    }

    /// Leaves a hint, and queues the user here.
    pub(super) async fn hint_and_enqueue(self, now: Now) -> Result<(), StoreError> {
        self.engine.hints.leave(self.user, now).await?;
        self.enqueue();
        Ok(())
    }

    /// Reads the user's files for the service itself.
    pub(super) async fn read(
        self,
        now: Now,
        consistency: Consistency,
    ) -> Result<Arc<Snapshot>, ReadError> {
        let request = ReadRequest::new(self.user.clone(), consistency, now);
        Ok(self.engine.cache.read(&request).await?.entry)
    }

    /// The files of `entry` that were removed through the service, and may still be in Git.
    pub(super) fn removed(self, entry: &Snapshot) -> &RemovedFiles {
        static NONE: RemovedFiles = RemovedFiles::new();
        match self.engine.breaks(GitMutation::ApiRemovalForgotten) {
            true => &NONE,
            false => entry.removed(),
        }
    }

    /// A task file, if the store still has this version; else `None`.
    pub(super) async fn file(
        self,
        name: &FileName,
        etag: &ETag,
    ) -> Result<Option<Blob>, GitSyncError> {
        let key = BlobKey::task(self.user, name);
        Ok(self.engine.store.read_version(&key, etag).await?)
    }

    pub(super) async fn write(
        self,
        now: Now,
        reason: &'static str,
        changes: Vec<BatchItem>,
    ) -> Result<BatchResult, WriteError> {
        let context = WriteContext {
            user: self.user.clone(),
            now,
            reason,
            hint: Some(hint(self.user, now)),
        };
        self.engine.writer.write_batch(context, changes).await
    }

    /// What is at a file's path on a branch, or at a commit given by its id.
    pub(super) async fn sha_in_git(
        self,
        name: &FileName,
        at: &str,
    ) -> Result<Option<GitSha>, GitHubError> {
        let path = self.path(name);
        self.engine.repository().file_sha_at(at, &path).await
    }

    /// Whether the user has a state document: every user who was ever read and not deleted since has one.
    pub(super) async fn has_state(self) -> Result<bool, StoreError> {
        let state = self.engine.store.read(&BlobKey::state(self.user)).await?;
        Ok(state.is_some())
    }

    /// The user's tree in Git, with the login's folders in another letter case, except those that also have a folder in
    /// the store (created before this rule): these belong to a user of their own. Without such folders in Git this
    /// costs no request.
    pub(super) async fn tree(
        self,
        snapshot: &'a GitSnapshot,
    ) -> Result<Cow<'a, UserTree>, StoreError> {
        let Self { engine, user } = self;
        let tree = snapshot.user(user);
        let others = snapshot.tree.spellings(user).iter();
        let mut respelt: Vec<UserId> = others.filter(|it| *it != user).cloned().collect();
        if !respelt.is_empty() {
            let here = spellings(&*engine.store, user).await?;
            respelt.retain(|it| !here.contains(it));
        }
        let base_path = &engine.branch.settings.base_path;
        Ok(match respelt.is_empty() {
            true => Cow::Borrowed(tree),
            false => Cow::Owned(tree.with_other_spellings(respelt, user, base_path)),
        })
    }

    pub(super) fn remember(self, file: &Unpushed, commit: PublishedCommit) {
        let key = (self.user.clone(), file.name.clone());
        self.engine.recent.insert(key, (file.sha(), commit));
    }

    /// The commit of this content, or of the removal, if it is the last one of the file that this process made.
    pub(super) fn published(self, name: &FileName, sha: Option<GitSha>) -> Option<PublishedCommit> {
        let (last, commit) = self.engine.recent.get(&(self.user.clone(), name.clone()))?;
        (last == sha).then_some(commit)
    }

    /// Records the error as `lastError`, unless the same one is recorded already. Skipped for a user without state:
    /// writing `git.json` would create a folder for the user, possibly of a login that has one in another letter case.
    pub(super) async fn record_error(self, error: &GitSyncError, now: Now) {
        let recorded = async {
            if self.has_state().await? {
                let note = |state: &mut _| UserSyncState::note_failure(state, error, now.utc);
                self.update(note).await?;
            }
            Ok::<_, GitSyncError>(())
        };
        if let Err(error) = recorded.await {
            tracing::warn!(user = %self.user, %error, "the sync error can't be recorded");
        }
    }
}
