//! Recovery of write intents whose instance died or is too slow (src/user_state/README.md, "Recovery").
//!
//! An intent is never just removed: its request may still land, unseen. First each file of the operation is changed
//! so that the request must fail. An update or delete names an ETag from before the intent, and rewriting the file
//! changes the ETag; a create fails on a tombstone in its place, which stays for an hour. So a clock decides only when
//! recovery is tried.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::{join_all, try_join_all};

use super::commit::CommitQueues;
use super::document::{CommitError, PendingFile, PendingOp, StoredState};
use super::mutation::Mutation;
use super::resolution::{FileResolution, ObservedFile, ResolutionStep, decide_resolution};
use super::transition::StateCommand;
use crate::now::Now;
use crate::rules::Rules;
use crate::store::{BlobKey, BlobStore, GetIf, PutOutcome, Requests, StoreError};
use crate::user::UserId;

/// Attempts to resolve one file that others keep changing.
const ATTEMPTS: u32 = 5;

/// Recovers write intents. A cheap handle.
#[derive(Clone)]
pub struct Recovery {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) commits: CommitQueues,
    /// Age at which an intent is overdue.
    pub(super) expiry: Duration,
    pub(super) rules: Rules<Mutation>,
}

/// The outcome of a recovery.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The newest state document; `None` if no intent could be removed now.
    pub stored: Option<Arc<StoredState>>,
    /// Storage requests.
    pub requests: Requests,
}

impl Recovery {
    /// Whether an intent is overdue at the storage time `date`.
    pub fn is_overdue(&self, intent: &PendingOp, date: DateTime<Utc>) -> bool {
        intent.is_overdue(date, self.expiry)
    }

    /// Recovers the intents in `stored` that are overdue at the storage time `date`. If none was, or none could be
    /// recovered now, a read answers with them pending.
    pub async fn recover_overdue(
        &self,
        user: &UserId,
        stored: &StoredState,
        date: DateTime<Utc>,
        now: &Now,
    ) -> Recovered {
        let mut recovered = Recovered::default();
        if stored.state.is_read_only() {
            return recovered;
        }
        let overdue = stored.state.pending.iter();
        let overdue = overdue.filter(|(_, intent)| self.is_overdue(intent, date));
        // Concurrently, so that their removals share a swap.
        let recoveries = overdue.map(|(op, intent)| self.recover(user, op, intent, now));
        for one in join_all(recoveries).await {
            recovered.requests += one.requests;
            let newest = recovered.stored.as_ref();
            if let Some(state) = one.stored
                && newest.is_none_or(|known| state.is_newer_than(known))
            {
                recovered.stored = Some(state);
            }
        }
        recovered
    }

    /// Recovers one operation, overdue or not.
    pub async fn recover(
        &self,
        user: &UserId,
        op: &str,
        intent: &PendingOp,
        now: &Now,
    ) -> Recovered {
        let mut requests = Requests::default();
        let recovered = self.try_recover(user, op, intent, now, &mut requests);
        let stored = recovered.await.unwrap_or_else(|error| {
            tracing::warn!(%user, op, %error, "a write intent can't be recovered yet");
            None
        });
        Recovered { stored, requests }
    }

    async fn try_recover(
        &self,
        user: &UserId,
        op: &str,
        intent: &PendingOp,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Option<Arc<StoredState>>, CommitError> {
        let count = match () {
            () if self.rules.breaks(Mutation::RemoveUnsettled) => 0,
            () if self.rules.breaks(Mutation::SettleFirstFileOnly) => 1,
            () => intent.files.len(),
        };
        let files = intent.files.iter().take(count);
        let resolved = try_join_all(files.map(|file| self.resolve_file(user, file))).await?;
        let mut resolution = FileResolution::Resolved;
        for (of_file, took) in resolved {
            *requests += took;
            resolution = resolution.max(of_file);
        }
        let no_effect = match resolution {
            FileResolution::Resolved => false,
            FileResolution::NoEffect => true,
            FileResolution::Unresolved => return Ok(None),
        };
        let command = StateCommand::RemoveRecovered {
            op: op.to_owned(),
            intent: intent.clone(),
            no_effect,
        };
        let committed = self.commits.open(user).submit(command, now).await?;
        *requests += committed.requests;
        tracing::info!(%user, op, version = intent.version.0, undone = no_effect, "recovered a write intent");
        Ok(Some(committed.stored))
    }

    /// Makes the pending write of one file safe.
    async fn resolve_file(
        &self,
        user: &UserId,
        file: &PendingFile,
    ) -> Result<(FileResolution, Requests), StoreError> {
        let mut requests = Requests::default();
        let Some(key) = BlobKey::raw(user, &file.name) else {
            return Ok((FileResolution::Resolved, requests));
        };
        for _ in 0..ATTEMPTS {
            requests.reads += 1;
            match decide_resolution(file, self.observe(&key).await?) {
                ResolutionStep::Done(resolution) => return Ok((resolution, requests)),
                ResolutionStep::Put(put, condition, resolution) => {
                    requests.writes += 1;
                    let put = self.store.put(&key, put, condition).await?.value;
                    if let PutOutcome::Done(_) = put {
                        return Ok((resolution, requests));
                    }
                }
            }
        }
        Ok((FileResolution::Unresolved, requests))
    }

    async fn observe(&self, key: &BlobKey) -> Result<ObservedFile, StoreError> {
        match self.store.get(key, GetIf::Any).await {
            Ok(response) => Ok(response
                .value
                .into_blob()
                .map_or(ObservedFile::Absent, ObservedFile::Blob)),
            Err(StoreError::NotAFile { .. }) => Ok(ObservedFile::NotAFile),
            Err(StoreError::Unreadable { .. }) => Ok(ObservedFile::Unreadable),
            Err(error) => Err(error),
        }
    }
}
