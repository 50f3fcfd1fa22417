//! Changing one file: record the intent and read the file, then PUT the new content with `If-Match`
//! (src/cache/README.md, "Write").

use std::time::Instant;

use super::file::WriteOutcome;
use super::intent::WriteIntent;
use super::{ATTEMPTS, ChangeDecision, ChangeError, ChangeFn, ChangeOutcome, WriteOp};
use crate::cache::Mutation;
use crate::cache::commit_queue::AcknowledgedFile;
use crate::cache::state::{ChangeKind, Version};
use crate::cache::{ReadError, Requests, WriteError};
use crate::store::{Blob, ETag, Put, PutIf, WriteId};
use crate::task::FileName;

impl WriteOp {
    pub(super) async fn change<T, E>(
        &mut self,
        name: &FileName,
        decide: &ChangeFn<T, E>,
    ) -> Result<ChangeOutcome<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        #[cfg(feature = "mutations")]
        if self.inner.breaks(Mutation::MarkAfterWrite) {
            return self.write_before_intent(name, decide).await;
        }
        let mut previous: Option<WriteIntent> = None;
        for _ in 0..ATTEMPTS {
            let write_id = self.write_id();
            let (intent, found) = self.record_and_get(name, write_id, previous.take()).await?;
            let Some(blob) = found else {
                self.discard(Some(intent.clone()));
                return Err(ChangeError::Gone(intent.version));
            };
            let (bytes, value) = match decide(&blob.bytes) {
                Ok(ChangeDecision::Write(bytes, value)) => (bytes, value),
                Ok(ChangeDecision::Keep(value)) => {
                    self.inner.acknowledged.raise(&self.user, intent.version);
                    self.cancel(&intent, unchanged(name, blob));
                    return Ok(self.changed(intent.version, value, false));
                }
                Err(rejection) => {
                    self.cancel(&intent, unchanged(name, blob));
                    return Err(ChangeError::Refused(rejection, intent.version));
                }
            };
            let put = Put {
                bytes,
                writes: blob.writes.with_newest(write_id),
            };
            let condition = PutIf::Same(blob.etag.clone());
            match self
                .put(&intent, name, put, condition, write_id, false)
                .await
            {
                WriteOutcome::Landed(written) => {
                    let files = written.map(|written| {
                        vec![AcknowledgedFile {
                            name: name.clone(),
                            old: Some(blob.etag),
                            new: Some(written.record(name)),
                        }]
                    });
                    let version = self.acknowledge(&intent, files).await?;
                    self.finish(intent);
                    return Ok(self.changed(version, value, true));
                }
                #[cfg(feature = "mutations")]
                WriteOutcome::Conflict if self.inner.breaks(Mutation::SecondPutUnderMark) => {
                    match self.put_again(&intent, name, decide, write_id).await {
                        Some((version, value)) => return Ok(self.changed(version, value, true)),
                        None => previous = Some(intent),
                    }
                }
                WriteOutcome::Conflict => previous = Some(intent),
                WriteOutcome::Denied(error) => {
                    self.set_refused(&intent).await;
                    return Err(WriteError::from(ReadError::from(error)).into());
                }
                WriteOutcome::Unknown => {
                    return Err(WriteError::OutcomeUnknown(intent.version).into());
                }
            }
        }
        let version = previous
            .as_ref()
            .map_or(Version::default(), |intent| intent.version);
        self.discard(previous);
        Err(ChangeError::Conflict(version))
    }

    /// Records the intent and reads the file in a version from before it. Recovery of the intent rewrites the file, so
    /// a PUT that names such an ETag fails from then on, however late it arrives and whatever a clock shows.
    ///
    /// If the snapshot knows the file, both requests are sent together, and a version that may have been read too late
    /// gets a second intent. After a refused PUT (`previous`) the file is read first and the intent recorded then: the
    /// other order would rely on the clock.
    async fn record_and_get(
        &mut self,
        name: &FileName,
        write_id: WriteId,
        previous: Option<WriteIntent>,
    ) -> Result<(WriteIntent, Option<Blob>), WriteError> {
        let known = self.known_etag(name).filter(|_| previous.is_none());
        let (replaced, found) = match known {
            Some(known) => {
                let (intent, found, read_at) = self.record_while_reading(name, write_id).await?;
                let is_known = found.as_ref().is_some_and(|blob| blob.etag == known);
                let before = is_known || read_at < intent.sent;
                if before || self.inner.breaks(Mutation::ReadAfterMark) {
                    return Ok((intent, found));
                }
                (Some(intent), found)
            }
            None => match self.get(name).await {
                Ok(found) => (previous, found),
                Err(error) => {
                    self.discard(previous);
                    return Err(error);
                }
            },
        };
        match self.record_update(name, write_id, replaced.as_ref()).await {
            Ok(intent) => Ok((intent, found)),
            Err(error) => {
                self.discard(replaced);
                Err(error)
            }
        }
    }

    /// Records the intent and reads the file concurrently. Returns both and when the file had been read.
    async fn record_while_reading(
        &mut self,
        name: &FileName,
        write_id: WriteId,
    ) -> Result<(WriteIntent, Option<Blob>, Instant), WriteError> {
        let mut reader = Self {
            inner: self.inner.clone(),
            queue: self.queue.clone(),
            user: self.user.clone(),
            now: self.now,
            requests: Requests::default(),
            hint: None,
            reason: self.reason,
        };
        let read = async {
            let found = reader.get(name).await;
            (found, reader.now.later().mono)
        };
        let recording = self.record_update(name, write_id, None);
        let (intent, (found, read_at)) = tokio::join!(recording, read);
        self.requests += reader.requests;
        let intent = intent?;
        match found {
            Ok(found) => Ok((intent, found, read_at)),
            Err(error) => {
                self.cancel(&intent, vec![]);
                Err(error)
            }
        }
    }

    async fn record_update(
        &mut self,
        name: &FileName,
        write_id: WriteId,
        replaces: Option<&WriteIntent>,
    ) -> Result<WriteIntent, WriteError> {
        let files = vec![(name.clone(), write_id, ChangeKind::Update)];
        self.intent(files, replaces).await
    }

    /// The file's ETag in this instance's snapshot.
    fn known_etag(&self, name: &FileName) -> Option<ETag> {
        let snapshot = self.inner.memory.get(&self.user)?;
        let file = snapshot.table().find(name.as_str())?;
        Some(ETag::new(file.etag))
    }

    pub(in crate::cache) fn changed<T>(
        &self,
        version: Version,
        value: T,
        written: bool,
    ) -> ChangeOutcome<T> {
        ChangeOutcome {
            version,
            value,
            written,
            requests: self.requests,
        }
    }
}

/// A file that was read and left as it is.
fn unchanged(name: &FileName, blob: Blob) -> Vec<AcknowledgedFile> {
    vec![AcknowledgedFile {
        name: name.clone(),
        old: Some(blob.etag),
        new: None,
    }]
}
