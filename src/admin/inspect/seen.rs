//! Reading everything that is stored for a user.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::OptionFuture;
use futures::stream::{self, StreamExt};

use crate::admin::storage::{CONCURRENT_READS, names};
use crate::codex::{PartitionedListing, non_file_record, partition_listing, unreadable_record};
use crate::owners::spellings;
use crate::shared_cache::{NoAnswer, SharedReply, SharedSnapshots};
use crate::store::{
    Blob, BlobKey, BlobStore, BlobStoreExt, GetIf, ListedBlob, Prefix, StoreError, StoreResponse,
    WriteIds,
};
use crate::task::{FileName, FileRecord, TaskTable, is_task_file_candidate};
use crate::user::UserId;

/// The result of reading one blob.
pub type FoundBlob = Result<Option<Blob>, StoreError>;

/// Everything that is stored for a user, as far as it could be read.
pub struct SeenUser {
    /// The user.
    pub user: UserId,
    /// The storage's clock (`Date`) when the state was read.
    pub date: Option<DateTime<Utc>>,
    /// `state.json`.
    pub state: FoundBlob,
    /// The artifact.
    pub artifact: FoundBlob,
    /// What the shared cache has; `None` without one.
    pub shared: Option<Result<SharedReply, NoAnswer>>,
    /// `owner.json`.
    pub owner: FoundBlob,
    /// `git.json`.
    pub git: FoundBlob,
    /// The hint in the queue.
    pub hint: FoundBlob,
    /// The task files.
    pub raw: Result<SeenFiles, StoreError>,
    /// Folders of the login in another letter case, and the `owner.json` in each.
    pub spellings: Result<Vec<(UserId, Option<Blob>)>, StoreError>,
    /// The blobs below `state/{user}/` and `artifacts/{user}/`.
    pub paths: Result<Vec<String>, StoreError>,
    /// The state blob was written while everything else was read.
    pub state_changed: bool,
}

/// The task files.
#[derive(Default)]
pub struct SeenFiles {
    /// Those that could be read, and those that are known to be unreadable.
    pub table: TaskTable,
    /// Each file's write ids, by name.
    pub writes: BTreeMap<String, WriteIds>,
    /// Files that aren't `.md`.
    pub others: usize,
    /// Files whose read failed, by name.
    pub failed: BTreeMap<String, StoreError>,
}

/// Reads everything: the state first and again last, to detect a write in between.
pub async fn look(
    store: &dyn BlobStore,
    shared: Option<&dyn SharedSnapshots>,
    user: &UserId,
) -> SeenUser {
    let shared = OptionFuture::from(shared.map(|shared| shared.look_up(user)));
    let key = BlobKey::state(user);
    let (state, date) = match store.get(&key, GetIf::Any).await {
        Ok(StoreResponse { value, date }) => (Ok(value.into_blob()), Some(date)),
        Err(error) => (Err(error), None),
    };
    let (artifact, shared, owner, git, hint, raw, paths, spellings) = tokio::join!(
        read(store, BlobKey::artifact(user)),
        shared,
        read(store, BlobKey::owner(user)),
        read(store, BlobKey::git(user)),
        read(store, BlobKey::hint(user)),
        task_files(store, user),
        paths(store, user),
        other_spellings(store, user),
    );
    let again = store.read(&key).await;
    let etag = |blob: &Option<Blob>| blob.as_ref().map(|it| it.etag.clone());
    let state_changed = match (&state, &again) {
        (Ok(before), Ok(after)) => etag(before) != etag(after),
        _ => false,
    };
    SeenUser {
        user: user.clone(),
        date,
        state,
        artifact,
        shared,
        owner,
        git,
        hint,
        raw,
        spellings,
        paths,
        state_changed,
    }
}

async fn read(store: &dyn BlobStore, key: BlobKey) -> FoundBlob {
    store.read(&key).await
}

async fn other_spellings(
    store: &dyn BlobStore,
    user: &UserId,
) -> Result<Vec<(UserId, Option<Blob>)>, StoreError> {
    let mut others = vec![];
    for other in spellings(store, user).await? {
        if other != *user {
            let owner = read(store, BlobKey::owner(&other)).await?;
            others.push((other, owner));
        }
    }
    Ok(others)
}

async fn paths(store: &dyn BlobStore, user: &UserId) -> Result<Vec<String>, StoreError> {
    let mut paths = vec![];
    for prefix in [Prefix::state(user), Prefix::artifacts(user)] {
        let names = names(store, &prefix).await?.into_iter();
        paths.extend(names.map(|name| format!("{prefix}{name}")));
    }
    Ok(paths)
}

async fn task_files(store: &dyn BlobStore, user: &UserId) -> Result<SeenFiles, StoreError> {
    let listing = store.list(&Prefix::raw(user)).await?.value;
    let is_other = |blob: &&ListedBlob| !is_task_file_candidate(&blob.name);
    let others = listing.blobs.iter().filter(is_other).count();
    let PartitionedListing { known, unknown, .. } = partition_listing(listing, None);
    let fetch = |name: FileName| async move {
        let found = read(store, BlobKey::task(user, &name)).await;
        (name, found)
    };
    let fetched = stream::iter(unknown).map(fetch);
    let fetched: Vec<_> = fetched.buffer_unordered(CONCURRENT_READS).collect().await;
    let (mut records, mut writes, mut failed) = (known, BTreeMap::new(), BTreeMap::new());
    for (name, found) in fetched {
        match found {
            Ok(Some(blob)) => {
                records.push(FileRecord::of(&name, blob.etag.as_str(), &blob.bytes));
                writes.insert(name.to_string(), blob.writes);
            }
            // It was deleted after the listing.
            Ok(None) => {}
            Err(StoreError::NotAFile { .. }) => records.push(non_file_record(&name)),
            Err(StoreError::Unreadable { .. }) => records.push(unreadable_record(&name)),
            Err(error) => drop(failed.insert(name.to_string(), error)),
        }
    }
    Ok(SeenFiles {
        table: TaskTable::new(records),
        writes,
        others,
        failed,
    })
}
