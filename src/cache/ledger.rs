//! Group commit: one compare-and-swap of a user's state document is in flight per process; commands that come
//! meanwhile wait, and the next swap carries all of them (src/cache/README.md, "Write").

use std::collections::BTreeMap;
use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::amend::{Amended, Amendment};
use super::entry::Changed;
use super::state::{SeenState, State, StateFound, Version};
use super::{Inner, Mutation, ReadError, Requests, WriteError};
use crate::context::carried;
use crate::now::Now;
use crate::store::{Answer, ETag, GetIf, Key, Put, PutIf, Written};
use crate::task::{FileName, FileRecord, Parsed, TaskTable};
use crate::user::UserId;

/// How often a swap is tried again because another instance was quicker.
const ROUNDS: u32 = 50;

/// A storage call that takes longer is given up, so that it can't hold up the user's next request.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// The ledgers of the users who are being written for just now.
#[derive(Default)]
pub(super) struct Ledgers {
    users: Arc<DashMap<UserId, Arc<Ledger>>>,
}

/// What this process is about to write for one user.
#[derive(Default)]
pub(super) struct Ledger {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    waiting: Vec<Queued>,
    swapping: bool,
    /// The newest state known here.
    latest: Option<Arc<SeenState>>,
    /// The older service's counter is just being written.
    counting: bool,
    /// Own ops whose files were answered for, but not yet those of every op before them.
    answered: BTreeMap<Version, AnsweredOp>,
}

/// What an own op did to its files, for this instance's entry.
#[derive(Debug)]
pub(super) struct AnsweredOp {
    /// The files it looked at.
    pub files: Vec<AnsweredFile>,
    /// The moment before its compare-and-swap was sent.
    pub sent: Instant,
    /// When it was answered for.
    pub answered: DateTime<Utc>,
}

/// A file that an op looked at.
#[derive(Debug)]
pub(super) struct AnsweredFile {
    pub name: FileName,
    /// The version that was there.
    pub old: Option<ETag>,
    /// What the op made of it, if it wrote it.
    pub new: Option<FileRecord>,
}

/// An amendment in the queue.
struct Queued {
    amendment: Amendment,
    now: Now,
    done: oneshot::Sender<Result<Committed, WriteError>>,
}

/// An amendment that is in the state blob.
#[derive(Debug)]
pub(super) struct Committed {
    pub amended: Amended,
    /// The state with it.
    pub seen: Arc<SeenState>,
    /// The moment before the swap was sent.
    pub sent: Instant,
    /// What it took; a shared swap counts for one of those who shared it.
    pub requests: Requests,
    /// It is the last removal of a mark in its swap.
    pub closes: bool,
}

/// A ledger in use: it goes when nobody uses it any more.
pub(super) struct OpenLedger {
    user: UserId,
    ledger: Option<Arc<Ledger>>,
    users: Arc<DashMap<UserId, Arc<Ledger>>>,
}

impl Ledgers {
    pub(super) fn open(&self, user: &UserId) -> OpenLedger {
        let ledger = Arc::clone(&self.users.entry(user.clone()).or_default());
        OpenLedger {
            user: user.clone(),
            ledger: Some(ledger),
            users: Arc::clone(&self.users),
        }
    }

    /// How many users are being written for.
    pub(super) fn open_now(&self) -> usize {
        self.users.len()
    }

    /// Waits until nothing is being written for anybody.
    pub(super) async fn closed(&self) {
        /// Between two looks: an op takes some milliseconds.
        const PAUSE: Duration = Duration::from_millis(5);
        while !self.users.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Clone for OpenLedger {
    fn clone(&self) -> Self {
        Self {
            user: self.user.clone(),
            ledger: self.ledger.clone(),
            users: Arc::clone(&self.users),
        }
    }
}

impl Deref for OpenLedger {
    type Target = Ledger;

    #[expect(clippy::expect_used, reason = "it is taken only when it is dropped")]
    fn deref(&self) -> &Ledger {
        self.ledger.as_ref().expect("an open ledger")
    }
}

impl Drop for OpenLedger {
    fn drop(&mut self) {
        drop(self.ledger.take());
        // Only the map's own hold on it is left.
        self.users
            .remove_if(&self.user, |_, ledger| Arc::strong_count(ledger) == 1);
    }
}

impl OpenLedger {
    pub(super) fn user(&self) -> &UserId {
        &self.user
    }
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state known here.
    fn latest(&self) -> Option<Arc<SeenState>> {
        self.book().latest.clone()
    }

    /// A state blob was read elsewhere in this process; the next swap may start from it.
    pub(super) fn heard(&self, seen: &Arc<SeenState>) {
        let mut book = self.book();
        let known = book.latest.as_ref();
        if known.is_none_or(|known| seen.is_newer_than(known)) {
            book.latest = Some(Arc::clone(seen));
        }
    }

    /// Whether the caller may write the older service's counter: one op at a time does.
    pub(super) fn may_count(&self) -> bool {
        !mem::replace(&mut self.book().counting, true)
    }

    /// The older service's counter has been written.
    pub(super) fn has_counted(&self) {
        self.book().counting = false;
    }

    fn take_waiting(&self) -> Vec<Queued> {
        let mut book = self.book();
        let batch = mem::take(&mut book.waiting);
        book.swapping = !batch.is_empty();
        batch
    }
}

/// Lets the next amendment begin a swap of its own, should this one break off.
struct Swapping<'a> {
    ledger: &'a Ledger,
    /// It has said itself that it is over; somebody else may be swapping since.
    over: bool,
}

impl Drop for Swapping<'_> {
    fn drop(&mut self) {
        if !self.over {
            let mut book = self.ledger.book();
            book.swapping = false;
            book.waiting.clear();
        }
    }
}

