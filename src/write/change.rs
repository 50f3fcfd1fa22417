//! Changing one file: record the intent and read the file, then PUT the new content with `If-Match`
//! (src/user_state/README.md, "A write").

use std::time::Instant;

use super::advance::AcknowledgedFile;
#[cfg(feature = "mutations")]
use super::broken;
use super::operation::{ATTEMPTS, WriteIntent, WriteOp};
use super::outcome::WriteOutcome;
use super::request::{ChangeError, ChangeFn, ChangeOutcome, WriteError};
use crate::store::{Blob, BlobUpdate, ETag, Put, PutIf, Requests, WriteId};
use crate::task::FileName;
use crate::user_state::{ChangeKind, Mutation, Version};

/// Changes one file as `decide` decides.
pub(super) async fn change<T, E>(
    mut op: WriteOp,
    name: &FileName,
    decide: &ChangeFn<T, E>,
) -> Result<ChangeOutcome<T>, ChangeError<E>>
where
    T: Send,
    E: Send,
{
    let op = &mut op;
    #[cfg(feature = "mutations")]
    if op.parts.rules().breaks(Mutation::MarkAfterWrite) {
        return broken::write_before_intent(op, name, decide).await;
    }
    let mut previous: Option<Attempt> = None;
    for _ in 0..ATTEMPTS {
        let (attempt, found) = record_and_get(op, name, previous.take()).await?;
        match write_once(op, name, decide, &attempt, found).await? {
            Some(outcome) => return Ok(outcome),
            None => previous = Some(attempt),
        }
    }
    let previous = previous.map(|attempt| attempt.intent);
    let version = previous.as_ref().map(|intent| intent.version);
    op.discard(previous);
    Err(ChangeError::Conflict(version.unwrap_or_default()))
}

/// An intent, and the write id of the PUT under it.
struct Attempt {
    intent: WriteIntent,
    write_id: WriteId,
}

/// Decides about the file as it was `found`, and puts it, once. `Ok(None)` if another writer was faster.
async fn write_once<T, E>(
    op: &mut WriteOp,
    name: &FileName,
    decide: &ChangeFn<T, E>,
    Attempt { intent, write_id }: &Attempt,
    found: Option<Blob>,
) -> Result<Option<ChangeOutcome<T>>, ChangeError<E>>
where
    T: Send,
    E: Send,
{
    let Some(blob) = found else {
        op.discard(Some(intent.clone()));
        return Err(ChangeError::Gone(intent.version));
    };
    let (bytes, value) = match decide(&blob.bytes) {
        Ok(BlobUpdate::Write(bytes, value)) => (bytes, value),
        Ok(BlobUpdate::Keep(value)) => {
            let cache = &op.parts.cache;
            cache.raise_acknowledged(&op.user, intent.version);
            op.cancel(intent, unchanged(name, blob));
            return Ok(Some(changed(op, intent.version, value, false)));
        }
        Err(rejection) => {
            op.cancel(intent, unchanged(name, blob));
            return Err(ChangeError::Refused(rejection, intent.version));
        }
    };
    let put = Put {
        bytes,
        writes: blob.writes.with_newest(*write_id),
    };
    let condition = PutIf::Same(blob.etag.clone());
    match op.put(intent, name, put, condition, *write_id, false).await {
        WriteOutcome::Landed(written) => {
            let files = written.map(|written| {
                vec![AcknowledgedFile {
                    name: name.clone(),
                    old: Some(blob.etag),
                    new: Some(written.record(name)),
                }]
            });
            let version = op.acknowledge(intent, files).await?;
            op.finish(intent.clone());
            Ok(Some(changed(op, version, value, true)))
        }
        WriteOutcome::Conflict => Ok(None),
        WriteOutcome::Denied(error) => {
            op.set_denied(intent).await;
            Err(WriteError::from(error).into())
        }
        WriteOutcome::Unknown => Err(WriteError::OutcomeUnknown(intent.version).into()),
    }
}

