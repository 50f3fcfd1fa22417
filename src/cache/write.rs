//! Writing task files so that every instance sees it, and `kill -9` at any moment loses nothing
//! (COHERENCE.md, "Write"): a mark in the state blob, the file, the acknowledgement, and afterwards the
//! mark's removal.
//!
//! Whatever may have happened without this instance hearing of it keeps its mark, and is settled later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::amend::{Amended, Amendment, FilesMark, KeyHashes, NewTaskMark, NumbersInUse};
use super::ledger::{AnsweredOp, Committed, OpenLedger, timely};
use super::settle::is_overdue;
use super::state::{
    ChangeKind, Idempotent, LegacyNextId, PendingOp, SeenState, StateFound, Version,
};
use super::{Cache, Entry, Freshness, Inner, Mutation, ReadError, Requests, Want, WriteError};
use crate::now::Now;
use crate::store::{
    Answer, Blob, Deleted, ETag, GetIf, Got, Key, Put, PutIf, StoreError, WriteId, WriteIds,
    Written,
};
use crate::task::{FileName, FileRecord, Parsed, UsedIds, git_sha, parse};
use crate::user::UserId;

/// How often an op is tried that loses its file to others (SPEC.md 8).
const ATTEMPTS: u32 = 3;

/// How often a create is tried: besides lost files, an index or another's mark may have to be waited for.
const CREATE_ATTEMPTS: u32 = 8;

/// Who writes, and since when.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Whose files.
    pub user: UserId,
    /// When the request arrived.
    pub now: Now,
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
    /// The version that contains it.
    pub version: Version,
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
    /// There is no such file (any more).
    Gone,
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
}

/// What becomes of a file in a batch.
#[derive(Debug, Clone)]
pub enum Act {
    /// It is made, if there is none.
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

impl Act {
    /// The version that goes.
    fn replaces(&self) -> Option<ETag> {
        match self {
            Self::Create(_) => None,
            Self::Replace { etag, .. } | Self::Remove(etag) => Some(etag.clone()),
        }
    }
}

/// What became of a file in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFate {
    /// It is as it was meant to be.
    Done,
    /// Somebody else had changed it: nothing was done to it.
    Lost,
    /// The batch's time was over before it came to this one: nothing was done to it.
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

/// How many files go into one batch at most.
pub const MAX_BATCH: usize = 50;

/// How long a batch goes on before it leaves the rest to the next one.
const BATCH_TIME: Duration = Duration::from_secs(20);

impl Cache {
    /// Creates a task file. Goes on to its end also when nobody waits for it any more.
    pub async fn create(&self, writer: Writer, file: NewFile) -> Result<Created, WriteError> {
        let mut op = Op::new(&self.inner, writer);
        let created = tokio::spawn(async move { op.create(file).await });
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
        let changed = tokio::spawn(async move { op.change(&name, &decide).await });
        let broken = || Err(ChangeError::Write(ReadError::Broken.into()));
        changed.await.unwrap_or_else(|_| broken())
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
        let done = tokio::spawn(async move { op.batch(changes).await });
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
}

/// A mark this op has set.
pub(super) struct Mark {
    pub(super) op: String,
    pub(super) version: Version,
    /// The moment before its swap was sent.
    pub(super) sent: Instant,
}

/// What is known of a write to a file after all that could be asked.
pub(super) enum Outcome {
    /// It happened, and this is the file. Not of use to this instance's entry when somebody else has
    /// changed the file since.
    Landed(Option<ETag>),
    /// It didn't, and won't.
    Refused,
    /// The store wouldn't do it.
    Denied(StoreError),
    /// Nobody can tell yet.
    Unknown,
}

/// What a file says of a write.
enum Landed {
    /// It is in it; it is its last one, if there is an ETag.
    Yes(Option<ETag>),
    /// It isn't in it.
    No,
    /// There is no such file.
    Gone,
}

impl Op {
    fn new(inner: &Arc<Inner>, writer: Writer) -> Self {
        Self {
            inner: Arc::clone(inner),
            ledger: inner.ledgers.open(&writer.user),
            user: writer.user,
            now: writer.now,
            requests: Requests::default(),
        }
    }

