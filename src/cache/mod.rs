//! A user's parsed files in memory, in front of the artifact blob, with a rebuild from the task files behind both;
//! and the write protocol that keeps all instances right.
//!
#![doc = include_str!("README.md")]

mod amend;
mod answers;
mod artifact;
mod clock;
mod entry;
mod flights;
mod format;
mod inquiry;
mod ledger;
mod listed;
mod memory;
mod mutation;
mod owner;
mod read;
mod rebuild;
mod settle;
mod state;
mod tidy;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono_tz::Tz;

use crate::now::Now;
use crate::store::{BlobStore, StoreError};
use crate::user::UserId;

pub use amend::KeyHashes;
pub use answers::{Encoding, PageBytes, PageFormat};
pub use artifact::{Artifact, NotTaken};
pub use entry::{Entry, Knowledge};
pub use format::Format;
pub use listed::{denied, no_file, not_a_file, to_be_read};
pub use mutation::Mutation;
pub use owner::{Claim, Confirmed, Holder, OwnerError, OwnerFile, folders, spellings};
pub use state::{
    ChangeKind, Idempotent, LegacyNextId, MergedFile, NamedFiles, NewerFormat, PendingFile,
    PendingOp, SeenState, State, StateFound, Version,
};
pub use tidy::Tidied;
pub use write::{
    Act, BatchDone, ChangeError, Created, Decision, FileChange, FileChanged, FileFate, MAX_BATCH,
    NewFile, Writer,
};

use clock::StorageClock;
use flights::Flights;
use inquiry::Flown;
use ledger::Ledgers;
pub(crate) use ledger::timely;
use memory::{Acknowledged, Memory};
use rebuild::Rebuilt;

/// How long things count, and how much is kept.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Past this age an entry in memory is only the base of the next rebuild, or a stale answer.
    pub memory_ttl: Duration,
    /// Past this time after the files were listed, only another listing proves them.
    pub artifact_ttl: Duration,
    /// How long an entry answers without asking the state blob (P2).
    pub revalidate: Duration,
    /// How long after its last validation an entry may stand in while the store is away (P9).
    pub stale_if_error: Duration,
    /// Bound of the memory layer.
    pub memory_max_bytes: u64,
    /// After this a read is given up, and its requests with it.
    pub deadline: Duration,
    /// How long a mark may stand before others settle it.
    pub pending_expiry: Duration,
    /// The zone tasks are placed in.
    pub zone: Tz,
    /// Where the ids of ops and writes come from: never the same twice, on no instance.
    pub ids: fn() -> u64,
}

impl CacheSettings {
    /// The longest that anything in memory may be of use. A week may be confirmed until its time in memory is over, and
    /// stand in for a while from then.
    fn longest_use(&self) -> Duration {
        let week = self.memory_ttl.saturating_add(self.stale_if_error);
        week.max(owner::stands_in(self.stale_if_error))
    }
}

/// The cache of one instance. Cloning shares it.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn BlobStore>,
    memory: Memory,
    flights: Arc<Flights<Flown, Rebuilt>>,
    ledgers: Ledgers,
    acknowledged: Acknowledged,
    clock: StorageClock,
    rebuilds: AtomicU64,
    settings: CacheSettings,
    #[cfg(feature = "mutations")]
    mutation: std::sync::OnceLock<Mutation>,
}

/// What a reader wants.
#[derive(Debug, Clone)]
pub struct Want {
    /// Whose files.
    pub user: UserId,
    /// What memory has had of them since the request arrived, where that was looked up with the owner.
    pub known: Option<Arc<Entry>>,
    /// The highest version the client has seen (P1, P3).
    pub seen: Option<Version>,
    /// How new the answer must be.
    pub freshness: Freshness,
    /// When the request arrived.
    pub now: Now,
}

/// How new an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Every change acknowledged [`CacheSettings::revalidate`] ago is in it.
    Bounded,
    /// Every change acknowledged before the request arrived is in it.
    Strict,
    /// The files are listed after the request arrived, so that changes of other writers are in it, too.
    Rebuilt,
}

/// An answer to a reader.
#[derive(Debug, Clone)]
pub struct Read {
    /// What is known of the user, placed for the moment of the request.
    pub entry: Arc<Entry>,
    /// Where it came from.
    pub layer: Layer,
    /// The storage requests that this reader had sent.
    pub requests: Requests,
}

/// Where an answer came from; `x-codex-cache` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// This instance knew it.
    Memory,
    /// The artifact blob.
    Artifact,
    /// Listed and parsed.
    Rebuild,
    /// Memory, while the store is away.
    Stale,
}

impl Layer {
    /// As the header spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Artifact => "artifact",
            Self::Rebuild => "rebuild",
            Self::Stale => "stale",
        }
    }
}

/// Storage requests.
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

