//! Rebuilds a user's snapshot from the task files (src/cache/README.md, "Read").

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::artifact::artifact_bytes;
use super::command::{CommandResult, StateCommand};
use super::commit_queue::with_deadline;
use super::file_records::{fetchable_name, non_file_record, unreadable_record};
use super::snapshot::{ListedFiles, Snapshot, VersionBounds};
use super::state::{LegacyNextId, State, StatePresence, StoredState, Version};
use super::{CacheInner, Mutation, ReadError, Requests, WriteError};
use crate::context::in_request_context;
use crate::now::Now;
use crate::store::{
    BlobKey, ETag, GetIf, GetOutcome, ListedBlob, Listing, Prefix, Put, PutIf, PutOutcome,
    StoreError, StoreResponse,
};
use crate::task::{
    FileName, FileRecord, FileView, Parsed, TaskTable, UsedIds, is_task_file_candidate,
};
use crate::user::UserId;

/// How many files are fetched concurrently.
const MAX_CONCURRENT_FETCHES: usize = 64;

/// How many times a rebuild lists while concurrent writers keep winning, before it settles for inexact bounds.
const MAX_ATTEMPTS: u32 = 3;

/// The input of a rebuild.
pub(super) struct RebuildInput {
    pub user: UserId,
    pub now: Now,
    /// The state document, just read.
    pub state: StatePresence,
    /// The storage clock at that read, so before the LIST.
    pub date: DateTime<Utc>,
    /// The newest known table: files with the same ETag aren't fetched again.
    pub base: Option<Arc<TaskTable>>,
    /// The version at which `base` is exact, if it is.
    pub base_exact_at: Option<Version>,
    /// Every change up to this version is in `base`, and so in every later listing.
    pub base_lo: Version,
    /// The highest version that this instance has found in memory or in the artifact.
    pub floor: Version,
}

/// The result of a rebuild, and its storage requests.
#[derive(Debug, Clone)]
pub(super) struct RebuildOutcome {
    pub entry: Arc<Snapshot>,
    pub requests: Requests,
}

/// The files that a rebuild listed.
struct RebuildFiles {
    table: Arc<TaskTable>,
    /// Some are foreign and not in the base, so the current version may not cover them: another instance may be exact
    /// at that version without them.
    foreign: bool,
}

/// A file whose contents were fetched.
struct FetchedFile {
    record: FileRecord,
    /// Not written by the service: it has no write ids.
    foreign: bool,
}

/// What follows from comparing a listing with the state document.
enum RebuildStep {
    Done(VersionBounds),
    /// A concurrent writer won; list again, starting from this state.
    Retry(StatePresence),
}

impl CacheInner {
    /// Lists the files, fetches what changed and reads the state document again. Publishes the snapshot; if it is
    /// exact, its artifact is written in the background.
    ///
    /// `listed` is set when the LIST is sent: from then on, readers that need a newer listing must not join.
    pub(super) async fn rebuild(
        self: Arc<Self>,
        mut input: RebuildInput,
        listed: Arc<AtomicBool>,
    ) -> Result<RebuildOutcome, ReadError> {
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
        let mut requests = Requests::default();
        let mut attempt = 1;
        let mut foreign = false;
        let (table, bounds) = loop {
            listed.store(true, Ordering::SeqCst);
            let files = self.list_and_fetch(&input, &mut requests).await?;
            let table = files.table;
            let not_covered = files.foreign && !self.breaks(Mutation::ForeignUnknown);
            foreign = match input.version_covers(&table) {
                Some(covered) => !covered,
                None => foreign || not_covered || input.is_foreign_change(&table),
            };
            match self
                .resolve_bounds(&input, &table, foreign, &mut requests)
                .await?
            {
                RebuildStep::Done(bounds) => break (table, bounds),
                RebuildStep::Retry(state) if attempt < MAX_ATTEMPTS => {
                    input.state = state;
                    (input.base, input.base_exact_at) = (Some(table), None);
                    attempt += 1;
                }
                RebuildStep::Retry(StatePresence::Present(last))
                    if foreign && !last.state.is_read_only() =>
                {
                    let lo = finished_version(&input.state);
                    let bounds =
                        self.version_foreign_files(&input, &last, &table, lo, &mut requests);
                    break (Arc::clone(&table), bounds.await?);
                }
                RebuildStep::Retry(state) => break (table, inexact_bounds(&input.state, &state)),
            }
        };
        let found = ListedFiles {
            table,
            listed_at: input.date,
            listing_expires: input.now.mono + self.settings.artifact_ttl,
        };
        let entry = Snapshot::new(input.user, bounds, found, input.now, self.settings.zone);
        let entry = Arc::new(entry);
        match foreign {
            true => self.memory.publish_foreign(&entry),
            false => self.memory.publish(&entry),
        }
        if entry.bounds.exact || self.breaks(Mutation::ArtifactWhilePending) {
            self.write_artifact_later(&entry);
        }
        Ok(RebuildOutcome { entry, requests })
    }