    async fn create(&mut self, file: NewFile) -> Result<Created, WriteError> {
        let mut replaces: Option<Mark> = None;
        let mut numbers = self.known_numbers();
        for _ in 0..CREATE_ATTEMPTS {
            let (op, write_id) = (self.op_id(), self.write_id());
            let mark = NewTaskMark {
                op: op.clone(),
                write_id,
                slug: file.slug.clone(),
                key: file.key.clone(),
                index: numbers.take(),
                replaces: replaces.as_ref().map(|mark| mark.op.clone()),
            };
            let committed = self.amend(Amendment::Create(mark)).await?;
            let (version, name) = match committed.amended {
                Amended::Created(version, name) => (version, name),
                Amended::Reused(record, pending) => {
                    self.abandon(replaces.take());
                    if let Some(created) =
                        self.reuse(record, pending, &file, committed.seen).await?
                    {
                        return Ok(created);
                    }
                    continue;
                }
                Amended::KeyReused => {
                    self.abandon(replaces);
                    return Err(WriteError::KeyReused(committed.seen.state.version));
                }
                Amended::Exhausted => {
                    self.abandon(replaces);
                    return Err(WriteError::IdsExhausted(committed.seen.state.version));
                }
                _ => {
                    // An own mark would keep the index from ever being exact.
                    self.withdraw(replaces.take()).await?;
                    numbers = Some(numbers_of(&*self.read(Freshness::Strict).await?));
                    continue;
                }
            };
            let again = replaces.take().is_some();
            let mark = Mark {
                op,
                version,
                sent: committed.sent,
            };
            let condition = match self.place_for(&name, again).await {
                Ok(Some(condition)) => condition,
                Ok(None) => {
                    replaces = Some(mark);
                    continue;
                }
                Err(error) => {
                    self.give_up(mark);
                    return Err(error);
                }
            };
            let put = Put {
                bytes: file.bytes.clone(),
                writes: WriteIds::default().followed_by(write_id),
            };
            match self.put(&mark, &name, put, condition, write_id).await {
                Outcome::Landed(etag) => {
                    let record = etag.map(|etag| (record(&name, etag, &file.bytes), None));
                    let version = self.acknowledge(&mark, record.map(|it| vec![it])).await?;
                    self.finish(mark, false);
                    return Ok(Created {
                        version,
                        name,
                        reused: false,
                        requests: self.requests,
                    });
                }
                Outcome::Refused => replaces = Some(mark),
                Outcome::Denied(error) => return Err(ReadError::from(error).into()),
                Outcome::Unknown => return Err(WriteError::OutcomeUnknown),
            }
        }
        let version = replaces.as_ref().map(|mark| mark.version);
        self.abandon(replaces);
        Err(version.map_or(ReadError::Contended.into(), WriteError::Conflict))
    }

    /// An earlier request with the same key: as it ended, or brought to its end here. `None` when it
    /// came to nothing meanwhile, so that this one may be the first.
    async fn reuse(
        &mut self,
        earlier: Idempotent,
        pending: Option<PendingOp>,
        file: &NewFile,
        seen: Arc<SeenState>,
    ) -> Result<Option<Created>, WriteError> {
        let Ok(name) = earlier.file.parse::<FileName>() else {
            return Err(ReadError::Broken.into());
        };
        if let Some(pending) = pending {
            let date = self
                .inner
                .clock
                .at(self.now.later().mono)
                .unwrap_or(pending.at);
            if is_overdue(&pending, date, self.inner.settings.pending_expiry) {
                let (inner, now) = (Arc::clone(&self.inner), self.now);
                if let Some((_, requests)) = inner.settle(&self.user, &seen, date, &now).await {
                    self.requests += requests;
                }
                return Ok(None);
            }
            let write_id = pending
                .files
                .first()
                .and_then(|it| it.write_id.parse::<WriteId>().ok());
            let Some(write_id) = write_id else {
                return Err(ReadError::Broken.into());
            };
            let put = Put {
                bytes: file.bytes.clone(),
                writes: WriteIds::default().followed_by(write_id),
            };
            // Not this op's mark: its age is the storage clock's business, which was just asked.
            let mark = Mark {
                op: earlier.op.clone(),
                version: earlier.version,
                sent: self.now.later().mono,
            };
            match self.put(&mark, &name, put, PutIf::Absent, write_id).await {
                Outcome::Landed(_) => {}
                Outcome::Refused => return Ok(None),
                Outcome::Denied(error) => return Err(ReadError::from(error).into()),
                Outcome::Unknown => return Err(WriteError::OutcomeUnknown),
            }
            self.finish(mark, false);
        }
        self.inner.acknowledged.note(&self.user, earlier.version);
        Ok(Some(Created {
            version: earlier.version,
            name,
            reused: true,
            requests: self.requests,
        }))
    }

