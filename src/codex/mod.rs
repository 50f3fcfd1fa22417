//! The operations behind the HTTP API, the command line and the background jobs. They deal in users, versions and
//! files; HTTP belongs to the module `http`.

mod bodies;
mod editors;
mod git;
mod janitor;
mod limit;
mod locate;
mod probe;
mod render;
mod tasks;
mod write;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono_tz::Tz;

use crate::cache::{Cache, CacheSettings};
use crate::metrics::RuntimeStats;
use crate::now::Now;
use crate::owners::Owners;
use crate::store::{BlobKey, BlobStore, GetIf, GetOutcome, StoreError};
use crate::task::{EditError, Problem};
use crate::user::UserId;
use crate::write::{WriteError, Writer};

pub use crate::cache::{
    Artifact, ArtifactRejection, Consistency, Encoding, Layer, PageBytes, PageFormat, Read,
    ReadRequest, Snapshot, fetchable_name, non_file_record, unreadable_record,
};
pub use crate::store::{BlobFormat, Requests};
pub use crate::user_state::{
    ChangeKind, KeyHashes, NewerFormat, PendingFile, PendingOp, ReadError, State, Version,
};
pub use crate::write::{BatchItem, BatchResult, FileOp, FileOutcome, MAX_BATCH};
use git::GitSync;
pub use git::{
    FetchReport, GitMutation, GitSettings, GitStatus, GitSyncError, LastError, Mirrored,
    PublishedCommit, PullNote, PushState, SyncOutcome, SyncRequest, SyncStateSummary, TickReport,
    UserReport, forget_mirrored, mirrored,
};
pub use janitor::{JanitorError, JanitorReport};
use limit::RateLimiter;
use probe::ReadinessProbe;
pub use tasks::{TaskDetail, TaskFilter, TaskList};
pub use write::{IfMatch, TaskChanged, TaskCompleted, TaskCreated};

/// The part of the memory that is for the owners of logins is one in so many; the snapshots have the rest.
const OWNERS_SHARE: u64 = 8;

/// Settings of the operations.
#[derive(Clone)]
pub struct CodexSettings {
    /// Settings of the cache.
    pub cache: CacheSettings,
    /// Rebuilds and strict reads per user and minute that this instance grants.
    pub rebuilds_per_minute: u32,
    /// Writes per user and minute that this instance grants.
    pub writes_per_minute: u32,
    /// The mirror on GitHub, when GitHub mode is on.
    pub git: Option<GitSettings>,
}

/// CodexMiroir's operations over one store. Clones share all state.
#[derive(Clone)]
pub struct Codex {
    store: Arc<dyn BlobStore>,
    cache: Cache,
    writer: Writer,
    owners: Owners,
    rebuilds: Arc<RateLimiter>,
    writes: Arc<RateLimiter>,
    probe: Arc<ReadinessProbe>,
    git: Option<Arc<GitSync>>,
    zone: Tz,
}

/// Why a week can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WeekError {
    /// The cache couldn't read it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user's rebuild limit at this instance is used up.
    #[error("too many rebuilds")]
    TooMany {
        /// How long to wait before the next one.
        retry_after: Duration,
    },
}

/// Why an operation on tasks was refused, and at which version.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason.
    pub error: TaskError,
    /// The version of the user's data that the refusal was decided on; `None` if none was read.
    pub version: Option<Version>,
}

/// Why an operation on tasks failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TaskError {
    /// The cache or the store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The write may have landed, or may still land.
    #[error("whether it was written can't be known yet")]
    OutcomeUnknown,
    /// The user's rate limit at this instance is used up.
    #[error("too many requests")]
    TooMany {
        /// How long to wait before the next request.
        retry_after: Duration,
        /// Which limit was hit.
        of: Limited,
    },
    /// There is no such task.
    #[error("no such task")]
    NotFound,
    /// Several files have the number.
    #[error("several files have the number")]
    Ambiguous {
        /// The file names without `.md`, each of which names one task.
        stems: Vec<String>,
    },
    /// The task's file can't be read.
    #[error("the file can't be read: {}", .0.message)]
    Unreadable(Problem),
    /// The edit is invalid.
    #[error(transparent)]
    Edit(EditError),
    /// The task's content isn't one that `If-Match` names.
    #[error("the task has changed")]
    PreconditionFailed,
    /// Every attempt lost to a concurrent write; nothing was written.
    #[error("others kept changing the task")]
    Conflict,
    /// All task numbers are in use.
    #[error("all task numbers are taken")]
    IdsExhausted,
    /// The `Idempotency-Key` was used with a different request body.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
}

/// The kinds of requests with a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// `nocache` and strict reads.
    Rebuilds,
    /// Creates, updates and completions.
    Writes,
}

impl Refusal {
    fn at(error: TaskError, version: Version) -> Self {
        Self {
            error,
            version: Some(version),
        }
    }
}

impl<E: Into<TaskError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            version: None,
        }
    }
}

impl From<WeekError> for TaskError {
    fn from(error: WeekError) -> Self {
        match error {
            WeekError::Read(error) => Self::Read(error),
            WeekError::TooMany { retry_after } => Self::TooMany {
                retry_after,
                of: Limited::Rebuilds,
            },
        }
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Read(error) => error.into(),
            WriteError::OutcomeUnknown(version) => Self::at(TaskError::OutcomeUnknown, version),
            WriteError::Conflict(version) => Self::at(TaskError::Conflict, version),
            WriteError::IdsExhausted(version) => Self::at(TaskError::IdsExhausted, version),
            WriteError::KeyReused(version) => Self::at(TaskError::KeyReused, version),
        }
    }
}

