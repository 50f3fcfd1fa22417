//! Reads and writes of the state document.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::clock::StorageClock;
use super::document::{State, StatePresence, StoredState};
use super::error::ReadError;
use crate::now::Now;
use crate::store::deadline::DeadlineStore;
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
    store: Arc<dyn BlobStore>,
    clock: Arc<StorageClock>,
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
            store: DeadlineStore::wrap(&self.store, limit),
            clock: Arc::clone(&self.clock),
        }
    }

    /// The store that has them.
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    /// The storage clock.
    pub fn clock(&self) -> &StorageClock {
        &self.clock
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
