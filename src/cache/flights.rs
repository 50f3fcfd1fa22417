//! What is on its way for a user, so that readers who come together share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use super::ReadError;
use super::state::Version;
use crate::context::carried;
use crate::store::ETag;
use crate::user::UserId;

/// A result that several readers wait for. It runs as a task of its own: a reader who leaves takes
/// nothing away from the others, and the deadline ends the work itself.
pub(super) type Waiting<T> = Shared<BoxFuture<'static, Result<T, ReadError>>>;

/// A read under way: the state request, and whatever followed from it.
#[derive(Clone)]
pub(super) struct Flight<T: Clone> {
    pub id: u64,
    /// The arrival of the reader who began it, before its state request.
    pub started: Instant,
    pub result: Waiting<T>,
    /// What the result will surely contain; known once the state has been read. `None`: it ended before.
    promised: Shared<BoxFuture<'static, Option<Version>>>,
}

impl<T: Clone> Flight<T> {
    /// Whether the result will contain everything up to `seen`, or will be an error for everybody.
    /// Waits for the state's answer at most.
    pub(super) async fn will_contain(&self, seen: Option<Version>) -> bool {
        let Some(seen) = seen else { return true };
        let promised = self.promised.clone().await;
        promised.is_none_or(|lo| lo >= seen)
    }

    /// Whether the state's answer, or an error, comes within `patience`.
    pub(super) async fn is_answered_within(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.promised.clone())
            .await
            .is_ok()
    }
}

/// Tells a flight's readers, once, what it will surely contain.
pub(super) struct Promise(Option<oneshot::Sender<Version>>);

impl Promise {
    pub(super) fn give(&mut self, lo: Version) {
        if let Some(readers) = self.0.take() {
            // Whoever has gone needs no promise.
            let _ = readers.send(lo);
        }
    }
}

/// A rebuild under way.
#[derive(Clone)]
pub(super) struct Rebuilding<T: Clone> {
    pub id: u64,
    /// The state blob it began with, if nothing was pending in it.
    pub key: Option<ETag>,
    /// Whether its LIST has been sent.
    pub listed: Arc<AtomicBool>,
    pub result: Waiting<T>,
}

struct OfUser<F: Clone, R: Clone> {
    read: Option<Flight<F>>,
    rebuild: Option<Rebuilding<R>>,
}

/// Everything on its way. One user's readers never wait for another's: the map's locks are held as
/// long as it takes to look or to begin.
pub(super) struct Flights<F: Clone, R: Clone> {
    users: DashMap<UserId, OfUser<F, R>>,
    ids: AtomicU64,
    deadline: Duration,
}

impl<F, R> Flights<F, R>
where
    F: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            users: DashMap::new(),
            ids: AtomicU64::new(0),
            deadline,
        }
    }

    /// Flights from this id on begin later than now.
    pub(super) fn mark(&self) -> u64 {
        self.ids.load(Ordering::SeqCst)
    }

    /// The latest read under way.
    pub(super) fn running(&self, user: &UserId) -> Option<Flight<F>> {
        self.users.get(user)?.read.clone()
    }

    /// Joins the read under way if `may_join` says so, else begins one with `begin`. The latest one
    /// is the one that others find.
    pub(super) fn read<Fut>(
        self: &Arc<Self>,
        user: &UserId,
        started: Instant,
        may_join: impl FnOnce(&Flight<F>) -> bool,
        begin: impl FnOnce(Promise) -> Fut,
    ) -> (Flight<F>, Began)
    where
        Fut: Future<Output = Result<F, ReadError>> + Send + 'static,
    {
        let mut of_user = self.users.entry(user.clone()).or_insert_with(OfUser::empty);
        if let Some(flight) = of_user.read.as_ref().filter(|flight| may_join(flight)) {
            return (flight.clone(), Began::Earlier);
        }
        let id = self.next_id();
        let (promise, promised) = oneshot::channel();
        let result = self.launch(user, id, begin(Promise(Some(promise))));
        let flight = Flight {
            id,
            started,
            result,
            promised: promised.map(Result::ok).boxed().shared(),
        };
        of_user.read = Some(flight.clone());
        (flight, Began::Here)
    }

    /// Joins the running rebuild if its LIST can't be too old, else begins one (src/cache/README.md, "Single
    /// flight"). It can't be if the rebuild began with the same state ETag and nothing pending, or if the LIST
    /// hasn't been sent. `key` is `None` for a state with something pending; `same_key` is false for a caller that
    /// needs a LIST sent after it came.
    pub(super) fn rebuild<Fut>(
        self: &Arc<Self>,
        user: &UserId,
        key: Option<ETag>,
        same_key: bool,
        begin: impl FnOnce(Arc<AtomicBool>) -> Fut,
    ) -> (Waiting<R>, Began)
    where
        Fut: Future<Output = Result<R, ReadError>> + Send + 'static,
    {
        let mut of_user = self.users.entry(user.clone()).or_insert_with(OfUser::empty);
        let joinable = |running: &&Rebuilding<R>| {
            !running.listed.load(Ordering::SeqCst)
                || (same_key && key.is_some() && running.key == key)
        };
        if let Some(running) = of_user.rebuild.as_ref().filter(joinable) {
            return (running.result.clone(), Began::Earlier);
        }
        let id = self.next_id();
        let listed = Arc::new(AtomicBool::new(false));
        let result = self.launch(user, id, begin(Arc::clone(&listed)));
        of_user.rebuild = Some(Rebuilding {
            id,
            key,
            listed,
            result: result.clone(),
        });
        (result, Began::Here)
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::SeqCst)
    }

    /// The task takes itself off the map when it ends; one that never runs, because the process is
    /// ending, stays on it.
    fn launch<T: Clone + Send + Sync + 'static>(
        self: &Arc<Self>,
        user: &UserId,
        id: u64,
        work: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Waiting<T> {
        let (flights, user) = (Arc::clone(self), user.clone());
        let task = tokio::spawn(carried(async move {
            let _landing = Landing {
                flights: &flights,
                user: &user,
                id,
            };
            tokio::time::timeout(flights.deadline, work)
                .await
                .unwrap_or(Err(ReadError::TimedOut))
        }));
        task.map(|joined| joined.unwrap_or(Err(ReadError::Broken)))
            .boxed()
            .shared()
    }
}

/// Who sent the requests of what a reader waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    /// This reader.
    Here,
    /// One who came before.
    Earlier,
}

impl<F: Clone, R: Clone> OfUser<F, R> {
    fn empty() -> Self {
        Self {
            read: None,
            rebuild: None,
        }
    }
}

/// Takes a flight off the map when its task ends, in whatever way.
struct Landing<'a, F: Clone, R: Clone> {
    flights: &'a Flights<F, R>,
    user: &'a UserId,
    id: u64,
}

impl<F: Clone, R: Clone> Drop for Landing<'_, F, R> {
    fn drop(&mut self) {
        let users = &self.flights.users;
        if let Some(mut of_user) = users.get_mut(self.user) {
            of_user.read.take_if(|flight| flight.id == self.id);
            of_user.rebuild.take_if(|rebuild| rebuild.id == self.id);
        }
        users.remove_if(self.user, |_, of_user| {
            of_user.read.is_none() && of_user.rebuild.is_none()
        });
    }
}
