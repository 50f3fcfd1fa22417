//! The embedded default: a folder with the container's layout, which several processes and editors may use concurrently
//! (src/store/README.md, "The folder").
//!
//! - A write is a temporary file beside its target, flushed and then renamed over it. Readers need no lock, and
//!   `kill -9` leaves either the old or the new bytes.
//! - Writers of one user's folder are serialised by a lock file, so that a condition still holds when its write takes
//!   effect. Editors don't use the lock; the modules `write` and `read` explain how their saves are handled.
//! - A version is derived from `stat` (time, inode, size), so a listing opens no file.
//! - Write ids are stored in separate files, see the module `sidecar`.

mod error;
mod files;
mod layout;
mod list;
mod lock;
mod read;
mod sidecar;
mod trial;
mod version;
mod watch;
mod write;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

pub use self::trial::TrialFolder;
pub use self::watch::{ChangedPath, FolderWatcher};

use self::error::store_error;
use self::layout::Layout;
use super::blob_store::{
    BlobStore, DeleteOutcome, GetIf, GetOutcome, Listing, Put, PutIf, PutOutcome, StoreAnswer,
    StoreResponse,
};
use super::error::StoreError;
use super::ids::ETag;
use super::key::{BlobKey, Prefix};

/// Blobs as files below one folder.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    layout: Arc<Layout>,
    writer_locks: WriterLocks,
}

/// In-process locks by lock file path. Keeps one small entry for each user who has written.
type WriterLocks = Arc<DashMap<PathBuf, Arc<Mutex<()>>>>;

impl DirectoryStore {
    /// Opens the store at `root`, creating the folder if missing. Later on a missing root is an error, never an empty
    /// store: its disk may not be mounted.
    ///
    /// `clock` is the store's clock: it dates responses and the files written.
    pub fn open(root: &Path, clock: fn() -> DateTime<Utc>) -> Result<Self, StoreError> {
        let store = Self::with_layout(root, Layout::open(root, clock))?;
        let (folders, now) = (store.layout.folders(), store.layout.now());
        // In the background: it visits every file, and nothing depends on it.
        std::thread::spawn(move || folders.iter().for_each(|folder| files::sweep(folder, now)));
        Ok(store)
    }

    /// Opens the store at `root` for reading: creates nothing and deletes no temporary files.
    ///
    /// # Errors
    /// If the store was never opened at this path before.
    pub fn open_to_read(root: &Path, clock: fn() -> DateTime<Utc>) -> Result<Self, StoreError> {
        let missing = match (root.is_dir(), Layout::is_initialized(root)) {
            (true, true) => None,
            (true, false) => Some("the service has never used this folder; is its disk mounted?"),
            (false, _) => Some("there is no such folder"),
        };
        let layout = match missing {
            // Creates nothing, since everything exists.
            None => Layout::open(root, clock),
            Some(reason) => Err(io::Error::new(ErrorKind::NotFound, reason)),
        };
        Self::with_layout(root, layout)
    }

    fn with_layout(root: &Path, layout: io::Result<Layout>) -> Result<Self, StoreError> {
        let layout = layout.map_err(|e| store_error("open", &root.display().to_string(), &e))?;
        Ok(Self {
            layout: Arc::new(layout),
            writer_locks: WriterLocks::default(),
        })
    }

    /// Opens a store in a folder that is removed afterwards.
    pub fn open_trial(
        folder: &TrialFolder,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        Self::with_layout(folder.path(), Layout::open(folder.path(), clock))
    }

    /// Whether a store was ever opened at `root`.
    pub fn is_initialized(root: &Path) -> bool {
        Layout::is_initialized(root)
    }

    /// The absolute path of the folder, for the startup log.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Waits asynchronously for this process's other writers of the folder. One user's many writes then don't occupy
    /// all blocking threads, and the lock file is handed over without polling.
    async fn writer_lock(
        &self,
        operation: &'static str,
        key: &BlobKey,
    ) -> Result<OwnedMutexGuard<()>, StoreError> {
        let writer_lock = Arc::clone(&self.writer_locks.entry(self.layout.lock(key)).or_default());
        timeout(lock::LOCK_TIMEOUT, writer_lock.lock_owned())
            .await
            .map_err(|_| store_error(operation, key.path(), &lock::lock_timeout()))
    }

    /// Runs `work` on a blocking thread. It runs to its end even if the caller is cancelled.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&Layout) -> io::Result<T> + Send + 'static,
    ) -> StoreAnswer<T> {
        let layout = Arc::clone(&self.layout);
        let done = tokio::task::spawn_blocking(move || work(&layout)).await;
        let done = done.map_err(io::Error::other).flatten();
        let value = done.map_err(|error| store_error(operation, path, &error))?;
        let date = (self.layout.clock)();
        Ok(StoreResponse { value, date })
    }
}

#[async_trait]
impl BlobStore for DirectoryStore {
    async fn get(&self, key: &BlobKey, condition: GetIf) -> StoreAnswer<GetOutcome> {
        let asked = key.clone();
        let work = move |layout: &Layout| read::get(layout, &asked, &condition);
        self.run("get", key.path(), work).await
    }

    async fn put(&self, key: &BlobKey, blob: Put, condition: PutIf) -> StoreAnswer<PutOutcome> {
        let (asked, writer_lock) = (key.clone(), self.writer_lock("put", key).await?);
        let work = move |layout: &Layout| {
            let _until_done = writer_lock;
            write::put(layout, &asked, &blob, &condition)
        };
        self.run("put", key.path(), work).await
    }

    async fn delete(&self, key: &BlobKey, if_match: &ETag) -> StoreAnswer<DeleteOutcome> {
        let writer_lock = self.writer_lock("delete", key).await?;
        let (asked, etag) = (key.clone(), if_match.clone());
        let work = move |layout: &Layout| {
            let _until_done = writer_lock;
            write::delete(layout, &asked, &etag)
        };
        self.run("delete", key.path(), work).await
    }

    async fn list(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        let asked = prefix.clone();
        let work = move |layout: &Layout| list::list(layout, &asked, false);
        self.run("list", prefix.as_str(), work).await
    }

    async fn contents(&self, prefix: &Prefix) -> StoreAnswer<Listing> {
        let asked = prefix.clone();
        let work = move |layout: &Layout| list::list(layout, &asked, true);
        self.run("list", prefix.as_str(), work).await
    }
}
