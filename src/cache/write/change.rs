//! Changing one file: its text and a mark together, then the new text if it is still that one.

use super::file::Outcome;
use super::mark::Mark;
use super::{ATTEMPTS, ChangeError, Decide, Decision, FileChanged, Op};
#[cfg(feature = "mutations")]
use crate::cache::Mutation;
use crate::cache::ledger::AnsweredFile;
use crate::cache::state::{ChangeKind, Version};
use crate::cache::{ReadError, Requests, WriteError};
use crate::store::{Blob, Put, PutIf, WriteId};
use crate::task::FileName;

impl Op {
    pub(super) async fn change<T, E>(
        &mut self,
        name: &FileName,
        decide: &Decide<T, E>,
    ) -> Result<FileChanged<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        #[cfg(feature = "mutations")]
        if self.inner.breaks(Mutation::MarkAfterWrite) {
            return self.write_then_mark(name, decide).await;
        }
        let mut refused: Option<Mark> = None;
        for _ in 0..ATTEMPTS {
            let write_id = self.write_id();
            let (mark, found) = self.mark_and_get(name, write_id, refused.take()).await?;
            let blob = match found {
                Ok(Some(blob)) => blob,
                Ok(None) => {
                    self.abandon(Some(mark.clone()));
                    return Err(ChangeError::Gone(mark.version));
                }
                Err(error) => {
                    self.give_up(&mark, vec![]);
                    return Err(error.into());
                }
            };
            let (bytes, value) = match decide(&blob.bytes) {
                Ok(Decision::Write(bytes, value)) => (bytes, value),
                Ok(Decision::Keep(value)) => {
                    self.inner.acknowledged.note(&self.user, mark.version);
                    self.give_up(&mark, looked_at(name, blob));
                    return Ok(self.changed(mark.version, value, false));
                }
                Err(refusal) => {
                    self.give_up(&mark, looked_at(name, blob));
                    return Err(ChangeError::Refused(refusal, mark.version));
                }
            };
            let put = Put {
                bytes,
                writes: blob.writes.followed_by(write_id),
            };
            let condition = PutIf::Same(blob.etag.clone());
            match self.put(&mark, name, put, condition, write_id).await {
                Outcome::Landed(written) => {
                    let files = written.map(|written| {
                        vec![AnsweredFile {
                            name: name.clone(),
                            old: Some(blob.etag),
                            new: Some(written.record(name)),
                        }]
                    });
                    let version = self.acknowledge(&mark, files).await?;
                    self.finish(mark);
                    return Ok(self.changed(version, value, true));
                }
                #[cfg(feature = "mutations")]
                Outcome::Refused if self.inner.breaks(Mutation::SecondPutUnderMark) => {
                    match self.put_again(&mark, name, decide, write_id).await {
                        Some((version, value)) => return Ok(self.changed(version, value, true)),
                        None => refused = Some(mark),
                    }
                }
                Outcome::Refused => refused = Some(mark),
                Outcome::Denied(error) => {
                    return Err(WriteError::from(ReadError::from(error)).into());
                }
                Outcome::Unknown => return Err(WriteError::OutcomeUnknown(mark.version).into()),
            }
        }
        let version = refused
            .as_ref()
            .map_or(Version::default(), |mark| mark.version);
        self.abandon(refused);
        Err(ChangeError::Conflict(version))
    }

    /// Sets a mark, and fetches the file meanwhile: whether it is still that one when it is written, the
    /// store tells. After a refused write the later mark is set before the file is looked at again.
    async fn mark_and_get(
        &mut self,
        name: &FileName,
        write_id: WriteId,
        refused: Option<Mark>,
    ) -> Result<(Mark, Result<Option<Blob>, WriteError>), WriteError> {
        let files = vec![(name.clone(), write_id, ChangeKind::Update)];
        if let Some(refused) = refused {
            let mark = self.mark(files, Some(&refused)).await?;
            return Ok((mark, self.get(name).await));
        }
        let mut beside = Self {
            inner: self.inner.clone(),
            ledger: self.ledger.clone(),
            user: self.user.clone(),
            now: self.now,
            requests: Requests::default(),
            hint: None,
            reason: self.reason,
        };
        let (mark, found) = tokio::join!(self.mark(files, None), beside.get(name));
        self.requests += beside.requests;
        Ok((mark?, found))
    }

    pub(in crate::cache) fn changed<T>(
        &self,
        version: Version,
        value: T,
        written: bool,
    ) -> FileChanged<T> {
        FileChanged {
            version,
            value,
            written,
            requests: self.requests,
        }
    }
}

/// A file that stays as it was found.
fn looked_at(name: &FileName, blob: Blob) -> Vec<AnsweredFile> {
    vec![AnsweredFile {
        name: name.clone(),
        old: Some(blob.etag),
        new: None,
    }]
}
