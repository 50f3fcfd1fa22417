//! PURE. How this instance's own snapshot advances by its writes, so that the next read costs nothing
//! (src/user_state/README.md, "The own snapshot").

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::cache::Changed;
use crate::rules::Rules;
use crate::store::ETag;
use crate::task::{FileName, FileRecord, Parsed, TaskTable};
use crate::user_state::{Mutation, Version};

/// Operations of this instance that were acknowledged while one before them wasn't yet, by version.
pub type AcknowledgedOps = BTreeMap<Version, AcknowledgedOp>;

/// One user's acknowledged operations by which the snapshot hasn't advanced yet.
pub(super) type Advances = Mutex<AcknowledgedOps>;

/// An acknowledged operation of this instance.
#[derive(Debug, Clone)]
pub struct AcknowledgedOp {
    /// The files that the operation read or wrote.
    pub files: Vec<AcknowledgedFile>,
    /// Just before its compare-and-swap was sent.
    pub sent: Instant,
    /// When it was acknowledged.
    pub acknowledged: DateTime<Utc>,
}

/// A file that an acknowledged operation read or wrote.
#[derive(Debug, Clone)]
pub struct AcknowledgedFile {
    /// Its name.
    pub name: FileName,
    /// The ETag that the operation found; `None` for no file.
    pub old: Option<ETag>,
    /// The file as the operation wrote it; `None` if it didn't.
    pub new: Option<FileRecord>,
}

/// Takes the operations out of `ops` by which a snapshot of `table` at the version `at` can advance: if it is `exact`,
/// those that follow without a gap, and that found each file as it is in the table with the changes before theirs. `None`
/// if there is none. Operations at or below `at` are dropped.
pub fn advance(
    ops: &mut AcknowledgedOps,
    table: &TaskTable,
    mut at: Version,
    exact: bool,
    rules: Rules<Mutation>,
) -> Option<Changed> {
    ops.retain(|version, _| *version > at);
    if !exact {
        return None;
    }
    let mut changed: BTreeMap<String, FileRecord> = BTreeMap::new();
    let mut last = None;
    while let Some(next) = ops.first_entry() {
        if *next.key() != at.next() && !rules.breaks(Mutation::AdvanceEachOp) {
            break;
        }
        let (version, op) = next.remove_entry();
        let mut files = op.files.iter();
        if !files.all(|file| is_based_on(table, &changed, file)) {
            break;
        }
        at = version;
        last = Some((op.sent, op.acknowledged));
        let written = op.files.into_iter().filter_map(|file| file.new);
        changed.extend(written.map(|file| (file.name.clone(), file)));
    }
    let (sent, acknowledged) = last?;
    Some(Changed {
        version: at,
        files: changed.into_values().collect(),
        sent,
        acknowledged,
    })
}

/// Whether an operation found `file` as it is in `table` with the changes of the operations before it. Otherwise the
/// file contains another change, whose version may be a higher one: versions are in the order of intents, not of PUTs.
fn is_based_on(
    table: &TaskTable,
    changed: &BTreeMap<String, FileRecord>,
    file: &AcknowledgedFile,
) -> bool {
    let old = file.old.as_ref().map(ETag::as_str);
    let in_table = || {
        let known = table.find(file.name.as_str());
        known.filter(|it| !it.is_tombstone()).map(|it| it.etag)
    };
    match changed.get(file.name.as_str()) {
        Some(known) if known.content == Parsed::Tombstone => old.is_none(),
        Some(known) => old == Some(known.etag.as_str()),
        None => old == in_table(),
    }
}
