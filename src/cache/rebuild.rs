//! Rebuilds a user's snapshot from the task files (src/cache/README.md, "Rebuild").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::artifact::write_artifact;
use super::decide::{
    BoundsStep, ListingFacts, VersionBounds, bounds_after_reread, decide_bounds, finished_version,
    inexact_bounds, listing_floor, new_state,
};
use super::layers::Cache;
use super::listing::{
    KnownFiles, ListedTable, PartitionedListing, digest_of, is_foreign, non_file_record,
    partition_listing, unreadable_record,
};
use super::request::{Layer, Read};
use super::shared::publish;
use super::snapshot::{ListedFiles, Snapshot};
use crate::context::in_request_context;
use crate::now::Now;
use crate::spans;
use crate::store::{BlobKey, BlobStoreExt, GetIf, Prefix, PutIf, Requests, StoreError};
use crate::task::{FileName, FileRecord, Parsed, TaskTable};
use crate::user::UserId;
use crate::user_state::{
    CommandResult, CommitError, Mutation, ReadError, State, StateCommand, StatePresence,
    StoredState, Version, read_legacy_counter,
};

const MAX_CONCURRENT_FETCHES: usize = 64;

/// How many times a rebuild lists while concurrent writers keep winning, before it settles for inexact bounds.
const MAX_ATTEMPTS: u32 = 3;

pub(super) struct Rebuild {
    pub cache: Arc<Cache>,
    pub user: UserId,
    pub now: Now,
    /// The state document, just read.
    pub state: StatePresence,
    /// The storage clock at that read, so before the LIST.
    pub date: DateTime<Utc>,
    /// What is known of the files.
    pub known: KnownFiles,
    /// Storage requests sent so far.
    pub requests: Requests,
}

/// What follows from comparing a listing with the state document.
enum RebuildStep {
    Done(VersionBounds),
    /// A concurrent writer won; list again, starting from this state.
    Retry(StatePresence),
}

impl Rebuild {
    /// Lists the files, fetches what changed and reads the state document again. Publishes the snapshot; if it is
    /// exact, its artifact is written in the background.
    ///
    /// `listed` is set when the LIST is sent: from then on, readers that need a newer listing must not join.
    pub(super) async fn run(self, listed: Arc<AtomicBool>) -> Result<Read, ReadError> {
        let span = spans::internal("rebuild");
        let result = spans::within(span.as_ref(), self.list_until_done(listed)).await;
        if let (Some(span), Err(_)) = (&span, &result) {
            // The failed call has the class.
            span.fail("_OTHER");
        }
        result
    }

    async fn list_until_done(mut self, listed: Arc<AtomicBool>) -> Result<Read, ReadError> {
        self.cache.rebuilds.fetch_add(1, Ordering::Relaxed);
        let mut attempt = 1;
        let mut foreign = false;
        let (table, bounds) = loop {
            listed.store(true, Ordering::SeqCst);
            let files = self.list_and_fetch().await?;
            let rules = self.cache.settings.rules;
            foreign = is_foreign(&self.state, &self.known, &files, foreign, rules);
            let facts = ListingFacts {
                foreign,
                floor: self.known.floor,
                min_next_id: files.table.min_next_id(),
            };
            match self.resolve_bounds(&facts, &files.table).await? {
                RebuildStep::Done(bounds) => break (files.table, bounds),
                RebuildStep::Retry(state) if attempt < MAX_ATTEMPTS => {
                    self.state = state;
                    (self.known.table, self.known.exact_at) = (Some(files.table), None);
                    attempt += 1;
                }
                RebuildStep::Retry(StatePresence::Present(last))
                    if foreign && !last.state.is_read_only() =>
                {
                    let lo = finished_version(&self.state);
                    let bounds = self.version_foreign_files(&last, &facts, lo).await?;
                    break (files.table, bounds);
                }
                RebuildStep::Retry(state) => {
                    break (files.table, inexact_bounds(&self.state, &state));
                }
            }
        };
        let settings = &self.cache.settings;
        let found = ListedFiles {
            table,
            at: self.date,
            expires: self.now.mono + settings.artifact_ttl,
        };
        let entry = Snapshot::new(self.user, bounds, found, self.now, settings.zone);
        let entry = Arc::new(entry);
        self.cache.memory.publish(&entry, foreign);
        publish(&self.cache, &entry, None, self.now);
        if entry.bounds.exact || settings.rules.breaks(Mutation::ArtifactWhilePending) {
            let (cache, entry) = (Arc::clone(&self.cache), Arc::clone(&entry));
            tokio::spawn(in_request_context(async move {
                write_artifact(&*cache.states.limited.store, &entry).await;
            }));
        }
        Ok(Read::new(entry, Layer::Rebuild, self.requests))
    }

    async fn list_and_fetch(&mut self) -> Result<ListedTable, ReadError> {
        let known = self.known.table.as_deref();
        let store = self.cache.store();
        let listing = store.list(&Prefix::raw(&self.user)).await?.value;
        self.requests.reads += listing.requests;
        let PartitionedListing {
            known: mut files,
            unknown,
            foreign: mut has_unknown_writer,
        } = partition_listing(listing, known);
        self.requests.reads += unknown.len() as u32;
        let fetched: Vec<Option<(FileRecord, bool)>> = stream::iter(unknown)
            .map(|name| self.fetch(name))
            .buffer_unordered(MAX_CONCURRENT_FETCHES)
            .try_collect()
            .await?;
        for (record, foreign) in fetched.into_iter().flatten() {
            // The table may have it: a file that the listing missed, or an unreadable one, is fetched each time.
            let before = known.and_then(|known| known.find(&record.name));
            let is_known = before.is_some_and(|before| before.etag == record.etag);
            has_unknown_writer |= foreign && !is_known;
            files.push(record);
        }
        Ok(ListedTable {
            table: Arc::new(TaskTable::new(files)),
            has_unknown_writer,
        })
    }

