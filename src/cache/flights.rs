//! What is on its way for a user, so that readers who come together share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::watch;

use super::ReadError;
use super::state::Version;
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
    /// What the result will surely contain; known once the state has been read.
    promised: watch::Receiver<Option<Version>>,
}

impl<T: Clone> Flight<T> {
    /// Whether the result will contain everything up to `seen`. Waits for the state's answer at most.
    pub(super) async fn will_contain(&self, seen: Option<Version>) -> bool {
        let Some(seen) = seen else { return true };
        let mut promised = self.promised.clone();
        // An error: the read ended without getting that far.
        promised
            .wait_for(Option::is_some)
            .await
            .is_ok_and(|lo| *lo >= Some(seen))
    }
}

/// Tells a flight's readers what it will surely contain.
pub(super) type Promise = watch::Sender<Option<Version>>;

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

/// Everything on its way. One user's readers never wait for another's: the map's locks are held for
/// a look-up only.
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
        let landing = Landing {
            flights: Arc::clone(self),
            user: user.clone(),
            id,
        };
        let (promise, promised) = watch::channel(None);
        let result = self.launch(begin(promise), landing);
        let flight = Flight {
            id,
            started,
            result,
            promised,
        };
        of_user.read = Some(flight.clone());
        (flight, Began::Here)
    }

    /// Joins the rebuild under way if it lists late enough, else begins one (COHERENCE.md,
    /// "Joining"): one that began with the same state, nothing pending in it; or any whose LIST
    /// hasn't been sent. `key` is `None` for a state with something pending, `same_key` false for
    /// one who wants a LIST of its own time.
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
        let landing = Landing {
            flights: Arc::clone(self),
            user: user.clone(),
            id,
        };
        let result = self.launch(begin(Arc::clone(&listed)), landing);
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

    fn launch<T: Clone + Send + Sync + 'static>(
        &self,
        work: impl Future<Output = Result<T, ReadError>> + Send + 'static,
        landing: Landing<F, R>,
    ) -> Waiting<T> {
        let limited = tokio::time::timeout(self.deadline, work);
        let task = tokio::spawn(async move {
            let _landing = landing;
            limited.await.unwrap_or(Err(ReadError::TimedOut))
        });
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
struct Landing<F: Clone + Send + Sync + 'static, R: Clone + Send + Sync + 'static> {
    flights: Arc<Flights<F, R>>,
    user: UserId,
    id: u64,
}

impl<F: Clone + Send + Sync + 'static, R: Clone + Send + Sync + 'static> Drop for Landing<F, R> {
    fn drop(&mut self) {
        if let Some(mut of_user) = self.flights.users.get_mut(&self.user) {
            of_user.read.take_if(|flight| flight.id == self.id);
            of_user.rebuild.take_if(|rebuild| rebuild.id == self.id);
        }
        let idle = |_: &UserId, of_user: &OfUser<F, R>| {
            of_user.read.is_none() && of_user.rebuild.is_none()
        };
        self.flights.users.remove_if(&self.user, idle);
    }
}
