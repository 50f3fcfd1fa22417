//! Removing a user.
//!
//! Task files go first and by the write protocol, so that running instances show each step of it. Then goes
//! what is known of Git, so that no look at it takes a file that has gone for one to be brought back; then the
//! artifact; then the state, in a version in which nobody was writing and no file was left, so that every
//! instance lists anew when it next looks; and last whose the name is, so that until then nobody else gets
//! in. Each step can be repeated: a deletion that broke off is done again from the start.

mod holdings;
mod removal;
mod text;

use std::time::Duration;

use crate::codex::{Codex, Refusal};
use crate::now::Now;
use crate::store::{BlobStore, StoreError};
use crate::user::UserId;

pub use holdings::{Holdings, holdings};
use removal::Removal;
pub use text::Storage;

/// How often it is looked whether something has come back meanwhile.
const ROUNDS: u32 = 5;

/// What a deletion is to do.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// Whom.
    pub user: UserId,
    /// Also when Git is known to hold files.
    pub despite_git: bool,
    /// How long an op that somebody has begun is waited for: until others may settle it, and a little.
    pub patience: Duration,
    /// When it began.
    pub now: Now,
}

/// What stays after a deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many files were removed, of all kinds.
    pub removed: usize,
    /// Settled files: the janitor takes them when the create that they stand for can't come any more.
    pub settled: usize,
    /// Files whose names no key can have.
    pub odd: Vec<String>,
    /// The user stands in `state/.github.json`.
    pub mirrored: bool,
    /// What lies below `state/{user}/` again: somebody asked for the user meanwhile, who has begun anew with an
    /// empty week.
    pub came_back: Vec<String>,
}

/// Why a deletion broke off. What was removed until then is gone; it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The storage didn't do it.
    #[error("{0}; what is left can be removed by the same command")]
    Store(#[from] StoreError),
    /// The write protocol didn't do it.
    #[error("{}; what is left can be removed by the same command", .0.error)]
    Write(Refusal),
    /// Git is known to hold files, and nobody said that this doesn't matter.
    #[error(
        "git.json says that Git holds {0} of the user's files, which a sync would take again: remove them there first, or say --despite-git"
    )]
    InGit(usize),
    /// A newer version of the service wrote something.
    #[error("a newer version of the service wrote {0}: delete the user with that version")]
    Newer(&'static str),
    /// The storage takes longer for a single file than a mark may stand.
    #[error("the storage is too slow for CODEX_PENDING_EXPIRY_SECONDS; make it longer")]
    TooSlow,
    /// Others kept writing.
    #[error(
        "somebody keeps writing for the user: keep them out (CODEX_ALLOWED_LOGINS), and try again"
    )]
    Contended,
}

/// Removes all that is there of a user. What stays is said.
///
/// `codex` is over the same store, with GitHub mode off: it leaves no hints.
pub async fn delete(
    store: &dyn BlobStore,
    codex: &Codex,
    deletion: &Deletion,
) -> Result<Kept, DeleteError> {
    let found = holdings(store, &deletion.user).await?;
    found.refuse_newer()?;
    if !found.in_git.is_empty() && !deletion.despite_git {
        return Err(DeleteError::InGit(found.in_git.len()));
    }
    let mut removal = Removal::new(store, codex, deletion);
    for _ in 0..ROUNDS {
        if removal.round().await? {
            return Ok(removal.kept);
        }
    }
    Err(DeleteError::Contended)
}
