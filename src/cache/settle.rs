//! Recovery of write intents whose instance died or is too slow (src/cache/README.md, "Recovery").
//!
//! An intent is never just removed: its request may still land, unseen. First each file of the operation is changed
//! so that the request must fail. A replacement or removal names a version from before the intent, and rewriting the
//! file changes its ETag; a create finds a tombstone in its place, for an hour. So a clock decides only when this is
//! tried.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::{join_all, try_join_all};

use super::amend::Amendment;
use super::ledger::timely;
use super::state::{ChangeKind, PendingFile, PendingOp, SeenState};
use super::{Inner, Mutation, ReadError, Requests, WriteError};
use crate::now::Now;
use crate::store::{
    Answer, Blob, GetIf, Got, Key, Put, PutIf, StoreError, WriteId, WriteIds, Written,
};
use crate::task::{FileName, Parsed, SETTLED_FILE, parse};
use crate::user::UserId;

/// How often one file is tried that keeps changing.
const ATTEMPTS: u32 = 5;

/// What every settled file carries as a write id, and so whatever replaces it: a create that isn't in such a file was
/// settled away, for all that has come in its place. No op is given this id.
pub(super) const SETTLED: WriteId = WriteId(0);

/// How one file of a mark ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileEnd {
    /// As it was meant, or it makes no difference any more.
    Done,
    /// A create that hasn't landed, and won't: a settled file was put in its place, by whomever, or something is there
    /// that is no file.
    NeverCreated,
    /// It kept changing, or can't be read: another time.
    Open,
}

/// A file as settling meets it.
enum Met {
    Blob(Blob),
    Absent,
    /// Something is there that is no file.
    Other,
    /// It can't be read.
    Closed,
}

impl Inner {
    /// Settles the marks in `seen` that are past their time by the storage's clock, which says `date`.
    /// `None` when there are none, or none that could be settled now: a read can do without.
    pub(super) async fn settle(
        self: &Arc<Self>,
        user: &UserId,
        seen: &SeenState,
        date: DateTime<Utc>,
        now: &Now,
    ) -> Option<(Arc<SeenState>, Requests)> {
        if seen.state.is_read_only() {
            return None;
        }
        let overdue = seen
            .state
            .pending
            .iter()
            .filter(|(_, mark)| mark.is_overdue(date, self.settings.pending_expiry));
        // All at once: their removals share a swap.
        let settling = overdue.map(|(op, mark)| self.settle_op(user, op, mark, now));
        let mut settled: Option<Arc<SeenState>> = None;
        let mut requests = Requests::default();
        for (ended, took) in join_all(settling).await {
            requests += took;
            let Some(state) = ended else { continue };
            if settled
                .as_ref()
                .is_none_or(|known| state.is_newer_than(known))
            {
                settled = Some(state);
            }
        }
        settled.map(|seen| (seen, requests))
    }

    /// Settles one op, whatever its age. The state without its mark; `None` when that can't be done now.
    pub(super) async fn settle_op(
        self: &Arc<Self>,
        user: &UserId,
        op: &str,
        mark: &PendingOp,
        now: &Now,
    ) -> (Option<Arc<SeenState>>, Requests) {
        let mut requests = Requests::default();
        let settled = self.try_settle(user, op, mark, now, &mut requests).await;
        let seen = settled.unwrap_or_else(|error| {
            tracing::warn!(%user, op, %error, "a mark that was left can't be settled yet");
            None
        });
        (seen, requests)
    }

