//! The owner records in the store: finding or writing a user's, and ending sessions in it. GitHub logins are
//! case-insensitive, folder names are case-sensitive.

use std::collections::BTreeSet;

use super::decision::{LoginClaim, session_end};
use super::file::{self, AccountIdentity, OwnerError, OwnerFile};
use crate::now::Now;
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt, Prefix, PutIf, StoreError};
use crate::user::UserId;

/// Result of looking for the folder of a login.
#[derive(Debug, PartialEq)]
pub enum OwnerFolder {
    /// A folder with an owner record, which may name this account or another one.
    Recorded(UserId, OwnerFile),
    /// No folder has an owner record; this one may exist without or not exist yet.
    Free(UserId),
}

/// All users' folders as they are spelled, in byte order. Two or three storage requests for every 5,000 users.
pub async fn folders(store: &dyn BlobStore) -> Result<BTreeSet<UserId>, StoreError> {
    let mut found = BTreeSet::new();
    for prefix in [Prefix::all_raw(), Prefix::all_state()] {
        let folders = store.contents(&prefix).await?.value.folders.into_iter();
        found.extend(folders.filter_map(|it| UserId::parse(&it).ok()));
    }
    Ok(found)
}

/// The folders whose names are `login` in any letter case. Costs what [`folders`] costs.
pub async fn spellings(store: &dyn BlobStore, login: &UserId) -> Result<Vec<UserId>, StoreError> {
    let login = login.folded();
    let folders = folders(store).await?.into_iter();
    Ok(folders.filter(|it| it.folded() == login).collect())
}

/// Finds the folder of an account for which the one spelled as its login has no matching owner record.
async fn find_folder(
    store: &dyn BlobStore,
    login: &UserId,
    identity: &AccountIdentity,
) -> Result<OwnerFolder, OwnerError> {
    let mut found = Vec::new();
    for folder in spellings(store, login).await? {
        let owner = match file::read(store, &BlobKey::owner(&folder)).await {
            Err(error) if error.is_outage() => return Err(error),
            owner => owner,
        };
        found.push((folder, owner));
    }
    choose_folder(login, identity, found)
}

/// The owner record of a folder: none, a readable one, or one that can't be read.
pub type FolderOwner = Result<Option<OwnerFile>, OwnerError>;

/// Chooses among the folders for a login: first one owned by this account, then one owned by another or unreadable,
/// which may be another's, then one without an owner. Among equals the one spelled as the login wins, else the first.
///
/// # Errors
/// The [`OwnerError`] of the owner record of the chosen folder.
pub fn choose_folder(
    login: &UserId,
    identity: &AccountIdentity,
    found: Vec<(UserId, FolderOwner)>,
) -> Result<OwnerFolder, OwnerError> {
    let rank = |(folder, owner): &(UserId, FolderOwner)| {
        let ownership = match owner {
            Ok(Some(file)) if file.identity == *identity => 0,
            Ok(Some(_)) | Err(_) => 1,
            Ok(None) => 2,
        };
        (ownership, folder != login)
    };
    match found.into_iter().min_by_key(rank) {
        Some((folder, owner)) => Ok(match owner? {
            Some(file) => OwnerFolder::Recorded(folder, file),
            None => OwnerFolder::Free(folder),
        }),
        None => Ok(OwnerFolder::Free(login.clone())),
    }
}

/// Attempts of the compare-and-swap of `owner.json`.
const ATTEMPTS: u32 = 5;

/// What happens to an unowned login that is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unowned {
    /// It is bound to the account, which has just authenticated, unless by a session: that belongs to an owner record which
    /// has been removed since.
    IsBound,
    /// The claim is refused.
    IsRefused,
}

/// Finds the user's folder and owner record, writing the record if there is none and `unowned` says so. `folder` is the folder found the last
/// time, if it isn't spelled as the login is.
pub(super) async fn find_or_record(
    store: &dyn BlobStore,
    claim: &LoginClaim,
    folder: Option<UserId>,
    unowned: Unowned,
    now: Now,
) -> Result<(UserId, OwnerFile), OwnerError> {
    let LoginClaim {
        login, identity, ..
    } = claim;
    let mut owned_by_other = None;
    for user in folder.iter().chain([login]) {
        match file::read(store, &BlobKey::owner(user)).await? {
            Some(file) if file.identity == *identity => return Ok((user.clone(), file)),
            Some(file) => owned_by_other = Some((user.clone(), file)),
            None => {}
        }
    }
    // Logins of other providers are case-sensitive.
    let found = match (identity, owned_by_other) {
        (AccountIdentity::GitHub { .. }, _) => find_folder(store, login, identity).await?,
        (AccountIdentity::Other { .. }, Some((user, file))) => OwnerFolder::Recorded(user, file),
        (AccountIdentity::Other { .. }, None) => OwnerFolder::Free(login.clone()),
    };
    match found {
        OwnerFolder::Recorded(user, file) => Ok((user, file)),
        OwnerFolder::Free(_) if claim.session.is_some() || unowned == Unowned::IsRefused => {
            Err(OwnerError::SessionEnded)
        }
        OwnerFolder::Free(user) => record_owner(store, user, identity, now).await,
    }
}

/// Writes the owner record of a folder, or reads it if there is one by now.
async fn record_owner(
    store: &dyn BlobStore,
    user: UserId,
    identity: &AccountIdentity,
    now: Now,
) -> Result<(UserId, OwnerFile), OwnerError> {
    let key = BlobKey::owner(&user);
    let new = OwnerFile::new(identity.clone(), now.utc);
    let written = store.write(&key, new.to_bytes(), PutIf::Absent).await?;
    if written.is_some() {
        return Ok((user, new));
    }
    // Another instance was faster, or this PUT succeeded and its answer was lost.
    let file = file::read(store, &key).await?;
    Ok((user, file.ok_or(OwnerError::Unreadable)?))
}

/// Ends the account's sessions in each folder for the login that it owns. Returns those folders with their new session
/// generation.
pub(super) async fn end_sessions(
    store: &dyn BlobStore,
    claim: &LoginClaim,
) -> Result<Vec<(UserId, u64)>, OwnerError> {
    let mut ended = vec![];
    for user in spellings(store, &claim.login).await? {
        let key = BlobKey::owner(&user);
        let end = |blob: Option<Blob>| {
            let file = blob.map(|it| OwnerFile::parse(&it.bytes)).transpose()?;
            Ok::<_, OwnerError>(session_end(file, claim))
        };
        let generation = store.update(&key, ATTEMPTS, end).await?;
        if let Some(generation) = generation.ok_or(OwnerError::Contended)? {
            ended.push((user, generation));
        }
    }
    Ok(ended)
}
