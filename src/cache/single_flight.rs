//! Single flight per user: concurrent readers share one storage read and one rebuild.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use super::request::Read;
use crate::context::in_request_context;
use crate::store::ETag;
use crate::user::UserId;
use crate::user_state::{ReadError, Version};

/// A result that several readers await. The work runs in its own task: a reader that is dropped doesn't cancel it, the
/// deadline does.
pub(super) type SharedRead = Shared<BoxFuture<'static, Result<Read, ReadError>>>;

/// Sends a flight's readers the lower bound of its result.
pub(super) type LowerBoundSender = oneshot::Sender<Version>;

/// A storage read in flight: the request for the state document and everything that follows from it.
#[derive(Clone)]
pub(super) struct ReadFlight {
    pub id: u64,
    /// When its leader's request arrived: before the state document was requested.
    pub started: Instant,
    pub result: SharedRead,
    /// Lower bound of the result, known once the state document has been read. An error: the read failed before. Not a
    /// `watch`: it wakes its readers in a random order, and no simulated run could be repeated.
    lower_bound: Shared<oneshot::Receiver<Version>>,
}

impl ReadFlight {
    /// Whether the result will contain every change up to `seen`; also true if it will be an error, which all readers
    /// share. Waits until the state document has been read.
    pub(super) async fn will_contain(&self, seen: Option<Version>) -> bool {
        let Some(seen) = seen else { return true };
        let lower_bound = self.lower_bound.clone().await;
        lower_bound.map_or(true, |lo| lo >= seen)
    }

    /// Whether the state document, or an error, arrives within `limit`.
    pub(super) async fn has_state_within(&self, limit: Duration) -> bool {
        let lower_bound = self.lower_bound.clone();
        tokio::time::timeout(limit, lower_bound).await.is_ok()
    }
}

struct RebuildFlight {
    id: u64,
    /// The ETag of the state document it started from, if nothing was pending there.
    key: Option<ETag>,
    /// Set when its LIST is sent.
    listed: Arc<AtomicBool>,
    result: SharedRead,
}

#[derive(Default)]
struct UserFlights {
    read: Option<ReadFlight>,
    rebuild: Option<RebuildFlight>,
}

/// The reads and rebuilds in flight. Readers of one user never wait for another user's: a lock of the map is held only
/// to look up or register a flight, never across an await.
pub(super) struct SingleFlight {
    users: DashMap<UserId, UserFlights>,
    ids: AtomicU64,
    deadline: Duration,
}

impl SingleFlight {
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            users: DashMap::new(),
            ids: AtomicU64::new(0),
            deadline,
        }
    }

    /// Every flight that starts after this call has this id or a higher one.
    pub(super) fn watermark(&self) -> u64 {
        self.ids.load(Ordering::SeqCst)
    }

    /// The latest read in flight.
    pub(super) fn current_read(&self, user: &UserId) -> Option<ReadFlight> {
        self.users.get(user)?.read.clone()
    }

    /// Joins the latest read in flight if `may_join` allows it, else starts one with `begin`, which replaces it for
    /// later readers.
    pub(super) fn read<Fut>(
        self: &Arc<Self>,
        user: &UserId,
        started: Instant,
        may_join: impl FnOnce(&ReadFlight) -> bool,
        begin: impl FnOnce(LowerBoundSender) -> Fut,
    ) -> (ReadFlight, Role)
    where
        Fut: Future<Output = Result<Read, ReadError>> + Send + 'static,
    {
        let mut user_flights = self.users.entry(user.clone()).or_default();
        if let Some(flight) = user_flights.read.as_ref().filter(|flight| may_join(flight)) {
            return (flight.clone(), Role::Follower);
        }
        let id = self.next_id();
        let (sender, lower_bound) = oneshot::channel();
        let result = self.spawn(user, id, begin(sender));
        let flight = ReadFlight {
            id,
            started,
            result,
            lower_bound: lower_bound.shared(),
        };
        user_flights.read = Some(flight.clone());
        (flight, Role::Leader)
    }

    /// Joins the rebuild in flight if its LIST can't be too old, else starts one (src/cache/README.md, "Single
    /// flight"). It can't be if it hasn't been sent, or if the rebuild started from the same state ETag with nothing
    /// pending. `key` is `None` for a state with something pending; `may_share_listing` is false for a caller that
    /// needs a LIST sent after its request arrived.
    pub(super) fn rebuild<Fut>(
        self: &Arc<Self>,
        user: &UserId,
        key: Option<ETag>,
        may_share_listing: bool,
        begin: impl FnOnce(Arc<AtomicBool>) -> Fut,
    ) -> (SharedRead, Role)
    where
        Fut: Future<Output = Result<Read, ReadError>> + Send + 'static,
    {
        let mut user_flights = self.users.entry(user.clone()).or_default();
        let joinable = |in_flight: &&RebuildFlight| {
            !in_flight.listed.load(Ordering::SeqCst)
                || (may_share_listing && key.is_some() && in_flight.key == key)
        };
        if let Some(in_flight) = user_flights.rebuild.as_ref().filter(joinable) {
            return (in_flight.result.clone(), Role::Follower);
        }
        let id = self.next_id();
        let listed = Arc::new(AtomicBool::new(false));
        let result = self.spawn(user, id, begin(Arc::clone(&listed)));
        user_flights.rebuild = Some(RebuildFlight {
            id,
            key,
            listed,
            result: result.clone(),
        });
        (result, Role::Leader)
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::SeqCst)
    }

    /// Runs `work` in its own task under the deadline. The task removes itself from the map when it ends; one that
    /// never runs, because the runtime is shutting down, stays in it.
    fn spawn(
        self: &Arc<Self>,
        user: &UserId,
        id: u64,
        work: impl Future<Output = Result<Read, ReadError>> + Send + 'static,
    ) -> SharedRead {
        let (flights, user) = (Arc::clone(self), user.clone());
        let task = tokio::spawn(in_request_context(async move {
            let _guard = FlightGuard {
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

/// A reader's part in a flight: whether the flight's storage requests count as its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Started it.
    Leader,
    /// Joined one that another reader started.
    Follower,
}

/// Removes a flight from the map when its task ends, also on panic or cancellation.
struct FlightGuard<'a> {
    flights: &'a SingleFlight,
    user: &'a UserId,
    id: u64,
}

impl Drop for FlightGuard<'_> {
    fn drop(&mut self) {
        let users = &self.flights.users;
        if let Some(mut user_flights) = users.get_mut(self.user) {
            user_flights.read.take_if(|flight| flight.id == self.id);
            user_flights
                .rebuild
                .take_if(|rebuild| rebuild.id == self.id);
        }
        users.remove_if(self.user, |_, user_flights| {
            user_flights.read.is_none() && user_flights.rebuild.is_none()
        });
    }
}
