//! Reading everything that is stored for a user.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt};

use crate::admin::ask;
use crate::codex::{fetchable_name, non_file_record, unreadable_record};
use crate::owners::spellings;
use crate::store::{
    Blob, BlobKey, BlobStore, ETag, ListedBlob, Listing, Prefix, StoreError, StoreResponse,
    WriteIds,
};
use crate::task::{FileName, FileRecord, TaskTable, is_task_file_candidate};
use crate::user::UserId;

/// Files that are read concurrently.
const CONCURRENT_READS: usize = 32;

/// The result of a storage read.
pub(super) type ReadResult<T> = Result<T, StoreError>;

/// Everything that is stored for a user, as far as it could be read.
pub(super) struct InspectedUser {
    pub user: UserId,
    /// The storage's clock (`Date`) when the state was read.
    pub date: Option<DateTime<Utc>>,
    pub state: ReadResult<Option<Blob>>,
    pub artifact: ReadResult<Option<Blob>>,
    pub owner: ReadResult<Option<Blob>>,
    pub git: ReadResult<Option<Blob>>,
    pub hint: ReadResult<Option<Blob>>,
    pub raw: ReadResult<RawFiles>,
    /// Folders of the login in another letter case, and the `owner.json` in each.
    pub spellings: ReadResult<Vec<(UserId, Option<Blob>)>>,
    /// Names below `state/{user}/` and `artifacts/{user}/`.
    pub blob_names: ReadResult<(Vec<String>, Vec<String>)>,
    /// The state blob was written while everything else was read.
    pub state_changed: bool,
}

/// The task files.
pub(super) struct RawFiles {
    pub table: TaskTable,
    /// Each file's write ids, by name.
    pub writes: BTreeMap<String, WriteIds>,
    /// Files that aren't `.md`.
    pub others: usize,
    /// Files whose read failed.
    pub failed: Vec<(String, StoreError)>,
}

/// The outcome of reading one file.
enum InspectedFile {
    Record(FileRecord, WriteIds),
    /// It was deleted after the listing.
    Gone,
    Failed(String, StoreError),
}

/// Reads everything: the state first and again last, to detect a write in between.
pub(super) async fn collect_user(store: &dyn BlobStore, user: &UserId) -> InspectedUser {
    let (state, date) = match ask::get(store, &BlobKey::state(user)).await {
        Ok(StoreResponse { value, date }) => (Ok(value), Some(date)),
        Err(error) => (Err(error), None),
    };
    let keys = (
        BlobKey::artifact(user),
        BlobKey::owner(user),
        BlobKey::git(user),
        BlobKey::hint(user),
    );
    let (artifact, owner, git, hint, raw, blob_names, spellings) = tokio::join!(
        blob(store, &keys.0),
        blob(store, &keys.1),
        blob(store, &keys.2),
        blob(store, &keys.3),
        raw(store, user),
        blob_names(store, user),
        other_spellings(store, user),
    );
    let again = ask::get(store, &BlobKey::state(user)).await;
    let state_changed = match (&state, again) {
        (Ok(before), Ok(after)) => version(before.as_ref()) != version(after.value.as_ref()),
        _ => false,
    };
    InspectedUser {
        user: user.clone(),
        date,
        state,
        artifact,
        owner,
        git,
        hint,
        raw,
        spellings,
        blob_names,
        state_changed,
    }
}

fn version(blob: Option<&Blob>) -> Option<&ETag> {
    blob.map(|blob| &blob.etag)
}

async fn blob(store: &dyn BlobStore, key: &BlobKey) -> ReadResult<Option<Blob>> {
    Ok(ask::get(store, key).await?.value)
}

async fn other_spellings(
    store: &dyn BlobStore,
    user: &UserId,
) -> ReadResult<Vec<(UserId, Option<Blob>)>> {
    let found = ask::with_timeout("list", "state/", spellings(store, user)).await?;
    let mut others = vec![];
    for other in found.into_iter().filter(|it| it != user) {
        let owner = blob(store, &BlobKey::owner(&other)).await?;
        others.push((other, owner));
    }
    Ok(others)
}

async fn blob_names(
    store: &dyn BlobStore,
    user: &UserId,
) -> ReadResult<(Vec<String>, Vec<String>)> {
    let names = async |prefix: Prefix| -> ReadResult<Vec<String>> {
        let listed = ask::list(store, &prefix).await?.value.blobs;
        let mut names: Vec<String> = listed.into_iter().map(|it| it.name).collect();
        names.sort();
        Ok(names)
    };
    Ok((
        names(Prefix::state(user)).await?,
        names(Prefix::artifacts(user)).await?,
    ))
}

async fn raw(store: &dyn BlobStore, user: &UserId) -> ReadResult<RawFiles> {
    let Listing {
        blobs: listed,
        others: no_files,
        ..
    } = ask::list(store, &Prefix::raw(user)).await?.value;
    let all = listed.len();
    let ours = listed
        .into_iter()
        .filter(|it| is_task_file_candidate(&it.name));
    let fetched = stream::iter(ours)
        .map(|listed| fetch(store, user, listed))
        .buffer_unordered(CONCURRENT_READS);
    let fetched: Vec<InspectedFile> = fetched.collect().await;
    let others = all - fetched.len();
    let (mut records, mut writes, mut failed) = (vec![], BTreeMap::new(), vec![]);
    for file in fetched {
        match file {
            InspectedFile::Record(record, ids) => {
                writes.insert(record.name.clone(), ids);
                records.push(record);
            }
            InspectedFile::Gone => {}
            InspectedFile::Failed(name, error) => failed.push((name, error)),
        }
    }
    let no_files = no_files.iter().filter_map(|name| name.parse().ok());
    records.extend(no_files.map(|name: FileName| non_file_record(&name)));
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(RawFiles {
        table: TaskTable::new(records),
        writes,
        others,
        failed,
    })
}

async fn fetch(store: &dyn BlobStore, user: &UserId, listed: ListedBlob) -> InspectedFile {
    let name = match fetchable_name(&listed) {
        Ok(name) => name,
        Err(record) => return InspectedFile::Record(*record, WriteIds::default()),
    };
    let Ok(key) = BlobKey::raw(user, name.as_str()) else {
        return InspectedFile::Gone;
    };
    match ask::get(store, &key).await {
        Ok(StoreResponse {
            value: Some(blob), ..
        }) => record(&name, blob),
        Ok(_) => InspectedFile::Gone,
        Err(StoreError::NotAFile { .. }) => {
            InspectedFile::Record(non_file_record(&name), WriteIds::default())
        }
        Err(StoreError::Unreadable { .. }) => {
            InspectedFile::Record(unreadable_record(&name), WriteIds::default())
        }
        Err(error) => InspectedFile::Failed(listed.name, error),
    }
}

fn record(name: &FileName, blob: Blob) -> InspectedFile {
    let record = FileRecord::of(name, blob.etag.as_str(), &blob.bytes);
    InspectedFile::Record(record, blob.writes)
}
