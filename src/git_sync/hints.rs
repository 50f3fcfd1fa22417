//! Hints: a blob in the queue says that a user may have work left (`src/git_sync/README.md`, "Out").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::mutation::GitMutation;
use crate::now::Now;
use crate::rules::Rules;
use crate::store::{
    BlobKey, BlobStore, BlobStoreExt, DeleteOutcome, ETag, Prefix, PutIf, StoreError,
};
use crate::user::UserId;

/// A user's hint, as a write leaves it beside the file: its key, and the time as its content.
pub fn hint(user: &UserId, now: Now) -> (BlobKey, Bytes) {
    (BlobKey::hint(user), now.utc.to_rfc3339().into())
}

/// The queue.
pub(super) struct Hints {
    store: Arc<dyn BlobStore>,
    rules: Rules<GitMutation>,
}

impl Hints {
    pub(super) fn new(store: Arc<dyn BlobStore>, rules: Rules<GitMutation>) -> Self {
        Self { store, rules }
    }

    /// Leaves a hint.
    pub(super) async fn leave(&self, user: &UserId, now: Now) -> Result<(), StoreError> {
        let (key, text) = hint(user, now);
        self.store.write(&key, text, PutIf::Any).await.map(drop)
    }

    /// Leaves a hint unless there is one. Whether it did.
    pub(super) async fn leave_first(&self, user: &UserId, now: Now) -> Result<bool, StoreError> {
        let (key, text) = hint(user, now);
        let written = self.store.write(&key, text, PutIf::Absent).await?;
        Ok(written.is_some())
    }

    /// The ETag of the user's hint.
    pub(super) async fn get(&self, user: &UserId) -> Result<Option<ETag>, StoreError> {
        let found = self.store.read(&BlobKey::hint(user)).await?;
        Ok(found.map(|hint| hint.etag))
    }

    /// Removes this version of the hint. Whether the user has no hint now.
    pub(super) async fn remove(
        &self,
        user: &UserId,
        mut hint: Option<ETag>,
    ) -> Result<bool, StoreError> {
        if self.rules.breaks(GitMutation::HintDeletedUnconditionally) {
            hint = self.get(user).await?;
        }
        let Some(etag) = hint else {
            return Ok(self.get(user).await?.is_none());
        };
        let deleted = self.store.delete(&BlobKey::hint(user), &etag).await?.value;
        Ok(deleted != DeleteOutcome::Refused)
    }

    /// The users with a hint, and how old it is.
    pub(super) async fn list(&self) -> Result<BTreeMap<UserId, Duration>, StoreError> {
        let queue = self.store.list(&Prefix::queue()).await?;
        let hints = queue.value.blobs.iter();
        let ages = hints.filter_map(|it| Some((UserId::parse(&it.name).ok()?, it.age(queue.date))));
        Ok(ages.collect())
    }
}