/// Records the intent and reads the file in a version from before it. Recovery of the intent rewrites the file, so a PUT
/// that names such an ETag fails from then on, however late it arrives and whatever a clock shows.
///
/// If the snapshot knows the file, both requests are sent together, and a version that may have been read too late gets a
/// second intent. After a refused PUT (`previous`) the file is read first and the intent recorded then: the other order
/// would rely on the clock.
async fn record_and_get(
    op: &mut WriteOp,
    name: &FileName,
    previous: Option<Attempt>,
) -> Result<(Attempt, Option<Blob>), WriteError> {
    let rules = op.parts.rules();
    let write_id = op.write_id();
    let known = known_etag(op, name).filter(|_| previous.is_none());
    let (replaced, found) = match known {
        Some(known) => {
            let (intent, found, read_at) = record_while_reading(op, name, write_id).await?;
            if is_from_before(found.as_ref(), &known, read_at, intent.sent)
                || rules.breaks(Mutation::ReadAfterMark)
            {
                return Ok((Attempt { intent, write_id }, found));
            }
            (Some(intent), found)
        }
        None => match (op.files.get(name).await, previous) {
            (Ok(found), Some(previous)) if rules.breaks(Mutation::SecondPutUnderMark) => {
                return Ok((previous, found));
            }
            (Ok(found), previous) => (previous.map(|attempt| attempt.intent), found),
            (Err(error), previous) => {
                op.discard(previous.map(|attempt| attempt.intent));
                return Err(error.into());
            }
        },
    };
    match record_update(op, name, write_id, replaced.as_ref()).await {
        Ok(intent) => Ok((Attempt { intent, write_id }, found)),
        Err(error) => {
            op.discard(replaced);
            Err(error)
        }
    }
}

/// PURE. Whether a file that was read beside the recording of an intent is a version from before it: it is the one that
/// the snapshot knew (`known`), or was there before the intent's swap was sent.
pub fn is_from_before(
    found: Option<&Blob>,
    known: &ETag,
    read_at: Instant,
    intent_sent: Instant,
) -> bool {
    found.is_some_and(|blob| blob.etag == *known) || read_at < intent_sent
}

/// Records the intent and reads the file concurrently. Returns both and when the file had been read.
async fn record_while_reading(
    op: &mut WriteOp,
    name: &FileName,
    write_id: WriteId,
) -> Result<(WriteIntent, Option<Blob>, Instant), WriteError> {
    let mut reader = op.files.clone();
    reader.requests = Requests::default();
    let read = async {
        let found = reader.get(name).await;
        (found, reader.now.later().mono)
    };
    let recording = record_update(op, name, write_id, None);
    let (intent, (found, read_at)) = tokio::join!(recording, read);
    op.files.requests += reader.requests;
    let intent = intent?;
    match found {
        Ok(found) => Ok((intent, found, read_at)),
        Err(error) => {
            op.cancel(&intent, vec![]);
            Err(error.into())
        }
    }
}

async fn record_update(
    op: &mut WriteOp,
    name: &FileName,
    write_id: WriteId,
    replaces: Option<&WriteIntent>,
) -> Result<WriteIntent, WriteError> {
    let files = vec![(name.clone(), write_id, ChangeKind::Update)];
    op.record_intent(files, vec![], replaces).await
}

/// The file's ETag in this instance's snapshot.
fn known_etag(op: &WriteOp, name: &FileName) -> Option<ETag> {
    let snapshot = op.known()?;
    let file = snapshot.table().find(name.as_str())?;
    Some(ETag::new(file.etag))
}

fn changed<T>(op: &WriteOp, version: Version, value: T, written: bool) -> ChangeOutcome<T> {
    ChangeOutcome {
        version,
        value,
        written,
        requests: op.requests(),
    }
}

/// A file that was read and left as it is.
fn unchanged(name: &FileName, blob: Blob) -> Vec<AcknowledgedFile> {
    vec![AcknowledgedFile {
        name: name.clone(),
        old: Some(blob.etag),
        new: None,
    }]
}