impl Inner {
    /// Puts `amendment` into the state blob, together with whatever else waits.
    pub(super) async fn amend(
        self: &Arc<Self>,
        ledger: &OpenLedger,
        amendment: Amendment,
        now: &Now,
    ) -> Result<Committed, WriteError> {
        let (done, committed) = oneshot::channel();
        let begin = {
            let mut book = ledger.book();
            book.waiting.push(Queued {
                amendment,
                now: *now,
                done,
            });
            !mem::replace(&mut book.swapping, true)
        };
        if begin {
            let (inner, ledger) = (Arc::clone(self), ledger.clone());
            tokio::spawn(carried(async move { inner.swap_all(&ledger).await }));
        }
        committed.await.unwrap_or(Err(ReadError::Broken.into()))
    }

    async fn swap_all(self: &Arc<Self>, ledger: &OpenLedger) {
        let mut swapping = Swapping {
            ledger,
            over: false,
        };
        loop {
            let batch = ledger.take_waiting();
            let Some(newest) = batch
                .iter()
                .map(|it| it.now)
                .max_by_key(|now| now.later().mono)
            else {
                swapping.over = true;
                return;
            };
            let amendments: Vec<Amendment> = batch.iter().map(|it| it.amendment.clone()).collect();
            let mut requests = Requests::default();
            let swapped = self.swap(ledger, &amendments, &newest, &mut requests).await;
            match swapped {
                Ok(swapped) => {
                    self.note_state(&ledger.user, &swapped.seen);
                    let finishes = |it: &Amendment| matches!(it, Amendment::Finish { .. });
                    let last = amendments.iter().rposition(finishes);
                    let ended = batch.into_iter().zip(swapped.amended).enumerate();
                    for (at, (waiting, amended)) in ended {
                        // Whoever has gone has no use for it.
                        let _ = waiting.done.send(Ok(Committed {
                            amended,
                            seen: Arc::clone(&swapped.seen),
                            sent: swapped.sent,
                            requests: mem::take(&mut requests),
                            closes: Some(at) == last,
                        }));
                    }
                }
                Err(error) => {
                    ledger.book().latest = None;
                    for waiting in batch {
                        let _ = waiting.done.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// One compare-and-swap with all `amendments`, again for as long as others are quicker.
    async fn swap(
        &self,
        ledger: &OpenLedger,
        amendments: &[Amendment],
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Swapped, WriteError> {
        let mut base = self.newest_state(ledger);
        // Only a state read from here on can say that there is nothing to do.
        let mut asked = None;
        for _ in 0..ROUNDS {
            let known = base.clone().zip(self.clock.at(now.later().mono));
            let Some((before, at)) = known else {
                let sent = now.later().mono;
                let seen = self.present_state(ledger, GetIf::Any, None, now, requests);
                base = Some(seen.await?);
                asked = Some(sent);
                continue;
            };
            if before.state.is_read_only() {
                return Err(ReadError::NewerFormat(super::NewerFormat).into());
            }
            let mut next = before.state.clone();
            let amended = amendments.iter().map(|it| next.amend(it, at)).collect();
            if self.breaks(Mutation::NoMark) {
                next.pending.clear();
            }
            let sent = now.later().mono;
            if next == before.state {
                if let Some(sent) = asked {
                    return Ok(Swapped {
                        amended,
                        seen: before,
                        sent,
                    });
                }
                let condition = GetIf::Changed(before.etag.clone());
                let seen = self.present_state(ledger, condition, Some(before), now, requests);
                base = Some(seen.await?);
                asked = Some(sent);
                continue;
            }
            match self
                .put_state(ledger, &next, &before, now, requests)
                .await?
            {
                Some(seen) => {
                    return Ok(Swapped {
                        amended,
                        seen,
                        sent,
                    });
                }
                None => {
                    let seen = self.present_state(ledger, GetIf::Any, None, now, requests);
                    let seen = seen.await?;
                    if has_marks_of(&next, &before.state, &seen.state) {
                        // The refusal was the answer to this very swap's own success.
                        return Ok(Swapped {
                            amended,
                            seen,
                            sent,
                        });
                    }
                    base = Some(seen);
                    asked = Some(sent);
                }
            }
        }
        Err(ReadError::Contended.into())
    }

    /// The newest state known without asking.
    pub(super) fn newest_state(&self, ledger: &OpenLedger) -> Option<Arc<SeenState>> {
        let of_memory = self
            .memory
            .get(&ledger.user)
            .and_then(|entry| entry.knowledge.state.clone());
        match (ledger.latest(), of_memory) {
            (Some(latest), Some(other)) if other.is_newer_than(&latest) => Some(other),
            (latest, other) => latest.or(other),
        }
    }

    /// The state as it is in storage; `known` is what the condition names.
    async fn present_state(
        &self,
        ledger: &OpenLedger,
        condition: GetIf,
        known: Option<Arc<SeenState>>,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Arc<SeenState>, WriteError> {
        let seen = timely(self.read_state(&ledger.user, condition, now, requests)).await?;
        let present = match (seen.found, known) {
            (None, Some(known)) => known,
            (Some(StateFound::Present(present)), _) => present,
            _ => return Err(WriteError::NoState),
        };
        ledger.book().latest = Some(Arc::clone(&present));
        Ok(present)
    }

    async fn put_state(
        &self,
        ledger: &OpenLedger,
        next: &State,
        before: &SeenState,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Option<Arc<SeenState>>, WriteError> {
        let blob = Put {
            bytes: next.to_bytes().into(),
            ..Put::default()
        };
        requests.writes += 1;
        let key = Key::state(&ledger.user);
        let put = self.store.put(&key, blob, PutIf::Same(before.etag.clone()));
        let put = async { put.await.map_err(ReadError::from) };
        let Answer { value, date } = timely(put).await?;
        self.clock.heard(date, now.later().mono);
        let Written::Done(etag) = value else {
            return Ok(None);
        };
        let seen = Arc::new(SeenState {
            state: next.clone(),
            etag,
        });
        ledger.book().latest = Some(Arc::clone(&seen));
        Ok(Some(seen))
    }

    /// An own op's files have been answered for: this instance's entry goes on to it, as soon as every op
    /// before it has been answered for, too.
    pub(super) fn answered(&self, ledger: &OpenLedger, version: Version, op: AnsweredOp) {
        let mut book = ledger.book();
        book.answered.insert(version, op);
        let Some(entry) = self.memory.get(&ledger.user) else {
            return;
        };
        let mut at = entry.knowledge.hi;
        book.answered.retain(|version, _| *version > at);
        let mut changed = BTreeMap::new();
        let mut last = None;
        while let Some(next) = book.answered.first_entry() {
            let is_next = *next.key() == at.next() || self.breaks(Mutation::AdvanceEachOp);
            if !is_next || !entry.knowledge.exact {
                break;
            }
            let (version, op) = next.remove_entry();
            if !op
                .files
                .iter()
                .all(|file| follows(entry.table(), &changed, file))
            {
                break;
            }
            at = version;
            last = Some((op.sent, op.answered));
            let written = op.files.into_iter().filter_map(|file| file.new);
            changed.extend(written.map(|file| (file.name.clone(), file)));
        }
        if let Some((sent, answered)) = last {
            let changed = Changed {
                version: at,
                files: &changed.into_values().collect::<Vec<_>>(),
                sent,
                placed: answered,
                state: book.latest.clone(),
            };
            let entry = entry.after(changed, self.settings.zone);
            self.memory.publish(&Arc::new(entry));
        }
    }
}

/// Whether an op met a file in the version that the table knows, with the changes of the ops before it.
/// Else it contains a change that came in between, whose version may be a later one: versions are in the
/// order of marks, not of files.
fn follows(table: &TaskTable, changed: &BTreeMap<String, FileRecord>, file: &AnsweredFile) -> bool {
    let old = file.old.as_ref().map(ETag::as_str);
    let of_table = || {
        let known = table.find(file.name.as_str());
        known.filter(|it| !it.is_settled()).map(|it| it.etag)
    };
    match changed.get(file.name.as_str()) {
        Some(known) if known.content == Parsed::Settled => old.is_none(),
        Some(known) => old == Some(known.etag.as_str()),
        None => old == of_table(),
    }
}

/// What a batch became.
struct Swapped {
    amended: Vec<Amended>,
    seen: Arc<SeenState>,
    sent: Instant,
}

/// Whether a mark that `next` added to `before` is in `seen`: nobody else sets it.
fn has_marks_of(next: &State, before: &State, seen: &State) -> bool {
    let mut added = next
        .pending
        .iter()
        .filter(|(op, _)| !before.pending.contains_key(*op));
    added.any(|(op, mark)| seen.pending.get(op).is_some_and(|it| it.is(mark)))
}

/// The call's answer, unless the store keeps silent for [`CALL_DEADLINE`].
pub(crate) async fn timely<T>(
    call: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    timeout(CALL_DEADLINE, call)
        .await
        .unwrap_or(Err(ReadError::TimedOut))
}
