//! The trait of the shared cache.

use std::time::Instant;

use async_trait::async_trait;

use super::clock::ServerTime;
use super::entry::{Published, SharedBody, SharedReply, Stamp};
use crate::user::UserId;
use crate::user_state::Version;

/// The server didn't answer in time, or there is no connection to it. The client logs why, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shared cache is away")]
pub struct Away;

/// Why the server can't be asked, for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Redis can't be asked: {0}")]
pub struct NoAnswer(pub String);

/// What came of a look-up, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupOutcome {
    /// A read was answered from it.
    Hit,
    /// Its snapshot was too old for a read, or lacked what the client had seen, and was the base of the next request.
    Stale,
    /// It has none of the user.
    Miss,
    /// Its snapshot can't be used: damaged, of another format, or its age isn't known.
    Rejected,
}

/// One snapshot per user, and messages to all instances. No method waits longer than a tenth of a second, and none waits
/// at all once the server has failed three times in a row, until it answers in the background again.
#[async_trait]
pub trait SharedCache: Send + Sync {
    /// The earliest that the server's clock can have shown at `moment`; `None` while that isn't known.
    fn time_at(&self, moment: Instant) -> Option<ServerTime>;

    /// The user's snapshot and the server's time, in one round trip.
    ///
    /// # Errors
    /// [`Away`].
    async fn get(&self, user: &UserId) -> Result<SharedReply, Away>;

    /// Offers a snapshot: the server decides by [`decide_replace`](super::decide_replace) whether it keeps what it has.
    /// Without `body` it only says whether it wants it.
    ///
    /// # Errors
    /// [`Away`]; the server may have it even so.
    async fn publish(
        &self,
        user: &UserId,
        stamp: &Stamp,
        body: Option<SharedBody>,
    ) -> Result<Published, Away>;

    /// Tells every instance that the user is at this version. May be lost.
    async fn hint(&self, user: &UserId, version: Version);

    /// Whether other instances' hints have been heard of late, so that a plain read shows their changes at once.
    fn hears(&self) -> bool;

    /// Counts what came of a look-up.
    fn record(&self, outcome: LookupOutcome);
}

/// Users' snapshots, as an operator's commands see them: for a process that doesn't serve.
#[async_trait]
pub trait SharedSnapshots: Send + Sync {
    /// The user's snapshot and the server's time.
    ///
    /// # Errors
    /// [`NoAnswer`].
    async fn look_up(&self, user: &UserId) -> Result<SharedReply, NoAnswer>;

    /// Removes the user's snapshot. Returns whether there was one.
    ///
    /// # Errors
    /// [`NoAnswer`]; it may be gone even so.
    async fn remove(&self, user: &UserId) -> Result<bool, NoAnswer>;
}
