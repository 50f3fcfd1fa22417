//! `owner.json`: the account that owns a user name, and the session generation that is valid
//! (src/owners/README.md). And why a claim fails.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::store::{BlobFormat, BlobKey, BlobStore, BlobStoreExt, StoreError};

/// Permanent identity of an account, independent of its login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AccountIdentity {
    /// A GitHub account.
    GitHub {
        /// GitHub's numeric account id.
        #[serde(rename = "githubId")]
        number: u64,
    },
    /// An account of another identity provider.
    Other {
        /// Name of the provider.
        provider: String,
        /// The provider's subject id, which it never assigns again.
        subject: String,
    },
}

/// Name of the session generation, which is incremented at each sign-out.
const SESSION_GENERATION: &str = "sessionGeneration";

/// Content of `owner.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnerFile {
    /// The account that owns the user name.
    pub identity: AccountIdentity,
    /// Sessions of a lower generation are ended. 0 in a file of an earlier version of the service before the first
    /// sign-out.
    pub session_generation: u64,
    /// All members of the file, including those that this version doesn't know.
    members: Map<String, Value>,
}

/// The members that this version reads.
#[derive(Deserialize)]
struct KnownMembers {
    #[serde(flatten)]
    identity: AccountIdentity,
    #[serde(default, rename = "sessionGeneration")]
    session_generation: u64,
}

impl OwnerFile {
    /// A new file. For GitHub accounts, for which the service has sessions, the generation is the Unix time in seconds,
    /// so that no session of an earlier file, since removed, is valid.
    pub fn new(identity: AccountIdentity, now: DateTime<Utc>) -> Self {
        let mut members = Map::new();
        members.insert("format".to_owned(), json!(BlobFormat::CURRENT));
        let session_generation = match &identity {
            AccountIdentity::GitHub { .. } => now.timestamp().unsigned_abs(),
            AccountIdentity::Other { .. } => 0,
        };
        if session_generation > 0 {
            members.insert(SESSION_GENERATION.to_owned(), json!(session_generation));
        }
        let new = Self {
            identity: identity.clone(),
            session_generation,
            members,
        };
        new.with_identity(identity)
    }

    /// Parses the file. Fails closed: without a readable identity access must be denied.
    ///
    /// # Errors
    /// [`OwnerError::Unreadable`] and [`OwnerError::NewerFormat`].
    pub fn parse(bytes: &[u8]) -> Result<Self, OwnerError> {
        let format = BlobFormat::of(bytes).ok_or(OwnerError::Unreadable)?;
        if format.is_read_only() {
            return Err(OwnerError::NewerFormat);
        }
        let unreadable = match format > BlobFormat::CURRENT {
            true => OwnerError::NewerFormat,
            false => OwnerError::Unreadable,
        };
        let record = serde_json::from_slice(bytes);
        let KnownMembers {
            identity,
            session_generation,
        } = record.map_err(|_| unreadable)?;
        let members = serde_json::from_slice(bytes).map_err(|_| OwnerError::Unreadable)?;
        Ok(Self {
            identity,
            session_generation,
            members,
        })
    }

    /// The same file for another account. Unknown members are kept.
    pub fn with_identity(mut self, identity: AccountIdentity) -> Self {
        for member in ["githubId", "provider", "subject"] {
            self.members.remove(member);
        }
        // An object of strings and numbers always serialises.
        if let Ok(Value::Object(members)) = serde_json::to_value(&identity) {
            self.members.extend(members);
        }
        self.identity = identity;
        self
    }

    /// The same file with the next session generation, which ends all present sessions.
    pub fn with_sessions_ended(mut self) -> Self {
        self.session_generation += 1;
        self.members.insert(
            SESSION_GENERATION.to_owned(),
            json!(self.session_generation),
        );
        self
    }

    /// The stored form, JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A map with string keys always serialises.
        serde_json::to_vec(&self.members).unwrap_or_default()
    }
}

pub(super) async fn read(
    store: &dyn BlobStore,
    key: &BlobKey,
) -> Result<Option<OwnerFile>, OwnerError> {
    let blob = store.read(key).await?;
    blob.map(|it| OwnerFile::parse(&it.bytes)).transpose()
}

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
