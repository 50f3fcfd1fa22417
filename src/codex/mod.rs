//! The operations behind the HTTP API, the command line and the background jobs. They deal in users, versions and
//! files; HTTP belongs to the module `http`.

pub mod calendar;
pub mod calendar_address;
pub mod editors;
pub mod edits;
mod error;
pub mod filter;
pub mod janitor;
mod limit;
pub mod locate;
mod probe;
mod reader;
mod render;
mod writer;

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::cache::{Cache, CacheSettings, SnapshotMemory};
use crate::git_sync::{GitSettings, GitSync, GitSyncError, SyncOutcome, SyncRequest};
use crate::metrics::RuntimeStats;
use crate::now::Now;
use crate::owners::Owners;
use crate::shared_cache::{Hint, SharedCache};
use crate::store::{BlobStore, StoreError};
use crate::user::UserId;
use crate::user_state::UserStates;
use crate::write::Writer;

pub use crate::cache::{
    Artifact, ArtifactRejection, Consistency, Encoding, Layer, PageBytes, PageFormat,
    PartitionedListing, Read, ReadRequest, Snapshot, entry_rejection, is_readable, non_file_record,
    partition_listing, unreadable_record,
};
pub use crate::store::{BlobFormat, Requests};
pub use crate::user_state::{
    ChangeKind, KeyHashes, NewerFormat, PendingFile, PendingOp, ReadError, State, Version,
};
pub use crate::write::{
    BatchItem, BatchResult, ChangeOutcome, CreatedTask, FileOp, FileOutcome, MAX_BATCH,
};
pub use calendar::CalendarAddresses;
pub use calendar_address::{CalendarAddress, CalendarFeed};
pub use edits::{CompletionResult, IfMatch};
pub use error::{Limited, Refusal, TaskError};
pub use filter::{DayRange, TaskFilter};
pub use janitor::{Janitor, JanitorError, JanitorReport};
pub use limit::MinuteWindow;
pub use reader::{TaskDetail, TaskList, TaskReader};
pub use render::render;
pub use writer::TaskWriter;

use calendar_address::AddressTtl;
use editors::EditorWatch;
use limit::RateLimiter;
use probe::ReadinessProbe;

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
    /// The cache that instances share, if there is one.
    pub shared: Option<Arc<dyn SharedCache>>,
}

/// CodexMiroir's operations over one store. Clones share all state.
#[derive(Clone)]
pub struct Codex {
    store: Arc<dyn BlobStore>,
    states: UserStates,
    cache: Arc<Cache>,
    owners: Owners,
    reader: TaskReader,
    writer: TaskWriter,
    calendars: CalendarAddresses,
    probe: Arc<ReadinessProbe>,
    git: Option<Arc<GitSync>>,
}

impl Codex {
    /// Operations over `store`.
    pub fn new(store: Arc<dyn BlobStore>, mut settings: CodexSettings) -> Self {
        let CacheSettings {
            zone,
            ids,
            pending_expiry,
            rules,
            ..
        } = settings.cache;
        let address_ttl = AddressTtl {
            fresh: settings.cache.revalidate,
            outage: settings.cache.stale_if_error,
        };
        let for_owners = settings.cache.memory_max_bytes / OWNERS_SHARE;
        settings.cache.memory_max_bytes -= for_owners;
        let owners = Owners::new(&store, settings.cache.stale_if_error, for_owners);
        let memory = Arc::new(SnapshotMemory::new(&settings.cache));
        let known = Arc::<SnapshotMemory>::clone(&memory);
        let states = UserStates::new(Arc::clone(&store), known, pending_expiry, rules);
        let cache = Arc::new(Cache::new(
            memory,
            settings.shared,
            states.clone(),
            settings.cache,
        ));
        let files = Writer::new(states.clone(), Arc::clone(&cache));
        let rebuilds = RateLimiter::per_minute(settings.rebuilds_per_minute, Limited::Rebuilds);
        let writes = RateLimiter::per_minute(settings.writes_per_minute, Limited::Writes);
        let limited = &states.limited.store;
        let calendars = CalendarAddresses::new(limited, writes.clone(), ids, address_ttl);
        let leaves_hints = settings.git.is_some();
        let git = settings.git.map(|git| {
            let (store, cache, files) = (Arc::clone(&store), Arc::clone(&cache), files.clone());
            Arc::new(GitSync::new(git, store, cache, files))
        });
        Self {
            reader: TaskReader {
                store: Arc::clone(&states.limited.store),
                cache: Arc::clone(&cache),
                rebuilds: rebuilds.clone(),
                zone,
                rules,
            },
            writer: TaskWriter {
                cache: Arc::clone(&cache),
                files,
                writes,
                rebuilds,
                zone,
                leaves_hints,
            },
            calendars,
            probe: Arc::new(ReadinessProbe::new(&store)),
            git,
            store,
            states,
            cache,
            owners,
        }
    }

