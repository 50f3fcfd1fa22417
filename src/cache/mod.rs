//! Two cache layers in front of a user's task files (snapshots in memory, one artifact blob per user), the rebuild
//! from the files behind both, and the write protocol that keeps all instances coherent.
//!
#![doc = include_str!("README.md")]

mod artifact;
mod command;
mod commit_queue;
mod file_records;
mod garbage;
mod memory;
mod mutation;
mod owner;
mod read;
mod rebuild;
mod recovery;
mod responses;
mod single_flight;
mod snapshot;
mod state;
mod storage_clock;
mod storage_read;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono_tz::Tz;

use crate::now::Now;
use crate::store::{BlobStore, StoreError};
use crate::user::UserId;

pub use crate::store::BlobFormat;
pub use artifact::{Artifact, ArtifactRejection};
pub use command::KeyHashes;
pub use file_records::{fetchable_name, non_file_problem, non_file_record, unreadable_record};
pub use garbage::GarbageCollected;
pub use mutation::Mutation;
pub use owner::{
    AccountIdentity, ConfirmedOwner, LoginClaim, OwnerError, OwnerFile, folders, spellings,
};
pub use responses::{Encoding, PageBytes, PageFormat};
pub use snapshot::{Snapshot, VersionBounds};
pub use state::{
    ChangeKind, FilesDigest, IdempotencyRecord, LegacyNextId, MergedFile, NewerFormat, PendingFile,
    PendingOp, State, StatePresence, StoredState, Version,
};
pub use write::{
    BatchItem, BatchResult, ChangeDecision, ChangeError, ChangeOutcome, CreatedTask, FileOp,
    FileOutcome, MAX_BATCH, NewTaskFile, WriteContext,
};

use commit_queue::CommitQueues;
pub(crate) use commit_queue::with_deadline;
use memory::{AcknowledgedVersions, MemoryCache};
use rebuild::RebuildOutcome;
use single_flight::SingleFlight;
use storage_clock::StorageClock;
use storage_read::ReadOutcome;

/// Lifetimes, limits and sources of the cache.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Past this age a snapshot serves only as the base of the next rebuild, or as a stale answer in an outage.
    pub memory_ttl: Duration,
    /// How long a listing is valid, in memory and in the artifact; after that the files must be listed again.
    pub artifact_ttl: Duration,
    /// How long a confirmed snapshot is served without reading the state document: the staleness bound (P2).
    pub revalidate: Duration,
    /// How long after its last confirmation a snapshot may be served stale during an outage (P9).
    pub stale_if_error: Duration,
    /// Bound of the memory layer, in bytes.
    pub memory_max_bytes: u64,
    /// Deadline of a whole read; its storage requests are cancelled with it.
    pub deadline: Duration,
    /// Age at which a write intent is overdue and any instance may recover it.
    pub pending_expiry: Duration,
    /// The time zone of the slots in which tasks are placed.
    pub zone: Tz,
    /// Generates operation and write ids; must never return the same id twice, on any instance.
    pub ids: fn() -> u64,
}

impl CacheSettings {
    /// Time-to-live of a record in memory. A snapshot can be confirmed for `memory_ttl` and from then on be served
    /// stale for `stale_if_error`; an owner's record may be needed longer.
    fn record_ttl(&self) -> Duration {
        let snapshot = self.memory_ttl.saturating_add(self.stale_if_error);
        snapshot.max(owner::outage_ttl(self.stale_if_error))
    }
}

/// The cache of one instance. A cheap handle: clones share one cache.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<CacheInner>,
}

struct CacheInner {
    store: Arc<dyn BlobStore>,
    memory: MemoryCache,
    flights: Arc<SingleFlight<ReadOutcome, RebuildOutcome>>,
    commit_queues: CommitQueues,
    acknowledged: AcknowledgedVersions,
    clock: StorageClock,
    rebuilds: AtomicU64,
    settings: CacheSettings,
    #[cfg(feature = "mutations")]
    mutation: std::sync::OnceLock<Mutation>,
}

