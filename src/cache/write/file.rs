//! Storage requests for one task file, with lost answers resolved by the file's write ids (src/cache/README.md,
//! "Write").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::WriteOp;
use super::intent::WriteIntent;
use crate::cache::commit_queue::with_deadline;
use crate::cache::{CacheInner, Mutation, ReadError, WriteError};
use crate::store::{
    Blob, BlobKey, DeleteOutcome, ETag, GetIf, GetOutcome, Put, PutIf, PutOutcome, StoreError,
    StoreResponse, WriteId,
};
use crate::task::{FileName, FileRecord};

/// Outcome of a conditional PUT or DELETE, after a lost answer was resolved as far as possible.
pub(in crate::cache) enum WriteOutcome {
    /// The write is in the file; with the file as written, unless another write has followed.
    Landed(Option<WrittenFile>),
    /// The condition failed: the write hasn't landed and won't.
    Conflict,
    /// The store denied the write; an earlier attempt of it may still land.
    Denied(StoreError),
    /// The write may have landed or may still land.
    Unknown,
}

/// A file as this instance wrote it.
pub(in crate::cache) struct WrittenFile {
    pub(super) etag: ETag,
    pub(super) bytes: Bytes,
}

impl WrittenFile {
    /// The parsed file, for this instance's snapshot.
    pub(super) fn record(&self, name: &FileName) -> FileRecord {
        FileRecord::of(name, self.etag.as_str(), &self.bytes)
    }
}

/// How long a write waits for its work queue entry.
const HINT_TIMEOUT: Duration = Duration::from_secs(2);

impl CacheInner {
    /// Puts a work queue entry. Failure is only logged: without the entry its work is found later.
    async fn put_hint(&self, key: &BlobKey, bytes: Bytes) {
        let put = Put {
            bytes,
            ..Put::default()
        };
        let put = self.store.put(key, put, PutIf::Any);
        let error = match timeout(HINT_TIMEOUT, put).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(%error, "a work queue entry can't be written; its work will be found later");
    }
}

/// Whether a file contains a write.
enum LandedCheck {
    /// It does; with the file, if the write is the latest one.
    Landed(Option<WrittenFile>),
    /// It doesn't.
    NotLanded,
    /// There is no such file.
    Absent,
    /// A folder or the like has the name.
    NotAFile,
}

fn is_not_a_file(error: &WriteError) -> bool {
    let WriteError::Read(ReadError::Store(error)) = error else {
        return false;
    };
    matches!(error, StoreError::NotAFile { .. })
}

impl WriteOp {
    /// Reads a task file; `None` if there is none.
    pub(in crate::cache) async fn get(
        &mut self,
        name: &FileName,
    ) -> Result<Option<Blob>, WriteError> {
        let key = self.key(name)?;
        self.requests.reads += 1;
        let got = async { Ok(self.inner.store.get(&key, GetIf::Any).await?) };
        let StoreResponse { value, date } = with_deadline(got).await?;
        self.inner.clock.observe(date, self.now.later().mono);
        Ok(match value {
            GetOutcome::Blob(blob) => Some(blob),
            GetOutcome::Absent | GetOutcome::Changed | GetOutcome::Unchanged => None,
        })
    }

    /// Puts a file under `intent`, at most once; [`WriteOutcome::Conflict`] without a request if the intent is near its
    /// expiry. With `creates`, a refusal that leaves no file is ambiguous: the file may have been created and deleted.
    pub(super) async fn put(
        &mut self,
        intent: &WriteIntent,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
        creates: bool,
    ) -> WriteOutcome {
        if self.is_near_expiry(intent) {
            // Another instance may be recovering it: nothing may be written under it any more.
            return WriteOutcome::Conflict;
        }
        let hint = self.take_hint();
        tokio::join!(self.send(name, put, condition, id, creates), hint).0
    }

    /// Puts the work queue entry, if that hasn't been done yet.
    pub(super) async fn put_hint(&mut self) {
        self.take_hint().await;
    }

