//! PURE. What instances leave in the cache that they share.

use std::borrow::Cow;
use std::cmp::Ordering;

use bytes::Bytes;

use super::clock::ServerTime;
use crate::store::ETag;
use crate::user::UserId;
use crate::user_state::Version;

/// By what two snapshots of a user are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The format of the body; a reader ignores any other than its own.
    pub format: Cow<'static, str>,
    /// The version at which the files are known exactly, with nothing pending.
    pub version: Version,
    /// The ETag of the state document that confirmed it: at one version the document still changes.
    pub etag: ETag,
    /// When the files were listed, or earlier.
    pub listed: ServerTime,
    /// When the state document confirmed them, or earlier: before the request to the store was sent.
    pub confirmed: ServerTime,
}

/// A snapshot's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedBody {
    /// The state document that confirmed it.
    pub state: Bytes,
    /// The parsed files, compressed.
    pub index: Bytes,
}

/// A user's snapshot as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedEntry {
    /// Version and times.
    pub stamp: Stamp,
    /// Contents.
    pub body: SharedBody,
}

/// The server's answer to a look-up.
#[derive(Debug, Clone)]
pub struct SharedReply {
    /// The user's snapshot, if it has one.
    pub entry: Option<SharedEntry>,
    /// The server's clock at that moment.
    pub time: ServerTime,
    /// Of an entry that was confirmed at or before this time the age isn't known ([`ServerClock::suspect`]).
    ///
    /// [`ServerClock::suspect`]: super::ServerClock::suspect
    pub suspect: ServerTime,
}

/// What the server did with a snapshot that it was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It has a newer one.
    Kept,
    /// It has the same; that one counts as confirmed at the later of both times.
    Raised,
    /// It would take it, and wasn't given the body.
    Wanted,
    /// It has taken it.
    Stored,
}

/// Another instance's message: the user is at this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Whose data.
    pub user: UserId,
    /// The version.
    pub version: Version,
    /// When it was sent, or earlier.
    pub sent: ServerTime,
}

/// What to do with a snapshot beside the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplaceStep {
    /// Nothing.
    Keep,
    /// The present one is confirmed at the later of both times.
    Raise,
    /// The new one takes its place.
    Replace,
}

/// Decides between the present snapshot of a user and one that an instance offers, which may have been on its way for
/// long: only a higher version replaces another. At the same version it is another format, a later listing, or a document
/// that was confirmed later.
pub fn decide_replace(present: Option<&Stamp>, new: &Stamp) -> ReplaceStep {
    let Some(present) = present else {
        return ReplaceStep::Replace;
    };
    let is_same = (&present.format, &present.etag) == (&new.format, &new.etag);
    match new.version.cmp(&present.version) {
        Ordering::Less => ReplaceStep::Keep,
        Ordering::Equal if is_same && new.listed <= present.listed => ReplaceStep::Raise,
        Ordering::Equal
            if present.format == new.format
                && present.etag != new.etag
                && new.confirmed <= present.confirmed =>
        {
            ReplaceStep::Keep
        }
        Ordering::Equal | Ordering::Greater => ReplaceStep::Replace,
    }
}
