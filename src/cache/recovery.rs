//! Recovery of write intents whose instance died or is too slow (src/cache/README.md, "Recovery").
//!
//! An intent is never just removed: its request may still land, unseen. First each file of the operation is changed
//! so that the request must fail. An update or delete names an ETag from before the intent, and rewriting the file
//! changes the ETag; a create fails on a tombstone in its place, which stays for an hour. So a clock decides only when
//! recovery is tried.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::{join_all, try_join_all};

use super::command::StateCommand;
use super::commit_queue::with_deadline;
use super::state::{ChangeKind, PendingFile, PendingOp, StoredState};
use super::{CacheInner, Mutation, ReadError, Requests, WriteError};
use crate::now::Now;
use crate::store::{
    Blob, BlobKey, GetIf, GetOutcome, Put, PutIf, PutOutcome, StoreError, StoreResponse, WriteId,
    WriteIds,
};
use crate::task::{FileName, Parsed, TOMBSTONE_FILE, parse};
use crate::user::UserId;

/// Attempts to resolve one file that others keep changing.
const ATTEMPTS: u32 = 5;

/// The write id of every tombstone, carried on by whatever replaces it. A file with this id but without a create's own
/// id proves that the create was defeated, whatever the file is now. No operation is given this id.
pub(super) const TOMBSTONE_WRITE_ID: WriteId = WriteId(0);

/// Result of making one file of an intent safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileResolution {
    /// The write landed, or can't land any more.
    Resolved,
    /// A create that hasn't landed and can't any more: some instance put a tombstone in its place, or the name is taken
    /// by something that isn't a file.
    NeverCreated,
    /// The file kept changing or can't be read; the intent stays for a later recovery.
    Unresolved,
}

/// A file as recovery finds it.
enum ObservedFile {
    Blob(Blob),
    Absent,
    /// A folder or the like has the name.
    NotAFile,
    /// The store denies reading it.
    Unreadable,
}

impl CacheInner {
    /// Recovers the intents in `stored` that are overdue at the storage time `date`. Returns the newest state document,
    /// or `None` if no intent was overdue or none could be recovered now; a read then answers with them pending.
    pub(super) async fn recover_overdue(
        self: &Arc<Self>,
        user: &UserId,
        stored: &StoredState,
        date: DateTime<Utc>,
        now: &Now,
    ) -> Option<(Arc<StoredState>, Requests)> {
        if stored.state.is_read_only() {
            return None;
        }
        let overdue = stored
            .state
            .pending
            .iter()
            .filter(|(_, intent)| intent.is_overdue(date, self.settings.pending_expiry));
        // Concurrently, so that their removals share a swap.
        let recoveries = overdue.map(|(op, intent)| self.recover_op(user, op, intent, now));
        let mut newest: Option<Arc<StoredState>> = None;
        let mut requests = Requests::default();
        for (recovered, took) in join_all(recoveries).await {
            requests += took;
            let Some(state) = recovered else { continue };
            if newest
                .as_ref()
                .is_none_or(|known| state.is_newer_than(known))
            {
                newest = Some(state);
            }
        }
        newest.map(|stored| (stored, requests))
    }

    /// Recovers one operation, overdue or not. Returns the state document without its intent, or `None` if that can't
    /// be done now.
    pub(super) async fn recover_op(
        self: &Arc<Self>,
        user: &UserId,
        op: &str,
        intent: &PendingOp,
        now: &Now,
    ) -> (Option<Arc<StoredState>>, Requests) {
        let mut requests = Requests::default();
        let recovered = self.try_recover(user, op, intent, now, &mut requests).await;
        let stored = recovered.unwrap_or_else(|error| {
            tracing::warn!(%user, op, %error, "a write intent can't be recovered yet");
            None
        });
        (stored, requests)
    }

