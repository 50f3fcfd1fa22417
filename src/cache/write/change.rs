//! Changing one file: its text and a mark together, then the new text if the file is still that one.

use std::time::Instant;

use super::file::Outcome;
use super::mark::Mark;
use super::{ATTEMPTS, ChangeError, Decide, Decision, FileChanged, Op};
use crate::cache::Mutation;
use crate::cache::ledger::AnsweredFile;
use crate::cache::state::{ChangeKind, Version};
use crate::cache::{ReadError, Requests, WriteError};
use crate::store::{Blob, ETag, Put, PutIf, WriteId};
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
            let Some(blob) = found else {
                self.abandon(Some(mark.clone()));
                return Err(ChangeError::Gone(mark.version));
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
            match self.put(&mark, name, put, condition, write_id, false).await {
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
                    self.refuse(&mark).await;
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

    /// Records the intent and fetches a version of the file that was there before it. Recovery of the intent rewrites
    /// the file, and from then on a condition on such a version fails, however late it comes and whatever a clock says.
    ///
    /// Both requests go out together where the index knows the file; a version that may have been read too late gets
    /// a second intent. After a refused write the file is read first and the intent recorded then: the other order
    /// would rest on the clock.
    async fn mark_and_get(
        &mut self,
        name: &FileName,
        write_id: WriteId,
        refused: Option<Mark>,
    ) -> Result<(Mark, Option<Blob>), WriteError> {
        let known = self.known_version(name).filter(|_| refused.is_none());
        let (replaced, found) = match known {
            Some(known) => {
                let (mark, found, answered) = self.mark_beside_get(name, write_id).await?;
                let is_known = found.as_ref().is_some_and(|blob| blob.etag == known);
                let before = is_known || answered < mark.sent;
                if before || self.inner.breaks(Mutation::ReadAfterMark) {
                    return Ok((mark, found));
                }
                (Some(mark), found)
            }
            None => match self.get(name).await {
                Ok(found) => (refused, found),
                Err(error) => {
                    self.abandon(refused);
                    return Err(error);
                }
            },
        };
        match self.mark_file(name, write_id, replaced.as_ref()).await {
            Ok(mark) => Ok((mark, found)),
            Err(error) => {
                self.abandon(replaced);
                Err(error)
            }
        }
    }

    /// The mark, the file, and when that had come.
    async fn mark_beside_get(
        &mut self,
        name: &FileName,
        write_id: WriteId,
    ) -> Result<(Mark, Option<Blob>, Instant), WriteError> {
        let mut beside = Self {
            inner: self.inner.clone(),
            ledger: self.ledger.clone(),
            user: self.user.clone(),
            now: self.now,
            requests: Requests::default(),
            hint: None,
            reason: self.reason,
        };
        let getting = async {
            let found = beside.get(name).await;
            (found, beside.now.later().mono)
        };
        let marking = self.mark_file(name, write_id, None);
        let (mark, (found, answered)) = tokio::join!(marking, getting);
        self.requests += beside.requests;
        let mark = mark?;
        match found {
            Ok(found) => Ok((mark, found, answered)),
            Err(error) => {
                self.give_up(&mark, vec![]);
                Err(error)
            }
        }
    }

    async fn mark_file(
        &mut self,
        name: &FileName,
        write_id: WriteId,
        replaces: Option<&Mark>,
    ) -> Result<Mark, WriteError> {
        let files = vec![(name.clone(), write_id, ChangeKind::Update)];
        self.mark(files, replaces).await
    }

    /// The file's version as far as memory knows.
    fn known_version(&self, name: &FileName) -> Option<ETag> {
        let entry = self.inner.memory.get(&self.user)?;
        let file = entry.table().find(name.as_str())?;
        Some(ETag::new(file.etag))
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
