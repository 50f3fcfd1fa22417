//! PURE. What a listing of the task files says: which have to be fetched, which were changed by other programs
//! (src/cache/README.md, "Foreign files"), and the records of those that can't be read or aren't worth fetching.

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::rules::Rules;
use crate::store::{ListedBlob, Listing};
use crate::task::{
    FileName, FileRecord, FileView, MAX_FILE_BYTES, Parsed, Problem, ProblemCode, TaskTable,
    is_task_file_candidate,
};
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
    let has_unknown = listed.has_unknown_writer && !rules.breaks(Mutation::ForeignUnknown);
    let Some(stored) = state.stored() else {
        return earlier || has_unknown;
    };
    let state = &stored.state;
    // If the version was made for exactly these files, every instance that is exact at it has them.
    let made_for = state.files.as_ref();
    if let Some(made_for) = made_for.filter(|it| state.is_quiescent_at(it.version)) {
        return made_for.digest != digest_of(&listed.table);
    }
    // The service itself didn't change files that differ from a table that is exact at this very version.
    let differs = |table: &Arc<TaskTable>| versions(table).ne(versions(&listed.table));
    let is_changed = state.pending.is_empty()
        && known.exact_at == Some(state.version)
        && known.table.as_ref().is_some_and(differs);
    earlier || is_changed || has_unknown
}

/// Names and ETags. Tombstones count as absent.
fn versions(table: &TaskTable) -> impl Iterator<Item = (&str, &str)> {
    let there = table.iter().filter(|file| !file.is_tombstone());
    there.map(|file| (file.name, file.etag))
}

/// Identifies a set of files: SHA-256 of names and ETags, 128 bits in hex. Tombstones count as absent.
pub fn digest_of(table: &TaskTable) -> String {
    let mut hash = Sha256::new();
    for (name, etag) in versions(table) {
        // Neither contains a line break.
        for text in [name, "\n", etag, "\n"] {
            hash.update(text);
        }
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
    let others = listing.others.iter().filter_map(|name| name.parse().ok());
    let others: Vec<FileName> = others.collect();
    let ours = listing.blobs.into_iter();
    let ours: Vec<ListedBlob> = ours.filter(|it| is_task_file_candidate(&it.name)).collect();
    let mut unknown = base.map_or_else(Vec::new, |base| missing(&ours, &others, base));
    let mut known = Vec::with_capacity(ours.len());
    let is_known = |name: &FileName| {
        let known = base.and_then(|base| base.find(name.as_str()));
        known.is_some_and(|known| known.to_record() == non_file_record(name))
    };
    let mut foreign = !others.iter().all(is_known);
    known.extend(others.iter().map(non_file_record));
    for blob in ours {
        let before = base.and_then(|base| base.find(&blob.name));
        match before.filter(|file| is_same(file, &blob)) {
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
    let files = base.iter().filter(|file| !file.is_tombstone());
    let gone = files.filter(|file| !names.contains(file.name));
    gone.filter_map(|file| file.name.parse().ok()).collect()
}

/// The name of a listed file to fetch.
///
/// # Errors
/// The record to use instead, if the name is invalid or the file exceeds [`MAX_FILE_BYTES`].
pub(super) fn fetchable_name(blob: &ListedBlob) -> Result<FileName, Box<FileRecord>> {
    let closed = |code, message| {
        let record = problem(&blob.name, blob.etag.as_str(), code, message);
        Err(Box::new(record))
    };
    match blob.name.parse::<FileName>() {
        Err(error) => closed(ProblemCode::BadFileName, error.to_string()),
        Ok(_) if blob.size > MAX_FILE_BYTES as u64 => {
            let message = "The file is over 1 MiB: make it smaller.";
            closed(ProblemCode::TooLarge, message.to_owned())
        }
        Ok(name) => Ok(name),
    }
}

/// The record of a file without read permission. Its ETag is empty, so each listing fetches it again: restoring the
/// permission changes nothing else about the file.
pub fn unreadable_record(name: &FileName) -> FileRecord {
    let message =
        "The service may not open the file: give it the permission to read it.".to_owned();
    problem(name.as_str(), "", ProblemCode::NotReadable, message)
}

/// The record of something that isn't a file (a folder, a dangling link). Its name is in use: no task can be created
/// there.
pub fn non_file_record(name: &FileName) -> FileRecord {
    let Problem { code, message, .. } = non_file_problem();
    problem(name.as_str(), "", code, message)
}

/// The problem reported for something that isn't a file.
pub fn non_file_problem() -> Problem {
    let message = "This is no file, but a folder, say, or a link that leads nowhere: move it away.";
    Problem {
        line: None,
        code: ProblemCode::NotAFile,
        message: message.to_owned(),
    }
}

fn problem(name: &str, etag: &str, code: ProblemCode, message: String) -> FileRecord {
    FileRecord {
        name: name.to_owned(),
        etag: etag.to_owned(),
        sha: None,
        content: Parsed::Unreadable(Problem {
            line: None,
            code,
            message,
        }),
    }
}
