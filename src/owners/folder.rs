//! Finding a user's folder: GitHub logins are case-insensitive, folder names are case-sensitive.

use std::collections::BTreeSet;

use super::error::OwnerError;
use super::file::{self, AccountIdentity, OwnerFile};
use crate::store::{BlobKey, BlobStore, Prefix, StoreError};
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
///
/// # Errors
/// As the store's.
pub async fn folders(store: &dyn BlobStore) -> Result<BTreeSet<UserId>, StoreError> {
    let mut found = BTreeSet::new();
    for prefix in [Prefix::all_raw(), Prefix::all_state()] {
        let folders = store.contents(&prefix).await?.value.folders.into_iter();
        found.extend(folders.filter_map(|it| UserId::parse(&it).ok()));
    }
    Ok(found)
}

/// The folders whose names are `login` in any letter case. Costs what [`folders`] costs.
///
/// # Errors
/// As the store's.
pub async fn spellings(store: &dyn BlobStore, login: &UserId) -> Result<Vec<UserId>, StoreError> {
    let login = login.folded();
    let folders = folders(store).await?.into_iter();
    Ok(folders.filter(|it| it.folded() == login).collect())
}

/// Finds the folder of an account for which the one spelled as its login has no matching owner record.
///
/// # Errors
/// The store's, or [`OwnerError`] of the owner record that would have been chosen.
pub(super) async fn find_folder(
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
