//! Creating a task: a number from the state document, then a file that isn't there yet (src/cache/README.md, "Write").

use std::sync::Arc;

use super::file::Outcome;
use super::mark::Mark;
use super::{Created, NewFile, Op};
use crate::cache::amend::{Amended, Amendment, NewTaskMark, NumbersInUse};
use crate::cache::ledger::{AnsweredFile, Committed};
use crate::cache::settle::SETTLED;
use crate::cache::state::{Idempotent, PendingOp, SeenState, Version};
use crate::cache::{Entry, ReadError, WriteError};
use crate::store::{ETag, Put, PutIf, WriteId, WriteIds};
use crate::task::{FileName, UsedIds};

/// How often a create is tried: besides lost files, an index or another's mark may have to be waited
/// for.
const ATTEMPTS: u32 = 8;

/// What a create has learnt from the tries before.
#[derive(Default)]
struct Tries {
    /// The mark of the last one, whose write was refused.
    refused: Option<Mark>,
    /// The files read just now, where memory may not keep them.
    read: Option<Arc<Entry>>,
    /// The numbers in use, where the counter is used up.
    numbers: Option<NumbersInUse>,
}

/// What became of a new file's PUT.
enum Tried {
    /// It is there. What this instance's entry is to learn of it, if it can.
    Landed(Option<Vec<AnsweredFile>>),
    /// Something else has its place.
    Taken,
}

impl Op {
    pub(super) async fn create(&mut self, file: NewFile) -> Result<Created, WriteError> {
        let mut tries = Tries {
            numbers: self.known_numbers(),
            ..Tries::default()
        };
        for _ in 0..ATTEMPTS {
            let (op, write_id) = (self.op_id(), self.write_id());
            let in_memory = || self.inner.memory.get(&self.user);
            let known = tries.read.take().or_else(in_memory);
            let known = known.as_deref();
            let committed = self
                .mark_new(&op, write_id, &file, known, &mut tries)
                .await?;
            let seen = committed.seen;
            let (version, name) = match committed.amended {
                Amended::Created(version, name) => (version, name),
                Amended::Reused(record, pending) => {
                    self.abandon(tries.refused.take());
                    match self.reuse(record, pending, &file, &seen).await? {
                        Some(created) => return Ok(created),
                        None => continue,
                    }
                }
                Amended::KeyReused => {
                    self.abandon(tries.refused);
                    return Err(WriteError::KeyReused(seen.state.version));
                }
                Amended::Exhausted => {
                    self.abandon(tries.refused);
                    return Err(WriteError::IdsExhausted(seen.state.version));
                }
                Amended::NeedsNumbers | Amended::Marked(_) | Amended::Blocked | Amended::Done => {
                    // A mark of its own would keep the index from ever being exact.
                    self.withdraw(tries.refused.take()).await?;
                    let entry = self.read_strictly().await?;
                    tries.numbers = Some(numbers_of(&entry));
                    tries.read = Some(entry);
                    continue;
                }
            };
            let mark = Mark {
                op,
                version,
                sent: committed.sent,
            };
            match self.put_new(&mark, &name, &file, write_id, known).await? {
                Tried::Landed(files) => {
                    let version = self.acknowledge(&mark, files).await?;
                    self.finish(mark);
                    return Ok(Created {
                        version,
                        known: version,
                        name,
                        reused: false,
                        requests: self.requests,
                    });
                }
                Tried::Taken => {
                    tries.refused = match file.key.is_some() && self.is_stale(&mark) {
                        false => Some(mark),
                        // Another request with the key may be writing under it in this one's place.
                        true => self.settle_own(mark, &seen).await?,
                    };
                }
            }
        }
        let version = tries.refused.as_ref().map(|mark| mark.version);
        self.abandon(tries.refused);
        Err(version.map_or(ReadError::Contended.into(), WriteError::Conflict))
    }

    /// Sets a mark, in the place of the one before.
    async fn mark_new(
        &mut self,
        op: &str,
        write_id: WriteId,
        file: &NewFile,
        known: Option<&Entry>,
        tries: &mut Tries,
    ) -> Result<Committed, WriteError> {
        let mark = NewTaskMark {
            op: op.to_owned(),
            write_id,
            slug: file.slug.clone(),
            key: file.key.clone(),
            above_all: known.map_or(0, |entry| entry.table().above_all()),
            index: tries.numbers.take(),
            replaces: tries.refused.as_ref().map(|mark| mark.op.clone()),
        };
        let committed = self.amend_unblocked(Amendment::Create(mark)).await;
        match &committed {
            Ok(committed) if matches!(committed.amended, Amended::Created(..)) => {
                tries.refused = None;
            }
            Ok(_) => {}
            Err(_) => self.abandon(tries.refused.take()),
        }
        committed
    }

    /// Puts the new file, once. `known` is from before the mark.
    async fn put_new(
        &mut self,
        mark: &Mark,
        name: &FileName,
        file: &NewFile,
        write_id: WriteId,
        known: Option<&Entry>,
    ) -> Result<Tried, WriteError> {
        let condition = place_for(name, known);
        let put = Put {
            bytes: file.bytes.clone(),
            writes: ids_before(&condition).followed_by(write_id),
        };
        match self.put(mark, name, put, condition, write_id, true).await {
            Outcome::Landed(written) => Ok(Tried::Landed(written.map(|written| {
                let (name, old) = (name.clone(), None);
                let new = Some(written.record(&name));
                vec![AnsweredFile { name, old, new }]
            }))),
            Outcome::Refused => Ok(Tried::Taken),
            Outcome::Denied(error) => {
                self.refuse(mark).await;
                Err(ReadError::from(error).into())
            }
            Outcome::Unknown => Err(WriteError::OutcomeUnknown(mark.version)),
        }
    }

