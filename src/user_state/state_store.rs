//! Reads and writes of the state document, the storage clock that their responses show, and where this process keeps
//! documents while no write is in progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::document::{ReadError, State, StatePresence, StoredState};
use crate::now::Now;
use crate::store::deadline::Deadline;
use crate::store::{
    BlobKey, BlobStore, GetIf, GetOutcome, Put, PutIf, PutOutcome, Requests, StoreResponse,
};
use crate::user::UserId;

/// A response to a GET of the state document.
#[derive(Debug, Clone)]
pub struct StateResponse {
    /// `None`: not modified (304).
    pub found: Option<StatePresence>,
    /// The storage clock.
    pub date: DateTime<Utc>,
}

/// The state documents in the store, and the storage clock that its responses show. A cheap handle.
#[derive(Clone)]
pub struct StateStore {
    /// The store that has them.
    pub store: Arc<dyn BlobStore>,
    /// The storage clock.
    pub clock: Arc<StorageClock>,
}

impl StateStore {
    /// The documents in `store`.
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self {
            store,
            clock: Arc::default(),
        }
    }

    /// The same documents and clock, with at most `limit` for each request.
    pub fn with_deadline(&self, limit: Duration) -> Self {
        Self {
            store: Deadline::wrap(&self.store, limit),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Reads a user's document, one request.
    ///
    /// # Errors
    /// The store's, or [`ReadError::NewerFormat`].
    pub async fn read(
        &self,
        user: &UserId,
        condition: GetIf,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<StateResponse, ReadError> {
        requests.reads += 1;
        let StoreResponse { value, date } =
            self.store.get(&BlobKey::state(user), condition).await?;
        self.clock.observe(date, now.later().mono);
        let found = match value {
            GetOutcome::Unchanged => None,
            GetOutcome::Absent | GetOutcome::Changed => Some(StatePresence::Missing),
            GetOutcome::Blob(blob) => Some(match State::parse(&blob.bytes)? {
                Some(state) => StatePresence::Present(Arc::new(StoredState {
                    state,
                    etag: blob.etag,
                })),
                None => {
                    tracing::warn!(%user, "the state document is damaged and will be recreated");
                    StatePresence::Damaged(blob.etag)
                }
            }),
        };
        Ok(StateResponse { found, date })
    }

    /// Writes a user's document, one request. Returns it as stored, or `None` if the condition failed.
    ///
    /// # Errors
    /// The store's; the document may have been written even so.
    pub async fn write(
        &self,
        user: &UserId,
        state: State,
        condition: PutIf,
        now: &Now,
        requests: &mut Requests,
    ) -> Result<Option<Arc<StoredState>>, ReadError> {
        let put = Put {
            bytes: state.to_bytes().into(),
            ..Put::default()
        };
        requests.writes += 1;
        let StoreResponse { value, date } = self
            .store
            .put(&BlobKey::state(user), put, condition)
            .await?;
        self.clock.observe(date, now.later().mono);
        Ok(match value {
            PutOutcome::Done(etag) => Some(Arc::new(StoredState { state, etag })),
            PutOutcome::Refused => None,
        })
    }
}

/// The storage clock: the last response's `Date` plus the monotonic time since. Wall clocks of two instances are never
/// compared.
#[derive(Debug, Default)]
pub struct StorageClock {
    last: Mutex<Option<(DateTime<Utc>, Instant)>>,
}

/// `Date` has whole seconds. An estimate is up to a second late rather than early, so that a write intent dated by it
/// never looks overdue too soon when compared with a response's own `Date`.
const WHOLE_SECOND: TimeDelta = TimeDelta::seconds(1);

impl StorageClock {
    /// Records the `Date` of a response that arrived at `moment`. A response that arrived before the one recorded last is
    /// ignored; the `Date` itself may go back.
    pub fn observe(&self, date: DateTime<Utc>, moment: Instant) {
        let mut last = self.last.lock();
        if last.is_none_or(|(_, then)| then <= moment) {
            *last = Some((date, moment));
        }
    }

    /// The storage time at `moment`; `None` before the first response.
    pub fn at(&self, moment: Instant) -> Option<DateTime<Utc>> {
        let last = *self.last.lock();
        last.map(|(date, then)| date + moment.saturating_duration_since(then) + WHOLE_SECOND)
    }
}

/// The state documents that are kept with the snapshots in memory, in a room above.
pub trait KnownStates: Send + Sync {
    /// The newest document known of the user.
    fn newest(&self, user: &UserId) -> Option<Arc<StoredState>>;

    /// Keeps a document that was just written or read, if it is newer, so that the next swap starts from it.
    fn attach(&self, user: &UserId, stored: &Arc<StoredState>);
}
