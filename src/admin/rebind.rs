//! Rebinding a login to another account.

use std::fmt;

use crate::admin::ask;
use crate::admin::words::identity;
use crate::config::Auth;
use crate::owners::{AccountIdentity, OwnerError, OwnerFile, spellings};
use crate::store::{BlobKey, BlobStore, Put, PutIf, PutOutcome, StoreError, StoreResponse};
use crate::user::UserId;

/// The result of a rebind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebindReport {
    /// The former account; `None` if the login had none, or its `owner.json` was damaged.
    pub before: Option<AccountIdentity>,
    /// The present account's GitHub id.
    pub number: u64,
    /// Whether `owner.json` was written; not if it named this account already.
    pub written: bool,
}

/// Why the login was not rebound.
#[derive(Debug, thiserror::Error)]
pub enum RebindError {
    /// A storage request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The login has no `owner.json`: no account has signed in by it.
    #[error(
        "{0} has no owner.json, so the first account to sign in by that login gets it; to name the account now, add --create"
    )]
    NoOwner(UserId),
    /// The login's folder is spelled in another letter case.
    #[error("this login's folder is spelled {0}: use that spelling")]
    Spelling(UserId),
    /// Accounts of this sign-in provider have no numbers.
    #[error(
        "behind {0}, owner.json holds the provider's id, which is no number: there is nothing to rebind"
    )]
    NoNumbers(String),
    /// A newer version of the service wrote `owner.json`.
    #[error("a newer version of the service wrote owner.json: use that version")]
    Newer,
    /// `owner.json` was changed between the read and the write.
    #[error("owner.json was changed in between: check it, and try again")]
    Changed,
}

/// One line: the account before and after.
impl fmt::Display for RebindReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self
            .before
            .as_ref()
            .map_or("no account".to_owned(), identity);
        match self.written {
            true => write!(f, "{before} -> GitHub account {}", self.number),
            false => write!(f, "{before}, as before"),
        }
    }
}

/// When and how `owner.json` takes effect with these sign-in settings, as a sentence for the operator.
///
/// # Errors
/// [`RebindError::NoNumbers`] behind a provider that isn't GitHub.
pub fn owner_file_effect(auth: &Auth) -> Result<&'static str, RebindError> {
    match auth {
        Auth::Dev { .. } => Ok(
            "There is no sign-in here (dev), so owner.json isn't read; it takes effect where people sign in.",
        ),
        Auth::EasyAuth { provider, .. } if !provider.eq_ignore_ascii_case("github") => {
            Err(RebindError::NoNumbers(provider.clone()))
        }
        Auth::GitHub { .. } | Auth::EasyAuth { .. } => Ok(
            "Each running instance accepts the former account for at most 10 more minutes; if no request comes in that \
             time, it accepts the one request that triggers the next check, but none after 20 minutes. It accepts \
             the new account within 30 seconds.",
        ),
    }
}

/// Writes another GitHub account's number into a user's `owner.json`, on condition that the file is still as it
/// was read. A damaged file, which locks everyone out, is replaced.
///
/// # Errors
/// [`RebindError::NoOwner`] without an `owner.json`, unless `create` is set; [`RebindError::Spelling`] if the
/// login's folder has another letter case.
pub async fn rebind(
    store: &dyn BlobStore,
    user: &UserId,
    number: u64,
    create: bool,
) -> Result<RebindReport, RebindError> {
    let key = BlobKey::owner(user);
    let StoreResponse { value: found, date } = ask::get(store, &key).await?;
    if found.is_none() {
        let folders = ask::with_timeout("list", key.path(), spellings(store, user)).await?;
        // Otherwise a second folder would be made for the same login.
        if !folders.contains(user)
            && let Some(other) = folders.into_iter().next()
        {
            return Err(RebindError::Spelling(other));
        }
    }
    let now = AccountIdentity::GitHub { number };
    let (before, file, condition) = match &found {
        None if !create => return Err(RebindError::NoOwner(user.clone())),
        None => (None, OwnerFile::new(now.clone(), date), PutIf::Absent),
        Some(blob) => {
            let condition = PutIf::Same(blob.etag.clone());
            match OwnerFile::parse(&blob.bytes) {
                Ok(file) => {
                    let before = Some(file.identity.clone());
                    (before, file.with_identity(now.clone()), condition)
                }
                Err(OwnerError::NewerFormat) => return Err(RebindError::Newer),
                Err(_) => (None, OwnerFile::new(now.clone(), date), condition),
            }
        }
    };
    let written = before.as_ref() != Some(&now);
    if written && !put(store, &key, &file, condition).await? {
        return Err(RebindError::Changed);
    }
    Ok(RebindReport {
        before,
        number,
        written,
    })
}

/// Writes the file. Returns whether it is stored now.
async fn put(
    store: &dyn BlobStore,
    key: &BlobKey,
    file: &OwnerFile,
    condition: PutIf,
) -> Result<bool, StoreError> {
    let bytes = file.to_bytes();
    let put = Put {
        bytes: bytes.clone().into(),
        ..Put::default()
    };
    let call = store.put(key, put, condition);
    match ask::with_timeout("put", key.path(), call).await?.value {
        PutOutcome::Done(_) => Ok(true),
        // The first answer may have been lost: a retried PUT fails on its own success.
        PutOutcome::Refused => {
            let there = ask::get(store, key).await?.value;
            Ok(there.is_some_and(|blob| blob.bytes == bytes))
        }
    }
}
