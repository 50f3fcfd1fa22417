//! The parts of the protocol that share one store and one storage clock.

use std::sync::Arc;
use std::time::Duration;

use super::commit::CommitQueues;
use super::mutation::Mutation;
use super::recovery::Recovery;
use super::state_store::{KnownStates, StateStore};
use crate::rules::Rules;
use crate::store::BlobStore;
use crate::store::deadline::CALL_DEADLINE;

/// The state documents of all users, as one instance changes them. A cheap handle.
#[derive(Clone)]
pub struct UserStates {
    /// The documents, without a deadline of their own: a read has one as a whole.
    pub documents: StateStore,
    /// The same documents with a deadline for each request, for what a user's writes wait for.
    pub limited: StateStore,
    /// Changes of the documents.
    pub commits: CommitQueues,
    /// Recovery of write intents.
    pub recovery: Recovery,
}

impl UserStates {
    /// The state documents in `store`, of which this process keeps some in `known`; an intent of age `expiry` is overdue.
    pub fn new(
        store: Arc<dyn BlobStore>,
        known: Arc<dyn KnownStates>,
        expiry: Duration,
        rules: Rules<Mutation>,
    ) -> Self {
        let documents = StateStore::new(store);
        let limited = documents.with_deadline(CALL_DEADLINE);
        let commits = CommitQueues::new(limited.clone(), known, rules);
        Self {
            recovery: Recovery {
                store: Arc::clone(&limited.store),
                commits: commits.clone(),
                expiry,
                rules,
            },
            documents,
            limited,
            commits,
        }
    }
}