    async fn try_recover(
        self: &Arc<Self>,
        user: &UserId,
        op: &str,
        intent: &PendingOp,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Option<Arc<StoredState>>, WriteError> {
        let Some(no_effect) = self.resolve_files(user, intent, requests).await? else {
            return Ok(None);
        };
        let command = StateCommand::RemoveRecovered {
            op: op.to_owned(),
            intent: intent.clone(),
            no_effect,
        };
        let queue = self.commit_queues.open(user);
        let committed = self.submit(&queue, command, now).await?;
        *requests += committed.requests;
        tracing::info!(%user, op, version = intent.version.0, undone = no_effect, "recovered a write intent");
        Ok(Some(committed.stored))
    }

    /// Makes every file of an operation safe. Returns whether it was a create that never happened, or `None` if a file
    /// can't be resolved now.
    async fn resolve_files(
        &self,
        user: &UserId,
        intent: &PendingOp,
        requests: &mut Requests,
    ) -> Result<Option<bool>, ReadError> {
        let count = match () {
            () if self.breaks(Mutation::RemoveUnsettled) => 0,
            () if self.breaks(Mutation::SettleFirstFileOnly) => 1,
            () => intent.files.len(),
        };
        let files = intent.files.iter().take(count);
        let resolutions = files.map(|file| self.resolve_file(user, file));
        let mut never_created = false;
        for (resolution, took) in try_join_all(resolutions).await? {
            *requests += took;
            match resolution {
                FileResolution::Resolved => {}
                FileResolution::NeverCreated => never_created = true,
                FileResolution::Unresolved => return Ok(None),
            }
        }
        Ok(Some(never_created))
    }

    async fn resolve_file(
        &self,
        user: &UserId,
        file: &PendingFile,
    ) -> Result<(FileResolution, Requests), ReadError> {
        let mut requests = Requests::default();
        let Ok(key) = BlobKey::raw(user, &file.name) else {
            return Ok((FileResolution::Resolved, requests));
        };
        for _ in 0..ATTEMPTS {
            requests.reads += 1;
            let (blob, condition) = match (file.kind, self.observe_file(&key).await?) {
                (_, ObservedFile::Unreadable) => return Ok((FileResolution::Unresolved, requests)),
                // Nothing can land: a create finds its name taken, and an `If-Match` finds its ETag gone for good. A
                // person has to move the thing away, which takes longer than a request lives. There is no file, so a
                // repeated create doesn't make a second one.
                (ChangeKind::Create, ObservedFile::NotAFile) => {
                    return Ok((FileResolution::NeverCreated, requests));
                }
                (ChangeKind::Update | ChangeKind::Delete, ObservedFile::NotAFile) => {
                    return Ok((FileResolution::Resolved, requests));
                }
                (_, ObservedFile::Blob(blob)) if file.has_landed_in(&blob.writes) => {
                    return Ok((FileResolution::Resolved, requests));
                }
                (ChangeKind::Update | ChangeKind::Delete, ObservedFile::Absent) => {
                    return Ok((FileResolution::Resolved, requests));
                }
                (ChangeKind::Create, ObservedFile::Absent) => (tombstone(), PutIf::Absent),
                // The create may be about to replace this very tombstone.
                (ChangeKind::Create, ObservedFile::Blob(blob))
                    if is_tombstone_blob(file, &blob) =>
                {
                    (tombstone(), PutIf::Same(blob.etag))
                }
                (ChangeKind::Create, ObservedFile::Blob(blob))
                    if blob.writes.contains(TOMBSTONE_WRITE_ID) =>
                {
                    return Ok((FileResolution::NeverCreated, requests));
                }
                // Unknowable: an editor may have saved over the created file. Keep the idempotency record, so that a
                // repeated request is answered with the file that is there and doesn't make a second one.
                (ChangeKind::Create, ObservedFile::Blob(_)) => {
                    return Ok((FileResolution::Resolved, requests));
                }
                (ChangeKind::Update | ChangeKind::Delete, ObservedFile::Blob(blob)) => {
                    let same = Put {
                        bytes: blob.bytes,
                        writes: blob.writes,
                    };
                    (same, PutIf::Same(blob.etag))
                }
            };
            requests.writes += 1;
            let put = async { Ok(self.store.put(&key, blob, condition).await?.value) };
            if let PutOutcome::Done(_) = with_deadline(put).await? {
                let resolution = match file.kind {
                    ChangeKind::Create => FileResolution::NeverCreated,
                    ChangeKind::Update | ChangeKind::Delete => FileResolution::Resolved,
                };
                return Ok((resolution, requests));
            }
        }
        Ok((FileResolution::Unresolved, requests))
    }

    async fn observe_file(&self, key: &BlobKey) -> Result<ObservedFile, ReadError> {
        let got = async { Ok(self.store.get(key, GetIf::Any).await) };
        match with_deadline(got).await? {
            Ok(StoreResponse {
                value: GetOutcome::Blob(blob),
                ..
            }) => Ok(ObservedFile::Blob(blob)),
            Ok(_) => Ok(ObservedFile::Absent),
            Err(StoreError::NotAFile { .. }) => Ok(ObservedFile::NotAFile),
            Err(StoreError::Unreadable { .. }) => Ok(ObservedFile::Unreadable),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_tombstone_blob(file: &PendingFile, blob: &Blob) -> bool {
    let name = file.name.parse::<FileName>();
    name.is_ok_and(|name| parse(&name, &blob.bytes) == Parsed::Tombstone)
}

fn tombstone() -> Put {
    Put {
        bytes: TOMBSTONE_FILE.into(),
        writes: WriteIds::default().with_newest(TOMBSTONE_WRITE_ID),
    }
}