    /// Under which condition a new file may be put: the first time without a look. `None` when
    /// something else has the name.
    async fn place_for(
        &mut self,
        name: &FileName,
        look: bool,
    ) -> Result<Option<PutIf>, WriteError> {
        if !look {
            return Ok(Some(PutIf::Absent));
        }
        Ok(match self.get(name).await? {
            None => Some(PutIf::Absent),
            Some(blob) if parse(name, &blob.bytes) == Parsed::Settled => {
                Some(PutIf::Same(blob.etag))
            }
            Some(_) => None,
        })
    }

    /// The numbers that files have as far as memory knows, once the counter is used up.
    fn known_numbers(&self) -> Option<NumbersInUse> {
        let state = self.inner.newest_state(&self.ledger)?;
        let used_up = state.state.next_id >= UsedIds::ALL;
        let entry = self.inner.memory.get(&self.user).filter(|_| used_up)?;
        Some(numbers_of(&entry))
    }

    async fn change<T, E>(
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
        let mut replaces: Option<Mark> = None;
        for _ in 0..ATTEMPTS {
            let write_id = self.write_id();
            let files = vec![(name.clone(), write_id, ChangeKind::Update)];
            let (mark, found) = match replaces.take() {
                None => self.mark_and_get(files, name).await?,
                // A later mark is set before the file is looked at again.
                Some(old) => {
                    let mark = self.mark(files, Some(&old)).await?;
                    (mark, self.get(name).await)
                }
            };
            let blob = match found {
                Ok(Some(blob)) => blob,
                Ok(None) => {
                    self.give_up(mark);
                    return Err(ChangeError::Gone);
                }
                Err(error) => {
                    self.give_up(mark);
                    return Err(error.into());
                }
            };
            let (bytes, value) = match decide(&blob.bytes) {
                Ok(Decision::Write(bytes, value)) => (bytes, value),
                Ok(Decision::Keep(value)) => {
                    let version = mark.version;
                    self.inner.acknowledged.note(&self.user, version);
                    self.give_up(mark);
                    return Ok(self.changed(version, value, false));
                }
                Err(refusal) => {
                    let version = mark.version;
                    self.give_up(mark);
                    return Err(ChangeError::Refused(refusal, version));
                }
            };
            let old = blob.etag;
            let put = Put {
                bytes: bytes.clone(),
                writes: blob.writes.followed_by(write_id),
            };
            match self
                .put(&mark, name, put, PutIf::Same(old.clone()), write_id)
                .await
            {
                Outcome::Landed(etag) => {
                    let record = etag.map(|etag| (record(name, etag, &bytes), Some(old)));
                    let version = self.acknowledge(&mark, record.map(|it| vec![it])).await?;
                    self.finish(mark, false);
                    return Ok(self.changed(version, value, true));
                }
                #[cfg(feature = "mutations")]
                Outcome::Refused if self.inner.breaks(Mutation::SecondPutUnderMark) => {
                    match self.put_again(&mark, name, decide, write_id).await {
                        Some((version, value)) => return Ok(self.changed(version, value, true)),
                        None => replaces = Some(mark),
                    }
                }
                Outcome::Refused => replaces = Some(mark),
                Outcome::Denied(error) => {
                    return Err(WriteError::from(ReadError::from(error)).into());
                }
                Outcome::Unknown => return Err(WriteError::OutcomeUnknown.into()),
            }
        }
        let version = replaces
            .as_ref()
            .map_or(Version::default(), |mark| mark.version);
        self.abandon(replaces);
        Err(ChangeError::Conflict(version))
    }

