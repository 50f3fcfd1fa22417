//! The owner records in the store: finding or writing a user's, and ending sessions in it.

use super::decision::{LoginClaim, session_end};
use super::error::OwnerError;
use super::file::{self, AccountIdentity, OwnerFile};
use super::folder::{self, OwnerFolder};
use crate::now::Now;
use crate::store::{Blob, BlobKey, BlobStore, BlobStoreExt, PutIf};
use crate::user::UserId;

/// Attempts of the compare-and-swap of `owner.json`.
const ATTEMPTS: u32 = 5;

/// Finds the user's folder and owner record, writing the record if there is none. `folder` is the folder found the last
/// time, if it isn't spelled as the login is.
pub(super) async fn find_or_record(
    store: &dyn BlobStore,
    claim: &LoginClaim,
    folder: Option<UserId>,
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
        (AccountIdentity::GitHub { .. }, _) => folder::find_folder(store, login, identity).await?,
        (AccountIdentity::Other { .. }, Some((user, file))) => OwnerFolder::Recorded(user, file),
        (AccountIdentity::Other { .. }, None) => OwnerFolder::Free(login.clone()),
    };
    match found {
        OwnerFolder::Recorded(user, file) => Ok((user, file)),
        // The session belongs to an owner record that has been removed since.
        OwnerFolder::Free(_) if claim.session.is_some() => Err(OwnerError::SessionEnded),
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
    for user in folder::spellings(store, &claim.login).await? {
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
