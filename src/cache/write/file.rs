//! One task file's requests, and what came of each when its answer got lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::Op;
use super::mark::Mark;
use crate::cache::ledger::timely;
use crate::cache::{Inner, Mutation, ReadError, WriteError};
use crate::store::{
    Answer, Blob, Deleted, ETag, GetIf, Got, Key, Put, PutIf, StoreError, WriteId, Written,
};
use crate::task::{FileName, FileRecord};

/// What is known of a write to a file after all that could be asked.
pub(in crate::cache) enum Outcome {
    /// It happened. The file, unless somebody else has changed it since.
    Landed(Option<WrittenFile>),
    /// It didn't, and won't.
    Refused,
    /// The store wouldn't do it.
    Denied(StoreError),
    /// Nobody can tell yet.
    Unknown,
}

/// A file as it is after a write.
pub(in crate::cache) struct WrittenFile {
    pub(super) etag: ETag,
    pub(super) bytes: Bytes,
}

impl WrittenFile {
    /// For this instance's entry.
    pub(super) fn record(&self, name: &FileName) -> FileRecord {
        FileRecord::of(name, self.etag.as_str(), &self.bytes)
    }
}

/// How long a write waits for the hint beside it.
const HINT_PATIENCE: Duration = Duration::from_secs(2);

impl Inner {
    /// Puts a hint. Without it whoever follows it only comes later.
    async fn put_hint(&self, key: &Key, bytes: Bytes) {
        let put = Put {
            bytes,
            ..Put::default()
        };
        let put = self.store.put(key, put, PutIf::Any);
        let error = match timeout(HINT_PATIENCE, put).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(%error, "a hint can't be written; what it is about will be found later");
    }
}

/// What a file says of a write.
enum Landed {
    /// It is in it; it is its last one, if the file comes along.
    Yes(Option<WrittenFile>),
    /// It isn't in it.
    No,
    /// There is no such file.
    Gone,
    /// Something is there that is no file.
    Other,
}

fn is_no_file(error: &WriteError) -> bool {
    let WriteError::Read(ReadError::Store(error)) = error else {
        return false;
    };
    matches!(error, StoreError::NotAFile { .. })
}

impl Op {
    pub(in crate::cache) async fn get(
        &mut self,
        name: &FileName,
    ) -> Result<Option<Blob>, WriteError> {
        let key = self.key(name)?;
        self.requests.reads += 1;
        let got = async { Ok(self.inner.store.get(&key, GetIf::Any).await?) };
        let Answer { value, date } = timely(got).await?;
        self.inner.clock.heard(date, self.now.later().mono);
        Ok(match value {
            Got::Blob(blob) => Some(blob),
            Got::Absent | Got::Changed | Got::Unchanged => None,
        })
    }

    /// Puts a file under `mark`, once, and finds out what became of it. `creates`: a file that isn't there after
    /// a refusal may have been this one, and gone again.
    pub(super) async fn put(
        &mut self,
        mark: &Mark,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
        creates: bool,
    ) -> Outcome {
        if self.is_stale(mark) {
            // Somebody may be settling it: nothing may be written under it any more.
            return Outcome::Refused;
        }
        let hint = self.hint();
        tokio::join!(self.send(name, put, condition, id, creates), hint).0
    }

    /// Puts the hint, if it hasn't been put yet.
    pub(super) async fn put_hint(&mut self) {
        self.hint().await;
    }

    fn hint(&mut self) -> impl Future<Output = ()> + use<> {
        let hint = self.hint.take();
        self.requests.writes += u32::from(hint.is_some());
        let inner = Arc::clone(&self.inner);
        async move {
            if let Some((key, bytes)) = hint {
                inner.put_hint(&key, bytes).await;
            }
        }
    }

    pub(in crate::cache) async fn send(
        &mut self,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
        creates: bool,
    ) -> Outcome {
        let Ok(key) = self.key(name) else {
            return Outcome::Refused;
        };
        self.requests.writes += 1;
        let bytes = put.bytes.clone();
        let sent = self.inner.store.put(&key, put, condition);
        match timely(async { Ok(sent.await?.value) }).await {
            Ok(Written::Done(etag)) => Outcome::Landed(Some(WrittenFile { etag, bytes })),
            Ok(_) if self.inner.breaks(Mutation::LostAnswerIsConflict) => Outcome::Refused,
            Ok(Written::Refused) => match self.has_landed(name, id).await {
                Ok(Landed::Yes(written)) => Outcome::Landed(written),
                // Something was there. It may have been this very file, which has gone since.
                Ok(Landed::Gone) if creates => Outcome::Unknown,
                Ok(Landed::Gone | Landed::No | Landed::Other) => Outcome::Refused,
                Err(_) => Outcome::Unknown,
            },
            // No answer at all: a write that isn't there now may still come.
            Err(error) => match (self.has_landed(name, id).await, error) {
                (Ok(Landed::Yes(written)), _) => Outcome::Landed(written),
                (Ok(_), ReadError::Store(denied @ StoreError::Denied { .. })) => {
                    Outcome::Denied(denied)
                }
                _ => Outcome::Unknown,
            },
        }
    }

    /// Whether the write `id` is in the file as it is now.
    async fn has_landed(&mut self, name: &FileName, id: WriteId) -> Result<Landed, WriteError> {
        let found = match self.get(name).await {
            Err(error) if is_no_file(&error) => return Ok(Landed::Other),
            found => found?,
        };
        Ok(match found {
            Some(blob) if blob.writes.contains(id) => {
                let last = blob.writes.newest() == Some(id);
                let Blob { etag, bytes, .. } = blob;
                Landed::Yes(last.then_some(WrittenFile { etag, bytes }))
            }
            Some(_) => Landed::No,
            None => Landed::Gone,
        })
    }

    /// Removes a file. One that isn't there is as good as removed, whoever did it.
    pub(super) async fn delete(&mut self, name: &FileName, etag: &ETag) -> Outcome {
        let Ok(key) = self.key(name) else {
            return Outcome::Refused;
        };
        self.requests.writes += 1;
        let sent = async { Ok(self.inner.store.delete(&key, etag).await?.value) };
        let sent = timely(sent).await;
        if let Ok(Deleted::Done | Deleted::Absent) = sent {
            return Outcome::Landed(Some(WrittenFile::removed()));
        }
        match (self.get(name).await, sent) {
            (Ok(None), _) => Outcome::Landed(Some(WrittenFile::removed())),
            (Ok(Some(_)), Ok(_)) => Outcome::Refused,
            (Err(error), Ok(_)) if is_no_file(&error) => Outcome::Refused,
            (Ok(Some(_)), Err(ReadError::Store(denied @ StoreError::Denied { .. }))) => {
                Outcome::Denied(denied)
            }
            _ => Outcome::Unknown,
        }
    }

    /// A task file's name is always a blob's.
    fn key(&self, name: &FileName) -> Result<Key, WriteError> {
        Key::raw(&self.user, name.as_str()).map_err(|_| ReadError::Broken.into())
    }
}