    pub(super) fn changed<T>(&self, version: Version, value: T, written: bool) -> FileChanged<T> {
        FileChanged {
            version,
            value,
            written,
            requests: self.requests,
        }
    }

    async fn batch(&mut self, changes: Vec<FileChange>) -> Result<BatchDone, WriteError> {
        let ids: Vec<WriteId> = changes.iter().map(|_| self.write_id()).collect();
        let files = changes.iter().zip(&ids).map(|(change, id)| {
            let kind = match change.act {
                Act::Create(_) => ChangeKind::Create,
                Act::Replace { .. } => ChangeKind::Update,
                Act::Remove(_) => ChangeKind::Delete,
            };
            (change.name.clone(), *id, kind)
        });
        let mark = self.mark(files.collect(), None).await?;
        let mut fates = vec![FileFate::Untried; changes.len()];
        let mut records = Some(vec![]);
        let is_removal = |change: &FileChange| matches!(change.act, Act::Remove(_));
        for removals in [false, true] {
            for (at, (change, id)) in changes.iter().zip(&ids).enumerate() {
                if is_removal(change) != removals || self.batch_time_is_over(&mark) {
                    continue;
                }
                let (outcome, bytes) = self.act(&mark, change, *id).await;
                match outcome {
                    Outcome::Landed(etag) => {
                        fates[at] = FileFate::Done;
                        let record = etag.map(|etag| {
                            (record(&change.name, etag, &bytes), change.act.replaces())
                        });
                        records = records.zip(record).map(|(mut all, record)| {
                            all.push(record);
                            all
                        });
                    }
                    Outcome::Refused => {
                        fates[at] = FileFate::Lost;
                        records = None;
                    }
                    Outcome::Denied(error) => return Err(ReadError::from(error).into()),
                    Outcome::Unknown => return Err(WriteError::OutcomeUnknown),
                }
            }
        }
        let version = self.acknowledge(&mark, records).await?;
        self.finish(mark, false);
        Ok(BatchDone { version, fates })
    }

    fn batch_time_is_over(&self, mark: &Mark) -> bool {
        let passed = self.now.later().mono.saturating_duration_since(mark.sent);
        passed >= BATCH_TIME || self.is_stale(mark)
    }

    async fn act(&mut self, mark: &Mark, change: &FileChange, id: WriteId) -> (Outcome, Bytes) {
        let (bytes, before, condition) = match &change.act {
            Act::Create(bytes) => (bytes, WriteIds::default(), PutIf::Absent),
            Act::Replace {
                bytes,
                etag,
                writes,
            } => (bytes, writes.clone(), PutIf::Same(etag.clone())),
            Act::Remove(etag) => {
                let outcome = self.delete(&change.name, etag).await;
                return (outcome, Bytes::from_static(GONE.as_bytes()));
            }
        };
        let put = Put {
            bytes: bytes.clone(),
            writes: before.followed_by(id),
        };
        let outcome = self.put(mark, &change.name, put, condition, id).await;
        (outcome, bytes.clone())
    }

    /// Sets a mark, and fetches the file meanwhile: whether it is still that one when it is written,
    /// the store tells.
    async fn mark_and_get(
        &mut self,
        files: Vec<(FileName, WriteId, ChangeKind)>,
        name: &FileName,
    ) -> Result<(Mark, Result<Option<Blob>, WriteError>), WriteError> {
        let mut beside = Self {
            inner: Arc::clone(&self.inner),
            ledger: self.ledger.clone(),
            user: self.user.clone(),
            now: self.now,
            requests: Requests::default(),
        };
        let (mark, found) = tokio::join!(self.mark(files, None), beside.get(name));
        self.requests += beside.requests;
        Ok((mark?, found))
    }

