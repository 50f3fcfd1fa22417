//! A store backed by a map: the reference that the other stores are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use codex_miroir::store::{
    Blob, BlobKey, BlobStore, DeleteOutcome, ETag, GetIf, GetOutcome, ListedBlob, Listing, Prefix,
    Put, PutIf, PutOutcome, StoreAnswer, StoreError, StoreResponse, WriteId, WriteIds,
};

/// The number of blobs per page on Azure, which determines how many requests a listing costs.
const PAGE: usize = 5_000;

/// Blobs in memory. Clones share them, as instances of the service share a container.
#[derive(Clone)]
pub(crate) struct MemoryStore(Arc<Mutex<Container>>);

struct Container {
    blobs: BTreeMap<String, Blob>,
    /// The time of each blob's last write.
    modified: BTreeMap<String, DateTime<Utc>>,
    /// Paths occupied by something other than a file.
    others: BTreeSet<String>,
    writes: u64,
    now: DateTime<Utc>,
}

impl MemoryStore {
    /// An empty store. Its clock stays at `now` until it is set.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Container {
            blobs: BTreeMap::new(),
            modified: BTreeMap::new(),
            others: BTreeSet::new(),
            writes: 0,
            now,
        })))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.container().now += by;
    }

    /// A write by another program: no condition, no write ids.
    pub(crate) fn foreign_write(&self, path: &str, bytes: &[u8]) -> ETag {
        let put = Put {
            bytes: bytes.to_vec().into(),
            writes: WriteIds::default(),
        };
        self.container().store(path, put)
    }

    /// A write by another instance of the service.
    pub(crate) fn service_write(&self, path: &str, bytes: &[u8]) -> ETag {
        let put = Put {
            bytes: bytes.to_vec().into(),
            writes: WriteIds::default().with_newest(WriteId(1)),
        };
        self.container().store(path, put)
    }

    /// A removal by another program.
    pub(crate) fn foreign_delete(&self, path: &str) -> bool {
        self.container().blobs.remove(path).is_some()
    }

    /// Puts something other than a file at this path, replacing a file if there is one; or removes it again.
    pub(crate) fn obstruct(&self, path: &str, is_there: bool) {
        let mut container = self.container();
        match is_there {
            true => {
                container.blobs.remove(path);
                container.others.insert(path.to_owned());
            }
            false => drop(container.others.remove(path)),
        }
    }

    /// Reads a blob without a storage request.
    pub(crate) fn peek(&self, path: &str) -> Option<Blob> {
        self.container().blobs.get(path).cloned()
    }

    /// All paths, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.container().blobs.keys().cloned().collect()
    }

    fn container(&self) -> MutexGuard<'_, Container> {
        self.0.lock().unwrap()
    }

    fn answer<T>(&self, act: impl FnOnce(&mut Container) -> T) -> StoreAnswer<T> {
        let mut container = self.container();
        let value = act(&mut container);
        Ok(StoreResponse {
            value,
            date: container.now,
        })
    }
}

impl Container {
    fn store(&mut self, path: &str, put: Put) -> ETag {
        self.writes += 1;
        let etag = ETag::new(&format!("0x{:012X}", self.writes));
        let blob = Blob {
            bytes: put.bytes,
            etag: etag.clone(),
            writes: put.writes,
        };
        self.blobs.insert(path.to_owned(), blob);
        self.modified.insert(path.to_owned(), self.now);
        etag
    }

    fn get(&self, path: &str, condition: &GetIf) -> GetOutcome {
        match (self.blobs.get(path), condition) {
            (None, _) => GetOutcome::Absent,
            (Some(blob), GetIf::Changed(known)) if blob.etag == *known => GetOutcome::Unchanged,
            (Some(blob), GetIf::Same(wanted)) if blob.etag != *wanted => GetOutcome::Changed,
            (Some(blob), _) => GetOutcome::Blob(blob.clone()),
        }
    }

    fn put(&mut self, path: &str, put: Put, condition: &PutIf) -> PutOutcome {
        if self.others.contains(path) {
            return PutOutcome::Refused;
        }
        let current = self.blobs.get(path).map(|blob| &blob.etag);
        let holds = match condition {
            PutIf::Any => true,
            PutIf::Absent => current.is_none(),
            PutIf::Same(etag) => current == Some(etag),
        };
        if holds {
            PutOutcome::Done(self.store(path, put))
        } else {
            PutOutcome::Refused
        }
    }

    fn delete(&mut self, path: &str, if_match: &ETag) -> DeleteOutcome {
        if self.others.contains(path) {
            return DeleteOutcome::Refused;
        }
        match self.blobs.get(path) {
            None => DeleteOutcome::Absent,
            Some(blob) if blob.etag != *if_match => DeleteOutcome::Refused,
            Some(_) => {
                self.blobs.remove(path);
                DeleteOutcome::Done
            }
        }
    }

    fn list(&self, prefix: &str) -> Listing {
        let blobs: Vec<ListedBlob> = self
            .blobs
            .iter()
            .filter_map(|(path, blob)| Some((path.strip_prefix(prefix)?, blob)))
            .filter(|(name, _)| !name.contains('/'))
            .map(|(name, blob)| ListedBlob {
                name: name.to_owned(),
                etag: blob.etag.clone(),
                size: blob.bytes.len() as u64,
                modified: self.modified.get(&format!("{prefix}{name}")).copied(),
            })
            .collect();
        let others = self.others.iter().filter_map(|it| it.strip_prefix(prefix));
        let others: Vec<String> = others.map(str::to_owned).collect();
        Listing {
            requests: pages(blobs.len() + others.len()),
            blobs,
            others,
            ..Listing::default()
        }
    }

    fn contents(&self, prefix: &str) -> Listing {
        let below = self.blobs.keys().filter_map(|it| it.strip_prefix(prefix));
        let folders = below.filter_map(|name| Some(name.split_once('/')?.0.to_owned()));
        let (folders, listing): (BTreeSet<_>, _) = (folders.collect(), self.list(prefix));
        Listing {
            requests: pages(folders.len() + listing.blobs.len()),
            folders,
            ..listing
        }
    }
}

fn pages(entries: usize) -> u32 {
    u32::try_from(entries.div_ceil(PAGE).max(1)).unwrap()
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        if self.container().others.contains(key.path()) {
            let key = key.path().to_owned();
            return Err(StoreError::NotAFile { key });
        }
        self.answer(|container| container.get(key.path(), &condition))
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        self.answer(|container| container.put(key.path(), blob, &condition))
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        self.answer(|container| container.delete(key.path(), if_match))
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.answer(|container| container.list(prefix.as_str()))
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        self.answer(|container| container.contents(prefix.as_str()))
    }
}
