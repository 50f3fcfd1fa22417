//! Group commit: per process at most one compare-and-swap of a user's state document is in flight; commands submitted
//! in the meantime are queued, and the next swap carries all of them (src/user_state/README.md, "Group commit").

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::document::{CommitError, NewerFormat, ReadError, State, StatePresence, StoredState};
use super::mutation::Mutation;
use super::state_store::{KnownStates, StateStore};
use super::transition::{CommandResult, StateCommand};
use crate::context::in_request_context;
use crate::now::Now;
use crate::per_user::{PerUser, PerUserHandle};
use crate::rules::Rules;
use crate::store::{GetIf, PutIf, Requests};
use crate::user::UserId;

/// Attempts of one swap that keeps losing to other instances.
const MAX_SWAP_ATTEMPTS: u32 = 50;

/// The commit queues of all users with writes in progress. A cheap handle.
#[derive(Clone)]
pub struct CommitQueues {
    users: PerUser<Mutex<QueueState>>,
    documents: StateStore,
    known: Arc<dyn KnownStates>,
    rules: Rules<Mutation>,
}

/// Handle of a user's commit queue in this process.
#[derive(Clone)]
pub struct CommitQueue {
    cell: PerUserHandle<Mutex<QueueState>>,
    queues: CommitQueues,
}

#[derive(Default)]
struct QueueState {
    queued: Vec<QueuedCommand>,
    swap_in_flight: bool,
    latest: Option<Arc<StoredState>>,
    /// An operation is writing the older service's `nextId.txt`.
    legacy_write_in_flight: bool,
}

struct QueuedCommand {
    command: StateCommand,
    now: Now,
    done: oneshot::Sender<Result<CommittedCommand, CommitError>>,
}

/// A command that has been applied to the stored state document.
#[derive(Debug)]
pub struct CommittedCommand {
    /// What the command did.
    pub result: CommandResult,
    /// The document with the command in it: as this swap wrote it, or a later one.
    pub stored: Arc<StoredState>,
    /// Just before the request was sent that wrote it, or by which it was found to need no change.
    pub sent: Instant,
    /// Storage requests of the swap; counted for the first of the commands that shared it.
    pub requests: Requests,
    /// The last removal of an acknowledged intent in its swap: the one after which the artifact is written.
    pub is_last_removal: bool,
}

/// Result of one swap: those of its commands in their order, the document, and when it was requested or sent.
type SwapResult = (Vec<CommandResult>, Arc<StoredState>, Instant);

/// What a swap does after its commands were applied to the newest known document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapStep {
    /// A newer version of the service wrote the document, so it must not be replaced.
    Refuse,
    /// The commands change nothing in a document that was requested at this moment, since the swap began: it is the
    /// result.
    Done(Instant),
    /// The commands change nothing in a document known from earlier, which proves nothing: read it again.
    Confirm,
    /// Write the changed document.
    Write,
}

/// PURE. Decides how a swap goes on that made `next` of `before`; `read_at`: just before it requested `before`, if it did.
pub fn decide_swap(before: &State, next: &State, read_at: Option<Instant>) -> SwapStep {
    match read_at {
        _ if before.is_read_only() => SwapStep::Refuse,
        _ if next != before => SwapStep::Write,
        Some(read_at) => SwapStep::Done(read_at),
        None => SwapStep::Confirm,
    }
}

/// PURE. Whether a refused swap that was to make `next` of `before` had succeeded all the same, by what is `stored` now:
/// its response was lost, and the SDK's repetition was refused. An intent that the swap added proves it, since no other
/// swap can have recorded it.
pub fn has_landed(before: &State, next: &State, stored: &State) -> bool {
    let mut added = next
        .pending
        .iter()
        .filter(|(op, _)| !before.pending.contains_key(*op));
    added.any(|(op, intent)| stored.pending.get(op).is_some_and(|it| it.is_same(intent)))
}

impl CommitQueues {
    /// Queues for `documents`.
    pub fn new(documents: StateStore, known: Arc<dyn KnownStates>, rules: Rules<Mutation>) -> Self {
        Self {
            users: PerUser::default(),
            documents,
            known,
            rules,
        }
    }

    /// The user's queue.
    pub fn open(&self, user: &UserId) -> CommitQueue {
        CommitQueue {
            cell: self.users.open(user),
            queues: self.clone(),
        }
    }

    /// Number of users with writes in progress.
    pub fn active_users(&self) -> usize {
        self.users.len()
    }

