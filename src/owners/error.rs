//! Why an owner can't be confirmed.

use crate::store::StoreError;

/// Why a claim to a user name is denied, or can't be checked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OwnerError {
    /// The name belongs to another account.
    #[error("the name belongs to another account")]
    Reassigned,
    /// The user has signed out since the session began.
    #[error("the session was ended")]
    SessionEnded,
    /// A newer version of the service wrote `owner.json`.
    #[error("owner.json has a newer format")]
    NewerFormat,
    /// `owner.json` can't be parsed.
    #[error("owner.json can't be read")]
    Unreadable,
    /// The store failed, or didn't answer within 10 s.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Each of five compare-and-swaps was lost to another writer.
    #[error("others kept changing owner.json")]
    Contended,
}

impl OwnerError {
    /// Whether the store is unavailable, so that a cached answer may be used instead.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Contended)
    }
}
