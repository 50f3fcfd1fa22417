//! Which folder is a person's: GitHub's logins are the same in any letter case, and the names of folders aren't.

use std::collections::BTreeSet;

use super::{Holder, OwnerError, OwnerFile, file};
use crate::store::{BlobStore, Key, Prefix, StoreError};
use crate::user::UserId;

/// What became of looking for somebody's folder.
#[derive(Debug, PartialEq)]
pub(super) enum Folder {
    /// This one, and it is recorded whose it is: theirs, or somebody else's who has the login.
    Recorded(UserId, OwnerFile),
    /// Nobody's by now, if there is one at all.
    Free(UserId),
}

/// Every user's folder, as it is spelled, in the order of its bytes. Two or three requests for every 5,000 users.
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

/// Those there are for a login. As many requests.
///
/// # Errors
/// As the store's.
pub async fn spellings(store: &dyn BlobStore, login: &UserId) -> Result<Vec<UserId>, StoreError> {
    let login = login.folded();
    let folders = folders(store).await?.into_iter();
    Ok(folders.filter(|it| it.folded() == login).collect())
}

/// Looks for the folder of somebody who hasn't one that is spelled as the login is.
pub(super) async fn find(
    store: &dyn BlobStore,
    login: &UserId,
    holder: &Holder,
) -> Result<Folder, OwnerError> {
    let mut found = Vec::new();
    for folder in spellings(store, login).await? {
        let owner = match file::read(store, &Key::owner(&folder)).await {
            Ok(read) => Ok(read.map(|(file, _)| file)),
            Err(error) if error.is_outage() => return Err(error),
            Err(damaged) => Err(damaged),
        };
        found.push((folder, owner));
    }
    choose(login, holder, found)
}

/// What is recorded of a folder: nothing, its owner, or something that can't be read.
type Recorded = Result<Option<OwnerFile>, OwnerError>;

/// Of the folders that there are for the login: theirs, else one of somebody else's, else one that is nobody's; of
/// several the one that is spelled as the login is, else the first. What can't be read may be somebody else's.
fn choose(
    login: &UserId,
    holder: &Holder,
    found: Vec<(UserId, Recorded)>,
) -> Result<Folder, OwnerError> {
    let rank = |(folder, owner): &(UserId, Recorded)| {
        let of = match owner {
            Ok(Some(file)) if file.holder == *holder => 0,
            Ok(Some(_)) | Err(_) => 1,
            Ok(None) => 2,
        };
        (of, folder != login)
    };
    match found.into_iter().min_by_key(rank) {
        Some((folder, owner)) => Ok(match owner? {
            Some(file) => Folder::Recorded(folder, file),
            None => Folder::Free(folder),
        }),
        None => Ok(Folder::Free(login.clone())),
    }
}
