//! Writing task files so that every instance sees it and `kill -9` at any moment loses nothing
//! (src/cache/README.md, "Write"): the intent in the state document, the file, the acknowledgement, and afterwards
//! the intent's removal.
//!
//! A write whose outcome this instance doesn't know keeps its intent, which is recovered later.

mod batch;
mod change;
mod create;
mod file;
mod mark;

use std::sync::Arc;

use bytes::Bytes;

use super::amend::{Amended, Amendment, KeyHashes};
use super::ledger::{Committed, OpenLedger};
use super::state::Version;
use super::{Cache, Entry, Freshness, Inner, ReadError, Requests, Want, WriteError};
use crate::context::carried;
use crate::now::Now;
use crate::store::{ETag, Key, WriteId, WriteIds};
use crate::task::FileName;
use crate::user::UserId;

pub use batch::MAX_BATCH;
#[cfg(feature = "mutations")]
pub(super) use file::Outcome;
#[cfg(feature = "mutations")]
pub(super) use mark::Mark;

/// How often an operation is tried whose file others keep changing; then it is a conflict.
const ATTEMPTS: u32 = 3;

/// Who writes, and since when.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Whose files.
    pub user: UserId,
    /// When the request arrived.
    pub now: Now,
    /// What the write is for, in a word for the log.
    pub reason: &'static str,
    /// A blob to put beside the first file that is written, whose failure doesn't matter: it only makes
    /// others look here sooner.
    pub hint: Option<(Key, Bytes)>,
}

/// A task to be created.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The file's name after its number.
    pub slug: String,
    /// Its text.
    pub bytes: Bytes,
    /// What the request can be recognised by.
    pub key: Option<KeyHashes>,
}

/// A task that is there now.
#[derive(Debug, Clone)]
pub struct Created {
    /// The version that made it.
    pub version: Version,
    /// The newest version known, which contains it: a later one for a request that came before.
    pub known: Version,
    /// Its file.
    pub name: FileName,
    /// The request came before, under the same key.
    pub reused: bool,
    /// The storage requests sent before the answer.
    pub requests: Requests,
}

/// What becomes of a file as it is.
#[derive(Debug, Clone)]
pub enum Decision<T> {
    /// It becomes this.
    Write(Bytes, T),
    /// It stays.
    Keep(T),
}

/// Makes up its mind about a file by its text.
pub(super) type Decide<T, E> = dyn Fn(&[u8]) -> Result<Decision<T>, E> + Send + Sync;

/// A file that was looked at, and changed if that was decided.
#[derive(Debug, Clone)]
pub struct FileChanged<T> {
    /// The version that contains the change.
    pub version: Version,
    /// What was decided.
    pub value: T,
    /// Whether the file was written.
    pub written: bool,
    /// The storage requests sent before the answer.
    pub requests: Requests,
}

/// Why a file wasn't changed.
#[derive(Debug, Clone)]
pub enum ChangeError<E> {
    /// There is no such file (any more), as of this version.
    Gone(Version),
    /// The caller's own decision, as of this version.
    Refused(E, Version),
    /// Others kept changing it.
    Conflict(Version),
    /// The protocol failed.
    Write(WriteError),
}

impl<E> From<WriteError> for ChangeError<E> {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// One of several files to write under one version.
#[derive(Debug, Clone)]
pub struct FileChange {
    /// Which.
    pub name: FileName,
    /// What becomes of it.
    pub act: Act,
    /// For a file that is replaced by what it was merged to: the fields in which Git's change gave way,
    /// which the timeline tells of until the file's next change.
    pub merged: Vec<String>,
    /// What the write is to be recognised by, where the caller wants to know it before.
    pub write: Option<WriteId>,
}

/// What becomes of a file in a batch.
#[derive(Debug, Clone)]
pub enum Act {
    /// It is made, if there is none, or only a settled one that this instance knows of.
    Create(Bytes),
    /// It is replaced, if it still is this version.
    Replace {
        /// The new text.
        bytes: Bytes,
        /// The version it replaces.
        etag: ETag,
        /// That version's write ids.
        writes: WriteIds,
    },
    /// It is removed, if it still is this version.
    Remove(ETag),
}

/// What became of a file in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFate {
    /// It is as it was meant to be.
    Done,
    /// Somebody else had changed it: nothing was done to it.
    Lost,
    /// The batch was full, or its time was over, before it came to this one: nothing was done to it.
    Untried,
}

/// A batch that was written.
#[derive(Debug, Clone)]
pub struct BatchDone {
    /// The version that contains all that was done.
    pub version: Version,
    /// A fate for each change, in their order.
    pub fates: Vec<FileFate>,
}