    /// Settles this op's own mark, which has become too old to be written under.
    async fn settle_own(
        &mut self,
        mark: Mark,
        seen: &Arc<SeenState>,
    ) -> Result<Option<Mark>, WriteError> {
        let unknown = WriteError::OutcomeUnknown(mark.version);
        let Some(pending) = seen.state.pending.get(&mark.op) else {
            return Err(unknown);
        };
        let (inner, now) = (Arc::clone(&self.inner), self.now);
        let settling = inner.settle_op(&self.user, &mark.op, pending, &now);
        let (settled, requests) = settling.await;
        self.requests += requests;
        // The key stands as long as another request may have landed here, and an editor saved over it.
        let is_undone =
            |seen: &Arc<SeenState>| seen.state.idempotency.values().all(|it| it.op != mark.op);
        settled.filter(is_undone).map(|_| None).ok_or(unknown)
    }

    /// An earlier request with the same key: as it ended, or brought to its end here. `None` when it
    /// came to nothing meanwhile, so that this one may be the first.
    async fn reuse(
        &mut self,
        earlier: Idempotent,
        pending: Option<PendingOp>,
        file: &NewFile,
        seen: &Arc<SeenState>,
    ) -> Result<Option<Created>, WriteError> {
        let Ok(name) = earlier.file.parse::<FileName>() else {
            return Err(ReadError::Broken.into());
        };
        let mut known = earlier.version.max(seen.state.version);
        if let Some(pending) = pending {
            let ended = self.bring_to_its_end(&earlier, &pending, &name, file, seen);
            match ended.await? {
                Some(version) => known = known.max(version),
                None => return Ok(None),
            }
        }
        self.inner.acknowledged.note(&self.user, earlier.version);
        Ok(Some(Created {
            version: earlier.version,
            known,
            name,
            reused: true,
            requests: self.requests,
        }))
    }

    /// Does the same PUT that the earlier request's instance does or did, unless its mark is too old. The
    /// version to tell, if the file is there now.
    async fn bring_to_its_end(
        &mut self,
        earlier: &Idempotent,
        pending: &PendingOp,
        name: &FileName,
        file: &NewFile,
        seen: &Arc<SeenState>,
    ) -> Result<Option<Version>, WriteError> {
        let moment = self.now.later().mono;
        let date = self.inner.clock.at(moment).unwrap_or(pending.at);
        if pending.is_overdue(date, self.inner.settings.pending_expiry) {
            let (inner, now) = (Arc::clone(&self.inner), self.now);
            if let Some((_, requests)) = inner.settle(&self.user, seen, date, &now).await {
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
        // Not this op's mark, so its age is what the storage's clock says.
        let age = (date - pending.at).to_std().unwrap_or_default();
        let mark = Mark {
            op: earlier.op.clone(),
            version: earlier.version,
            sent: moment.checked_sub(age).unwrap_or(moment),
        };
        match self
            .put(&mark, name, put, PutIf::Absent, write_id, true)
            .await
        {
            Outcome::Landed(_) => {
                let version = self.acknowledge(&mark, None).await?;
                self.finish(mark);
                Ok(Some(version))
            }
            Outcome::Refused => Ok(None),
            Outcome::Denied(error) => {
                self.refuse(&mark).await;
                Err(ReadError::from(error).into())
            }
            Outcome::Unknown => Err(WriteError::OutcomeUnknown(earlier.version)),
        }
    }

    /// The numbers that files have as far as memory knows, once the counter is used up.
    fn known_numbers(&self) -> Option<NumbersInUse> {
        let state = self.inner.newest_state(&self.ledger)?;
        let used_up = state.state.next_id >= UsedIds::ALL;
        let entry = self.inner.memory.get(&self.user).filter(|_| used_up)?;
        Some(numbers_of(&entry))
    }
}

/// Under which condition a file is made. A settled one that was `known` before the mark may be replaced: whoever
/// settles the mark writes that anew.
pub(super) fn place_for(name: &FileName, known: Option<&Entry>) -> PutIf {
    let file = known.and_then(|entry| entry.table().find(name.as_str()));
    let settled = file.filter(|it| it.is_settled() && !it.etag.is_empty());
    settled.map_or(PutIf::Absent, |it| PutIf::Same(ETag::new(it.etag)))
}

/// The write ids of what a new file replaces: nothing, or a settled file.
pub(super) fn ids_before(place: &PutIf) -> WriteIds {
    match place {
        PutIf::Same(_) => WriteIds::default().followed_by(SETTLED),
        PutIf::Any | PutIf::Absent => WriteIds::default(),
    }
}

fn numbers_of(entry: &Entry) -> NumbersInUse {
    let known = &entry.knowledge;
    let (version, pending) = match &known.before {
        Some(before) if !known.exact => (
            before.state.version,
            before.state.pending.keys().cloned().collect(),
        ),
        _ => (known.lo, vec![]),
    };
    NumbersInUse {
        version,
        pending,
        used: Arc::new(UsedIds::of(entry.table())),
    }
}
