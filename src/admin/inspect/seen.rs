//! The look itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt};

use crate::admin::ask;
use crate::codex::{denied, no_file, spellings, to_be_read};
use crate::store::{
    Answer, Blob, BlobStore, ETag, Key, Listed, Listing, Prefix, StoreError, WriteIds,
};
use crate::task::{FileName, FileRecord, TaskTable, is_meant_for_a_task};
use crate::user::UserId;

/// How many files are read at once.
const FETCHES: usize = 32;

/// What became of asking for something.
pub(super) type Found<T> = Result<T, StoreError>;

/// Everything that is there of a user, as far as it could be read.
pub(super) struct Seen {
    pub user: UserId,
    /// The storage's clock when the state was read.
    pub date: Option<DateTime<Utc>>,
    pub state: Found<Option<Blob>>,
    pub artifact: Found<Option<Blob>>,
    pub owner: Found<Option<Blob>>,
    pub git: Found<Option<Blob>>,
    pub hint: Found<Option<Blob>>,
    pub raw: Found<Raw>,
    /// Folders that other spellings of the name have, and the `owner.json` in each.
    pub spellings: Found<Vec<(UserId, Option<Blob>)>>,
    /// Names below `state/{user}/` and `artifacts/{user}/`.
    pub beside: Found<(Vec<String>, Vec<String>)>,
    /// The state blob was written while everything else was read.
    pub moved: bool,
}

/// The task files.
pub(super) struct Raw {
    pub table: TaskTable,
    /// The writes that led to each, by name.
    pub writes: BTreeMap<String, WriteIds>,
    /// Files that aren't `.md`.
    pub others: usize,
    /// Files that couldn't be asked for.
    pub failed: Vec<(String, StoreError)>,
}

/// One file as it was found.
enum Fetched {
    Record(FileRecord, WriteIds),
    /// It has gone since it was listed.
    Gone,
    Failed(String, StoreError),
}

/// Reads everything: the state first and last, so that it is known whether it moved in between.
pub(super) async fn look(store: &dyn BlobStore, user: &UserId) -> Seen {
    let (state, date) = match ask::get(store, &Key::state(user)).await {
        Ok(Answer { value, date }) => (Ok(value), Some(date)),
        Err(error) => (Err(error), None),
    };
    let keys = (
        Key::artifact(user),
        Key::owner(user),
        Key::git(user),
        Key::hint(user),
    );
    let (artifact, owner, git, hint, raw, beside, spellings) = tokio::join!(
        blob(store, &keys.0),
        blob(store, &keys.1),
        blob(store, &keys.2),
        blob(store, &keys.3),
        raw(store, user),
        beside(store, user),
        other_spellings(store, user),
    );
    let again = ask::get(store, &Key::state(user)).await;
    let moved = match (&state, again) {
        (Ok(before), Ok(after)) => version(before.as_ref()) != version(after.value.as_ref()),
        _ => false,
    };
    Seen {
        user: user.clone(),
        date,
        state,
        artifact,
        owner,
        git,
        hint,
        raw,
        spellings,
        beside,
        moved,
    }
}

fn version(blob: Option<&Blob>) -> Option<&ETag> {
    blob.map(|blob| &blob.etag)
}

async fn blob(store: &dyn BlobStore, key: &Key) -> Found<Option<Blob>> {
    Ok(ask::get(store, key).await?.value)
}

async fn other_spellings(
    store: &dyn BlobStore,
    user: &UserId,
) -> Found<Vec<(UserId, Option<Blob>)>> {
    let found = ask::in_time("list", "state/", spellings(store, user)).await?;
    let mut others = vec![];
    for other in found.into_iter().filter(|it| it != user) {
        let owner = blob(store, &Key::owner(&other)).await?;
        others.push((other, owner));
    }
    Ok(others)
}

async fn beside(store: &dyn BlobStore, user: &UserId) -> Found<(Vec<String>, Vec<String>)> {
    let names = async |prefix: Prefix| -> Found<Vec<String>> {
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

async fn raw(store: &dyn BlobStore, user: &UserId) -> Found<Raw> {
    let Listing {
        blobs: listed,
        others: no_files,
        ..
    } = ask::list(store, &Prefix::raw(user)).await?.value;
    let all = listed.len();
    let ours = listed
        .into_iter()
        .filter(|it| is_meant_for_a_task(&it.name));
    let fetched = stream::iter(ours)
        .map(|listed| fetch(store, user, listed))
        .buffer_unordered(FETCHES);
    let fetched: Vec<Fetched> = fetched.collect().await;
    let others = all - fetched.len();
    let (mut records, mut writes, mut failed) = (vec![], BTreeMap::new(), vec![]);
    for file in fetched {
        match file {
            Fetched::Record(record, ids) => {
                writes.insert(record.name.clone(), ids);
                records.push(record);
            }
            Fetched::Gone => {}
            Fetched::Failed(name, error) => failed.push((name, error)),
        }
    }
    let no_files = no_files.iter().filter_map(|name| name.parse().ok());
    records.extend(no_files.map(|name: FileName| no_file(&name)));
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Raw {
        table: TaskTable::new(records),
        writes,
        others,
        failed,
    })
}

async fn fetch(store: &dyn BlobStore, user: &UserId, listed: Listed) -> Fetched {
    let name = match to_be_read(&listed) {
        Ok(name) => name,
        Err(record) => return Fetched::Record(*record, WriteIds::default()),
    };
    let Ok(key) = Key::raw(user, name.as_str()) else {
        return Fetched::Gone;
    };
    match ask::get(store, &key).await {
        Ok(Answer {
            value: Some(blob), ..
        }) => record(&name, blob),
        Ok(_) => Fetched::Gone,
        Err(StoreError::NotAFile { .. }) => Fetched::Record(no_file(&name), WriteIds::default()),
        Err(StoreError::Unreadable { .. }) => Fetched::Record(denied(&name), WriteIds::default()),
        Err(error) => Fetched::Failed(listed.name, error),
    }
}

fn record(name: &FileName, blob: Blob) -> Fetched {
    let record = FileRecord::of(name, blob.etag.as_str(), &blob.bytes);
    Fetched::Record(record, blob.writes)
}