/// A read request: whose files, and how current the answer must be.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The user whose files are read.
    pub user: UserId,
    /// The snapshot that was in memory after the request arrived, if the owner lookup already fetched it.
    pub known: Option<Arc<Snapshot>>,
    /// The highest version that the client has seen; the answer must contain it (P1, P3).
    pub seen: Option<Version>,
    /// How current the answer must be.
    pub consistency: Consistency,
    /// When the request arrived.
    pub now: Now,
}

/// The consistency level of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Bounded staleness: contains every change acknowledged at least [`CacheSettings::revalidate`] ago.
    Bounded,
    /// Strong: contains every change acknowledged before the request arrived.
    Strict,
    /// Strong, from a listing taken after the request arrived, so foreign files (editors, synced folders) are in it.
    Rebuilt,
}

/// The result of a read.
#[derive(Debug, Clone)]
pub struct Read {
    /// The user's snapshot, with the tasks placed for the time of the request.
    pub entry: Arc<Snapshot>,
    /// Which layer supplied it.
    pub layer: Layer,
    /// The storage requests made for this reader; 0 for a follower, they count for its leader.
    pub requests: Requests,
}

/// The layer that supplied an answer, reported in `x-codex-cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// This instance's memory.
    Memory,
    /// The artifact blob.
    Artifact,
    /// A new listing of the task files.
    Rebuild,
    /// Memory, while the store is unreachable.
    Stale,
}

impl Layer {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Artifact => "artifact",
            Self::Rebuild => "rebuild",
            Self::Stale => "stale",
        }
    }
}

/// Counts of storage requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// GET and LIST.
    pub reads: u32,
    /// PUT and DELETE.
    pub writes: u32,
}

impl std::ops::AddAssign for Requests {
    fn add_assign(&mut self, more: Self) {
        self.reads += more.reads;
        self.writes += more.writes;
    }
}

/// Why a read failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The store failed, and no snapshot may be served stale.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A deadline passed: [`CacheSettings::deadline`] for a whole read, a shorter one for a single request.
    #[error("the storage took too long")]
    TimedOut,
    /// Concurrent writers won every compare-and-swap.
    #[error("other writers kept changing the user's data")]
    Contended,
    /// A newer version of the service wrote a blob that this one can't read.
    #[error(transparent)]
    NewerFormat(#[from] NewerFormat),
    /// The background task panicked or returned an impossible result: a defect.
    #[error("the background task ended without a result")]
    Broken,
}

/// Why a write was not acknowledged. The versions may be sent to the client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The store or the state document can't be used; nothing was written, and nothing will be.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user has no state document yet.
    #[error("the user has no state")]
    NoState,
    /// The write may have landed, or may still land, with this version.
    #[error("whether it was written can't be known yet")]
    OutcomeUnknown(Version),
    /// Concurrent writers won every attempt; nothing was written.
    #[error("other writers kept changing the same file")]
    Conflict(Version),
    /// Every task number has a file.
    #[error("all 10,000 task numbers are taken")]
    IdsExhausted(Version),
    /// The `Idempotency-Key` belongs to a request with another body.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused(Version),
}

impl ReadError {
    /// Whether the store was unreachable, so a snapshot may be served stale.
    fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_) | Self::TimedOut)
    }
}

impl Cache {
    /// A cache in front of `store`.
    pub fn new(store: Arc<dyn BlobStore>, settings: CacheSettings) -> Self {
        let memory = MemoryCache::new(settings.memory_max_bytes, settings.record_ttl());
        let flights = Arc::new(SingleFlight::new(settings.deadline));
        let acknowledged = AcknowledgedVersions::new(settings.stale_if_error);
        Self {
            inner: Arc::new(CacheInner {
                store,
                memory,
                flights,
                commit_queues: CommitQueues::default(),
                acknowledged,
                clock: StorageClock::default(),
                rebuilds: AtomicU64::new(0),
                settings,
                #[cfg(feature = "mutations")]
                mutation: std::sync::OnceLock::new(),
            }),
        }
    }

