//! The operations. They know users, versions and files; what a request or a status code is, is the
//! edge's business.

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

use crate::cache::{Cache, CacheSettings, WriteError};
use crate::metrics::Standing;
use crate::now::Now;
use crate::store::{BlobStore, GetIf, Got, Key, StoreError};
use crate::task::{EditError, Problem};
use crate::user::UserId;

pub use crate::cache::{
    Act, Artifact, BatchDone, ChangeKind, Claim, Confirmed, Encoding, Entry, FileChange, FileFate,
    Format, Freshness, Holder, KeyHashes, Layer, MAX_BATCH, NewerFormat, NotTaken, OwnerError,
    OwnerFile, PageBytes, PageFormat, PendingFile, PendingOp, Read, ReadError, Requests, State,
    Version, Want, denied, no_file, spellings, to_be_read,
};
use git::Git;
pub use git::{
    FetchReport, GitMutation, GitNote, GitSettings, GitState, GitStatus, GitTrouble, LastError,
    Made, Mirrored, PullNote, SyncRequest, Synced, TickReport, UserReport, forget_mirrored,
    mirrored,
};
pub use janitor::{JanitorError, JanitorReport};
use limit::Limiter;
use probe::Probe;
pub use tasks::{Filter, TaskList, TaskShown};
pub use write::{IfMatch, TaskChanged, TaskCompleted, TaskCreated};

/// What the operations need to know of the settings.
#[derive(Clone)]
pub struct CodexSettings {
    /// Of the cache.
    pub cache: CacheSettings,
    /// Rebuilds and strict reads a user may ask of this instance in a minute.
    pub rebuilds_per_minute: u32,
    /// Writes a user may ask of this instance in a minute.
    pub writes_per_minute: u32,
    /// The mirror on GitHub, when GitHub mode is on.
    pub git: Option<GitSettings>,
}

/// CodexMiroir's operations over one store. Cloning shares everything.
#[derive(Clone)]
pub struct Codex {
    store: Arc<dyn BlobStore>,
    cache: Cache,
    rebuilds: Arc<Limiter>,
    writes: Arc<Limiter>,
    probe: Arc<Probe>,
    git: Option<Arc<Git>>,
    zone: Tz,
}

/// Why there is no week to show.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WeekError {
    /// The cache couldn't get at it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user asked for more rebuilds than this instance grants.
    #[error("too many rebuilds")]
    TooMany {
        /// When to come back.
        retry_after: Duration,
    },
}

/// Why a request about tasks is refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Why.
    pub error: TaskError,
    /// The version of the user's data that this is about, where it was looked at.
    pub version: Option<Version>,
}

/// What is wrong with a request about tasks.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TaskError {
    /// The cache or the store couldn't do it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A write that may have happened, or may still happen.
    #[error("whether it was written can't be known yet")]
    OutcomeUnknown,
    /// The user asked for more than this instance grants.
    #[error("too many requests")]
    TooMany {
        /// When to come back.
        retry_after: Duration,
        /// What there were too many of.
        of: Limited,
    },
    /// There is no such task.
    #[error("no such task")]
    NotFound,
    /// Several files have the number.
    #[error("several files have the number")]
    Ambiguous {
        /// Their stems, by which each can be asked for.
        stems: Vec<String>,
    },
    /// The task's file can't be read.
    #[error("the file can't be read: {}", .0.message)]
    Unreadable(Problem),
    /// It can't be written like that.
    #[error(transparent)]
    Edit(EditError),
    /// The task isn't the one `If-Match` names any more.
    #[error("the task has changed")]
    PreconditionFailed,
    /// Others kept changing the task; nothing was written.
    #[error("others kept changing the task")]
    Conflict,
    /// Every number has a file.
    #[error("all task numbers are taken")]
    IdsExhausted,
    /// The `Idempotency-Key` stands for another request.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
}

/// What a user may not ask for without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// `nocache` and strict reads.
    Rebuilds,
    /// Creating, changing, completing.
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
            WriteError::NoState => ReadError::Broken.into(),
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
    /// The week, and where it came from; its requests include the bodies'.
    pub read: Read,
    /// Weak entity tag, quoted.
    pub etag: Box<str>,
    /// The page.
    pub bytes: Bytes,
}

impl Codex {
    /// Operations over `store`.
    pub fn new(store: Arc<dyn BlobStore>, settings: CodexSettings) -> Self {
        let zone = settings.cache.zone;
        Self {
            cache: Cache::new(Arc::clone(&store), settings.cache),
            rebuilds: Arc::new(Limiter::per_minute(settings.rebuilds_per_minute)),
            writes: Arc::new(Limiter::per_minute(settings.writes_per_minute)),
            probe: Arc::default(),
            git: settings.git.map(|git| Arc::new(Git::new(git))),
            store,
            zone,
        }
    }

