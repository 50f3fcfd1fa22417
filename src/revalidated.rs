//! A remembered answer: looked at without waiting, renewed by one caller at a time.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::context::in_request_context;

/// What a remembered answer is worth to a caller.
#[derive(Debug)]
pub enum Freshness<T> {
    /// It is used as it is.
    Fresh(T),
    /// It is used, and renewed in the background unless a renewal is running (stale-while-revalidate, RFC 5861).
    Stale(T),
    /// It is used while somebody else renews it; if nobody does, the caller renews it and waits.
    StaleForOthers(T),
    /// There is none to be used: the caller waits for a renewal.
    Expired,
}

impl<T> Freshness<T> {
    /// The answer, unless a caller has to wait.
    pub fn usable(self) -> Option<T> {
        match self {
            Self::Fresh(answer) | Self::Stale(answer) | Self::StaleForOthers(answer) => {
                Some(answer)
            }
            Self::Expired => None,
        }
    }
}

/// Held by a renewal to its end, so that no other one begins.
pub type Flight = OwnedMutexGuard<()>;

/// What is remembered, and the lock that a renewal holds (single flight).
#[derive(Debug, Default)]
pub struct Revalidated<S> {
    state: Mutex<S>,
    flight: Arc<AsyncMutex<()>>,
}

impl<S> Revalidated<S> {
    /// What is remembered. The guard must not be held across an `await`.
    pub fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock()
    }

    /// Waits for a renewal that is running, and keeps others from beginning while the guard lives.
    pub async fn hold(&self) -> Flight {
        Arc::clone(&self.flight).lock_owned().await
    }

    /// The remembered answer by `look`, or what `renew` returns, which also records it in the state. A renewal that is
    /// waited for ends with its caller, unless `renew` spawns it; another caller that waits then begins its own.
    pub async fn get<T, F>(
        &self,
        look: impl Fn(&S) -> Freshness<T>,
        renew: impl FnOnce(Flight) -> F,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let seen = look(&self.state());
        match seen {
            Freshness::Fresh(answer) => answer,
            // Boxed, so that this rare case doesn't enlarge every request's future.
            seen => Box::pin(self.renewed(seen, look, renew)).await,
        }
    }

    async fn renewed<T, F>(
        &self,
        seen: Freshness<T>,
        look: impl Fn(&S) -> Freshness<T>,
        renew: impl FnOnce(Flight) -> F,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let flight = match (Arc::clone(&self.flight).try_lock_owned(), seen.usable()) {
            (Ok(flight), _) => flight,
            (Err(_), Some(answer)) => return answer,
            (Err(_), None) => self.hold().await,
        };
        // Another renewal may have ended since.
        let seen = look(&self.state());
        match seen {
            Freshness::Fresh(answer) => answer,
            Freshness::Stale(answer) => {
                tokio::spawn(in_request_context(renew(flight)));
                answer
            }
            Freshness::StaleForOthers(_) | Freshness::Expired => renew(flight).await,
        }
    }
}
