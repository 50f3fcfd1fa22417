//! Asks the storage, and tries conditional writes on a blob of its own, which is removed again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{ConditionalWrites, Presence, StoreFacts, StoreKind, StrangerAccess};
use crate::store::azure::{AnonymousReader, AzureStore};
use crate::store::deadline::Deadline;
use crate::store::directory::{DirectoryStore, TrialFolder};
use crate::store::{
    BlobKey, BlobStore, BlobStoreExt, DeleteOutcome, Prefix, PutIf, StoreError, StoreResponse,
};

/// What a blob of a trial contains, for who finds one that a killed process has left.
const CONTENT: &str = "codex-miroir doctor wrote this, and it may be deleted.\n";

/// A trial's blob that is older was left by a killed process.
const ABANDONED: TimeDelta = TimeDelta::hours(1);

/// What a trial is given.
#[derive(Debug, Clone, Copy)]
pub struct StorageTrial {
    /// Distinguishes its blob from other trials'.
    pub id: u64,
    /// This machine's clock.
    pub clock: fn() -> DateTime<Utc>,
    /// The time limit of each storage request.
    pub limit: Duration,
}

/// Asks a container of an account. Writes nothing if it would have to be created.
pub async fn look_at_account(
    store: Arc<AzureStore>,
    strangers: &AnonymousReader,
    (name, kind): (String, StoreKind),
    trial: StorageTrial,
) -> StoreFacts {
    let ahead = |date: DateTime<Utc>| (trial.clock)() - date;
    let found = store.has_container().await;
    let mut clock = found.as_ref().ok().map(|it| ahead(it.date));
    let list = strangers.list().await;
    // Also if the credential is refused, perhaps because of the clock.
    let date = list.as_ref().ok().and_then(|it| it.date);
    clock = clock.or(date.map(ahead));
    let mut facts = StoreFacts {
        name,
        kind,
        presence: found.map(|it| match it.value {
            true => Presence::Present,
            false => Presence::Missing,
        }),
        writes: None,
        left: None,
        ahead: clock,
        strangers: Some(StrangerAccess {
            list: list.map(|it| it.status),
            read: None,
        }),
    };
    if !matches!(facts.presence, Ok(Presence::Present)) {
        return facts;
    }
    let store: Arc<dyn BlobStore> = store;
    let store = Deadline::wrap(&store, trial.limit);
    let key = BlobKey::trial(trial.id);
    let mut read = None;
    let writes = try_writes(&*store, &key, Some(strangers), &mut read).await;
    facts.writes = Some(writes);
    facts.left = clean_up(&*store, &key).await;
    if let Some(strangers) = &mut facts.strangers {
        strangers.read = read;
    }
    facts
}

/// Asks a folder. Writes are tried in a folder of its own, on the same disk.
pub async fn look_at_folder(path: &Path, name: String, trial: StorageTrial) -> StoreFacts {
    let mut facts = StoreFacts {
        name,
        kind: StoreKind::Folder,
        presence: presence(path, trial).await,
        writes: None,
        left: None,
        ahead: None,
        strangers: None,
    };
    if facts.presence.is_ok() {
        facts.writes = Some(try_folder(path, trial).await);
    }
    facts
}

async fn presence(path: &Path, trial: StorageTrial) -> Result<Presence, StoreError> {
    if !DirectoryStore::is_initialized(path) {
        return match (path.exists(), path.is_dir()) {
            (false, _) => Ok(Presence::Missing),
            (true, true) => Ok(Presence::Unused),
            (true, false) => Err(StoreError::Denied {
                operation: "open",
                key: path.display().to_string(),
                reason: "it is no folder".to_owned(),
            }),
        };
    }
    let store: Arc<dyn BlobStore> = Arc::new(DirectoryStore::open_to_read(path, trial.clock)?);
    let store = Deadline::wrap(&store, trial.limit);
    for prefix in [Prefix::all_raw(), Prefix::all_state()] {
        store.contents(&prefix).await?;
    }
    Ok(Presence::Present)
}

async fn try_folder(path: &Path, trial: StorageTrial) -> Result<ConditionalWrites, StoreError> {
    let folder = TrialFolder::create(path, (trial.clock)().into())?;
    let store: Arc<dyn BlobStore> = Arc::new(DirectoryStore::open_trial(&folder, trial.clock)?);
    let store = Deadline::wrap(&store, trial.limit);
    try_writes(&*store, &BlobKey::trial(trial.id), None, &mut None).await
}

/// Writes and removes a blob under each condition. While it is there, `strangers` read it.
async fn try_writes(
    store: &dyn BlobStore,
    key: &BlobKey,
    strangers: Option<&AnonymousReader>,
    read: &mut Option<Result<u16, String>>,
) -> Result<ConditionalWrites, StoreError> {
    let write = |condition| store.write(key, CONTENT, condition);
    let Some(first) = write(PutIf::Absent).await? else {
        return Ok(ConditionalWrites::default());
    };
    if let Some(strangers) = strangers {
        *read = Some(strangers.get(key).await.map(|it| it.status));
    }
    let created_again = write(PutIf::Absent).await?.is_some();
    let updated = write(PutIf::Same(first.clone())).await?.is_some();
    let updated_again = write(PutIf::Same(first.clone())).await?.is_some();
    let StoreResponse { value: stale, .. } = store.delete(key, &first).await?;
    let deleted = match store.read(key).await? {
        Some(blob) => store.delete(key, &blob.etag).await?.value,
        None => DeleteOutcome::Absent,
    };
    Ok(ConditionalWrites {
        create: !created_again,
        update: updated && !updated_again,
        delete: stale == DeleteOutcome::Refused && deleted == DeleteOutcome::Done,
    })
}

/// Removes the blob, and those that killed processes have left. Returns the path of the blob if it can't be removed.
async fn clean_up(store: &dyn BlobStore, key: &BlobKey) -> Option<String> {
    let removed = async {
        if let Some(blob) = store.read(key).await? {
            store.delete(key, &blob.etag).await?;
        }
        Ok::<(), StoreError>(())
    };
    let left = removed.await.err().map(|_| key.to_string());
    let swept = async {
        let listed = store.contents(&Prefix::all_state()).await?;
        for blob in listed.value.blobs {
            if blob.name.starts_with(BlobKey::TRIAL)
                && blob.is_older_than(ABANDONED, listed.date)
                && let Some(key) = BlobKey::inside(&Prefix::all_state(), &blob.name)
            {
                store.delete(&key, &blob.etag).await?;
            }
        }
        Ok::<(), StoreError>(())
    };
    // Otherwise the next trial removes them.
    let _ = swept.await;
    left
}