    async fn list_and_fetch(
        &self,
        input: &RebuildInput,
        requests: &mut Requests,
    ) -> Result<RebuildFiles, ReadError> {
        let base = input.base.as_deref();
        let listing = self.store.list(&Prefix::raw(&input.user)).await?.value;
        requests.reads += listing.requests;
        let PartitionedListing {
            known: mut files,
            unknown,
            mut foreign,
        } = partition_listing(listing, base);
        requests.reads += unknown.len() as u32;
        let fetched: Vec<Option<FetchedFile>> = stream::iter(unknown)
            .map(|name| self.fetch(&input.user, name))
            .buffer_unordered(MAX_CONCURRENT_FETCHES)
            .try_collect()
            .await?;
        for FetchedFile {
            record,
            foreign: by_others,
        } in fetched.into_iter().flatten()
        {
            // The base may have it: a file that the listing missed, or an unreadable one, is fetched each time.
            let known = base.and_then(|base| base.find(&record.name));
            let is_known = known.is_some_and(|known| known.etag == record.etag);
            foreign |= by_others && !is_known;
            files.push(record);
        }
        let table = Arc::new(TaskTable::new(files));
        Ok(RebuildFiles { table, foreign })
    }

    /// Fetches and parses one file; `None` if it doesn't exist (any more). A file without read permission becomes a
    /// record with a problem, so that it doesn't fail the rebuild.
    async fn fetch(
        &self,
        user: &UserId,
        name: FileName,
    ) -> Result<Option<FetchedFile>, StoreError> {
        // Can't fail: a `FileName` has no '/', '\' or control characters.
        let Ok(key) = BlobKey::raw(user, name.as_str()) else {
            return Ok(None);
        };
        let blob = match self.store.get(&key, GetIf::Any).await {
            Ok(StoreResponse {
                value: GetOutcome::Blob(blob),
                ..
            }) => blob,
            Ok(_) => return Ok(None),
            // A folder or the like has replaced the file since the listing.
            Err(StoreError::NotAFile { .. }) => {
                return Ok(Some(FetchedFile {
                    record: non_file_record(&name),
                    foreign: true,
                }));
            }
            Err(StoreError::Unreadable { reason, .. }) => {
                // Logged by its number: the rest of the name is the task's title, which is private.
                tracing::warn!(%user, task = %name.id(), reason, "a task file can't be read");
                return Ok(Some(FetchedFile {
                    record: unreadable_record(&name),
                    foreign: true,
                }));
            }
            Err(error) => return Err(error),
        };
        let record = FileRecord::of(&name, blob.etag.as_str(), &blob.bytes);
        // A tombstone has no write ids either, but counts as absent.
        let foreign = blob.writes.is_empty() && record.content != Parsed::Tombstone;
        Ok(Some(FetchedFile { record, foreign }))
    }

    /// Determines the version bounds of what was listed; creates the state document or raises its version if needed.
    async fn resolve_bounds(
        self: &Arc<Self>,
        input: &RebuildInput,
        table: &TaskTable,
        foreign: bool,
        requests: &mut Requests,
    ) -> Result<RebuildStep, ReadError> {
        match &input.state {
            StatePresence::Missing => {
                self.create_state(input, table, PutIf::Absent, requests)
                    .await
            }
            StatePresence::Damaged(etag) => {
                self.create_state(input, table, PutIf::Same(etag.clone()), requests)
                    .await
            }
            StatePresence::Present(stored) => {
                let state = &stored.state;
                let behind = state.version < input.floor || state.next_id < table.min_next_id();
                let has_pending = !state.pending.is_empty();
                match () {
                    () if !(foreign || behind) || state.is_read_only() => {
                        self.reread_state(input, stored, requests).await
                    }
                    () if has_pending && self.breaks(Mutation::ForeignUnderMark) => {
                        self.reread_state(input, stored, requests).await
                    }
                    () if has_pending => {
                        let lo = self.listing_floor(state);
                        let bounds = self.version_foreign_files(input, stored, table, lo, requests);
                        bounds.await.map(RebuildStep::Done)
                    }
                    () => {
                        let reason = match foreign {
                            true => "files changed by others",
                            false => "state behind",
                        };
                        self.raise_version(input, stored, table, reason, requests)
                            .await
                    }
                }
            }
        }
    }

