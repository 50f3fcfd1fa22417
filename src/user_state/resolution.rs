//! PURE. How one file of an overdue write intent is made safe (src/user_state/README.md, "Recovery").

use super::document::{ChangeKind, PendingFile};
use crate::store::{Blob, Put, PutIf, WriteId, WriteIds};
use crate::task::{FileName, Parsed, TOMBSTONE_FILE, parse};

/// The write id of every tombstone, carried on by what replaces it. A file with this id but without a create's own id
/// proves that the create was defeated, whatever the file is now. (After 15 more writes the id is gone, but so is the
/// create: they take longer than a request lives.) No operation is given this id.
pub const TOMBSTONE_WRITE_ID: WriteId = WriteId(0);

/// Result of making a file of an intent safe; that of the whole operation is the greatest of its files'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileResolution {
    /// The write landed, or can't land any more.
    Resolved,
    /// A create or removal that hasn't landed and can't any more: some instance put a tombstone in the create's place, or
    /// something that isn't a file has the name; the file that was to be removed is there, in a new version.
    NoEffect,
    /// The file kept changing or can't be read; the intent stays for a later recovery.
    Unresolved,
}

/// A file as recovery finds it.
#[derive(Debug, Clone)]
pub enum ObservedFile {
    /// A file with this content.
    Blob(Blob),
    /// There is none.
    Absent,
    /// A folder or the like has the name.
    NotAFile,
    /// The store denies reading it.
    Unreadable,
}

/// What recovery does about a file.
#[derive(Debug, Clone)]
pub enum ResolutionStep {
    /// Nothing.
    Done(FileResolution),
    /// Put this, after which the pending write can't land any more; if it is refused, look again.
    Put(Put, PutIf, FileResolution),
}

/// Decides what makes the pending write of `file` safe, given what is in its place.
pub fn decide_resolution(file: &PendingFile, observed: ObservedFile) -> ResolutionStep {
    use FileResolution::{NoEffect, Resolved, Unresolved};
    match (file.kind, observed) {
        (_, ObservedFile::Unreadable) => ResolutionStep::Done(Unresolved),
        // Nothing can land: a create finds its name taken, and an `If-Match` finds its ETag gone for good. A person has
        // to move the thing away, which takes longer than a request lives. There is no file, so a repeated create
        // doesn't make a second one.
        (ChangeKind::Create, ObservedFile::NotAFile) => ResolutionStep::Done(NoEffect),
        (ChangeKind::Update | ChangeKind::Delete, ObservedFile::NotAFile) => {
            ResolutionStep::Done(Resolved)
        }
        (_, ObservedFile::Blob(blob)) if file.has_landed_in(&blob.writes) => {
            ResolutionStep::Done(Resolved)
        }
        (ChangeKind::Update | ChangeKind::Delete, ObservedFile::Absent) => {
            ResolutionStep::Done(Resolved)
        }
        (ChangeKind::Create, ObservedFile::Absent) => {
            ResolutionStep::Put(tombstone(), PutIf::Absent, NoEffect)
        }
        // The create may be about to replace this very tombstone.
        (ChangeKind::Create, ObservedFile::Blob(blob)) if is_tombstone_blob(file, &blob) => {
            ResolutionStep::Put(tombstone(), PutIf::Same(blob.etag), NoEffect)
        }
        (ChangeKind::Create, ObservedFile::Blob(blob))
            if blob.writes.contains(TOMBSTONE_WRITE_ID) =>
        {
            ResolutionStep::Done(NoEffect)
        }
        // Unknowable: an editor may have saved over the created file. Keep the idempotency record, so that a repeated
        // request is answered with the file that is there and doesn't make a second one.
        (ChangeKind::Create, ObservedFile::Blob(_)) => ResolutionStep::Done(Resolved),
        (kind @ (ChangeKind::Update | ChangeKind::Delete), ObservedFile::Blob(blob)) => {
            let Blob {
                bytes,
                etag,
                writes,
            } = blob;
            let resolution = match kind {
                ChangeKind::Delete => NoEffect,
                _ => Resolved,
            };
            ResolutionStep::Put(Put { bytes, writes }, PutIf::Same(etag), resolution)
        }
    }
}

fn is_tombstone_blob(file: &PendingFile, blob: &Blob) -> bool {
    let name = file.name.parse::<FileName>();
    name.is_ok_and(|name| parse(&name, &blob.bytes) == Parsed::Tombstone)
}

fn tombstone() -> Put {
    Put {
        bytes: TOMBSTONE_FILE.into(),
        writes: WriteIds::default().with_newest(TOMBSTONE_WRITE_ID),
    }
}
