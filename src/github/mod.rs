//! Git and GitHub: what they say and are told.
//!
//! PURE are [`decide`], [`verify`] and [`parse`], [`TaskTree`] and [`Story`]; [`GitHubRepository`] asks GitHub.
//! Whatever knows GitHub's documents stops here, everybody else sees our own types.

mod accounts;
mod app;
mod merge;
mod message;
mod reconcile;
mod repository;
mod snapshot;
mod transport;
mod tree;
mod webhook;

pub use accounts::{Account, Exchanged, OAuth, SignIn};
pub use merge::{Merged, merge};
pub use message::{Became, Story, message_of_all};
pub use reconcile::{Decision, Side, Sides, decide};
pub use repository::{
    BranchMove, CommitMade, Commits, Committed, Comparison, FileToCommit, FileToPut, Files,
    FilesToCommit, GitHubRepository, Head, HeadSeen, Pull, PullSeen, Pulls, Repository, TreePage,
};
pub use snapshot::GitSnapshot;
pub use transport::{GitHubError, RateLimit, Transport};
pub use tree::{
    EntryKind, MAX_NAME_BYTES, SkipCode, Skipped, TaskTree, TreeEntry, UserTree, is_mirrored,
    other_spelling, too_long,
};
pub use webhook::{BadPayload, BadSignature, Delivery, Push, PushPayload, parse, verify};
