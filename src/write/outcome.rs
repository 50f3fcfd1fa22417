//! PURE. What came of a conditional write, also when its response was lost (src/user_state/README.md, "Lost answers").

use bytes::Bytes;

use crate::store::{Blob, ETag, StoreError, WriteId};
use crate::task::{FileName, FileRecord, TOMBSTONE_FILE};

/// Outcome of a conditional PUT or DELETE, after a lost answer was resolved as far as possible.
#[derive(Debug, Clone)]
pub enum WriteOutcome {
    /// The write is in the file; with the file as written, unless another write has followed.
    Landed(Option<WrittenFile>),
    /// The file that was to be deleted is gone, by this DELETE or another one.
    Gone,
    /// The condition failed: the write hasn't landed and won't.
    Conflict,
    /// The store denied the write; an earlier attempt of it may still land.
    Denied(StoreError),
    /// The write may have landed or may still land.
    Unknown,
}

/// A file as this instance wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its ETag; empty for a deleted one.
    pub etag: ETag,
    /// Its content.
    pub bytes: Bytes,
}

/// Why the response to a write doesn't tell what came of it.
#[derive(Debug, Clone)]
pub enum Doubt {
    /// The condition failed, perhaps because an earlier attempt of the same request had succeeded: the SDK repeats a
    /// request whose response it didn't get.
    Refused,
    /// The store denied the write; an earlier attempt may have succeeded.
    Denied(StoreError),
    /// There was no response: a write that hasn't landed may still do so.
    Unanswered,
}

/// The file as it was read after a doubtful response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readback {
    /// It has the write; with the file, if that write is the latest one.
    Landed(Option<WrittenFile>),
    /// It doesn't have it.
    NotLanded,
    /// There is no such file.
    Absent,
    /// A folder or the like has the name.
    NotAFile,
    /// It couldn't be read.
    Failed,
}

/// Decides what came of a PUT. With `creates`, a refusal that leaves no file is ambiguous: what the condition met is
/// gone, and may have been this very file, created and then deleted.
pub fn decide_put(doubt: Doubt, readback: Readback, creates: bool) -> WriteOutcome {
    match (doubt, readback) {
        (_, Readback::Landed(written)) => WriteOutcome::Landed(written),
        (_, Readback::Failed) => WriteOutcome::Unknown,
        (Doubt::Refused, Readback::Absent) if creates => WriteOutcome::Unknown,
        (Doubt::Refused, _) => WriteOutcome::Conflict,
        (Doubt::Denied(error), _) => WriteOutcome::Denied(error),
        (Doubt::Unanswered, _) => WriteOutcome::Unknown,
    }
}

/// Decides what came of a DELETE. An absent file counts as deleted, by whomever.
pub fn decide_delete(doubt: Doubt, readback: &Readback) -> WriteOutcome {
    match (doubt, readback) {
        (_, Readback::Absent) => WriteOutcome::Gone,
        (_, Readback::Failed) => WriteOutcome::Unknown,
        (Doubt::Refused, _) => WriteOutcome::Conflict,
        (Doubt::Denied(error), Readback::Landed(_) | Readback::NotLanded) => {
            WriteOutcome::Denied(error)
        }
        (Doubt::Denied(_), Readback::NotAFile) | (Doubt::Unanswered, _) => WriteOutcome::Unknown,
    }
}

impl From<StoreError> for Doubt {
    fn from(error: StoreError) -> Self {
        match error {
            denied @ StoreError::Denied { .. } => Self::Denied(denied),
            _ => Self::Unanswered,
        }
    }
}

impl Readback {
    /// What a GET of the file says about the write `id`.
    pub fn of(found: Result<Option<Blob>, StoreError>, id: WriteId) -> Self {
        match found {
            Ok(Some(blob)) if blob.writes.contains(id) => {
                let is_latest = blob.writes.newest() == Some(id);
                let Blob { etag, bytes, .. } = blob;
                Self::Landed(is_latest.then_some(WrittenFile { etag, bytes }))
            }
            Ok(Some(_)) => Self::NotLanded,
            Ok(None) => Self::Absent,
            Err(StoreError::NotAFile { .. }) => Self::NotAFile,
            Err(_) => Self::Failed,
        }
    }
}

impl WrittenFile {
    /// A deleted file, for this instance's snapshot: like a tombstone it counts as absent.
    pub fn deleted() -> Self {
        Self {
            etag: ETag::new(""),
            bytes: TOMBSTONE_FILE.into(),
        }
    }

    /// The parsed file, for this instance's snapshot.
    pub fn record(&self, name: &FileName) -> FileRecord {
        FileRecord::of(name, self.etag.as_str(), &self.bytes)
    }
}