    /// Returns once no user has a write in progress.
    pub async fn wait_idle(&self) {
        /// A write takes some milliseconds.
        const POLL_INTERVAL: Duration = Duration::from_millis(5);
        while !self.users.is_empty() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl CommitQueue {
    /// Whose queue it is.
    pub fn user(&self) -> &UserId {
        self.cell.user()
    }

    /// The newest state document that this queue has seen.
    pub fn latest(&self) -> Option<Arc<StoredState>> {
        self.cell.lock().latest.clone()
    }

    /// The newest state document that this process knows. Sends no request.
    pub fn newest(&self) -> Option<Arc<StoredState>> {
        match (self.latest(), self.queues.known.newest(self.user())) {
            (Some(latest), Some(other)) if other.is_newer_than(&latest) => Some(other),
            (latest, other) => latest.or(other),
        }
    }

    /// Offers a state document that was read elsewhere in this process as the base of the next swap.
    pub fn observe(&self, stored: &Arc<StoredState>) {
        let mut state = self.cell.lock();
        let known = state.latest.as_ref();
        if known.is_none_or(|known| stored.is_newer_than(known)) {
            state.latest = Some(Arc::clone(stored));
        }
    }

    /// Claims the write of the older service's `nextId.txt`; `false` if another operation has it. To be given back by
    /// [`Self::release_legacy_write`].
    pub fn claim_legacy_write(&self) -> bool {
        !mem::replace(&mut self.cell.lock().legacy_write_in_flight, true)
    }

    /// Gives the claim of [`Self::claim_legacy_write`] back.
    pub fn release_legacy_write(&self) {
        self.cell.lock().legacy_write_in_flight = false;
    }

    /// Applies `command` to the stored state document, in one swap with the other queued commands.
    ///
    /// # Errors
    /// [`CommitError::NoState`]; [`ReadError::Contended`] after 50 attempts; [`ReadError::NewerFormat`] if the document must
    /// not be written; the store's, after which the command may have been applied.
    pub async fn submit(
        &self,
        command: StateCommand,
        now: &Now,
    ) -> Result<CommittedCommand, CommitError> {
        let (done, committed) = oneshot::channel();
        let begin = {
            let mut state = self.cell.lock();
            state.queued.push(QueuedCommand {
                command,
                now: *now,
                done,
            });
            !mem::replace(&mut state.swap_in_flight, true)
        };
        if begin {
            let queue = self.clone();
            tokio::spawn(in_request_context(async move { queue.drain().await }));
        }
        committed.await.unwrap_or(Err(ReadError::Broken.into()))
    }

    /// One swap after the other until the queue is empty.
    async fn drain(&self) {
        let mut guard = SwapGuard {
            queue: &self.cell,
            done: false,
        };
        loop {
            let batch = self.take_queued();
            let times = batch.iter().map(|it| it.now);
            let Some(newest) = times.max_by_key(|now| now.later().mono) else {
                guard.done = true;
                return;
            };
            let commands: Vec<StateCommand> = batch.iter().map(|it| it.command.clone()).collect();
            let mut requests = Requests::default();
            match self.swap(&commands, &newest, &mut requests).await {
                Ok((results, stored, sent)) => {
                    self.queues.known.attach(self.user(), &stored);
                    let removes =
                        |it: &StateCommand| matches!(it, StateCommand::RemoveIntent { .. });
                    let last = commands.iter().rposition(removes);
                    let committed = batch.into_iter().zip(results).enumerate();
                    for (at, (queued, result)) in committed {
                        // The submitter may have been dropped; there is nothing to notify then.
                        let _ = queued.done.send(Ok(CommittedCommand {
                            result,
                            stored: Arc::clone(&stored),
                            sent,
                            requests: mem::take(&mut requests),
                            is_last_removal: Some(at) == last,
                        }));
                    }
                }
                Err(error) => {
                    self.cell.lock().latest = None;
                    for queued in batch {
                        let _ = queued.done.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Takes all queued commands; if there are none, no swap is in flight any more.
    fn take_queued(&self) -> Vec<QueuedCommand> {
        let mut state = self.cell.lock();
        let batch = mem::take(&mut state.queued);
        state.swap_in_flight = !batch.is_empty();
        batch
    }

    /// One compare-and-swap with all `commands`, computed again from the newer document when it is lost.
    async fn swap(
        &self,
        commands: &[StateCommand],
        now: &Now,
        requests: &mut Requests,
    ) -> Result<SwapResult, CommitError> {
        // With a moment before it was requested, if this swap has read it.
        let mut base = self.newest().map(|stored| (stored, None));
        for _ in 0..MAX_SWAP_ATTEMPTS {
            let sent = now.later().mono;
            let known = base.take().zip(self.queues.documents.clock.at(sent));
            let Some(((before, read_at), at)) = known else {
                base = Some((self.load(None, now, requests).await?, Some(sent)));
                continue;
            };
            let mut next = before.state.clone();
            let results = commands.iter().map(|it| next.apply(it, at)).collect();
            if self.queues.rules.breaks(Mutation::NoMark) {
                next.pending.clear();
            }
            let (stored, sent) = match decide_swap(&before.state, &next, read_at) {
                SwapStep::Refuse => return Err(ReadError::NewerFormat(NewerFormat).into()),
                SwapStep::Done(read_at) => (before, read_at),
                SwapStep::Confirm => {
                    base = Some((self.load(Some(before), now, requests).await?, Some(sent)));
                    continue;
                }
                SwapStep::Write => {
                    let condition = PutIf::Same(before.etag.clone());
                    let (user, documents) = (self.user(), &self.queues.documents);
                    let written = documents.write(user, next.clone(), condition, now, requests);
                    if let Some(stored) = written.await? {
                        self.cell.lock().latest = Some(Arc::clone(&stored));
                        (stored, sent)
                    } else {
                        let stored = self.load(None, now, requests).await?;
                        if !has_landed(&before.state, &next, &stored.state) {
                            base = Some((stored, Some(sent)));
                            continue;
                        }
                        (stored, sent)
                    }
                }
            };
            return Ok((results, stored, sent));
        }
        Err(ReadError::Contended.into())
    }

    /// Reads the state document, on condition that it differs from `known` if that is given.
    async fn load(
        &self,
        known: Option<Arc<StoredState>>,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Arc<StoredState>, CommitError> {
        let etag = known.as_ref().map(|it| it.etag.clone());
        let condition = etag.map_or(GetIf::Any, GetIf::Changed);
        let (user, documents) = (self.user(), &self.queues.documents);
        let response = documents.read(user, condition, now, requests).await?;
        let present = match (response.found, known) {
            (None, Some(known)) => known,
            (Some(StatePresence::Present(present)), _) => present,
            _ => return Err(CommitError::NoState),
        };
        self.cell.lock().latest = Some(Arc::clone(&present));
        Ok(present)
    }
}

/// If the swap task panics or is dropped, fails the queued commands and lets the next one begin a new swap.
struct SwapGuard<'a> {
    queue: &'a Mutex<QueueState>,
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