    pub(super) async fn mark(
        &mut self,
        files: Vec<(FileName, WriteId, ChangeKind)>,
        replaces: Option<&Mark>,
    ) -> Result<Mark, WriteError> {
        let op = self.op_id();
        let mark = FilesMark {
            op: op.clone(),
            files,
            replaces: replaces.map(|mark| mark.op.clone()),
        };
        let committed = self.amend(Amendment::Mark(mark)).await?;
        match committed.amended {
            Amended::Marked(version) => Ok(Mark {
                op,
                version,
                sent: committed.sent,
            }),
            _ => Err(ReadError::Broken.into()),
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
                Err(WriteError::NoState) => self.read(Freshness::Strict).await?,
                Ok(committed) => {
                    self.requests += committed.requests;
                    return Ok(committed);
                }
                Err(error) => return Err(error),
            };
        }
        Err(ReadError::Contended.into())
    }

    async fn read(&mut self, freshness: Freshness) -> Result<Arc<Entry>, ReadError> {
        let want = Want {
            user: self.user.clone(),
            seen: None,
            freshness,
            now: self.now.later(),
        };
        let read = self.inner.read(&want).await?;
        self.requests += read.requests;
        Ok(read.entry)
    }

    pub(super) async fn get(&mut self, name: &FileName) -> Result<Option<Blob>, WriteError> {
        let key = key(&self.user, name)?;
        self.requests.reads += 1;
        let got = async { Ok(self.inner.store.get(&key, GetIf::Any).await?) };
        let Answer { value, date } = timely(got).await?;
        self.inner.clock.heard(date, self.now.later().mono);
        Ok(match value {
            Got::Blob(blob) => Some(blob),
            Got::Absent | Got::Changed | Got::Unchanged => None,
        })
    }

    /// Puts a file under `mark`, once, and finds out what became of it.
    async fn put(
        &mut self,
        mark: &Mark,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
    ) -> Outcome {
        if self.is_stale(mark) {
            // Somebody may be settling it: nothing may be written under it any more.
            return Outcome::Refused;
        }
        self.send(name, put, condition, id).await
    }

    pub(super) async fn send(
        &mut self,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
    ) -> Outcome {
        let Ok(key) = key(&self.user, name) else {
            return Outcome::Refused;
        };
        self.requests.writes += 1;
        let creates = condition == PutIf::Absent;
        let sent = self.inner.store.put(&key, put, condition);
        let sent = timely(async { Ok(sent.await?) }).await;
        match sent {
            Ok(Answer {
                value: Written::Done(etag),
                ..
            }) => Outcome::Landed(Some(etag)),
            Ok(_) if self.inner.breaks(Mutation::LostAnswerIsConflict) => Outcome::Refused,
            Ok(_) => match self.has_landed(name, id).await {
                Ok(Landed::Yes(etag)) => Outcome::Landed(etag),
                // Something was there. It may have been this very file, which has gone since.
                Ok(Landed::Gone) if creates => Outcome::Unknown,
                Ok(Landed::Gone | Landed::No) => Outcome::Refused,
                Err(_) => Outcome::Unknown,
            },
            // No answer at all: a write that isn't there now may still come.
            Err(error) => match (self.has_landed(name, id).await, error) {
                (Ok(Landed::Yes(etag)), _) => Outcome::Landed(etag),
                (Ok(_), ReadError::Store(denied @ StoreError::Denied { .. })) => {
                    Outcome::Denied(denied)
                }
                _ => Outcome::Unknown,
            },
        }
    }

    /// Whether the write `id` is in the file as it is now.
    async fn has_landed(&mut self, name: &FileName, id: WriteId) -> Result<Landed, WriteError> {
        Ok(match self.get(name).await? {
            Some(blob) if blob.writes.contains(id) => {
                Landed::Yes((blob.writes.newest() == Some(id)).then_some(blob.etag))
            }
            Some(_) => Landed::No,
            None => Landed::Gone,
        })
    }

