//! Storage requests for one task file, with lost answers resolved by the file's write ids (src/user_state/README.md,
//! "Lost answers").

use super::outcome::{Doubt, Readback, WriteOutcome, WrittenFile, decide_delete, decide_put};
use crate::now::Now;
use crate::rules::Rules;
use crate::store::{
    Blob, BlobKey, DeleteOutcome, ETag, GetIf, Put, PutIf, PutOutcome, Requests, StoreError,
    StoreResponse, WriteId,
};
use crate::task::FileName;
use crate::user::UserId;
use crate::user_state::{Mutation, StateStore};

/// The task files of one user during one operation.
#[derive(Clone)]
pub(super) struct TaskFiles {
    pub documents: StateStore,
    pub user: UserId,
    /// When the request arrived.
    pub now: Now,
    /// Storage requests sent so far.
    pub requests: Requests,
    pub rules: Rules<Mutation>,
}

impl TaskFiles {
    pub(super) async fn get(&mut self, name: &FileName) -> Result<Option<Blob>, StoreError> {
        self.requests.reads += 1;
        let key = BlobKey::task(&self.user, name);
        let got = self.documents.store.get(&key, GetIf::Any);
        let StoreResponse { value, date } = got.await?;
        let clock = &self.documents.clock;
        clock.observe(date, self.now.later().mono);
        Ok(value.into_blob())
    }

    /// One conditional PUT with the write id `id`. With `creates`, see [`decide_put`].
    pub(super) async fn put(
        &mut self,
        name: &FileName,
        put: Put,
        condition: PutIf,
        id: WriteId,
        creates: bool,
    ) -> WriteOutcome {
        self.requests.writes += 1;
        let bytes = put.bytes.clone();
        let key = BlobKey::task(&self.user, name);
        let doubt = match self.documents.store.put(&key, put, condition).await {
            Ok(StoreResponse {
                value: PutOutcome::Done(etag),
                ..
            }) => return WriteOutcome::Landed(Some(WrittenFile { etag, bytes })),
            Ok(_) if self.rules.breaks(Mutation::LostAnswerIsConflict) => {
                return WriteOutcome::Conflict;
            }
            Ok(_) => Doubt::Refused,
            Err(error) => error.into(),
        };
        decide_put(doubt, Readback::of(self.get(name).await, id), creates)
    }

    /// Deletes a file if it still has this ETag.
    pub(super) async fn delete(
        &mut self,
        name: &FileName,
        etag: &ETag,
        id: WriteId,
    ) -> WriteOutcome {
        self.requests.writes += 1;
        let key = BlobKey::task(&self.user, name);
        let deleted = self.documents.store.delete(&key, etag).await;
        let doubt = match deleted.map(|response| response.value) {
            Ok(DeleteOutcome::Done) => {
                return WriteOutcome::Landed(Some(WrittenFile::deleted()));
            }
            Ok(DeleteOutcome::Absent) => return WriteOutcome::Gone,
            Ok(DeleteOutcome::Refused) => Doubt::Refused,
            Err(error) => error.into(),
        };
        decide_delete(doubt, &Readback::of(self.get(name).await, id))
    }
}