    /// Creates the state document: a new user's, or in place of a lost one. Of concurrent creators only the one whose
    /// PUT succeeds is exact.
    async fn create_state(
        &self,
        input: &RebuildInput,
        table: &TaskTable,
        condition: PutIf,
        requests: &mut Requests,
    ) -> Result<RebuildStep, ReadError> {
        let legacy = self.legacy_next_id(&input.user, requests).await?;
        let clock = Version(u64::try_from(input.date.timestamp_millis()).unwrap_or(0));
        let next_id = legacy.as_ref().map_or(0, |legacy| legacy.number);
        let floor = match self.breaks(Mutation::StateFromZero) {
            true => Version::default(),
            false => clock.max(input.floor),
        };
        let state = State {
            legacy_next_id: legacy,
            ..State::new(floor, table.min_next_id().max(next_id))
        };
        let state = state.with_files_digest(digest_of(table));
        let reason = "state made";
        self.swap_state(input, state, condition, reason, requests)
            .await
    }

    /// Raises the version to cover what was listed, while nothing is pending: the files have a foreign change at the
    /// current version or a number at or above `nextId`, or the state was recreated behind a version already shown.
    async fn raise_version(
        &self,
        input: &RebuildInput,
        stored: &StoredState,
        table: &TaskTable,
        reason: &'static str,
        requests: &mut Requests,
    ) -> Result<RebuildStep, ReadError> {
        let min_next_id = table.min_next_id();
        let raised = stored.state.after_foreign_write(input.floor, min_next_id);
        let raised = raised.with_files_digest(digest_of(table));
        let condition = PutIf::Same(stored.etag.clone());
        self.swap_state(input, raised, condition, reason, requests)
            .await
    }

    /// Raises the version while something is pending, or after concurrent writers kept winning. A client that sees
    /// these files must not later get a snapshot of an earlier version without them, so the version is raised beside
    /// the write intents, which stay: an operation that finishes then finds another version than its own. Goes through
    /// the group commit, since intents come and go. The result stays inexact.
    async fn version_foreign_files(
        self: &Arc<Self>,
        input: &RebuildInput,
        stored: &Arc<StoredState>,
        table: &TaskTable,
        lo: Version,
        requests: &mut Requests,
    ) -> Result<VersionBounds, ReadError> {
        let command = StateCommand::VersionForeignFiles {
            floor: input.floor,
            min_next_id: table.min_next_id(),
        };
        let queue = self.commit_queues.open(&input.user);
        queue.observe_state(stored);
        let committed = self.submit(&queue, command, &input.now).await;
        let committed = committed.map_err(|error| match error {
            WriteError::Read(error) => error,
            _ => ReadError::Contended,
        })?;
        *requests += committed.requests;
        let CommandResult::Recorded(version) = committed.result else {
            return Err(ReadError::Broken);
        };
        let user = &input.user;
        tracing::info!(%user, version = version.0, reason = "files changed by others", "new version");
        Ok(VersionBounds {
            lo: lo.max(input.base_lo).min(version),
            hi: version,
            exact: false,
            state: Some(committed.stored),
            before: Some(Arc::clone(stored)),
            covers_foreign: true,
        })
    }

    async fn swap_state(
        &self,
        input: &RebuildInput,
        state: State,
        condition: PutIf,
        reason: &'static str,
        requests: &mut Requests,
    ) -> Result<RebuildStep, ReadError> {
        let blob = Put {
            bytes: state.to_bytes().into(),
            ..Put::default()
        };
        let (user, now) = (&input.user, &input.now);
        requests.writes += 1;
        match self
            .store
            .put(&BlobKey::state(user), blob, condition)
            .await?
            .value
        {
            PutOutcome::Done(etag) => {
                tracing::info!(%user, version = state.version.0, reason, "new version");
                let stored = Arc::new(StoredState { state, etag });
                Ok(RebuildStep::Done(VersionBounds::exact_at(stored)))
            }
            PutOutcome::Refused => {
                let stored = self.read_state(user, GetIf::Any, now, requests).await?;
                Ok(RebuildStep::Retry(
                    stored.found.unwrap_or(StatePresence::Missing),
                ))
            }
        }
    }

