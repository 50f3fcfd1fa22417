//! Garbage collection of one user: overdue intents, expired idempotency records, old tombstones
//! (src/cache/README.md, "Garbage collection").

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::command::StateCommand;
use super::commit_queue::with_deadline;
use super::state::{StatePresence, StoredState};
use super::{Cache, CacheInner, ReadError, Requests, WriteError};
use crate::now::Now;
use crate::store::{BlobKey, DeleteOutcome, ETag, GetIf, GetOutcome, ListedBlob, Prefix};
use crate::task::{TOMBSTONE_FILE, UsedIds};
use crate::user::UserId;

/// Minimum age of a tombstone that may be deleted. It keeps a late create from landing; after this time no request can
/// be under way any more.
const TOMBSTONE_MIN_AGE: TimeDelta = TimeDelta::hours(1);

/// How many tombstones are checked and deleted concurrently.
const CONCURRENT_CHECKS: usize = 8;

/// What was found of a user, and counts of what was cleaned up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GarbageCollected {
    /// There is a state document.
    pub has_state: bool,
    /// There is at least one blob under `raw/{user}/tasks/`.
    pub has_files: bool,
    /// Expired idempotency records that were removed.
    pub records: usize,
    /// Overdue write intents that were recovered.
    pub intents: usize,
    /// Tombstones that were deleted.
    pub tombstones: usize,
}

impl Cache {
    /// Recovers overdue intents, removes expired idempotency records and deletes old tombstones. Two storage requests
    /// if there is nothing to do; never makes a version.
    ///
    /// # Errors
    /// The first failed step's; the steps after it are left to the next pass.
    pub async fn collect_garbage(
        &self,
        user: &UserId,
        now: &Now,
    ) -> Result<GarbageCollected, WriteError> {
        self.inner.collect_garbage(user, now).await
    }
}

impl CacheInner {
    async fn collect_garbage(
        self: &Arc<Self>,
        user: &UserId,
        now: &Now,
    ) -> Result<GarbageCollected, WriteError> {
        let mut collected = GarbageCollected::default();
        let mut requests = Requests::default();
        let read = self.read_state(user, GetIf::Any, now, &mut requests);
        let seen = with_deadline(read).await?;
        let found = seen.found.unwrap_or(StatePresence::Missing);
        collected.has_state = !matches!(found, StatePresence::Missing);
        let pending = match &found {
            StatePresence::Present(state) if !state.state.is_read_only() => {
                let state = self
                    .clean_state(user, state, seen.date, now, &mut collected)
                    .await?;
                // Past 9999 numbers are reused, and a create may be about to replace a tombstone with `If-Match`. If it
                // were deleted, one of two requests for the same create would fail on the missing file while the
                // other succeeds.
                let numbers_are_unique = state.state.next_id < UsedIds::ALL;
                numbers_are_unique.then(|| pending_names(&state))
            }
            StatePresence::Missing => Some(HashSet::new()),
            // Which files are pending is unknown.
            StatePresence::Present(_) | StatePresence::Damaged(_) => None,
        };
        let listing =
            with_deadline(async { Ok(self.store.list(&Prefix::raw(user)).await?) }).await?;
        collected.has_files = !listing.value.blobs.is_empty();
        if let Some(pending) = pending {
            let files = listing.value.blobs;
            collected.tombstones = self
                .delete_tombstones(user, files, &pending, listing.date)
                .await?;
        }
        Ok(collected)
    }

    /// Returns the state document after recovery and expiry.
    async fn clean_state(
        self: &Arc<Self>,
        user: &UserId,
        before: &Arc<StoredState>,
        date: DateTime<Utc>,
        now: &Now,
        collected: &mut GarbageCollected,
    ) -> Result<Arc<StoredState>, WriteError> {
        // Keeps the queue open, so that a second swap starts from the first one's document.
        let queue = self.commit_queues.open(user);
        let mut stored = Arc::clone(before);
        if let Some((recovered, _)) = self.recover_overdue(user, before, date, now).await {
            let expiry = self.settings.pending_expiry;
            let intents = &before.state.pending;
            let overdue = intents
                .iter()
                .filter(|(_, intent)| intent.is_overdue(date, expiry));
            collected.intents = overdue
                .filter(|(op, _)| !recovered.state.pending.contains_key(*op))
                .count();
            stored = recovered;
        }
        let expired = stored.state.count_expired(date);
        if expired > 0 {
            let committed = self.submit(&queue, StateCommand::ExpireRecords, now);
            stored = committed.await?.stored;
            collected.records = expired;
        }
        Ok(stored)
    }

    /// Returns how many were deleted. A tombstone counts as an absent file, so that deleting it doesn't change the
    /// user's data and needs no version. A writer about to replace one fails on its `If-Match`.
    async fn delete_tombstones(
        &self,
        user: &UserId,
        files: Vec<ListedBlob>,
        pending: &HashSet<String>,
        date: DateTime<Utc>,
    ) -> Result<usize, WriteError> {
        let candidates = files.into_iter().filter(|file| {
            let has_its_size = file.size == TOMBSTONE_FILE.len() as u64;
            has_its_size
                && file.is_older_than(TOMBSTONE_MIN_AGE, date)
                && !pending.contains(&file.name)
        });
        let deleted = stream::iter(candidates)
            .map(|file| self.delete_if_tombstone(user, file))
            .buffer_unordered(CONCURRENT_CHECKS)
            .try_filter(|deleted| std::future::ready(*deleted));
        Ok(deleted.try_collect::<Vec<bool>>().await?.len())
    }

    /// Deletes the file only if it has exactly the tombstone's bytes: one written by hand stays.
    async fn delete_if_tombstone(
        &self,
        user: &UserId,
        file: ListedBlob,
    ) -> Result<bool, ReadError> {
        let Ok(key) = BlobKey::raw(user, &file.name) else {
            return Ok(false);
        };
        let got = self.store.get(&key, GetIf::Same(file.etag.clone()));
        let GetOutcome::Blob(blob) = with_deadline(async { Ok(got.await?.value) }).await? else {
            return Ok(false);
        };
        if blob.bytes != TOMBSTONE_FILE {
            return Ok(false);
        }
        self.delete_blob(&key, &blob.etag).await
    }

    async fn delete_blob(&self, key: &BlobKey, etag: &ETag) -> Result<bool, ReadError> {
        let deleted = with_deadline(async { Ok(self.store.delete(key, etag).await?.value) });
        Ok(deleted.await? == DeleteOutcome::Done)
    }
}

/// Names of the files that have a write intent.
fn pending_names(stored: &StoredState) -> HashSet<String> {
    let intents = stored.state.pending.values();
    let files = intents.flat_map(|intent| &intent.files);
    files.map(|file| file.name.clone()).collect()
}
