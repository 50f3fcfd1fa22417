//! The older service's counter, `nextId.txt`, which is kept at or above the next number where it exists, so that going
//! back to that service stays possible.

use super::commit::CommitQueue;
use super::document::{LegacyNextId, UnknownMembers};
use super::state_store::StateStore;
use crate::now::Now;
use crate::store::{
    BlobKey, BlobStoreExt, Put, PutIf, PutOutcome, Requests, StoreError, StoreResponse,
};
use crate::task::UsedIds;
use crate::user::UserId;

/// `nextId.txt` is written this far ahead of the counter, so that it is written seldom.
const AHEAD: u32 = 100;

/// Attempts to write it, while the older service writes it too.
const ATTEMPTS: u32 = 3;

/// Reads the counter, one request: `None` if there is none, number 0 if the blob holds no number.
pub async fn read_legacy_counter(
    documents: &StateStore,
    user: &UserId,
    requests: &mut Requests,
) -> Result<Option<LegacyNextId>, StoreError> {
    requests.reads += 1;
    let key = BlobKey::legacy_next_id(user);
    let Some(blob) = documents.store.read(&key).await? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&blob.bytes).unwrap_or("").trim();
    let number: u32 = text.parse().unwrap_or_else(|_| {
        tracing::warn!(%user, "nextId.txt holds no number; it is ignored");
        0
    });
    Ok(Some(LegacyNextId {
        number: number.min(UsedIds::ALL),
        etag: blob.etag,
        unknown: UnknownMembers::new(),
    }))
}

/// Raises the counter, if it exists, to at least the next number of the newest state document that `queue` knows.
/// Returns it if the state document has to be updated.
pub async fn raise_legacy_counter(
    documents: &StateStore,
    queue: &CommitQueue,
    now: &Now,
) -> Result<Option<LegacyNextId>, StoreError> {
    let recorded = queue.newest();
    let recorded = recorded.and_then(|it| it.state.legacy_next_id.clone());
    let Some(mut legacy) = recorded.clone() else {
        return Ok(None);
    };
    let key = BlobKey::legacy_next_id(queue.user());
    for _ in 0..ATTEMPTS {
        // Concurrent operations, which leave this write to the present one, may have taken numbers.
        let next_id = queue.newest().map_or(0, |newest| newest.state.next_id);
        if legacy.number >= next_id.min(UsedIds::ALL) {
            break;
        }
        let number = (next_id + AHEAD).min(UsedIds::ALL);
        let put = Put {
            bytes: number.to_string().into(),
            ..Put::default()
        };
        let condition = PutIf::Same(legacy.etag.clone());
        let put = documents.store.put(&key, put, condition);
        let StoreResponse { value, date } = put.await?;
        documents.clock.observe(date, now.later().mono);
        legacy = match value {
            PutOutcome::Done(etag) => LegacyNextId {
                number,
                etag,
                ..legacy
            },
            PutOutcome::Refused => {
                let mut requests = Requests::default();
                match read_legacy_counter(documents, queue.user(), &mut requests).await? {
                    Some(newest) => LegacyNextId {
                        unknown: legacy.unknown,
                        ..newest
                    },
                    None => return Ok(None),
                }
            }
        };
    }
    Ok((Some(&legacy) != recorded.as_ref()).then_some(legacy))
}
