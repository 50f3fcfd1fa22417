//! What can go from a user's state and files once its time is over.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::amend::Amendment;
use super::ledger::timely;
use super::state::{SeenState, StateFound};
use super::{Cache, Inner, ReadError, Requests, WriteError};
use crate::now::Now;
use crate::store::{Deleted, ETag, GetIf, Got, Key, Listed, Prefix};
use crate::task::{SETTLED_FILE, UsedIds};
use crate::user::UserId;

/// A settled file keeps a late request from landing. After this time none is under way any more.
const SETTLED_STAYS: TimeDelta = TimeDelta::hours(1);

/// Settled files looked at together.
const TOGETHER: usize = 8;

/// What was found of a user, and what of it has gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// There is a state blob.
    pub has_state: bool,
    /// There is something among the task files.
    pub has_files: bool,
    /// Records of creates under an `Idempotency-Key` that were past their time.
    pub records: usize,
    /// Marks that were left and are settled now.
    pub marks: usize,
    /// Settled files that nobody needs any more.
    pub settled: usize,
}

impl Cache {
    /// Settles marks that were left, forgets records past their time, and removes settled files that
    /// have done their work. Costs two requests where there is nothing to do, and never a version.
    ///
    /// # Errors
    /// What hasn't been done by then is left for another time.
    pub async fn tidy(&self, user: &UserId, now: &Now) -> Result<Tidied, WriteError> {
        self.inner.tidy(user, now).await
    }
}

impl Inner {
    async fn tidy(self: &Arc<Self>, user: &UserId, now: &Now) -> Result<Tidied, WriteError> {
        let mut tidied = Tidied::default();
        let mut requests = Requests::default();
        let look = self.read_state(user, GetIf::Any, now, &mut requests);
        let seen = timely(look).await?;
        let found = seen.found.unwrap_or(StateFound::Missing);
        tidied.has_state = !matches!(found, StateFound::Missing);
        let marked = match &found {
            StateFound::Present(state) if !state.state.is_read_only() => {
                let state = self
                    .tidy_state(user, state, seen.date, now, &mut tidied)
                    .await?;
                // Once numbers are handed out again, a create may be about to take a settled file's name; of two
                // requests that bring the same create about, one would be refused by the file and the other not.
                let handed_out_once = state.state.next_id < UsedIds::ALL;
                handed_out_once.then(|| marked_names(&state))
            }
            StateFound::Missing => Some(HashSet::new()),
            // Which files have a mark can't be told.
            StateFound::Present(_) | StateFound::Damaged(_) => None,
        };
        let listing = timely(async { Ok(self.store.list(&Prefix::raw(user)).await?) }).await?;
        tidied.has_files = !listing.value.blobs.is_empty();
        if let Some(marked) = marked {
            let files = listing.value.blobs;
            tidied.settled = self
                .remove_settled(user, files, &marked, listing.date)
                .await?;
        }
        Ok(tidied)
    }

    /// The state without what has gone from it.
    async fn tidy_state(
        self: &Arc<Self>,
        user: &UserId,
        before: &Arc<SeenState>,
        date: DateTime<Utc>,
        now: &Now,
        tidied: &mut Tidied,
    ) -> Result<Arc<SeenState>, WriteError> {
        // Open until the end: a second swap then goes on from the first one's state.
        let ledger = self.ledgers.open(user);
        let mut seen = Arc::clone(before);
        if let Some((settled, _)) = self.settle(user, before, date, now).await {
            let expiry = self.settings.pending_expiry;
            let pending = &before.state.pending;
            let overdue = pending
                .iter()
                .filter(|(_, mark)| mark.is_overdue(date, expiry));
            tidied.marks = overdue
                .filter(|(op, _)| !settled.state.pending.contains_key(*op))
                .count();
            seen = settled;
        }
        let old = seen.state.old_records(date);
        if old > 0 {
            seen = self.amend(&ledger, Amendment::ForgetOld, now).await?.seen;
            tidied.records = old;
        }
        Ok(seen)
    }

    /// How many went. A settled file counts as absent for everybody, so that this is no change of the
    /// user's data and needs no version; who is about to replace one finds its version gone.
    async fn remove_settled(
        &self,
        user: &UserId,
        files: Vec<Listed>,
        marked: &HashSet<String>,
        date: DateTime<Utc>,
    ) -> Result<usize, WriteError> {
        let done = files.into_iter().filter(|file| {
            let may_be_one = file.size == SETTLED_FILE.len() as u64;
            may_be_one && file.is_older_than(SETTLED_STAYS, date) && !marked.contains(&file.name)
        });
        let gone = stream::iter(done)
            .map(|file| self.remove_if_settled(user, file))
            .buffer_unordered(TOGETHER)
            .try_filter(|gone| std::future::ready(*gone));
        Ok(gone.try_collect::<Vec<bool>>().await?.len())
    }

    /// Only what is settled to the last byte: a file that somebody has written by hand stays.
    async fn remove_if_settled(&self, user: &UserId, file: Listed) -> Result<bool, ReadError> {
        let Ok(key) = Key::raw(user, &file.name) else {
            return Ok(false);
        };
        let got = self.store.get(&key, GetIf::Same(file.etag.clone()));
        let Got::Blob(blob) = timely(async { Ok(got.await?.value) }).await? else {
            return Ok(false);
        };
        if blob.bytes != SETTLED_FILE {
            return Ok(false);
        }
        self.remove(&key, &blob.etag).await
    }

    async fn remove(&self, key: &Key, etag: &ETag) -> Result<bool, ReadError> {
        let deleted = timely(async { Ok(self.store.delete(key, etag).await?.value) });
        Ok(deleted.await? == Deleted::Done)
    }
}

/// The files that somebody may be about to write.
fn marked_names(seen: &SeenState) -> HashSet<String> {
    let files = seen.state.pending.values().flat_map(|mark| &mark.files);
    files.map(|file| file.name.clone()).collect()
}
