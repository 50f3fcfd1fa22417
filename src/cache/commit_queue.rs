//! Group commit: per process at most one compare-and-swap of a user's state document is in flight; commands submitted
//! in the meantime are queued, and the next swap carries all of them (src/cache/README.md, "Write").

use std::collections::BTreeMap;
use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::command::{CommandResult, StateCommand};
use super::snapshot::Changed;
use super::state::{State, StatePresence, StoredState, Version};
use super::{CacheInner, Mutation, ReadError, Requests, WriteError};
use crate::context::in_request_context;
use crate::now::Now;
use crate::store::{BlobKey, ETag, GetIf, Put, PutIf, PutOutcome, StoreResponse};
use crate::task::{FileName, FileRecord, Parsed, TaskTable};
use crate::user::UserId;

/// Attempts of one swap that keeps losing to other instances.
const MAX_SWAP_ATTEMPTS: u32 = 50;

/// Deadline of a single storage call, so that a silent store can't block the user's queue.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// The commit queues of all users with writes in progress.
#[derive(Default)]
pub(super) struct CommitQueues {
    users: Arc<DashMap<UserId, Arc<CommitQueue>>>,
}

/// The state document's commands of one user in this process.
#[derive(Default)]
pub(super) struct CommitQueue {
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    queued: Vec<QueuedCommand>,
    swap_in_flight: bool,
    /// The newest state document that this queue has seen.
    latest: Option<Arc<StoredState>>,
    /// An operation is writing the older service's `nextId.txt`.
    legacy_write_in_flight: bool,
    /// Operations of this instance that were acknowledged while one before them wasn't yet.
    acknowledged: BTreeMap<Version, AcknowledgedOp>,
}

/// An acknowledged operation of this instance, by which its own snapshot can advance.
#[derive(Debug)]
pub(super) struct AcknowledgedOp {
    /// The files that the operation read or wrote.
    pub files: Vec<AcknowledgedFile>,
    /// Just before its compare-and-swap was sent.
    pub sent: Instant,
    /// When it was acknowledged.
    pub acknowledged: DateTime<Utc>,
}

/// A file that an acknowledged operation read or wrote.
#[derive(Debug)]
pub(super) struct AcknowledgedFile {
    pub name: FileName,
    /// The ETag that the operation found; `None` for no file.
    pub old: Option<ETag>,
    /// The file as the operation wrote it; `None` if it didn't.
    pub new: Option<FileRecord>,
}

/// A command in the queue.
struct QueuedCommand {
    command: StateCommand,
    now: Now,
    done: oneshot::Sender<Result<CommittedCommand, WriteError>>,
}

/// A command that has been applied to the stored state document.
#[derive(Debug)]
pub(super) struct CommittedCommand {
    pub result: CommandResult,
    /// The document after the swap.
    pub stored: Arc<StoredState>,
    /// Just before the swap was sent.
    pub sent: Instant,
    /// Storage requests of the swap; counted for the first of the commands that shared it.
    pub requests: Requests,
    /// The last removal of an intent in its swap.
    pub is_last_removal: bool,
}

/// Reference-counted handle of a user's queue; the queue is removed from the map with its last handle.
pub(super) struct CommitQueueHandle {
    user: UserId,
    queue: Option<Arc<CommitQueue>>,
    users: Arc<DashMap<UserId, Arc<CommitQueue>>>,
}

impl CommitQueues {
    pub(super) fn open(&self, user: &UserId) -> CommitQueueHandle {
        let queue = Arc::clone(&self.users.entry(user.clone()).or_default());
        CommitQueueHandle {
            user: user.clone(),
            queue: Some(queue),
            users: Arc::clone(&self.users),
        }
    }

    /// Number of users with writes in progress.
    pub(super) fn active_users(&self) -> usize {
        self.users.len()
    }