    async fn delete(&mut self, name: &FileName, etag: &ETag) -> Outcome {
        let Ok(key) = key(&self.user, name) else {
            return Outcome::Refused;
        };
        self.requests.writes += 1;
        let sent = async { Ok(self.inner.store.delete(&key, etag).await?.value) };
        match timely(sent).await {
            Ok(Deleted::Done | Deleted::Absent) => Outcome::Landed(Some(ETag::new(""))),
            Ok(Deleted::Refused) => match self.get(name).await {
                Ok(None) => Outcome::Landed(Some(ETag::new(""))),
                Ok(Some(_)) => Outcome::Refused,
                Err(_) => Outcome::Unknown,
            },
            Err(_) => match self.get(name).await {
                Ok(None) => Outcome::Landed(Some(ETag::new(""))),
                _ => Outcome::Unknown,
            },
        }
    }

    /// Whether somebody may be settling this mark already, or soon.
    fn is_stale(&self, mark: &Mark) -> bool {
        let expiry = self.inner.settings.pending_expiry;
        let passed = self.now.later().mono.saturating_duration_since(mark.sent);
        passed >= expiry - expiry / 8
    }

    /// The change is in the files: from here on it must not be forgotten. The version to tell; of a
    /// mark that has become old meanwhile, the state's own, since others may have settled it.
    pub(super) async fn acknowledge(
        &mut self,
        mark: &Mark,
        records: Option<Vec<(FileRecord, Option<ETag>)>>,
    ) -> Result<Version, WriteError> {
        let mut version = mark.version;
        if self.is_stale(mark) {
            let inner = Arc::clone(&self.inner);
            let seen =
                timely(inner.read_state(&self.user, GetIf::Any, &self.now, &mut self.requests))
                    .await;
            version = match seen.map(|seen| seen.found) {
                Ok(Some(StateFound::Present(seen))) => version.max(seen.state.version),
                _ => return Err(WriteError::OutcomeUnknown),
            };
        }
        self.inner.acknowledged.note(&self.user, version);
        if let Some(records) = records {
            self.answered(mark, records);
        }
        Ok(version)
    }

    fn answered(&self, mark: &Mark, files: Vec<(FileRecord, Option<ETag>)>) {
        let sent = mark.sent;
        let op = AnsweredOp { files, sent };
        self.inner.answered(&self.ledger, mark.version, op);
    }

    /// Nothing was sent under this mark, and nothing will be: it goes, after the answer.
    fn give_up(&self, mark: Mark) {
        self.answered(&mark, vec![]);
        self.finish(mark, true);
    }

    /// The same for a mark whose write was refused. Something else is in its place that this instance's
    /// entry doesn't know, so the entry doesn't go on to it.
    fn abandon(&self, mark: Option<Mark>) {
        if let Some(mark) = mark {
            self.finish(mark, true);
        }
    }

    /// The same at once, because something waits for it.
    async fn withdraw(&mut self, mark: Option<Mark>) -> Result<(), WriteError> {
        let Some(mark) = mark else { return Ok(()) };
        let amendment = Amendment::Finish {
            op: mark.op,
            undone: true,
            legacy: None,
        };
        self.amend(amendment).await.map(drop)
    }

    /// Takes the mark away, after the answer.
    pub(super) fn finish(&self, mark: Mark, undone: bool) {
        let (inner, ledger, now) = (Arc::clone(&self.inner), self.ledger.clone(), self.now);
        tokio::spawn(async move { inner.finish(&ledger, mark.op, undone, &now).await });
    }

    fn op_id(&self) -> String {
        WriteId((self.inner.settings.ids)()).to_string()
    }

