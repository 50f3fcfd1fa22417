//! Giving a login to another account.

use std::fmt;

use crate::admin::ask;
use crate::admin::words::holder;
use crate::codex::{Holder, OwnerError, OwnerFile, spellings};
use crate::config::Auth;
use crate::store::{Answer, BlobStore, Key, Put, PutIf, StoreError, Written};
use crate::user::UserId;

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebound {
    /// Whose the login was; nobody's when it hadn't been used, or its `owner.json` couldn't be read.
    pub before: Option<Holder>,
    /// Whose it is now.
    pub number: u64,
    /// Whether anything had to be written.
    pub written: bool,
}

/// Why the login stays whose it is.
#[derive(Debug, thiserror::Error)]
pub enum RebindError {
    /// The storage didn't do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody has signed in by this login.
    #[error(
        "{0} has no owner.json, so the first account to sign in by that login gets in; to say beforehand which one, add --create"
    )]
    NoOwner(UserId),
    /// The login has a folder, which is spelled in another letter case.
    #[error("this login's folder is called {0}: name it so")]
    Spelling(UserId),
    /// Accounts aren't numbers here.
    #[error(
        "behind {0} people are known by the provider's id, which owner.json names already: there is no number to put in"
    )]
    NoNumbers(String),
    /// A newer version of the service wrote it.
    #[error("a newer version of the service wrote owner.json: use that version")]
    Newer,
    /// Somebody else changed it meanwhile.
    #[error("somebody else changed owner.json just now: look at it, and try again")]
    Changed,
}

/// What was done, in words.
impl fmt::Display for Rebound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before.as_ref().map_or("nobody".to_owned(), holder);
        match self.written {
            true => write!(f, "{before} -> GitHub account {}", self.number),
            false => write!(f, "{before}, as before"),
        }
    }
}

/// What `owner.json` means where people are known this way.
///
/// # Errors
/// [`RebindError::NoNumbers`] behind a provider that isn't GitHub.
pub fn meaning(auth: &Auth) -> Result<&'static str, RebindError> {
    match auth {
        Auth::Dev { .. } => Ok(
            "Nobody signs in here (dev), so owner.json isn't looked at; it counts where people do.",
        ),
        Auth::EasyAuth { provider, .. } if !provider.eq_ignore_ascii_case("github") => {
            Err(RebindError::NoNumbers(provider.clone()))
        }
        Auth::GitHub { .. } | Auth::EasyAuth { .. } => Ok(
            "Each running instance takes the former account for at most 10 more minutes, or, unless asked in \
             them, for the one request that makes it look again, and for none after 20; the new one gets in within 30 seconds.",
        ),
    }
}

/// Puts the number of another GitHub account into a user's `owner.json`, if it is still the one that was
/// read. A damaged one, by which nobody is let in, is made anew.
///
/// # Errors
/// [`RebindError::NoOwner`] where there is none, unless it may be created; [`RebindError::Spelling`] where there is
/// one in another letter case.
pub async fn rebind(
    store: &dyn BlobStore,
    user: &UserId,
    number: u64,
    create: bool,
) -> Result<Rebound, RebindError> {
    let key = Key::owner(user);
    let Answer { value: found, date } = ask::get(store, &key).await?;
    if found.is_none() {
        let folders = ask::in_time("list", key.path(), spellings(store, user)).await?;
        // A second one would be made for the login.
        if !folders.contains(user)
            && let Some(other) = folders.into_iter().next()
        {
            return Err(RebindError::Spelling(other));
        }
    }
    let now = Holder::GitHub { number };
    let (before, file, condition) = match &found {
        None if !create => return Err(RebindError::NoOwner(user.clone())),
        None => (None, OwnerFile::new(now.clone(), date), PutIf::Absent),
        Some(blob) => {
            let condition = PutIf::Same(blob.etag.clone());
            match OwnerFile::parse(&blob.bytes) {
                Ok(file) => {
                    let before = Some(file.holder.clone());
                    (before, file.with_holder(now.clone()), condition)
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
    Ok(Rebound {
        before,
        number,
        written,
    })
}

/// Whether the file is there now.
async fn put(
    store: &dyn BlobStore,
    key: &Key,
    file: &OwnerFile,
    condition: PutIf,
) -> Result<bool, StoreError> {
    let bytes = file.to_bytes();
    let put = Put {
        bytes: bytes.clone().into(),
        ..Put::default()
    };
    let call = store.put(key, put, condition);
    match ask::in_time("put", key.path(), call).await?.value {
        Written::Done(_) => Ok(true),
        // A first answer may have got lost, and it was this very write.
        Written::Refused => {
            let there = ask::get(store, key).await?.value;
            Ok(there.is_some_and(|blob| blob.bytes == bytes))
        }
    }
}
