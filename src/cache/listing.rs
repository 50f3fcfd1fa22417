//! PURE. What a listing of the task files says: which have to be fetched, and which were changed by other programs
//! (src/cache/README.md, "Foreign files").

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::file_records::{fetchable_name, non_file_record};
use crate::rules::Rules;
use crate::store::{ListedBlob, Listing};
use crate::task::{FileName, FileRecord, FileView, TaskTable, is_task_file_candidate};
use crate::user_state::{Mutation, StatePresence, Version};

/// What is known of a user's files before a listing.
#[derive(Debug, Clone, Default)]
pub struct KnownFiles {
    /// The newest known table: files with the same ETag aren't fetched again.
    pub table: Option<Arc<TaskTable>>,
    /// The version at which the table is exact, if it is.
    pub exact_at: Option<Version>,
    /// Every change up to this version is in the table, and so in every later listing.
    pub lo: Version,
    /// The highest version that this instance has found in memory or in the artifact.
    pub floor: Version,
}

/// What was listed and fetched.
#[derive(Debug, Clone)]
pub struct ListedTable {
    /// The files.
    pub table: Arc<TaskTable>,
    /// Some have no write ids and weren't known.
    pub has_unknown_writer: bool,
}

/// Whether another program changed the listed files, at the version of `state`, which was read before the listing.
/// `earlier`: an earlier listing of the same rebuild has shown that.
pub fn is_foreign(
    state: &StatePresence,
    known: &KnownFiles,
    listed: &ListedTable,
    earlier: bool,
    rules: Rules<Mutation>,
) -> bool {
    let StatePresence::Present(stored) = state else {
        return earlier || listed.has_unknown_writer && !rules.breaks(Mutation::ForeignUnknown);
    };
    let state = &stored.state;
    // If the version was made for exactly these files, every instance that is exact at it has them.
    let made_for = state.files.as_ref();
    if let Some(made_for) = made_for.filter(|it| state.is_quiescent_at(it.version)) {
        return made_for.digest != digest_of(&listed.table);
    }
    // The service itself didn't change files that differ from a table that is exact at this very version.
    let is_changed = state.pending.is_empty()
        && known.exact_at == Some(state.version)
        && known
            .table
            .as_ref()
            .is_some_and(|table| versions(table).ne(versions(&listed.table)));
    earlier || is_changed || listed.has_unknown_writer && !rules.breaks(Mutation::ForeignUnknown)
}

/// Names and ETags. Tombstones count as absent.
fn versions(table: &TaskTable) -> impl Iterator<Item = (&str, &str)> {
    let there = table.iter().filter(|file| !file.is_tombstone());
    there.map(|file| (file.name, file.etag))
}

/// Identifies a set of files: SHA-256 of names and ETags, 128 bits in hex. Tombstones count as absent.
pub fn digest_of(table: &TaskTable) -> String {
    let mut hash = Sha256::new();
    for file in table.iter().filter(|file| !file.is_tombstone()) {
        // Neither names nor ETags contain a line break.
        hash.update(file.name);
        hash.update("\n");
        hash.update(file.etag);
        hash.update("\n");
    }
    let mut hex = format!("{:x}", hash.finalize());
    hex.truncate(32);
    hex
}

/// A listing, split into known files and those to fetch.
#[derive(Debug)]
pub struct PartitionedListing {
    /// Unchanged since the base, or not worth fetching (too large, bad name, not a file).
    pub known: Vec<FileRecord>,
    /// To be fetched.
    pub unknown: Vec<FileName>,
    /// There is a new one that isn't worth fetching; the service never writes such files.
    pub foreign: bool,
}

/// Splits a listing into known records and files to fetch: new or changed ones, and known ones that the listing lacks,
/// because listing a folder can miss a file that a rename is replacing. Names that can't mean a task are ignored.
pub fn partition_listing(listing: Listing, base: Option<&TaskTable>) -> PartitionedListing {
    let others: Vec<FileName> = listing
        .others
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    let ours: Vec<ListedBlob> = listing
        .blobs
        .into_iter()
        .filter(|blob| is_task_file_candidate(&blob.name))
        .collect();
    let mut unknown = base.map_or_else(Vec::new, |base| missing(&ours, &others, base));
    let mut known = Vec::with_capacity(ours.len());
    let is_known = |name: &FileName| {
        let known = base.and_then(|base| base.find(name.as_str()));
        known.is_some_and(|known| known.to_record() == non_file_record(name))
    };
    let mut foreign = !others.iter().all(is_known);
    known.extend(others.iter().map(non_file_record));
    for blob in ours {
        match base
            .and_then(|base| base.find(&blob.name))
            .filter(|file| is_same(file, &blob))
        {
            Some(file) => known.push(file.to_record()),
            None => match fetchable_name(&blob) {
                Ok(name) => unknown.push(name),
                Err(record) => {
                    foreign = true;
                    known.push(*record);
                }
            },
        }
    }
    PartitionedListing {
        known,
        unknown,
        foreign,
    }
}

/// Whether the file is unchanged. An unreadable file has no ETag and never counts as unchanged.
fn is_same(file: &FileView<'_>, blob: &ListedBlob) -> bool {
    file.etag == blob.etag.as_str() && !file.etag.is_empty()
}

/// The files of the base that the listing lacks, without tombstones.
fn missing(listed: &[ListedBlob], others: &[FileName], base: &TaskTable) -> Vec<FileName> {
    let names = listed.iter().map(|blob| blob.name.as_str());
    let names: HashSet<&str> = names.chain(others.iter().map(FileName::as_str)).collect();
    let gone = base
        .iter()
        .filter(|file| !file.is_tombstone() && !names.contains(file.name));
    gone.filter_map(|file| file.name.parse().ok()).collect()
}
