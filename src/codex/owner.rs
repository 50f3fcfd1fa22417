//! Whose account a user's name stands for: a login may be given up and taken by somebody else, who must
//! not find the first one's tasks (SPEC.md 6).

use std::time::{Duration, Instant};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use super::Codex;
use crate::cache::Format;
use crate::now::Now;
use crate::store::{BlobStore, GetIf, Got, Key, Put, PutIf, StoreError, Written};
use crate::user::UserId;

/// Who somebody is for good, whatever they are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Holder {
    /// The number of a GitHub account.
    GitHub {
        /// The number.
        #[serde(rename = "githubId")]
        number: u64,
    },
    /// Somebody whom another provider vouches for.
    Other {
        /// The provider.
        provider: String,
        /// What it calls them, and nobody else ever.
        subject: String,
    },
}

/// Why somebody isn't taken for the user.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OwnerError {
    /// The name belongs to another account.
    #[error("the name belongs to another account")]
    Reassigned,
    /// A newer version of the service wrote whose it is.
    #[error("owner.json has a newer format")]
    NewerFormat,
    /// Whose it is can't be read.
    #[error("owner.json can't be read")]
    Unreadable,
    /// The store couldn't do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store took too long.
    #[error("the store took too long")]
    TimedOut,
}

/// `state/{user}/owner.json`. It is written once and never again, so members that this version doesn't
/// know stay by themselves.
#[derive(Serialize)]
struct Record<'a> {
    format: Format,
    #[serde(flatten)]
    holder: &'a Holder,
}

/// How long an answer of the store is remembered: only an operator changes it.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// How long it is remembered for somebody else, so that an operator who mends it needn't wait.
const REMEMBERED_AGAINST: Duration = Duration::from_secs(30);

/// Users known at once.
const MAX_USERS: u64 = 100_000;

/// The store may take so long before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the store has said.
#[derive(Debug)]
pub(super) struct Owners(Cache<UserId, std::sync::Arc<(Holder, Instant)>>);

impl Default for Owners {
    fn default() -> Self {
        Self(Cache::new(MAX_USERS))
    }
}

impl Owners {
    /// Whether it is known whose the name is, and that it is theirs.
    fn says(&self, user: &UserId, holder: &Holder, now: Now) -> Option<Result<(), OwnerError>> {
        let known = self.0.get(user)?;
        let (of, at) = &*known;
        let age = now.mono.saturating_duration_since(*at);
        match of == holder {
            true if age < REMEMBERED => Some(Ok(())),
            false if age < REMEMBERED_AGAINST => Some(Err(OwnerError::Reassigned)),
            _ => None,
        }
    }
}

impl Codex {
    /// Makes sure that the name is this account's. The first one to ask gets it.
    ///
    /// # Errors
    /// [`OwnerError::Reassigned`] when it is another's; the others when that can't be known.
    pub async fn confirm_owner(
        &self,
        user: &UserId,
        holder: &Holder,
        now: Now,
    ) -> Result<(), OwnerError> {
        if let Some(known) = self.owners.says(user, holder, now) {
            return known;
        }
        // Boxed, so that what is rare doesn't make every request's future larger.
        Box::pin(self.ask_owner(user, holder, now)).await
    }

    async fn ask_owner(&self, user: &UserId, holder: &Holder, now: Now) -> Result<(), OwnerError> {
        let asked = tokio::time::timeout(PATIENCE, recorded(&*self.store, user, holder)).await;
        let of = asked.map_err(|_| OwnerError::TimedOut)??;
        let same = of == *holder;
        self.owners.0.insert(user.clone(), (of, now.mono).into());
        if same {
            return Ok(());
        }
        tracing::warn!(%user, "somebody else's account has this login now");
        Err(OwnerError::Reassigned)
    }
}

/// Whose the name is by the store, where it is written now unless it was before.
async fn recorded(
    store: &dyn BlobStore,
    user: &UserId,
    holder: &Holder,
) -> Result<Holder, OwnerError> {
    let key = Key::owner(user);
    if let Some(of) = read(store, &key).await? {
        return Ok(of);
    }
    let record = Record {
        format: Format::CURRENT,
        holder,
    };
    let put = Put {
        // Strings and a number: nothing in it can fail to serialise.
        bytes: serde_json::to_vec(&record).unwrap_or_default().into(),
        ..Put::default()
    };
    match store.put(&key, put, PutIf::Absent).await?.value {
        Written::Done(_) => Ok(holder.clone()),
        // Another instance was first, or an answer got lost and it was this one.
        Written::Refused => read(store, &key).await?.ok_or(OwnerError::Unreadable),
    }
}

async fn read(store: &dyn BlobStore, key: &Key) -> Result<Option<Holder>, OwnerError> {
    match store.get(key, GetIf::Any).await?.value {
        Got::Blob(blob) => parse(&blob.bytes).map(Some),
        Got::Absent | Got::Unchanged | Got::Changed => Ok(None),
    }
}

/// In doubt nobody: an account that isn't named can't be told from another.
fn parse(bytes: &[u8]) -> Result<Holder, OwnerError> {
    #[derive(Deserialize)]
    struct Head {
        format: Format,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|_| OwnerError::Unreadable)?;
    if head.format.major > Format::CURRENT.major {
        return Err(OwnerError::NewerFormat);
    }
    serde_json::from_slice(bytes).map_err(|_| OwnerError::Unreadable)
}