impl Cache {
    /// Creates a task file. Goes on to its end also when nobody waits for it any more.
    pub async fn create(&self, writer: Writer, file: NewFile) -> Result<Created, WriteError> {
        let mut op = Op::new(&self.inner, writer);
        let created = tokio::spawn(carried(async move { op.create(file).await }));
        created.await.unwrap_or(Err(ReadError::Broken.into()))
    }

    /// Changes one file into what `decide` makes of it, again from its newer text when somebody else
    /// was quicker. Goes on to its end also when nobody waits for it any more.
    pub async fn change<T, E, D>(
        &self,
        writer: Writer,
        name: FileName,
        decide: D,
    ) -> Result<FileChanged<T>, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        D: Fn(&[u8]) -> Result<Decision<T>, E> + Send + Sync + 'static,
    {
        let mut op = Op::new(&self.inner, writer);
        let changed = tokio::spawn(carried(async move { op.change(&name, &decide).await }));
        let broken = || Err(ChangeError::Write(ReadError::Broken.into()));
        changed.await.unwrap_or_else(|_| broken())
    }

    /// A new write id.
    pub fn write_id(&self) -> WriteId {
        WriteId((self.inner.settings.ids)())
    }

    /// Writes up to [`MAX_BATCH`] files under one version: first what is made or replaced, then what is
    /// removed, so that nobody sees a renamed file nowhere. Each file is changed wholly or not at all,
    /// not all of them together. Goes on to its end also when nobody waits for it any more.
    pub async fn write_batch(
        &self,
        writer: Writer,
        changes: Vec<FileChange>,
    ) -> Result<BatchDone, WriteError> {
        let mut op = Op::new(&self.inner, writer);
        let done = tokio::spawn(carried(async move { op.batch(changes).await }));
        done.await.unwrap_or(Err(ReadError::Broken.into()))
    }
}

/// One write under way.
pub(super) struct Op {
    pub(super) inner: Arc<Inner>,
    ledger: OpenLedger,
    pub(super) user: UserId,
    pub(super) now: Now,
    pub(super) requests: Requests,
    /// See [`Writer::hint`]; taken when it is put.
    hint: Option<(Key, Bytes)>,
    reason: &'static str,
}

impl Op {
    fn new(inner: &Arc<Inner>, writer: Writer) -> Self {
        Self {
            inner: Arc::clone(inner),
            ledger: inner.ledgers.open(&writer.user),
            user: writer.user,
            now: writer.now,
            requests: Requests::default(),
            hint: writer.hint,
            reason: writer.reason,
        }
    }

    /// A user without a state gets one by a read.
    async fn amend(&mut self, amendment: Amendment) -> Result<Committed, WriteError> {
        for _ in 0..ATTEMPTS {
            let amended = self
                .inner
                .amend(&self.ledger, amendment.clone(), &self.now)
                .await;
            match amended {
                Err(WriteError::NoState) => self.read_strictly().await?,
                Ok(committed) => {
                    self.tell(&amendment, &committed.amended);
                    self.requests += committed.requests;
                    return Ok(committed);
                }
                Err(error) => return Err(error),
            };
        }
        Err(ReadError::Contended.into())
    }

    /// One line for each new version: by it an operator finds who made what a reader saw.
    fn tell(&self, amendment: &Amendment, amended: &Amended) {
        let (op, version, tasks) = match (amendment, amended) {
            (Amendment::Create(mark), Amended::Created(version, name)) => {
                (&mark.op, version, name.id().to_string())
            }
            (Amendment::Mark(mark), Amended::Marked(version)) => {
                let ids = mark.files.iter().map(|(name, ..)| name.id().to_string());
                (&mark.op, version, ids.collect::<Vec<_>>().join(" "))
            }
            _ => return,
        };
        let (user, version, reason) = (&self.user, version.0, self.reason);
        tracing::info!(%user, version, op, reason, tasks, "new version");
    }

    async fn read_strictly(&mut self) -> Result<Arc<Entry>, ReadError> {
        let want = Want {
            user: self.user.clone(),
            seen: None,
            known: None,
            freshness: Freshness::Strict,
            now: self.now.later(),
        };
        let read = self.inner.read(&want).await?;
        self.requests += read.requests;
        Ok(read.entry)
    }

    fn op_id(&self) -> String {
        self.write_id().to_string()
    }

    pub(super) fn write_id(&self) -> WriteId {
        WriteId((self.inner.settings.ids)())
    }
}
