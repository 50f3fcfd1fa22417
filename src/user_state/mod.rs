//! The state document of each user, by which all instances agree, and the protocol around it.
//!
#![doc = include_str!("README.md")]

mod commit;
mod document;
mod gc;
mod legacy_counter;
mod mutation;
mod recovery;
mod resolution;
mod state_store;
mod states;
mod transition;

pub use commit::{CommitQueue, CommitQueues, CommittedCommand, SwapStep, decide_swap, has_landed};
pub use document::{
    ChangeKind, CommitError, FilesDigest, IdempotencyRecord, LegacyNextId, MergedFile, NewerFormat,
    PendingFile, PendingOp, ReadError, RemovedFile, State, StatePresence, StoredState,
    UnknownMembers, Version,
};
pub use gc::{GarbageCollected, may_be_old_tombstone, names_to_keep};
pub use legacy_counter::{raise_legacy_counter, read_legacy_counter};
pub use mutation::Mutation;
pub use recovery::{Recovered, Recovery};
pub use resolution::{
    FileResolution, ObservedFile, ResolutionStep, TOMBSTONE_WRITE_ID, decide_resolution,
};
pub use state_store::{KnownStates, StateResponse, StateStore, StorageClock};
pub use states::UserStates;
pub use transition::{
    CommandResult, CreateIntent, FilesIntent, KeyHashes, NumbersInUse, StateCommand,
};