    /// Reads the state document a second time: what was listed is exact if it hasn't changed and nothing is pending.
    async fn reread_state(
        &self,
        input: &RebuildInput,
        first: &Arc<StoredState>,
        requests: &mut Requests,
    ) -> Result<RebuildStep, ReadError> {
        if self.breaks(Mutation::NoSecondLook) && first.state.pending.is_empty() {
            return Ok(RebuildStep::Done(VersionBounds::exact_at(Arc::clone(
                first,
            ))));
        }
        let condition = GetIf::Changed(first.etag.clone());
        let stored = self
            .read_state(&input.user, condition, &input.now, requests)
            .await?;
        let lo = self.listing_floor(&first.state);
        match stored.found {
            None => Ok(RebuildStep::Done(VersionBounds {
                lo,
                hi: first.state.version,
                exact: first.state.pending.is_empty(),
                state: Some(Arc::clone(first)),
                before: Some(Arc::clone(first)),
                covers_foreign: false,
            })),
            Some(StatePresence::Present(second)) => Ok(RebuildStep::Done(VersionBounds {
                lo: lo.min(second.state.version),
                hi: second.state.version,
                exact: false,
                state: Some(second),
                before: Some(Arc::clone(first)),
                covers_foreign: false,
            })),
            Some(gone) => Ok(RebuildStep::Retry(gone)),
        }
    }

    /// Reads the older service's `nextId.txt`: `None` if there is none, number 0 if it holds no number.
    pub(super) async fn legacy_next_id(
        &self,
        user: &UserId,
        requests: &mut Requests,
    ) -> Result<Option<LegacyNextId>, ReadError> {
        requests.reads += 1;
        let key = BlobKey::legacy_next_id(user);
        let answer = with_deadline(async { Ok(self.store.get(&key, GetIf::Any).await?) }).await?;
        let GetOutcome::Blob(blob) = answer.value else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&blob.bytes).unwrap_or("").trim();
        let number: u32 = text.parse().unwrap_or_else(|_| {
            tracing::warn!(%user, "nextId.txt holds no number; it is ignored");
            0
        });
        Ok(Some(LegacyNextId {
            number: number.min(UsedIds::ALL),
            etag: blob.etag,
            unknown: serde_json::Map::new(),
        }))
    }

    fn write_artifact_later(self: &Arc<Self>, entry: &Arc<Snapshot>) {
        let (inner, entry) = (Arc::clone(self), Arc::clone(entry));
        tokio::spawn(in_request_context(async move {
            inner.write_artifact(&entry).await
        }));
    }

    /// Writes the snapshot's artifact. A failure is logged and costs the next new instance a listing. Does nothing if
    /// the state document has a newer major format: then the artifact is left to that version of the service.
    pub(super) async fn write_artifact(&self, entry: &Snapshot) {
        let state = entry.bounds.state.as_ref();
        if state.is_some_and(|stored| stored.state.is_read_only()) {
            return;
        }
        let bytes = artifact_bytes(
            &entry.user,
            entry.table(),
            entry.bounds.hi,
            entry.listed_at(),
        );
        let blob = Put {
            bytes: bytes.into(),
            ..Put::default()
        };
        let key = BlobKey::artifact(&entry.user);
        let put = async { Ok(self.store.put(&key, blob, PutIf::Any).await?) };
        if let Err(error) = with_deadline(put).await {
            tracing::warn!(user = %entry.user, %error, "the artifact could not be written; reads cost a listing");
        }
    }
}

impl RebuildInput {
    /// The state document's ETag if nothing is pending: a reader that finds the same one may join this rebuild.
    pub(super) fn quiescent_key(&self) -> Option<ETag> {
        match &self.state {
            StatePresence::Present(stored) if stored.state.pending.is_empty() => {
                Some(stored.etag.clone())
            }
            _ => None,
        }
    }

    /// The version instead of the ETag, for [`Mutation::JoinByVersion`].
    pub(super) fn version_key(&self) -> Option<ETag> {
        match &self.state {
            StatePresence::Present(stored) => Some(ETag::new(&stored.state.version.to_string())),
            StatePresence::Missing | StatePresence::Damaged(_) => None,
        }
    }

    /// The state document's ETag even with something pending, for [`Mutation::JoinWhilePending`].
    pub(super) fn etag_key(&self) -> Option<ETag> {
        match &self.state {
            StatePresence::Present(stored) => Some(stored.etag.clone()),
            StatePresence::Missing | StatePresence::Damaged(_) => None,
        }
    }

    /// Whether the current version was made for exactly these files, so that every instance that is exact at it has
    /// them; if not, the difference is a foreign change. `None` if the state has no digest for this version.
    fn version_covers(&self, table: &TaskTable) -> Option<bool> {
        let StatePresence::Present(stored) = &self.state else {
            return None;
        };
        let state = &stored.state;
        let covered = state.files.as_ref()?;
        let is_current = state.is_quiescent_at(covered.version);
        is_current.then(|| covered.digest == digest_of(table))
    }