    async fn try_settle(
        self: &Arc<Self>,
        user: &UserId,
        op: &str,
        mark: &PendingOp,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Option<Arc<SeenState>>, WriteError> {
        let Some(undone) = self.settle_files(user, mark, requests).await? else {
            return Ok(None);
        };
        let amendment = Amendment::Settle {
            op: op.to_owned(),
            mark: mark.clone(),
            undone,
        };
        let ledger = self.ledgers.open(user);
        let committed = self.amend(&ledger, amendment, now).await?;
        *requests += committed.requests;
        tracing::info!(%user, op, version = mark.version.0, undone, "settled a mark that was left");
        Ok(Some(committed.seen))
    }

    /// Settles every file of an op. Whether it was a create that never happened; `None` when a file
    /// can't be settled now.
    async fn settle_files(
        &self,
        user: &UserId,
        mark: &PendingOp,
        requests: &mut Requests,
    ) -> Result<Option<bool>, ReadError> {
        let count = match () {
            () if self.breaks(Mutation::RemoveUnsettled) => 0,
            () if self.breaks(Mutation::SettleFirstFileOnly) => 1,
            () => mark.files.len(),
        };
        let files = mark.files.iter().take(count);
        let ends = files.map(|file| self.settle_file(user, file));
        let mut undone = false;
        for (end, took) in try_join_all(ends).await? {
            *requests += took;
            match end {
                FileEnd::Done => {}
                FileEnd::NeverCreated => undone = true,
                FileEnd::Open => return Ok(None),
            }
        }
        Ok(Some(undone))
    }

    async fn settle_file(
        &self,
        user: &UserId,
        file: &PendingFile,
    ) -> Result<(FileEnd, Requests), ReadError> {
        let mut requests = Requests::default();
        let Ok(key) = Key::raw(user, &file.name) else {
            return Ok((FileEnd::Done, requests));
        };
        for _ in 0..ATTEMPTS {
            requests.reads += 1;
            let (blob, condition) = match (file.kind, self.look_at(&key).await?) {
                (_, Met::Closed) => return Ok((FileEnd::Open, requests)),
                // Nothing can land, so there is nothing to settle: a create finds its name taken, and what names a
                // version of the file finds that gone for good. The thing stays until somebody moves it away, which is
                // later than a request lives. There is no file, so a repeated create makes no second one.
                (ChangeKind::Create, Met::Other) => {
                    return Ok((FileEnd::NeverCreated, requests));
                }
                (ChangeKind::Update | ChangeKind::Delete, Met::Other) => {
                    return Ok((FileEnd::Done, requests));
                }
                (_, Met::Blob(blob)) if file.is_in(&blob.writes) => {
                    return Ok((FileEnd::Done, requests));
                }
                (ChangeKind::Update | ChangeKind::Delete, Met::Absent) => {
                    return Ok((FileEnd::Done, requests));
                }
                (ChangeKind::Create, Met::Absent) => (settled_file(), PutIf::Absent),
                // The create may be about to replace just this.
                (ChangeKind::Create, Met::Blob(blob)) if is_settled(file, &blob) => {
                    (settled_file(), PutIf::Same(blob.etag))
                }
                (ChangeKind::Create, Met::Blob(blob)) if blob.writes.contains(SETTLED) => {
                    return Ok((FileEnd::NeverCreated, requests));
                }
                // An editor may have saved over what was created, so that nobody can tell any more. Whoever sends
                // the request again is better told of the file that is there than given a second one.
                (ChangeKind::Create, Met::Blob(_)) => return Ok((FileEnd::Done, requests)),
                (ChangeKind::Update | ChangeKind::Delete, Met::Blob(blob)) => {
                    let same = Put {
                        bytes: blob.bytes,
                        writes: blob.writes,
                    };
                    (same, PutIf::Same(blob.etag))
                }
            };
            requests.writes += 1;
            let put = async { Ok(self.store.put(&key, blob, condition).await?.value) };
            if let Written::Done(_) = timely(put).await? {
                let end = match file.kind {
                    ChangeKind::Create => FileEnd::NeverCreated,
                    ChangeKind::Update | ChangeKind::Delete => FileEnd::Done,
                };
                return Ok((end, requests));
            }
        }
        Ok((FileEnd::Open, requests))
    }

    async fn look_at(&self, key: &Key) -> Result<Met, ReadError> {
        let got = async { Ok(self.store.get(key, GetIf::Any).await) };
        match timely(got).await? {
            Ok(Answer {
                value: Got::Blob(blob),
                ..
            }) => Ok(Met::Blob(blob)),
            Ok(_) => Ok(Met::Absent),
            Err(StoreError::NotAFile { .. }) => Ok(Met::Other),
            Err(StoreError::Unreadable { .. }) => Ok(Met::Closed),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_settled(file: &PendingFile, blob: &Blob) -> bool {
    let name = file.name.parse::<FileName>();
    name.is_ok_and(|name| parse(&name, &blob.bytes) == Parsed::Settled)
}

fn settled_file() -> Put {
    Put {
        bytes: SETTLED_FILE.into(),
        writes: WriteIds::default().followed_by(SETTLED),
    }
}
