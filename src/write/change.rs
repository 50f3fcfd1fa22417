//! Changing one file: record the intent and read the file, then PUT the new content with `If-Match`
//! (src/user_state/README.md, "A write").

use std::time::Instant;

use super::advance::AcknowledgedFile;
#[cfg(feature = "mutations")]
use super::broken;
use super::operation::{ATTEMPTS, FileWrite, WriteIntent, WriteOp};
use super::request::{ChangeError, ChangeFn, ChangeOutcome, WriteError};
use crate::store::{Blob, BlobUpdate, ETag, Put, PutIf, Requests, WriteId};
use crate::task::FileName;
use crate::user_state::{ChangeKind, Mutation, Version};

pub(super) struct FileChange {
    pub op: WriteOp,
    pub name: FileName,
}

/// An intent, and the write id of the PUT under it.
struct Attempt {
    intent: WriteIntent,
    write_id: WriteId,
}

impl FileChange {
    pub(super) async fn run<T: Send, E: Send>(
        mut self,
        decide: &ChangeFn<T, E>,
    ) -> Result<ChangeOutcome<T>, ChangeError<E>> {
        #[cfg(feature = "mutations")]
        if self.op.writer.rules().breaks(Mutation::MarkAfterWrite) {
            return broken::write_before_intent(&mut self.op, &self.name, decide).await;
        }
        let mut previous: Option<Attempt> = None;
        for _ in 0..ATTEMPTS {
            let (attempt, found) = self.record_and_get(previous.take()).await?;
            match self.write_once(decide, &attempt, found).await? {
                Some(outcome) => return Ok(outcome),
                None => previous = Some(attempt),
            }
        }
        let previous = previous.map(|attempt| attempt.intent);
        let version = previous.as_ref().map(|intent| intent.version);
        self.op.discard(previous);
        Err(WriteError::Conflict(version.unwrap_or_default()).into())
    }

    /// Decides about the file as it was `found`, and puts it, once. `Ok(None)` if another writer was faster.
    async fn write_once<T: Send, E: Send>(
        &mut self,
        decide: &ChangeFn<T, E>,
        Attempt { intent, write_id }: &Attempt,
        found: Option<Blob>,
    ) -> Result<Option<ChangeOutcome<T>>, ChangeError<E>> {
        let Some(blob) = found else {
            self.op.discard(Some(intent.clone()));
            return Err(ChangeError::Gone(intent.version));
        };
        let (bytes, value) = match decide(&blob.bytes) {
            Ok(BlobUpdate::Write(bytes, value)) => (bytes, value),
            Ok(BlobUpdate::Keep(value)) => {
                let cache = &self.op.writer.cache;
                cache.raise_acknowledged(&self.op.context.user, intent.version);
                self.op.cancel(intent, self.unchanged(blob));
                return Ok(Some(self.changed(intent.version, value, false)));
            }
            Err(rejection) => {
                self.op.cancel(intent, self.unchanged(blob));
                return Err(ChangeError::Refused(rejection, intent.version));
            }
        };
        let put = Put {
            bytes,
            writes: blob.writes.with_newest(*write_id),
        };
        let (op, name) = (&mut self.op, &self.name);
        let condition = PutIf::Same(blob.etag.clone());
        let outcome = op.put(intent, name, put, condition, *write_id, false).await;
        let settled = op.settle(intent, outcome, name, Some(blob.etag)).await?;
        let FileWrite::Landed(file) = settled else {
            return Ok(None);
        };
        let files = file.map(|file| vec![file]);
        let version = op.acknowledge(intent, files).await?;
        op.finish(intent.clone());
        Ok(Some(self.changed(version, value, true)))
    }

    /// Records the intent and reads the file in a version from before it. Recovery of the intent rewrites the file, so a
    /// PUT that names such an ETag fails from then on, however late it arrives and whatever a clock shows.
    ///
    /// If the snapshot knows the file, both requests are sent together, and a version that may have been read too late
    /// gets a second intent. After a refused PUT (`previous`) the file is read first and the intent recorded then: the
    /// other order would rely on the clock.
    async fn record_and_get(
        &mut self,
        previous: Option<Attempt>,
    ) -> Result<(Attempt, Option<Blob>), WriteError> {
        let rules = self.op.writer.rules();
        let write_id = self.op.write_id();
        let known = self.known_etag().filter(|_| previous.is_none());
        let (replaced, found) = match known {
            Some(known) => {
                let (intent, found, read_at) = self.record_while_reading(write_id).await?;
                if is_from_before(found.as_ref(), &known, read_at, intent.sent)
                    || rules.breaks(Mutation::ReadAfterMark)
                {
                    return Ok((Attempt { intent, write_id }, found));
                }
                (Some(intent), found)
            }
            None => match (self.op.files.get(&self.name).await, previous) {
                (Ok(found), Some(previous)) if rules.breaks(Mutation::SecondPutUnderMark) => {
                    return Ok((previous, found));
                }
                (Ok(found), previous) => (previous.map(|attempt| attempt.intent), found),
                (Err(error), previous) => {
                    self.op.discard(previous.map(|attempt| attempt.intent));
                    return Err(error.into());
                }
            },
        };
        match self.record_update(write_id, replaced.as_ref()).await {
            Ok(intent) => Ok((Attempt { intent, write_id }, found)),
            Err(error) => {
                self.op.discard(replaced);
                Err(error)
            }
        }
    }

    /// Records the intent and reads the file concurrently. Returns both and when the file had been read.
    async fn record_while_reading(
        &mut self,
        write_id: WriteId,
    ) -> Result<(WriteIntent, Option<Blob>, Instant), WriteError> {
        let (mut reader, name) = (self.op.files.clone(), self.name.clone());
        reader.requests = Requests::default();
        let read = async {
            let found = reader.get(&name).await;
            (found, reader.now.later().mono)
        };
        let recording = self.record_update(write_id, None);
        let (intent, (found, read_at)) = tokio::join!(recording, read);
        self.op.files.requests += reader.requests;
        let intent = intent?;
        match found {
            Ok(found) => Ok((intent, found, read_at)),
            Err(error) => {
                self.op.cancel(&intent, vec![]);
                Err(error.into())
            }
        }
    }

    async fn record_update(
        &mut self,
        write_id: WriteId,
        replaces: Option<&WriteIntent>,
    ) -> Result<WriteIntent, WriteError> {
        let files = vec![(self.name.clone(), write_id, ChangeKind::Update)];
        self.op.record_intent(files, vec![], replaces).await
    }

    fn known_etag(&self) -> Option<ETag> {
        let snapshot = self.op.known()?;
        let file = snapshot.table().find(self.name.as_str())?;
        Some(ETag::new(file.etag))
    }

    fn changed<T>(&self, version: Version, value: T, written: bool) -> ChangeOutcome<T> {
        ChangeOutcome {
            name: self.name.clone(),
            version,
            value,
            written,
            requests: self.op.files.requests,
        }
    }

    /// The file, which was read and left as it is.
    fn unchanged(&self, blob: Blob) -> Vec<AcknowledgedFile> {
        vec![AcknowledgedFile {
            name: self.name.clone(),
            old: Some(blob.etag),
            new: None,
        }]
    }
}

/// PURE. Whether a file that was read beside the recording of an intent is a version from before it: it is the one that
/// the snapshot knew (`known`), or was there before the intent's swap was sent.
pub fn is_from_before(
    found: Option<&Blob>,
    known: &ETag,
    read_at: Instant,
    intent_sent: Instant,
) -> bool {
    found.is_some_and(|blob| blob.etag == *known) || read_at < intent_sent
}