/// A week with the bodies of its tasks.
#[derive(Debug, Clone)]
pub struct WeekWithBodies {
    /// The week's read; its request count includes the bodies.
    pub read: Read,
    /// The weak entity tag, quoted.
    pub etag: Box<str>,
    /// The HTML page.
    pub bytes: Bytes,
}

impl Codex {
    /// Operations over `store`.
    pub fn new(store: Arc<dyn BlobStore>, mut settings: CodexSettings) -> Self {
        let zone = settings.cache.zone;
        let for_owners = settings.cache.memory_max_bytes / OWNERS_SHARE;
        settings.cache.memory_max_bytes -= for_owners;
        let owners = Owners::new(&store, settings.cache.stale_if_error, for_owners);
        let cache = Cache::new(Arc::clone(&store), settings.cache);
        Self {
            owners,
            writer: Writer::new(cache.clone()),
            cache,
            rebuilds: Arc::new(RateLimiter::per_minute(settings.rebuilds_per_minute)),
            writes: Arc::new(RateLimiter::per_minute(settings.writes_per_minute)),
            probe: Arc::default(),
            git: settings.git.map(|git| Arc::new(GitSync::new(git))),
            store,
            zone,
        }
    }

    /// Whether the user has a state document: every user who was ever read and not deleted since has one.
    async fn has_state(&self, user: &UserId) -> Result<bool, StoreError> {
        let state = self
            .store
            .get(&BlobKey::state(user), GetIf::Any)
            .await?
            .value;
        Ok(matches!(state, GetOutcome::Blob(_)))
    }

    /// Reads the user's week with the consistency that the request asks for.
    ///
    /// # Errors
    /// [`WeekError::TooMany`] for a strict read or rebuild over the user's limit; else when the read fails.
    pub async fn week(&self, request: &ReadRequest) -> Result<Read, WeekError> {
        if request.consistency != Consistency::Bounded {
            self.allow_rebuild(request)?;
        }
        Ok(self.cache.read(request).await?)
    }

    fn allow_rebuild(&self, request: &ReadRequest) -> Result<(), WeekError> {
        let granted = self.rebuilds.take(&request.user, request.now.mono);
        granted.map_err(|retry_after| WeekError::TooMany { retry_after })
    }

    fn allow_write(&self, request: &ReadRequest) -> Result<(), TaskError> {
        let granted = self.writes.take(&request.user, request.now.mono);
        granted.map_err(|retry_after| TaskError::TooMany {
            retry_after,
            of: Limited::Writes,
        })
    }

    /// Writes up to [`MAX_BATCH`] files under one version. [`FileOutcome`] is the outcome for each file.
    ///
    /// # Errors
    /// When the batch as a whole failed.
    pub async fn write_files(
        &self,
        request: &ReadRequest,
        changes: Vec<BatchItem>,
    ) -> Result<BatchResult, Refusal> {
        let writer = self.write_context(request, "files");
        Ok(self.writer.write_batch(writer, changes).await?)
    }

    /// The Git engine, while GitHub mode is on.
    fn git(&self) -> Result<Arc<GitSync>, GitSyncError> {
        self.git.clone().ok_or(GitSyncError::Off)
    }

    /// Renders Markdown as sanitised HTML.
    pub async fn preview(&self, markdown: &str) -> String {
        render::render(markdown).await
    }

    /// The week rendered in this format and encoding.
    pub fn page(&self, entry: &Arc<Snapshot>, format: PageFormat, encoding: Encoding) -> PageBytes {
        self.cache.page(entry, format, encoding)
    }

    /// Checks that the store answers; the result is cached for five seconds.
    ///
    /// # Errors
    /// The store's error, or a timeout after three seconds.
    pub async fn is_ready(&self, now: Now) -> Result<(), StoreError> {
        self.probe.check(&*self.store, now).await
    }

    /// Breaks a rule of the Git engine from now on, for mutation tests by the simulation.
    #[cfg(feature = "mutations")]
    pub fn break_git_rule(&self, mutation: GitMutation) {
        if let Some(git) = &self.git {
            let _ = git.mutation.set(mutation);
        }
    }

    /// Waits for the work that follows acknowledged writes (removing write intents), so that a clean shutdown leaves
    /// nothing for other instances to recover.
    pub async fn finish_writes(&self) {
        self.writer.finish().await;
    }

    /// The user's snapshot in memory, of any age.
    pub fn known(&self, user: &UserId) -> Option<Arc<Snapshot>> {
        self.cache.known(user)
    }

    /// Gauges of this instance, for its metrics.
    pub fn runtime_stats(&self, now: Now) -> RuntimeStats {
        let (cached_users, cached_bytes) = self.memory_size();
        let unpushed = self.git.as_ref().map(|git| git.unpushed());
        let (unpushed, since) = unpushed.unwrap_or_default();
        RuntimeStats {
            rebuilds: self.cache.rebuilds(),
            cached_users,
            cached_bytes,
            tasks: tokio::runtime::Handle::try_current()
                .map_or(0, |runtime| runtime.metrics().num_alive_tasks() as u64),
            pending: self.writer.active_users() as u64,
            unpushed: unpushed as u64,
            oldest_unpushed: since.map(|since| now.started - since),
        }
    }

    /// The owners of logins.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// How many users memory holds, and their total size in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        let (users, bytes) = self.cache.memory_size();
        (users, bytes + self.owners.memory_bytes())
    }
}
