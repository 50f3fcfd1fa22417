//! Where this process keeps state documents while no write is in progress.

use std::sync::Arc;

use super::document::StoredState;
use crate::user::UserId;

/// The state documents that are kept with the snapshots in memory, in a room above.
pub trait KnownStates: Send + Sync {
    /// The newest document known of the user.
    fn newest(&self, user: &UserId) -> Option<Arc<StoredState>>;

    /// Keeps a document that was just written or read, if it is newer, so that the next swap starts from it.
    fn attach(&self, user: &UserId, stored: &Arc<StoredState>);
}