    /// The owners of logins.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Reads the week and tasks.
    pub fn reader(&self) -> &TaskReader {
        &self.reader
    }

    /// Writes tasks.
    pub fn writer(&self) -> &TaskWriter {
        &self.writer
    }

    /// The addresses of calendars.
    pub fn calendars(&self) -> &CalendarAddresses {
        &self.calendars
    }

    /// Collects garbage.
    pub fn janitor(&self) -> Janitor {
        Janitor {
            store: Arc::clone(&self.store),
            states: self.states.clone(),
            cache: Arc::clone(&self.cache),
            git: self.git.clone(),
        }
    }

    /// Watches a directory store for edits that the service doesn't make.
    pub fn editor_watch(&self) -> EditorWatch {
        EditorWatch {
            store: Arc::clone(&self.store),
            cache: Arc::clone(&self.cache),
        }
    }

    /// The synchronisation with Git.
    ///
    /// # Errors
    /// [`GitSyncError::Off`] while GitHub mode is off.
    pub fn git(&self) -> Result<&Arc<GitSync>, GitSyncError> {
        self.git.as_ref().ok_or(GitSyncError::Off)
    }

    /// Synchronises one user's files with Git: see [`GitSync::sync`].
    ///
    /// # Errors
    /// As there; [`GitSyncError::TooMany`] beyond the user's rebuild limit.
    pub async fn sync(
        &self,
        request: &ReadRequest,
        sync: SyncRequest,
    ) -> Result<SyncOutcome, GitSyncError> {
        let git = self.git()?;
        let granted = self.reader.rebuilds.take(&request.user, request.now.mono);
        granted.map_err(|retry_after| GitSyncError::TooMany { retry_after })?;
        git.sync(request, sync).await
    }

    /// Checks that the store answers; the result is cached for five seconds.
    ///
    /// # Errors
    /// The store's error, or a timeout after three seconds.
    pub async fn is_ready(&self, now: Now) -> Result<(), StoreError> {
        self.probe.check(now).await
    }

    /// Waits for the work that follows acknowledged writes (removing write intents), so that a clean shutdown leaves
    /// nothing for other instances to recover.
    pub async fn finish_writes(&self) {
        self.writer.files.finish().await;
    }

    /// The user's snapshot in memory, of any age.
    pub fn known(&self, user: &UserId) -> Option<Arc<Snapshot>> {
        self.cache.known(user)
    }

    /// Takes note of another instance's change, which the user's next read here contains.
    pub fn hear(&self, hint: &Hint) {
        self.cache.hear(&hint.user, hint.version);
    }

    /// Whether other instances' changes show in a plain read at once.
    pub fn hears_hints(&self) -> bool {
        self.cache.hears_hints()
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
            tasks: Handle::try_current().map_or(0, |it| it.metrics().num_alive_tasks() as u64),
            pending: self.writer.files.active_users() as u64,
            unpushed: unpushed as u64,
            oldest_unpushed: since.map(|since| now.started - since),
        }
    }

    /// How many users memory holds, and their total size in bytes.
    pub fn memory_size(&self) -> (u64, u64) {
        let (users, bytes) = self.cache.memory_size();
        (users, bytes + self.owners.memory_bytes())
    }
}