    /// Returns once no user has a write in progress.
    pub(super) async fn wait_idle(&self) {
        /// A write takes some milliseconds.
        const POLL_INTERVAL: Duration = Duration::from_millis(5);
        while !self.users.is_empty() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Clone for CommitQueueHandle {
    fn clone(&self) -> Self {
        Self {
            user: self.user.clone(),
            queue: self.queue.clone(),
            users: Arc::clone(&self.users),
        }
    }
}

impl Deref for CommitQueueHandle {
    type Target = CommitQueue;

    #[expect(clippy::expect_used, reason = "only `drop` takes it")]
    fn deref(&self) -> &CommitQueue {
        self.queue.as_ref().expect("an open queue")
    }
}

impl Drop for CommitQueueHandle {
    fn drop(&mut self) {
        drop(self.queue.take());
        // The map holds the last reference.
        self.users
            .remove_if(&self.user, |_, queue| Arc::strong_count(queue) == 1);
    }
}

impl CommitQueueHandle {
    pub(super) fn user(&self) -> &UserId {
        &self.user
    }
}

impl CommitQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state document that this queue has seen.
    fn latest(&self) -> Option<Arc<StoredState>> {
        self.lock().latest.clone()
    }

    /// Offers a state document that was read elsewhere in this process as the base of the next swap.
    pub(super) fn observe_state(&self, stored: &Arc<StoredState>) {
        let mut state = self.lock();
        let known = state.latest.as_ref();
        if known.is_none_or(|known| stored.is_newer_than(known)) {
            state.latest = Some(Arc::clone(stored));
        }
    }

    /// Claims the write of the older service's `nextId.txt`; `false` if another operation has it. To be given back by
    /// [`Self::release_legacy_write`].
    pub(super) fn claim_legacy_write(&self) -> bool {
        !mem::replace(&mut self.lock().legacy_write_in_flight, true)
    }

    /// Gives the claim of [`Self::claim_legacy_write`] back.
    pub(super) fn release_legacy_write(&self) {
        self.lock().legacy_write_in_flight = false;
    }

    /// Takes all queued commands; if there are none, no swap is in flight any more.
    fn take_queued(&self) -> Vec<QueuedCommand> {
        let mut state = self.lock();
        let batch = mem::take(&mut state.queued);
        state.swap_in_flight = !batch.is_empty();
        batch
    }
}

/// If the swap task panics or is dropped, fails the queued commands and lets the next one begin a new swap.
struct SwapGuard<'a> {
    queue: &'a CommitQueue,
    /// The task ended regularly, and another may have begun since.
    done: bool,
}

impl Drop for SwapGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            let mut state = self.queue.lock();
            state.swap_in_flight = false;
            state.queued.clear();
        }
    }
}

impl CacheInner {
    /// Applies `command` to the stored state document, in one swap with the other queued commands.
    ///
    /// # Errors
    /// [`WriteError::NoState`] if the user has no state document yet; [`ReadError::Contended`] after 50 attempts.
    pub(super) async fn submit(
        self: &Arc<Self>,
        queue: &CommitQueueHandle,
        command: StateCommand,
        now: &Now,
    ) -> Result<CommittedCommand, WriteError> {
        let (done, committed) = oneshot::channel();
        let begin = {
            let mut state = queue.lock();
            state.queued.push(QueuedCommand {
                command,
                now: *now,
                done,
            });
            !mem::replace(&mut state.swap_in_flight, true)
        };
        if begin {
            let (inner, queue) = (Arc::clone(self), queue.clone());
            tokio::spawn(in_request_context(async move {
                inner.drain_queue(&queue).await
            }));
        }
        committed.await.unwrap_or(Err(ReadError::Broken.into()))
    }

