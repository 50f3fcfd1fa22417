//! What all parts of the synchronisation share: the two sides, the documents about them, and what one process keeps in
//! memory.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::branch::Branch;
use super::commits::RecentCommits;
use super::error::GitSyncError;
use super::hints::{Hints, hint};
use super::mutation::GitMutation;
use super::outbox::Outbox;
use super::runs::FetchRuns;
use super::states::SyncStates;
use super::sync_state::UserSyncState;
use crate::cache::{Cache, Consistency, ReadRequest, Snapshot};
use crate::github::{GitHubError, GitSnapshot, Repository, UserTree};
use crate::now::Now;
use crate::owners::spellings;
use crate::per_user::PerUser;
use crate::rules::Rules;
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt, ETag, StoreError, WriteId};
use crate::task::{FileName, GitSha, MAX_FILE_BYTES, git_sha};
use crate::user::UserId;
use crate::user_state::ReadError;
use crate::write::{BatchItem, BatchResult, WriteContext, WriteError, Writer};

/// Settings of the synchronisation with GitHub.
#[derive(Clone)]
pub struct GitSettings {
    /// The mirrored repository and branch.
    pub repository: Arc<dyn Repository>,
    /// The folder that contains the users' folders, without leading and trailing slashes.
    pub base_path: String,
    /// The clock for background work.
    pub clock: fn() -> Now,
    /// The rules to keep: all, except in a simulation.
    pub rules: Rules<GitMutation>,
}

/// Both sides, and what is known of them.
pub(super) struct Engine {
    pub repository: Arc<dyn Repository>,
    pub base_path: String,
    pub clock: fn() -> Now,
    pub rules: Rules<GitMutation>,
    pub store: Arc<dyn BlobStore>,
    pub cache: Arc<Cache>,
    /// Writes task files.
    writer: Writer,
    pub states: SyncStates,
    pub hints: Hints,
    pub branch: Branch,
    pub runs: FetchRuns,
    pub outbox: Outbox,
    pub commits: RecentCommits,
    /// Serialises this process's commits to a branch.
    pub committing: tokio::sync::Mutex<()>,
    /// The numbers of the open pull requests, as last listed, and when.
    pub open_pulls: tokio::sync::Mutex<Option<(tokio::time::Instant, Arc<BTreeSet<u64>>)>>,
    /// One lock per user whose files are being committed. A second push waits and then finds nothing left, instead of
    /// committing the same again.
    pub push_locks: PerUser<tokio::sync::Mutex<()>>,
}

impl Engine {
    pub(super) fn new(
        settings: GitSettings,
        store: Arc<dyn BlobStore>,
        cache: Arc<Cache>,
        writer: Writer,
    ) -> Self {
        let GitSettings {
            repository,
            base_path,
            clock,
            rules,
        } = settings;
        let config = repository.config();
        let full_name = config.full_name().to_lowercase();
        let place = format!("{full_name}@{}:{base_path}", config.branch);
        let proposes = config.pull_requests.is_some();
        Self {
            states: SyncStates::new(Arc::clone(&store), place, proposes),
            hints: Hints::new(Arc::clone(&store), rules),
            branch: Branch::new(Arc::clone(&repository), base_path.clone(), clock, rules),
            repository,
            base_path,
            clock,
            rules,
            store,
            writer,
            cache,
            runs: FetchRuns::default(),
            outbox: Outbox::default(),
            commits: RecentCommits::default(),
            committing: tokio::sync::Mutex::default(),
            open_pulls: tokio::sync::Mutex::default(),
            push_locks: PerUser::default(),
        }
    }

    /// The path of a user's file in the repository.
    pub(super) fn path(&self, user: &UserId, name: &FileName) -> String {
        format!("{}/{user}/tasks/{name}", self.base_path)
    }

    /// The prefix of the branches for pull requests; `None` where changes are committed to the mirrored branch.
    pub(super) fn pull_prefix(&self) -> Option<&str> {
        self.repository.config().pull_requests.as_deref()
    }

    /// Queues a push and fetch of the user's files for the background worker.
    pub(super) fn enqueue(&self, user: &UserId) {
        self.outbox.add(user, (self.clock)());
    }