    /// Fetches and parses one file, and tells whether it is foreign: the service didn't write it. `None` if it doesn't
    /// exist (any more). A file without read permission becomes a record with a problem, so that it doesn't fail the
    /// rebuild.
    async fn fetch(&self, name: FileName) -> Result<Option<(FileRecord, bool)>, StoreError> {
        let user = &self.user;
        let closed = |record| Ok(Some((record, true)));
        match self.cache.store().read(&BlobKey::task(user, &name)).await {
            Ok(None) => Ok(None),
            Ok(Some(blob)) => {
                let record = FileRecord::of(&name, blob.etag.as_str(), &blob.bytes);
                // A tombstone has no write ids either, but counts as absent.
                let foreign = blob.writes.is_empty() && record.content != Parsed::Tombstone;
                Ok(Some((record, foreign)))
            }
            // A folder or the like has replaced the file since the listing.
            Err(StoreError::NotAFile { .. }) => closed(non_file_record(&name)),
            Err(StoreError::Unreadable { reason, .. }) => {
                // Logged by its number: the rest of the name is the task's title, which is private.
                tracing::warn!(%user, task = %name.id(), reason, "a task file can't be read");
                closed(unreadable_record(&name))
            }
            Err(error) => Err(error),
        }
    }

    /// Determines the version bounds of what was listed; creates the state document or raises its version if needed.
    async fn resolve_bounds(
        &mut self,
        facts: &ListingFacts,
        table: &TaskTable,
    ) -> Result<RebuildStep, ReadError> {
        let settings = &self.cache.settings;
        let state = self.state.clone();
        match (decide_bounds(&state, facts, settings.rules), state) {
            (BoundsStep::CreateState(condition), _) => {
                let documents = &self.cache.states.limited;
                let legacy = read_legacy_counter(documents, &self.user, &mut self.requests).await?;
                let state = new_state(self.date, facts, legacy, settings.rules);
                self.swap_state(state, table, condition, "state made").await
            }
            (BoundsStep::RaiseVersion(reason), StatePresence::Present(stored)) => {
                let raised = stored
                    .state
                    .after_foreign_write(facts.floor, facts.min_next_id);
                let condition = PutIf::Same(stored.etag.clone());
                self.swap_state(raised, table, condition, reason).await
            }
            (BoundsStep::VersionForeignFiles, StatePresence::Present(stored)) => {
                let lo = listing_floor(&stored.state, settings);
                let bounds = self.version_foreign_files(&stored, facts, lo).await?;
                Ok(RebuildStep::Done(bounds))
            }
            (step, StatePresence::Present(stored)) => {
                let second = match step {
                    BoundsStep::AssumeUnchanged => None,
                    _ => self.read_state(GetIf::Changed(stored.etag.clone())).await?,
                };
                let bounds = bounds_after_reread(&stored, second, &self.cache.settings);
                Ok(bounds.map_or_else(RebuildStep::Retry, RebuildStep::Done))
            }
            // The other steps are only for a document that is there.
            (_, gone) => Ok(RebuildStep::Retry(gone)),
        }
    }

    /// Writes `state`, which accounts for the files of `table`. Of concurrent writers only the one whose PUT succeeds is
    /// exact.
    async fn swap_state(
        &mut self,
        state: State,
        table: &TaskTable,
        condition: PutIf,
        reason: &'static str,
    ) -> Result<RebuildStep, ReadError> {
        let (user, version) = (&self.user, state.version.0);
        let state = state.with_files_digest(digest_of(table));
        let documents = &self.cache.states.documents;
        let written = documents.write(user, state, condition, &self.now, &mut self.requests);
        Ok(match written.await? {
            Some(stored) => {
                tracing::info!(%user, version, reason, "new version");
                RebuildStep::Done(VersionBounds::exact_at(stored))
            }
            None => {
                let found = self.read_state(GetIf::Any).await?;
                RebuildStep::Retry(found.unwrap_or(StatePresence::Missing))
            }
        })
    }

    /// Raises the version while something is pending, or after concurrent writers kept winning. A client that sees
    /// these files must not later get a snapshot of an earlier version without them, so the version is raised beside
    /// the write intents, which stay: an operation that finishes then finds another version than its own. Goes through
    /// the group commit, since intents come and go. The result stays inexact.
    async fn version_foreign_files(
        &mut self,
        stored: &Arc<StoredState>,
        facts: &ListingFacts,
        lo: Version,
    ) -> Result<VersionBounds, ReadError> {
        let command = StateCommand::VersionForeignFiles {
            floor: facts.floor,
            min_next_id: facts.min_next_id,
        };
        let user = &self.user;
        let queue = self.cache.states.commits.open(user);
        queue.observe(stored);
        let committed = queue.submit(command, &self.now).await;
        let committed = committed.map_err(|error| match error {
            CommitError::Read(error) => error,
            CommitError::NoState => ReadError::Contended,
        })?;
        self.requests += committed.requests;
        let CommandResult::Recorded(version) = committed.result else {
            return Err(ReadError::Broken);
        };
        tracing::info!(%user, version = version.0, reason = "files changed by others", "new version");
        Ok(VersionBounds {
            lo: lo.max(self.known.lo).min(version),
            hi: version,
            exact: false,
            state: Some(committed.stored),
            before: Some(Arc::clone(stored)),
            covers_foreign: true,
        })
    }

    async fn read_state(&mut self, condition: GetIf) -> Result<Option<StatePresence>, ReadError> {
        let documents = &self.cache.states.documents;
        let read = documents.read(&self.user, condition, &self.now, &mut self.requests);
        Ok(read.await?.found)
    }
}