/// Why a read has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The store didn't answer, and nothing known may stand in.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It took too long: [`CacheSettings::deadline`] for a whole read, less for a single request.
    #[error("the storage took too long")]
    TimedOut,
    /// Others were quicker again and again.
    #[error("others kept changing the user's data")]
    Contended,
    /// A newer version of the service wrote something this one can't read.
    #[error(transparent)]
    NewerFormat(#[from] NewerFormat),
    /// The work ended without a result: a defect.
    #[error("the work broke off")]
    Broken,
}

/// Why a write isn't acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The store or the state can't be used; nothing was written, and nothing will be.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The user has no state blob yet.
    #[error("the user has no state")]
    NoState,
    /// It may have happened, or may still happen, with this version.
    #[error("whether it was written can't be known yet")]
    OutcomeUnknown(Version),
    /// Others were quicker each time; nothing was written.
    #[error("others kept writing there")]
    Conflict(Version),
    /// Every number has a file.
    #[error("all 10,000 task numbers are taken")]
    IdsExhausted(Version),
    /// The key stands for another request.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused(Version),
}

impl ReadError {
    /// The store is away, so that what is known may stand in.
    fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_) | Self::TimedOut)
    }
}

impl Cache {
    /// A cache in front of `store`.
    pub fn new(store: Arc<dyn BlobStore>, settings: CacheSettings) -> Self {
        let memory = Memory::new(settings.memory_max_bytes, settings.longest_use());
        let flights = Arc::new(Flights::new(settings.deadline));
        let acknowledged = Acknowledged::new(settings.stale_if_error);
        Self {
            inner: Arc::new(Inner {
                store,
                memory,
                flights,
                ledgers: Ledgers::default(),
                acknowledged,
                clock: StorageClock::default(),
                rebuilds: AtomicU64::new(0),
                settings,
                #[cfg(feature = "mutations")]
                mutation: std::sync::OnceLock::new(),
            }),
        }
    }

    /// The user's week as fresh as `want` says. Costs nothing while memory is fresh enough.
    pub async fn read(&self, want: &Want) -> Result<Read, ReadError> {
        self.inner.read(want).await
    }

    /// The same without a look into memory where the owner was looked up there for this request. Not for a second read,
    /// which has to show what was done between.
    pub async fn read_first(&self, want: &Want) -> Result<Read, ReadError> {
        let known = want.known.clone();
        let known = known.or_else(|| self.inner.memory.get(&want.user));
        self.inner.read_from(want, known).await
    }

    /// The entry's answer in this form. Made on first demand, then kept with the entry.
    pub fn page(&self, entry: &Arc<Entry>, format: PageFormat, encoding: Encoding) -> PageBytes {
        let page = entry.page(format, encoding, self.inner.settings.zone);
        if page.made {
            self.inner.memory.replace(entry, entry);
        }
        page
    }

    /// Makes sure that the login is this account's, and says whose files that are. The first one to ask gets it. Costs
    /// nothing while the answer is remembered.
    ///
    /// # Errors
    /// [`OwnerError::Reassigned`] when it is another's; [`OwnerError::SessionEnded`]; the others when that can't be
    /// known.
    pub async fn confirm_owner(&self, claim: &Claim, now: Now) -> Result<Confirmed, OwnerError> {
        self.inner.confirm_owner(claim, now).await
    }

    /// The same by what the store says now, as where a session begins or is renewed.
    ///
    /// # Errors
    /// As those of [`Self::confirm_owner`].
    pub async fn reconfirm_owner(&self, claim: &Claim, now: Now) -> Result<Confirmed, OwnerError> {
        self.inner.reconfirm_owner(claim, now).await
    }

    /// Ends all sessions of the person that there are: here at once, and at other instances as soon as they ask again,
    /// after 20 minutes at most while the store answers.
    ///
    /// # Errors
    /// When that can't be known to be done: then nothing may have been ended, or all.
    pub async fn end_sessions(&self, claim: &Claim) -> Result<(), OwnerError> {
        self.inner.end_sessions(claim).await
    }

    /// Whether this instance knows that the claim's session was ended.
    pub fn has_ended(&self, claim: &Claim) -> bool {
        self.inner.has_ended(claim)
    }

    /// Waits for what follows the answers to writes, so that a process that ends leaves no mark.
    pub async fn finish_writes(&self) {
        self.inner.ledgers.closed().await;
    }

    /// What this instance knows of the user, however old it is.
    pub fn known(&self, user: &UserId) -> Option<Arc<Entry>> {
        self.inner.memory.get(user)
    }

    /// Breaks a rule from now on.
    #[cfg(feature = "mutations")]
    pub(crate) fn break_rule(&self, mutation: Mutation) {
        let _ = self.inner.mutation.set(mutation);
    }

    /// Whether this rule is broken on purpose.
    pub(crate) fn breaks(&self, mutation: Mutation) -> bool {
        self.inner.breaks(mutation)
    }

    /// How many rebuilds there were.
    pub fn rebuilds(&self) -> u64 {
        self.inner.rebuilds.load(Ordering::Relaxed)
    }

    /// How many users are just being written for.
    pub fn writing(&self) -> usize {
        self.inner.ledgers.open_now()
    }

    /// How many users memory holds, and what they occupy together in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        self.inner.memory.size()
    }
}