    /// Leaves a hint, and queues the user here.
    pub(super) async fn hint_and_enqueue(&self, user: &UserId, now: Now) -> Result<(), StoreError> {
        self.hints.leave(user, now).await?;
        self.enqueue(user);
        Ok(())
    }

    /// Reads the user's files for the service itself.
    pub(super) async fn read(
        &self,
        user: &UserId,
        now: Now,
        consistency: Consistency,
    ) -> Result<Arc<Snapshot>, ReadError> {
        let request = ReadRequest {
            user: user.clone(),
            seen: None,
            consistency,
            now,
        };
        Ok(self.cache.read(&request).await?.entry)
    }

    /// A task file, if the store still has this version; else `None`.
    pub(super) async fn file(
        &self,
        user: &UserId,
        name: &FileName,
        etag: &ETag,
    ) -> Result<Option<Blob>, GitSyncError> {
        let key = BlobKey::task(user, name);
        Ok(self.store.read_version(&key, etag).await?)
    }

    /// Writes the user's files.
    pub(super) async fn write(
        &self,
        user: &UserId,
        now: Now,
        reason: &'static str,
        changes: Vec<BatchItem>,
    ) -> Result<BatchResult, WriteError> {
        let context = WriteContext {
            user: user.clone(),
            now,
            reason,
            hint: Some(hint(user, now)),
        };
        self.writer.write_batch(context, changes).await
    }

    /// An id for a write.
    pub(super) fn write_id(&self) -> WriteId {
        self.writer.write_id()
    }

    /// The content of a task file in Git.
    ///
    /// # Errors
    /// When it can't be fetched, is larger than a task file may be, or doesn't match its SHA.
    pub(super) async fn blob_in_git(&self, sha: GitSha) -> Result<Bytes, GitHubError> {
        let operation = "read a file";
        let unexpected = |reason| GitHubError::Unexpected { operation, reason };
        let blob = self.repository.blob(sha).await?;
        let bytes = blob.ok_or_else(|| unexpected("the blob is missing"))?;
        if bytes.len() > MAX_FILE_BYTES || git_sha(&bytes) != sha {
            return Err(unexpected(
                "the content is too large or doesn't match its SHA",
            ));
        }
        Ok(bytes)
    }

    /// What is at a file's path on a branch, or at a commit given by its id.
    pub(super) async fn sha_in_git(
        &self,
        user: &UserId,
        name: &FileName,
        at: &str,
    ) -> Result<Option<GitSha>, GitHubError> {
        let path = self.path(user, name);
        self.repository.file_sha_at(at, &path).await
    }

    /// Whether the user has a state document: every user who was ever read and not deleted since has one.
    pub(super) async fn has_state(&self, user: &UserId) -> Result<bool, StoreError> {
        let state = self.store.read(&BlobKey::state(user)).await?;
        Ok(state.is_some())
    }

    /// The user's tree in Git, with the login's folders in another letter case, except those that also have a folder in
    /// the store (created before this rule): these belong to a user of their own. Without such folders in Git this
    /// costs no request.
    pub(super) async fn user_tree<'a>(
        &self,
        snapshot: &'a GitSnapshot,
        user: &UserId,
    ) -> Result<Cow<'a, UserTree>, StoreError> {
        let tree = snapshot.user(user);
        let others = snapshot.tree.spellings(user).iter();
        let mut respelt: Vec<UserId> = others.filter(|it| *it != user).cloned().collect();
        if !respelt.is_empty() {
            let here = spellings(&*self.store, user).await?;
            respelt.retain(|it| !here.contains(it));
        }
        Ok(match respelt.is_empty() {
            true => Cow::Borrowed(tree),
            false => Cow::Owned(tree.with_other_spellings(respelt, user, &self.base_path)),
        })
    }

    /// Records the error as `lastError`, unless the same one is recorded already. Skipped for a user without state:
    /// writing `git.json` would create a folder for the user, possibly of a login that has one in another letter case.
    pub(super) async fn record_error(&self, user: &UserId, error: &GitSyncError, now: Now) {
        let recorded = async {
            if self.has_state(user).await? {
                let note = |state: &mut _| UserSyncState::note_failure(state, error, now.utc);
                self.states.update(user, note).await?;
            }
            Ok::<_, GitSyncError>(())
        };
        if let Err(error) = recorded.await {
            tracing::warn!(%user, %error, "the sync error can't be recorded");
        }
    }
}
