//! Rebinding a login to another account.

use std::fmt;

use chrono::{DateTime, Utc};

use super::error::AdminError;
use super::words::escaped;
use crate::config::Auth;
use crate::owners::{AccountIdentity, OwnerError, OwnerFile, spellings};
use crate::store::{BlobKey, BlobStore, BlobStoreExt, GetIf, PutIf};
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

/// One line: the account before and after.
impl fmt::Display for RebindReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = match &self.before {
            None => "no account".to_owned(),
            Some(AccountIdentity::GitHub { number }) => format!("GitHub account {number}"),
            Some(AccountIdentity::Other { provider, subject }) => {
                escaped(&format!("{subject} of {provider}"))
            }
        };
        match self.written {
            true => write!(f, "{before} -> GitHub account {}", self.number),
            false => write!(f, "{before}, as before"),
        }
    }
}

/// When and how `owner.json` takes effect with these sign-in settings, as a sentence for the operator.
///
/// # Errors
/// [`AdminError::NoNumbers`] behind a provider that isn't GitHub.
pub fn owner_file_effect(auth: &Auth) -> Result<&'static str, AdminError> {
    match auth {
        Auth::Dev { .. } => Ok(
            "There is no sign-in here (dev), so owner.json isn't read; it takes effect where people sign in.",
        ),
        Auth::EasyAuth { provider, .. } if !provider.eq_ignore_ascii_case("github") => {
            Err(AdminError::NoNumbers(provider.clone()))
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
/// [`AdminError::NoOwner`] without an `owner.json`, unless `create` is set; [`AdminError::Spelling`] if the
/// login's folder has another letter case; [`AdminError::Changed`] if another writer was faster.
pub async fn rebind(
    store: &dyn BlobStore,
    user: &UserId,
    number: u64,
    create: bool,
) -> Result<RebindReport, AdminError> {
    let key = BlobKey::owner(user);
    let got = store.get(&key, GetIf::Any).await?;
    let (found, date) = (got.value.into_blob(), got.date);
    if found.is_none() {
        let folders = spellings(store, user).await?;
        // Otherwise a second folder would be made for the same login.
        if !folders.contains(user)
            && let Some(other) = folders.into_iter().next()
        {
            return Err(AdminError::Spelling(other));
        }
        if !create {
            return Err(AdminError::NoOwner(user.clone()));
        }
    }
    let owner = found.as_ref().map(|blob| &*blob.bytes);
    let (report, bytes) = decide(owner, number, date)?;
    let condition = found.map_or(PutIf::Absent, |blob| PutIf::Same(blob.etag));
    if report.written && store.write(&key, bytes.clone(), condition).await?.is_none() {
        // The first answer may have been lost: a retried PUT fails on its own success.
        let there = store.read(&key).await?;
        if there.is_none_or(|blob| blob.bytes != bytes) {
            return Err(AdminError::Changed);
        }
    }
    Ok(report)
}

/// PURE. What a rebind makes of an `owner.json`, and the new file. `date` is the storage's.
///
/// # Errors
/// [`AdminError::NewerOwner`].
pub fn decide(
    found: Option<&[u8]>,
    number: u64,
    date: DateTime<Utc>,
) -> Result<(RebindReport, Vec<u8>), AdminError> {
    let now = AccountIdentity::GitHub { number };
    let (before, file) = match found.map(OwnerFile::parse) {
        Some(Ok(file)) => (Some(file.identity.clone()), file.with_identity(now.clone())),
        Some(Err(OwnerError::NewerFormat)) => return Err(AdminError::NewerOwner),
        Some(Err(_)) | None => (None, OwnerFile::new(now.clone(), date)),
    };
    let written = before.as_ref() != Some(&now);
    let report = RebindReport {
        before,
        number,
        written,
    };
    Ok((report, file.to_bytes()))
}