    /// One swap after the other until the queue is empty.
    async fn drain_queue(self: &Arc<Self>, queue: &CommitQueueHandle) {
        let mut guard = SwapGuard { queue, done: false };
        loop {
            let batch = queue.take_queued();
            let Some(newest) = batch
                .iter()
                .map(|it| it.now)
                .max_by_key(|now| now.later().mono)
            else {
                guard.done = true;
                return;
            };
            let commands: Vec<StateCommand> = batch.iter().map(|it| it.command.clone()).collect();
            let mut requests = Requests::default();
            let swapped = self.swap(queue, &commands, &newest, &mut requests).await;
            match swapped {
                Ok(swapped) => {
                    self.attach_state(&queue.user, &swapped.stored);
                    let removes =
                        |it: &StateCommand| matches!(it, StateCommand::RemoveIntent { .. });
                    let last = commands.iter().rposition(removes);
                    let committed = batch.into_iter().zip(swapped.results).enumerate();
                    for (at, (queued, result)) in committed {
                        // The submitter may have been dropped; there is nothing to notify then.
                        let _ = queued.done.send(Ok(CommittedCommand {
                            result,
                            stored: Arc::clone(&swapped.stored),
                            sent: swapped.sent,
                            requests: mem::take(&mut requests),
                            is_last_removal: Some(at) == last,
                        }));
                    }
                }
                Err(error) => {
                    queue.lock().latest = None;
                    for queued in batch {
                        let _ = queued.done.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// One compare-and-swap with all `commands`, computed again from the newer document when it is lost.
    async fn swap(
        &self,
        queue: &CommitQueueHandle,
        commands: &[StateCommand],
        now: &Now,
        requests: &mut Requests,
    ) -> Result<SwapResult, WriteError> {
        let mut base = self.newest_state(queue);
        // A cached document doesn't prove that there is nothing to do; only one read from here on does.
        let mut read_at = None;
        for _ in 0..MAX_SWAP_ATTEMPTS {
            let known = base.clone().zip(self.clock.at(now.later().mono));
            let Some((before, at)) = known else {
                let sent = now.later().mono;
                let stored = self.load_state(queue, GetIf::Any, None, now, requests);
                base = Some(stored.await?);
                read_at = Some(sent);
                continue;
            };
            if before.state.is_read_only() {
                return Err(ReadError::NewerFormat(super::NewerFormat).into());
            }
            let mut next = before.state.clone();
            let results = commands.iter().map(|it| next.apply(it, at)).collect();
            if self.breaks(Mutation::NoMark) {
                next.pending.clear();
            }
            let sent = now.later().mono;
            if next == before.state {
                if let Some(sent) = read_at {
                    return Ok(SwapResult {
                        results,
                        stored: before,
                        sent,
                    });
                }
                let condition = GetIf::Changed(before.etag.clone());
                let stored = self.load_state(queue, condition, Some(before), now, requests);
                base = Some(stored.await?);
                read_at = Some(sent);
                continue;
            }
            match self.put_state(queue, &next, &before, now, requests).await? {
                Some(stored) => {
                    return Ok(SwapResult {
                        results,
                        stored,
                        sent,
                    });
                }
                None => {
                    let stored = self.load_state(queue, GetIf::Any, None, now, requests);
                    let stored = stored.await?;
                    if has_intents_of(&next, &before.state, &stored.state) {
                        // This swap had succeeded: its answer was lost, and the SDK's repetition was refused.
                        return Ok(SwapResult {
                            results,
                            stored,
                            sent,
                        });
                    }
                    base = Some(stored);
                    read_at = Some(sent);
                }
            }
        }
        Err(ReadError::Contended.into())
    }

    /// The newest state document that this process knows, from the queue or the snapshot. Sends no request.
    pub(super) fn newest_state(&self, queue: &CommitQueueHandle) -> Option<Arc<StoredState>> {
        let of_snapshot = self
            .memory
            .get(&queue.user)
            .and_then(|snapshot| snapshot.bounds.state.clone());
        match (queue.latest(), of_snapshot) {
            (Some(latest), Some(other)) if other.is_newer_than(&latest) => Some(other),
            (latest, other) => latest.or(other),
        }
    }

    /// Reads the state document; `known` is the document whose ETag `condition` names.
    async fn load_state(
        &self,
        queue: &CommitQueueHandle,
        condition: GetIf,
        known: Option<Arc<StoredState>>,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Arc<StoredState>, WriteError> {
        let stored = with_deadline(self.read_state(&queue.user, condition, now, requests)).await?;
        let present = match (stored.found, known) {
            (None, Some(known)) => known,
            (Some(StatePresence::Present(present)), _) => present,
            _ => return Err(WriteError::NoState),
        };
        queue.lock().latest = Some(Arc::clone(&present));
        Ok(present)
    }

    /// Writes `next` in place of `before`; `None` if another instance was quicker.
    async fn put_state(
        &self,
        queue: &CommitQueueHandle,
        next: &State,
        before: &StoredState,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Option<Arc<StoredState>>, WriteError> {
        let blob = Put {
            bytes: next.to_bytes().into(),
            ..Put::default()
        };
        requests.writes += 1;
        let key = BlobKey::state(&queue.user);
        let put = self.store.put(&key, blob, PutIf::Same(before.etag.clone()));
        let put = async { put.await.map_err(ReadError::from) };
        let StoreResponse { value, date } = with_deadline(put).await?;
        self.clock.observe(date, now.later().mono);
        let PutOutcome::Done(etag) = value else {
            return Ok(None);
        };
        let stored = Arc::new(StoredState {
            state: next.clone(),
            etag,
        });
        queue.lock().latest = Some(Arc::clone(&stored));
        Ok(Some(stored))
    }

    /// Advances this instance's snapshot by an acknowledged operation, once every operation before it has been
    /// acknowledged as well.
    pub(super) fn advance_snapshot(
        &self,
        queue: &CommitQueueHandle,
        version: Version,
        op: AcknowledgedOp,
    ) {
        let mut state = queue.lock();
        state.acknowledged.insert(version, op);
        let Some(snapshot) = self.memory.get(&queue.user) else {
            return;
        };
        let mut at = snapshot.bounds.hi;
        state.acknowledged.retain(|version, _| *version > at);
        let mut changed = BTreeMap::new();
        let mut last = None;
        while let Some(next) = state.acknowledged.first_entry() {
            let is_next = *next.key() == at.next() || self.breaks(Mutation::AdvanceEachOp);
            if !is_next || !snapshot.bounds.exact {
                break;
            }
            let (version, op) = next.remove_entry();
            if !op
                .files
                .iter()
                .all(|file| is_based_on(snapshot.table(), &changed, file))
            {
                break;
            }
            at = version;
            last = Some((op.sent, op.acknowledged));
            let written = op.files.into_iter().filter_map(|file| file.new);
            changed.extend(written.map(|file| (file.name.clone(), file)));
        }
        if let Some((sent, acknowledged)) = last {
            let changed = Changed {
                version: at,
                files: &changed.into_values().collect::<Vec<_>>(),
                sent,
                placed: acknowledged,
                state: state.latest.clone(),
            };
            let snapshot = snapshot.with_change(changed, self.settings.zone);
            self.memory.publish(&Arc::new(snapshot));
        }
    }
}

/// Whether an operation found `file` as it is in `table` with the changes of the operations before it. Otherwise the
/// file contains another change, whose version may be a higher one: versions are in the order of intents, not of PUTs.
fn is_based_on(
    table: &TaskTable,
    changed: &BTreeMap<String, FileRecord>,
    file: &AcknowledgedFile,
) -> bool {
    let old = file.old.as_ref().map(ETag::as_str);
    let in_table = || {
        let known = table.find(file.name.as_str());
        known.filter(|it| !it.is_tombstone()).map(|it| it.etag)
    };
    match changed.get(file.name.as_str()) {
        Some(known) if known.content == Parsed::Tombstone => old.is_none(),
        Some(known) => old == Some(known.etag.as_str()),
        None => old == in_table(),
    }
}

/// Result of one swap; `results` in the order of its commands.
struct SwapResult {
    results: Vec<CommandResult>,
    stored: Arc<StoredState>,
    sent: Instant,
}

/// Whether an intent that `next` added to `before` is in `stored`. Only this swap can have recorded it.
fn has_intents_of(next: &State, before: &State, stored: &State) -> bool {
    let mut added = next
        .pending
        .iter()
        .filter(|(op, _)| !before.pending.contains_key(*op));
    added.any(|(op, intent)| stored.pending.get(op).is_some_and(|it| it.is_same(intent)))
}

/// Awaits a storage call.
///
/// # Errors
/// Its own, or [`ReadError::TimedOut`] after [`CALL_DEADLINE`].
pub(crate) async fn with_deadline<T>(
    call: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    timeout(CALL_DEADLINE, call)
        .await
        .unwrap_or(Err(ReadError::TimedOut))
}