    /// Whether the user is here: whoever was ever looked at and wasn't deleted since.
    async fn has_state(&self, user: &UserId) -> Result<bool, StoreError> {
        let state = self.store.get(&Key::state(user), GetIf::Any).await?.value;
        Ok(matches!(state, Got::Blob(_)))
    }

    /// The user's week, as fresh as `want` says.
    pub async fn week(&self, want: &Want) -> Result<Read, WeekError> {
        if want.freshness != Freshness::Bounded {
            self.allow_rebuild(want)?;
        }
        Ok(self.cache.read_first(want).await?)
    }

    fn allow_rebuild(&self, want: &Want) -> Result<(), WeekError> {
        let granted = self.rebuilds.take(&want.user, want.now.mono);
        granted.map_err(|retry_after| WeekError::TooMany { retry_after })
    }

    fn allow_write(&self, want: &Want) -> Result<(), TaskError> {
        let granted = self.writes.take(&want.user, want.now.mono);
        granted.map_err(|retry_after| TaskError::TooMany {
            retry_after,
            of: Limited::Writes,
        })
    }

    /// Writes up to [`MAX_BATCH`] files under one version; see [`FileFate`] for what may become of each.
    pub async fn write_files(
        &self,
        want: &Want,
        changes: Vec<FileChange>,
    ) -> Result<BatchDone, Refusal> {
        let writer = self.writer(want, "files");
        Ok(self.cache.write_batch(writer, changes).await?)
    }

    /// The side that looks at GitHub.
    fn git(&self) -> Result<Arc<Git>, GitTrouble> {
        self.git.clone().ok_or(GitTrouble::Off)
    }

    /// Markdown as it is shown, harmless.
    pub async fn preview(&self, markdown: &str) -> String {
        render::render(markdown).await
    }

    /// The bytes of a week in this form.
    pub fn page(&self, entry: &Arc<Entry>, format: PageFormat, encoding: Encoding) -> PageBytes {
        self.cache.page(entry, format, encoding)
    }

    /// Whether the store answers; remembered for five seconds.
    pub async fn is_ready(&self, now: Now) -> Result<(), StoreError> {
        self.probe.ask(&*self.store, now).await
    }

    /// Breaks a rule of the Git engine from now on, for the simulation to find.
    #[cfg(feature = "mutations")]
    pub fn break_git_rule(&self, mutation: GitMutation) {
        if let Some(git) = &self.git {
            let _ = git.mutation.set(mutation);
        }
    }

    /// Breaks a rule of the protocol from now on, for the simulation to find.
    #[cfg(feature = "mutations")]
    pub fn break_rule(&self, mutation: crate::cache::Mutation) {
        self.cache.break_rule(mutation);
    }

    /// Waits for what follows the answers to writes, so that a process that ends leaves nothing to others.
    pub async fn finish_writes(&self) {
        self.cache.finish_writes().await;
    }

    /// What this instance knows of the user, however old it is.
    pub fn known(&self, user: &UserId) -> Option<Arc<Entry>> {
        self.cache.known(user)
    }

    /// How things stand in this instance.
    pub fn standing(&self, now: Now) -> Standing {
        let (cached_users, cached_bytes) = self.cache.memory_size();
        let unpushed = self.git.as_ref().map(|git| git.unpushed());
        let (unpushed, since) = unpushed.unwrap_or_default();
        Standing {
            rebuilds: self.cache.rebuilds(),
            cached_users,
            cached_bytes,
            tasks: tokio::runtime::Handle::try_current()
                .map_or(0, |runtime| runtime.metrics().num_alive_tasks() as u64),
            pending: self.cache.writing() as u64,
            unpushed: unpushed as u64,
            oldest_unpushed: since.map(|since| now.started - since),
        }
    }

    /// Whose login it is: see [`Cache::confirm_owner`].
    ///
    /// # Errors
    /// As there.
    pub async fn confirm_owner(&self, claim: &Claim, now: Now) -> Result<Confirmed, OwnerError> {
        self.cache.confirm_owner(claim, now).await
    }

    /// Whose login it is by what the store says now: see [`Cache::reconfirm_owner`].
    ///
    /// # Errors
    /// As there.
    pub async fn reconfirm_owner(&self, claim: &Claim, now: Now) -> Result<Confirmed, OwnerError> {
        self.cache.reconfirm_owner(claim, now).await
    }

    /// Ends somebody's sessions: see [`Cache::end_sessions`].
    ///
    /// # Errors
    /// As there.
    pub async fn end_sessions(&self, claim: &Claim) -> Result<(), OwnerError> {
        self.cache.end_sessions(claim).await
    }

    /// Whether this instance knows that the claim's session was ended.
    pub fn has_ended(&self, claim: &Claim) -> bool {
        self.cache.has_ended(claim)
    }

    /// How many users memory holds, and what they occupy together in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        self.cache.memory_size()
    }
}
