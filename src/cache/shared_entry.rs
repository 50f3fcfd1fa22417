//! PURE. What an instance leaves in the shared cache, and what another may take from there (src/cache/README.md, "The
//! shared cache").

use std::io::{Read as _, Write as _};
use std::sync::LazyLock;
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::artifact::{self, Artifact, ArtifactRejection, artifact_bytes};
use super::decide::VersionBounds;
use super::settings::CacheSettings;
use super::snapshot::Snapshot;
use crate::rules::Rules;
use crate::shared_cache::{CLOCK_SKEW, ServerTime, SharedBody, SharedEntry, Stamp};
use crate::store::BlobFormat;
use crate::user::UserId;
use crate::user_state::{Mutation, State, StoredState};

/// Format of an entry: that of its fields, and that of the artifact in it.
pub(super) static FORMAT: LazyLock<String> = LazyLock::new(|| {
    let BlobFormat { major, minor } = artifact::FORMAT;
    format!("1 {major}.{minor}")
});

/// An index that is larger once it is unpacked isn't one that this service has written.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// How old an entry is, at the moment that the request for it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryAge {
    /// The time since the state document confirmed it, or more.
    pub confirmed: Duration,
    /// The time since its files were listed, or more.
    pub listed: Duration,
}

/// The age of an entry at `time` by the server's clock; `None` if it can't be told: of another format, stamped in the
/// future, or up to a time that is `suspect`. Another node of the server than the one that told the writer its time may
/// answer, whose clock is behind by up to [`CLOCK_SKEW`].
pub fn entry_age(
    stamp: &Stamp,
    time: ServerTime,
    suspect: ServerTime,
    settings: &CacheSettings,
) -> Option<EntryAge> {
    let rules = settings.rules;
    let skew = match rules.breaks(Mutation::SharedWithoutSkew) {
        true => Duration::ZERO,
        false => CLOCK_SKEW,
    };
    let confirmed = match rules.breaks(Mutation::SharedByWritersBound) {
        true => stamp.confirmed.minus(settings.revalidate),
        false => stamp.confirmed,
    };
    let is_known = stamp.format == *FORMAT && stamp.confirmed.min(stamp.listed) > suspect;
    Some(EntryAge {
        confirmed: time.since(confirmed).filter(|_| is_known)? + skew,
        listed: time.since(stamp.listed)? + skew,
    })
}

/// Whether an entry's contents are whole, and of the format that this version reads.
pub fn is_readable(entry: &SharedEntry, user: &UserId) -> bool {
    entry.stamp.format == *FORMAT && unpack(entry, user, Rules::default()).is_some()
}

/// Why a reader that finds this state document at `time` by the server's clock takes nothing from a readable entry; `None`
/// if it takes it. Without the document, one that was confirmed within the reader's bound may still be its answer.
pub fn entry_rejection(
    stamp: &Stamp,
    time: ServerTime,
    state: &State,
    ttl: Duration,
) -> Option<ArtifactRejection> {
    let listed = time.since(stamp.listed).map(|age| age + CLOCK_SKEW);
    let is_dated = stamp.confirmed <= time && listed.is_some_and(|age| age < ttl);
    match () {
        () if !state.pending.is_empty() => Some(ArtifactRejection::Pending),
        () if stamp.version != state.version => Some(ArtifactRejection::OtherVersion),
        () if !is_dated => Some(ArtifactRejection::Expired),
        () => None,
    }
}

/// Whether a snapshot with these bounds may be left for others: exact, at a state document with nothing pending.
pub fn is_publishable(bounds: &VersionBounds, rules: Rules<Mutation>) -> bool {
    let state = bounds.state.as_ref();
    let quiescent = state.is_some_and(|it| it.state.is_quiescent_at(bounds.hi));
    let inexact = rules.breaks(Mutation::SharedInexact) && state.is_some();
    (bounds.exact && quiescent) || inexact
}

/// The contents for the server; `None` if they can't be packed.
pub(super) fn pack(entry: &Snapshot) -> Option<SharedBody> {
    let stored = entry.bounds.state.as_ref()?;
    let mut packed = DeflateEncoder::new(vec![], Compression::fast());
    packed.write_all(&artifact_bytes(entry)).ok()?;
    Some(SharedBody {
        state: stored.state.to_bytes().into(),
        index: packed.finish().ok()?.into(),
    })
}

/// The contents; `None` if they are damaged, or aren't of this user and version.
pub(super) fn unpack(
    entry: &SharedEntry,
    user: &UserId,
    rules: Rules<Mutation>,
) -> Option<(StoredState, Artifact)> {
    let SharedEntry { stamp, body } = entry;
    let state = State::parse(&body.state).ok()??;
    let mut index = vec![];
    let unpacked = DeflateDecoder::new(&*body.index);
    unpacked
        .take(MAX_INDEX_BYTES)
        .read_to_end(&mut index)
        .ok()?;
    let artifact = Artifact::parse(&index, user)?;
    let is_whole = artifact.built_from == stamp.version
        && (state.is_quiescent_at(stamp.version) || rules.breaks(Mutation::SharedInexact));
    let etag = stamp.etag.clone();
    is_whole.then_some((StoredState { state, etag }, artifact))
}
