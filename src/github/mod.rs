//! Git and GitHub: the client for GitHub's API, and the rules for trees, commits, merges and webhooks.
//!
//! PURE (no I/O): [`decide`], [`merge()`], [`verify`], [`parse`], [`TaskTree`] and [`CommitSubject`]. I/O:
//! [`GitHubRepository`], [`Transport`] and [`OAuth`]. GitHub's JSON doesn't leave this module; callers see our types.

mod access;
mod accounts;
mod api_json;
mod app;
mod client;
mod error;
mod merge;
mod message;
mod reconcile;
mod repository;
mod snapshot;
mod transport;
mod tree;
mod webhook;

pub use access::{Hook, RepositoryAccess};
pub use accounts::{Account, AuthorizationRequest, CodeExchange, OAuth};
pub use client::GitHubRepository;
pub use error::GitHubError;
pub use merge::{MergeResult, merge};
pub use message::{CommitSubject, TaskCommitKind, batch_commit_message};
pub use reconcile::{ReconcileAction, ReconcileInput, SideState, decide};
pub use repository::{
    BatchCommit, BatchCommitFile, BranchMove, CommitOutcome, Comparison, CreatedCommit, FileCommit,
    HeadCommit, HeadLookup, Pull, PullStatus, Repository, TreePage,
};
pub use snapshot::GitSnapshot;
pub use transport::{RateLimit, Transport};
pub use tree::{
    EntryKind, MAX_NAME_BYTES, SkipCode, Skipped, TaskTree, TreeEntry, UserTree, is_mirrored,
    name_too_long_message, other_spelling, skipped,
};
pub use webhook::{BadPayload, BadSignature, Delivery, Push, PushPayload, parse, verify};
