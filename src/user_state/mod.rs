//! The state document of each user, by which all instances agree, and the protocol around it.
//!
#![doc = include_str!("README.md")]

mod clock;
mod commit;
mod document;
mod error;
mod gc;
mod known;
mod legacy_counter;
mod mutation;
mod recovery;
mod resolution;
mod state_store;
mod states;
mod transition;

pub use clock::StorageClock;
pub use commit::{CommitQueue, CommitQueues, CommittedCommand, SwapStep, decide_swap, has_landed};
pub use document::{
    ChangeKind, FilesDigest, IdempotencyRecord, LegacyNextId, MergedFile, NewerFormat, PendingFile,
    PendingOp, State, StatePresence, StoredState, UnknownMembers, Version,
};
pub use error::{CommitError, ReadError};
pub use gc::{GarbageCollected, may_be_old_tombstone, names_to_keep};
pub use known::KnownStates;
pub use legacy_counter::{raise_legacy_counter, read_legacy_counter};
pub use mutation::Mutation;
pub use recovery::{Recovered, Recovery};
pub use resolution::{
    FileResolution, ObservedFile, ResolutionStep, TOMBSTONE_WRITE_ID, decide_resolution,
};
pub use state_store::{StateResponse, StateStore};
pub use states::UserStates;
pub use transition::{
    CommandResult, CreateIntent, FilesIntent, KeyHashes, NumbersInUse, StateCommand,
};