    pub(super) fn write_id(&self) -> WriteId {
        WriteId((self.inner.settings.ids)())
    }
}

/// Every change up to `lo` is in the index, whatever else is.
fn numbers_of(entry: &Entry) -> NumbersInUse {
    NumbersInUse {
        version: entry.knowledge.lo,
        used: Arc::new(UsedIds::of(entry.table())),
    }
}

/// What a removed file is to this instance's entry.
const GONE: &str = "---\ntyp: settled\n---\n";

fn record(name: &FileName, etag: ETag, bytes: &[u8]) -> FileRecord {
    FileRecord {
        etag: etag.as_str().to_owned(),
        sha: Some(git_sha(bytes)),
        content: parse(name, bytes),
        name: name.to_string(),
    }
}

/// A task file's name is always a blob's.
fn key(user: &UserId, name: &FileName) -> Result<Key, WriteError> {
    Key::raw(user, name.as_str()).map_err(|_| ReadError::Broken.into())
}

/// How far ahead the older service's counter is written, so that it is written seldom.
const LEGACY_AHEAD: u32 = 100;

impl Inner {
    /// Takes an op's mark away. When that leaves nothing pending, and this instance knows the files
    /// exactly, the artifact is written.
    async fn finish(self: &Arc<Self>, ledger: &OpenLedger, op: String, undone: bool, now: &Now) {
        let legacy = match self.keep_legacy_ahead(ledger, now).await {
            Ok(legacy) => legacy,
            Err(error) => {
                let user = ledger.user();
                tracing::warn!(%user, %error, "the older service's nextId.txt can't be written");
                None
            }
        };
        let amendment = Amendment::Finish { op, undone, legacy };
        match self.amend(ledger, amendment, now).await {
            Ok(committed) => {
                let state = &committed.seen.state;
                let entry = self.memory.get(ledger.user());
                let exact = entry.filter(|entry| {
                    entry.knowledge.exact && state.is_settled_at(entry.knowledge.hi)
                });
                if let Some(entry) = exact {
                    self.write_artifact(&entry).await;
                }
            }
            Err(error) => {
                let user = ledger.user();
                tracing::warn!(%user, %error, "a mark is left to be settled; until then reads cost a listing");
            }
        }
    }

    /// Where the older service's counter exists, it stays at or above the next number.
    async fn keep_legacy_ahead(
        &self,
        ledger: &OpenLedger,
        now: &Now,
    ) -> Result<Option<LegacyNextId>, ReadError> {
        let Some(seen) = self.newest_state(ledger) else {
            return Ok(None);
        };
        let Some(mut legacy) = seen.state.legacy_next_id.clone() else {
            return Ok(None);
        };
        let key = Key::legacy_next_id(ledger.user());
        for _ in 0..ATTEMPTS {
            if legacy.number >= seen.state.next_id.min(UsedIds::ALL) {
                break;
            }
            let number = (seen.state.next_id + LEGACY_AHEAD).min(UsedIds::ALL);
            let put = Put {
                bytes: number.to_string().into(),
                ..Put::default()
            };
            let put = self.store.put(&key, put, PutIf::Same(legacy.etag.clone()));
            let Answer { value, date } = timely(async { Ok(put.await?) }).await?;
            self.clock.heard(date, now.later().mono);
            legacy = match value {
                Written::Done(etag) => LegacyNextId { number, etag },
                Written::Refused => {
                    let user = ledger.user();
                    match self.legacy_next_id(user, &mut Requests::default()).await? {
                        Some(legacy) => legacy,
                        None => return Ok(None),
                    }
                }
            };
        }
        Ok((Some(&legacy) != seen.state.legacy_next_id.as_ref()).then_some(legacy))
    }

    /// The user's entry goes with the newest state blob known, which the next write starts from.
    pub(super) fn note_state(&self, user: &UserId, seen: &Arc<SeenState>) {
        let Some(entry) = self.memory.get(user) else {
            return;
        };
        let known = entry.knowledge.state.as_ref();
        if known.is_none_or(|known| seen.is_newer_than(known)) {
            let beside = entry.beside(Arc::clone(seen), self.settings.zone);
            self.memory.replace(&entry, &Arc::new(beside));
        }
    }
}
