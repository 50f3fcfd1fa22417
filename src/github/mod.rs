//! Git and GitHub: what they say and are told.
//!
//! PURE are [`decide`], [`verify`] and [`parse`], [`TaskTree`] and [`Story`]; [`Repository`] asks GitHub.
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
    CommitMade, Committed, FileToPut, FilesToCommit, Head, HeadSeen, Pull, Repository,
};
pub use snapshot::GitSnapshot;
pub use transport::{Call, GitHubError, RateLimit, Reply, Sender, Transport, segment};
pub use tree::{EntryKind, SkipCode, Skipped, TaskTree, TreeEntry, UserTree};
pub use webhook::{BadPayload, BadSignature, Delivery, Push, PushPayload, parse, verify};