    /// The future that puts the work queue entry; it does nothing the second time.
    fn take_hint(&mut self) -> impl Future<Output = ()> + use<> {
        let hint = self.hint.take();
        self.requests.writes += u32::from(hint.is_some());
        let inner = Arc::clone(&self.inner);
        async move {
            if let Some((key, bytes)) = hint {
                inner.put_hint(&key, bytes).await;
            }
        }
    }

    /// One conditional PUT with the write id `id`. See [`Self::put`] for `creates`.
    pub(in crate::cache) async fn send(
        &mut self,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
        creates: bool,
    ) -> WriteOutcome {
        let Ok(key) = self.key(name) else {
            return WriteOutcome::Conflict;
        };
        self.requests.writes += 1;
        let bytes = put.bytes.clone();
        let sent = self.inner.store.put(&key, put, condition);
        match with_deadline(async { Ok(sent.await?.value) }).await {
            Ok(PutOutcome::Done(etag)) => WriteOutcome::Landed(Some(WrittenFile { etag, bytes })),
            Ok(_) if self.inner.breaks(Mutation::LostAnswerIsConflict) => WriteOutcome::Conflict,
            Ok(PutOutcome::Refused) => match self.check_landed(name, id).await {
                Ok(LandedCheck::Landed(written)) => WriteOutcome::Landed(written),
                // What the condition met is gone. It may have been this very file, created and then deleted.
                Ok(LandedCheck::Absent) if creates => WriteOutcome::Unknown,
                Ok(LandedCheck::Absent | LandedCheck::NotLanded | LandedCheck::NotAFile) => {
                    WriteOutcome::Conflict
                }
                Err(_) => WriteOutcome::Unknown,
            },
            // No answer: a write that hasn't landed may still do so.
            Err(error) => match (self.check_landed(name, id).await, error) {
                (Ok(LandedCheck::Landed(written)), _) => WriteOutcome::Landed(written),
                (Ok(_), ReadError::Store(denied @ StoreError::Denied { .. })) => {
                    WriteOutcome::Denied(denied)
                }
                _ => WriteOutcome::Unknown,
            },
        }
    }

    /// Reads the file and checks its write ids for `id`.
    async fn check_landed(
        &mut self,
        name: &FileName,
        id: WriteId,
    ) -> Result<LandedCheck, WriteError> {
        let found = match self.get(name).await {
            Err(error) if is_not_a_file(&error) => return Ok(LandedCheck::NotAFile),
            found => found?,
        };
        Ok(match found {
            Some(blob) if blob.writes.contains(id) => {
                let is_latest = blob.writes.newest() == Some(id);
                let Blob { etag, bytes, .. } = blob;
                LandedCheck::Landed(is_latest.then_some(WrittenFile { etag, bytes }))
            }
            Some(_) => LandedCheck::NotLanded,
            None => LandedCheck::Absent,
        })
    }

    /// Deletes a file if it still has this ETag. An absent file counts as deleted.
    pub(super) async fn delete(&mut self, name: &FileName, etag: &ETag) -> WriteOutcome {
        let Ok(key) = self.key(name) else {
            return WriteOutcome::Conflict;
        };
        self.requests.writes += 1;
        let sent = async { Ok(self.inner.store.delete(&key, etag).await?.value) };
        let sent = with_deadline(sent).await;
        if let Ok(DeleteOutcome::Done | DeleteOutcome::Absent) = sent {
            return WriteOutcome::Landed(Some(WrittenFile::deleted()));
        }
        match (self.get(name).await, sent) {
            (Ok(None), _) => WriteOutcome::Landed(Some(WrittenFile::deleted())),
            (Ok(Some(_)), Ok(_)) => WriteOutcome::Conflict,
            (Err(error), Ok(_)) if is_not_a_file(&error) => WriteOutcome::Conflict,
            (Ok(Some(_)), Err(ReadError::Store(denied @ StoreError::Denied { .. }))) => {
                WriteOutcome::Denied(denied)
            }
            _ => WriteOutcome::Unknown,
        }
    }

    /// The file's blob key; a task file name is always a valid one.
    fn key(&self, name: &FileName) -> Result<BlobKey, WriteError> {
        BlobKey::raw(&self.user, name.as_str()).map_err(|_| ReadError::Broken.into())
    }
}
