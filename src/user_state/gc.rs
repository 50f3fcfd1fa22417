//! Garbage collection of one user: overdue intents, expired idempotency records, old tombstones
//! (src/user_state/README.md, "Garbage collection").

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::document::{CommitError, StatePresence, StoredState};
use super::states::UserStates;
use super::transition::StateCommand;
use crate::now::Now;
use crate::store::{
    BlobKey, BlobStore, BlobStoreExt, DeleteOutcome, GetIf, ListedBlob, Prefix, Requests,
    StoreError,
};
use crate::task::{TOMBSTONE_FILE, UsedIds};
use crate::user::UserId;

/// Minimum age of a tombstone that may be deleted. It keeps a late create from landing; after this time no request can
/// be under way any more.
const TOMBSTONE_MIN_AGE: TimeDelta = TimeDelta::hours(1);

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

impl UserStates {
    /// Recovers overdue intents, removes expired idempotency records and deletes old tombstones. Two storage requests
    /// if there is nothing to do; never makes a version.
    ///
    /// # Errors
    /// The first failed step's; the steps after it are left to the next pass.
    pub async fn collect_garbage(
        &self,
        user: &UserId,
        now: &Now,
    ) -> Result<GarbageCollected, CommitError> {
        let mut collected = GarbageCollected::default();
        let mut requests = Requests::default();
        let read = self.limited.read(user, GetIf::Any, now, &mut requests);
        let seen = read.await?;
        let found = seen.found.unwrap_or(StatePresence::Missing);
        collected.has_state = !matches!(found, StatePresence::Missing);
        let protected = match found {
            StatePresence::Present(state) if !state.state.is_read_only() => {
                let state = self
                    .clean_document(user, state, seen.date, now, &mut collected)
                    .await?;
                names_to_keep(&state)
            }
            StatePresence::Missing => Some(HashSet::new()),
            // Which files are pending is unknown.
            StatePresence::Present(_) | StatePresence::Damaged(_) => None,
        };
        let store = &self.limited.store;
        let listing = store.list(&Prefix::raw(user)).await?;
        collected.has_files = !listing.value.blobs.is_empty();
        if let Some(protected) = protected {
            let files = listing.value.blobs.into_iter();
            let old = files.filter(|it| may_be_old_tombstone(it, &protected, listing.date));
            let deleted = stream::iter(old)
                .map(|file| delete_if_tombstone(&**store, user, file))
                .buffer_unordered(CONCURRENT_CHECKS)
                .try_filter(|deleted| std::future::ready(*deleted));
            collected.tombstones = deleted.try_collect::<Vec<bool>>().await?.len();
        }
        Ok(collected)
    }

    /// Returns the state document after recovery and expiry.
    async fn clean_document(
        &self,
        user: &UserId,
        before: Arc<StoredState>,
        date: DateTime<Utc>,
        now: &Now,
        collected: &mut GarbageCollected,
    ) -> Result<Arc<StoredState>, CommitError> {
        // Keeps the queue open, so that a second swap starts from the first one's document.
        let queue = self.commits.open(user);
        let recovery = self.recovery.recover_overdue(user, &before, date, now);
        let mut stored = recovery.await.stored.unwrap_or_else(|| Arc::clone(&before));
        let overdue = before.state.pending.iter();
        let overdue = overdue.filter(|(_, intent)| self.recovery.is_overdue(intent, date));
        collected.intents = overdue
            .filter(|(op, _)| !stored.state.pending.contains_key(*op))
            .count();
        let expired = stored.state.count_expired(date);
        if expired > 0 {
            stored = queue.submit(StateCommand::ExpireRecords, now).await?.stored;
            collected.records = expired;
        }
        Ok(stored)
    }
}

/// PURE. Names of the files whose tombstones must stay, because an intent names them; `None` if all must. Past 9999
/// numbers are reused, and a create may be about to replace a tombstone with `If-Match`: if it were deleted, one of two
/// requests for the same create would fail on the missing file while the other succeeds.
pub fn names_to_keep(stored: &StoredState) -> Option<HashSet<String>> {
    if stored.state.next_id >= UsedIds::ALL {
        return None;
    }
    let intents = stored.state.pending.values();
    let files = intents.flat_map(|intent| &intent.files);
    Some(files.map(|file| file.name.clone()).collect())
}

/// PURE. Whether a listed file may be a tombstone that isn't needed any more: its bytes decide.
pub fn may_be_old_tombstone(
    file: &ListedBlob,
    protected: &HashSet<String>,
    date: DateTime<Utc>,
) -> bool {
    file.size == TOMBSTONE_FILE.len() as u64
        && file.is_older_than(TOMBSTONE_MIN_AGE, date)
        && !protected.contains(&file.name)
}

/// Deletes the file only if it has exactly the tombstone's bytes: one written by hand stays. A tombstone counts as an
/// absent file, so that deleting it doesn't change the user's data and needs no version. A writer about to replace one
/// fails on its `If-Match`.
async fn delete_if_tombstone(
    store: &dyn BlobStore,
    user: &UserId,
    file: ListedBlob,
) -> Result<bool, StoreError> {
    let Some(key) = BlobKey::raw(user, &file.name) else {
        return Ok(false);
    };
    match store.read_version(&key, &file.etag).await? {
        Some(blob) if blob.bytes == TOMBSTONE_FILE => {
            Ok(store.delete(&key, &blob.etag).await?.value == DeleteOutcome::Done)
        }
        _ => Ok(false),
    }
}
