//! What every write needs.

use std::sync::Arc;
use std::time::Duration;

use super::advance::Advances;
use crate::cache::Cache;
use crate::per_user::PerUser;
use crate::rules::Rules;
use crate::store::deadline::DeadlineStore;
use crate::store::{BlobStore, WriteId};
use crate::user_state::{Mutation, UserStates};

/// How long a write waits for its work queue entry.
const HINT_TIMEOUT: Duration = Duration::from_secs(2);

/// The parts that all writes of an instance share.
pub(super) struct WriterParts {
    pub states: UserStates,
    pub cache: Cache,
    pub advances: PerUser<Advances>,
    /// The store for work queue entries, with a short deadline.
    pub hints: Arc<dyn BlobStore>,
}

impl WriterParts {
    pub(super) fn new(states: UserStates, cache: Cache) -> Self {
        Self {
            hints: DeadlineStore::wrap(states.documents.store(), HINT_TIMEOUT),
            advances: PerUser::default(),
            states,
            cache,
        }
    }

    /// The rules that are kept.
    pub(super) fn rules(&self) -> Rules<Mutation> {
        self.cache.settings().rules
    }

    pub(super) fn write_id(&self) -> WriteId {
        WriteId((self.cache.settings().ids)())
    }
}
