//! The write path of one broken rule, which has another order of its requests.

use super::operation::WriteOp;
use super::outcome::WriteOutcome;
use super::request::{ChangeError, ChangeFn, ChangeOutcome, WriteError};
use crate::store::{BlobUpdate, Put, PutIf};
use crate::task::FileName;
use crate::user_state::{ChangeKind, Version};

/// [`Mutation::MarkAfterWrite`](crate::user_state::Mutation): puts the file, then records the intent.
pub(super) async fn write_before_intent<T, E>(
    op: &mut WriteOp,
    name: &FileName,
    decide: &ChangeFn<T, E>,
) -> Result<ChangeOutcome<T>, ChangeError<E>> {
    let write_id = op.write_id();
    let found = op.files.get(name).await.map_err(WriteError::from)?;
    let blob = found.ok_or(ChangeError::Gone(Version(0)))?;
    let (bytes, value, written) = match decide(&blob.bytes) {
        Ok(BlobUpdate::Write(bytes, value)) => (bytes, value, true),
        Ok(BlobUpdate::Keep(value)) => (blob.bytes, value, false),
        Err(refusal) => return Err(ChangeError::Refused(refusal, Version(0))),
    };
    let mut version = Version(0);
    if written {
        let put = Put {
            bytes,
            writes: blob.writes.with_newest(write_id),
        };
        let condition = PutIf::Same(blob.etag);
        let put = op.files.put(name, put, condition, write_id, false).await;
        let WriteOutcome::Landed(_) = put else {
            return Err(WriteError::OutcomeUnknown(version).into());
        };
        let files = vec![(name.clone(), write_id, ChangeKind::Update)];
        let intent = op.record_intent(files, vec![], None).await?;
        version = op.acknowledge(&intent, None).await?;
        op.finish(intent);
    }
    Ok(ChangeOutcome {
        name: name.clone(),
        version,
        value,
        written,
        requests: op.files.requests,
    })
}
