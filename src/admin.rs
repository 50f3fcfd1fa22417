//! What the command line does for an operator.

use crate::store::{BlobStore, GetIf, Got, Key, Prefix, Put, PutIf, StoreError, WriteIds, Written};
use crate::user::UserId;

/// How an import went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Files copied.
    pub copied: usize,
    /// Files that were there already, in whatever version; they stay as they are.
    pub present: usize,
    /// Files whose names no store can have.
    pub skipped: usize,
}

/// Copies a user's files from one store to another, and replaces nothing there.
///
/// Running instances see the files as those of any other writer: within the artifact TTL, or at once
/// with `nocache`.
pub async fn import(
    from: &dyn BlobStore,
    to: &dyn BlobStore,
    user: &UserId,
) -> Result<Imported, StoreError> {
    let mut imported = Imported::default();
    for listed in from.list(&Prefix::raw(user)).await?.value.blobs {
        let Ok(key) = Key::raw(user, &listed.name) else {
            imported.skipped += 1;
            continue;
        };
        let Got::Blob(blob) = from.get(&key, GetIf::Any).await?.value else {
            continue;
        };
        let copy = Put {
            bytes: blob.bytes,
            writes: WriteIds::default(),
        };
        match to.put(&key, copy, PutIf::Absent).await?.value {
            Written::Done(_) => imported.copied += 1,
            Written::Refused => imported.present += 1,
        }
    }
    Ok(imported)
}