    /// Returns the user's snapshot at the requested consistency. Makes no storage request while memory satisfies it.
    ///
    /// # Errors
    /// [`ReadError`], if the store fails and no snapshot may be served stale.
    pub async fn read(&self, request: &ReadRequest) -> Result<Read, ReadError> {
        self.inner.read(request).await
    }

    /// Like [`Self::read`], but uses the snapshot that the owner lookup of this request found (`known`), if any.
    /// Only for the first read of a request: a second one must see what was written in between.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub async fn read_first(&self, request: &ReadRequest) -> Result<Read, ReadError> {
        let known = request.known.clone();
        let known = known.or_else(|| self.inner.memory.get(&request.user));
        self.inner.read_from(request, known).await
    }

    /// The rendered response in this format. Rendered on first demand, then kept with the snapshot, which is weighed
    /// again.
    pub fn page(&self, entry: &Arc<Snapshot>, format: PageFormat, encoding: Encoding) -> PageBytes {
        let page = entry.page(format, encoding, self.inner.settings.zone);
        if page.rendered {
            self.inner.memory.replace(entry, entry);
        }
        page
    }

    /// Checks that the login belongs to this account and returns the user whose files it names. An unowned login is
    /// bound to the first account that asks. Makes no storage request while the answer is cached.
    ///
    /// # Errors
    /// [`OwnerError::Reassigned`] if the login belongs to another account, [`OwnerError::SessionEnded`] if the session
    /// was ended, another one if the owner can't be determined.
    pub async fn confirm_owner(
        &self,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        self.inner.confirm_owner(claim, now).await
    }

    /// Like [`Self::confirm_owner`], but always reads the store: for the start and the renewal of a session.
    ///
    /// # Errors
    /// As those of [`Self::confirm_owner`].
    pub async fn reconfirm_owner(
        &self,
        claim: &LoginClaim,
        now: Now,
    ) -> Result<ConfirmedOwner, OwnerError> {
        self.inner.reconfirm_owner(claim, now).await
    }

    /// Ends all existing sessions of the account: on this instance at once, on others when their cached answer expires,
    /// after 20 minutes at most while the store answers.
    ///
    /// # Errors
    /// If the outcome is unknown: either no session has ended, or all have.
    pub async fn end_sessions(&self, claim: &LoginClaim) -> Result<(), OwnerError> {
        self.inner.end_sessions(claim).await
    }

    /// Whether this instance has cached that the claim's session was ended.
    pub fn is_session_ended(&self, claim: &LoginClaim) -> bool {
        self.inner.is_session_ended(claim)
    }

    /// Waits for the background work of acknowledged writes, so that a process that shuts down leaves no write intent.
    pub async fn finish_writes(&self) {
        self.inner.commit_queues.wait_idle().await;
    }

    /// The user's snapshot in memory, of any age.
    pub fn known(&self, user: &UserId) -> Option<Arc<Snapshot>> {
        self.inner.memory.get(user)
    }

    /// Turns a mutation on; only the first call has an effect.
    #[cfg(feature = "mutations")]
    pub(crate) fn break_rule(&self, mutation: Mutation) {
        let _ = self.inner.mutation.set(mutation);
    }

    /// Whether this mutation is on.
    pub(crate) fn breaks(&self, mutation: Mutation) -> bool {
        self.inner.breaks(mutation)
    }

    /// Number of rebuilds since the start.
    pub fn rebuilds(&self) -> u64 {
        self.inner.rebuilds.load(Ordering::Relaxed)
    }

    /// Number of users with a write in progress.
    pub fn writing(&self) -> usize {
        self.inner.commit_queues.active_users()
    }

    /// Number of snapshots in memory, and the size of all records in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        self.inner.memory.size()
    }
}