    /// Whether the files differ from a base that is exact at the current version, so that the service didn't change
    /// them. Tombstones count as absent.
    fn is_foreign_change(&self, table: &TaskTable) -> bool {
        let (Some(base), StatePresence::Present(stored)) = (&self.base, &self.state) else {
            return false;
        };
        let state = &stored.state;
        if self.base_exact_at != Some(state.version) || !state.pending.is_empty() {
            return false;
        }
        let files = |table: &TaskTable| -> Vec<(String, String)> {
            let there = table.iter().filter(|file| !file.is_tombstone());
            there
                .map(|file| (file.name.to_owned(), file.etag.to_owned()))
                .collect()
        };
        files(base) != files(table)
    }
}

/// The bounds of the last listing when concurrent writers changed the state around each: it was taken after `first` was
/// read and before `last` was.
fn inexact_bounds(first: &StatePresence, last: &StatePresence) -> VersionBounds {
    let lo = finished_version(first);
    let state = match last {
        StatePresence::Present(stored) => Some(Arc::clone(stored)),
        StatePresence::Missing | StatePresence::Damaged(_) => None,
    };
    VersionBounds {
        lo,
        hi: state
            .as_ref()
            .map_or(lo, |stored| stored.state.version.max(lo)),
        exact: false,
        state,
        before: None,
        covers_foreign: false,
    }
}

/// Every change up to this version is in a listing that is requested after this state was read.
fn finished_version(state: &StatePresence) -> Version {
    match state {
        StatePresence::Present(stored) => stored.state.finished(),
        StatePresence::Missing | StatePresence::Damaged(_) => Version::default(),
    }
}

/// Identifies a set of files: SHA-256 of names and ETags, 128 bits in hex. Tombstones count as absent.
fn digest_of(table: &TaskTable) -> String {
    let mut hash = Sha256::new();
    for file in table.iter().filter(|file| !file.is_tombstone()) {
        // Neither names nor ETags contain a line break.
        hash.update(file.name);
        hash.update("\n");
        hash.update(file.etag);
        hash.update("\n");
    }
    let digest = hash.finalize();
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A listing, split into known files and those to fetch.
struct PartitionedListing {
    /// Unchanged since the base, or not worth fetching (too large, bad name, not a file).
    known: Vec<FileRecord>,
    /// To be fetched.
    unknown: Vec<FileName>,
    /// There is a new one that isn't worth fetching; the service never writes such files.
    foreign: bool,
}

/// Splits a listing into known records and files to fetch: new or changed ones, and known ones that the listing lacks,
/// because listing a folder can miss a file that a rename is replacing. Names that can't mean a task are ignored.
fn partition_listing(listing: Listing, base: Option<&TaskTable>) -> PartitionedListing {
    let others: Vec<FileName> = listing
        .others
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    let ours: Vec<ListedBlob> = listing
        .blobs
        .into_iter()
        .filter(|blob| is_task_file_candidate(&blob.name))
        .collect();
    let mut unknown = base.map_or_else(Vec::new, |base| missing(&ours, &others, base));
    let mut known = Vec::with_capacity(ours.len());
    let is_known = |name: &FileName| {
        let known = base.and_then(|base| base.find(name.as_str()));
        known.is_some_and(|known| known.to_record() == non_file_record(name))
    };
    let mut foreign = !others.iter().all(is_known);
    known.extend(others.iter().map(non_file_record));
    for blob in ours {
        match base
            .and_then(|base| base.find(&blob.name))
            .filter(|file| is_same(file, &blob))
        {
            Some(file) => known.push(file.to_record()),
            None => match fetchable_name(&blob) {
                Ok(name) => unknown.push(name),
                Err(record) => {
                    foreign = true;
                    known.push(*record);
                }
            },
        }
    }
    PartitionedListing {
        known,
        unknown,
        foreign,
    }
}

/// Whether the file is unchanged. An unreadable file has no ETag and never counts as unchanged.
fn is_same(file: &FileView<'_>, blob: &ListedBlob) -> bool {
    file.etag == blob.etag.as_str() && !file.etag.is_empty()
}

/// The files of the base that the listing lacks, without tombstones.
fn missing(listed: &[ListedBlob], others: &[FileName], base: &TaskTable) -> Vec<FileName> {
    let names = listed.iter().map(|blob| blob.name.as_str());
    let names: HashSet<&str> = names.chain(others.iter().map(FileName::as_str)).collect();
    let gone = base
        .iter()
        .filter(|file| !file.is_tombstone() && !names.contains(file.name));
    gone.filter_map(|file| file.name.parse().ok()).collect()
}
