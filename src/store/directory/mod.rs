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

pub use self::watch::{ChangedPath, FolderWatcher};

use self::error::store_error;
use self::layout::Layout;
use super::blob_store::{
    BlobStore, Contents, DeleteOutcome, GetIf, GetOutcome, Listing, Put, PutIf, PutOutcome,
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
    clock: fn() -> DateTime<Utc>,
}

/// In-process locks by lock file path. Keeps one small entry for each user who has written.
type WriterLocks = Arc<DashMap<PathBuf, Arc<Mutex<()>>>>;

impl DirectoryStore {
    /// Opens the store at `root`, creating the folder if missing. Later on a missing root is an error, never an empty
    /// store: its disk may not be mounted.
    ///
    /// `clock` is the store's clock: it dates responses and the files written.
    pub fn open(root: &Path, clock: fn() -> DateTime<Utc>) -> Result<Self, StoreError> {
        let layout =
            Layout::open(root).map_err(|e| store_error("open", &root.display().to_string(), &e))?;
        let (folders, now) = (layout.folders(), clock().into());
        // In the background: it visits every file, and nothing depends on it.
        std::thread::spawn(move || folders.iter().for_each(|folder| files::sweep(folder, now)));
        Ok(Self::with_layout(layout, clock))
    }

    /// Opens the store at `root` for reading: creates nothing and deletes no temporary files.
    ///
    /// # Errors
    /// If the store was never opened at this path before.
    pub fn open_to_read(root: &Path, clock: fn() -> DateTime<Utc>) -> Result<Self, StoreError> {
        let shown = root.display().to_string();
        let missing = match (root.is_dir(), Layout::is_initialized(root)) {
            (true, true) => None,
            (true, false) => Some("the service has never used this folder; is its disk mounted?"),
            (false, _) => Some("there is no such folder"),
        };
        let layout = match missing {
            // Creates nothing, since everything exists.
            None => Layout::open(root),
            Some(reason) => Err(io::Error::new(ErrorKind::NotFound, reason)),
        };
        let layout = layout.map_err(|e| store_error("open", &shown, &e))?;
        Ok(Self::with_layout(layout, clock))
    }

    fn with_layout(layout: Layout, clock: fn() -> DateTime<Utc>) -> Self {
        Self {
            layout: Arc::new(layout),
            writer_locks: WriterLocks::default(),
            clock,
        }
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
    async fn run<T, W>(
        &self,
        operation: &'static str,
        path: &str,
        work: W,
    ) -> Result<StoreResponse<T>, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Layout, fn() -> DateTime<Utc>) -> io::Result<T> + Send + 'static,
    {
        let (layout, clock) = (Arc::clone(&self.layout), self.clock);
        let done = tokio::task::spawn_blocking(move || work(&layout, clock))
            .await
            .map_err(io::Error::other);
        match done.flatten() {
            Ok(value) => Ok(StoreResponse {
                value,
                date: clock(),
            }),
            Err(error) => Err(store_error(operation, path, &error)),
        }
    }
}

#[async_trait]
impl BlobStore for DirectoryStore {
    async fn get(
        &self,
        key: &BlobKey,
        condition: GetIf,
    ) -> Result<StoreResponse<GetOutcome>, StoreError> {
        let asked = key.clone();
        self.run("get", key.path(), move |layout, clock| {
            read::get(layout, clock, &asked, &condition)
        })
        .await
    }

    async fn put(
        &self,
        key: &BlobKey,
        blob: Put,
        condition: PutIf,
    ) -> Result<StoreResponse<PutOutcome>, StoreError> {
        let (asked, writer_lock) = (key.clone(), self.writer_lock("put", key).await?);
        let work = move |layout: &Layout, clock| {
            let _until_done = writer_lock;
            write::put(layout, clock, &asked, &blob, &condition)
        };
        self.run("put", key.path(), work).await
    }

    async fn delete(
        &self,
        key: &BlobKey,
        if_match: &ETag,
    ) -> Result<StoreResponse<DeleteOutcome>, StoreError> {
        let (asked, etag, writer_lock) = (
            key.clone(),
            if_match.clone(),
            self.writer_lock("delete", key).await?,
        );
        let work = move |layout: &Layout, clock| {
            let _until_done = writer_lock;
            write::delete(layout, clock, &asked, &etag)
        };
        self.run("delete", key.path(), work).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<StoreResponse<Listing>, StoreError> {
        let asked = prefix.clone();
        self.run("list", prefix.as_str(), move |layout, clock| {
            list::list(layout, clock, &asked)
        })
        .await
    }

    async fn contents(&self, prefix: &Prefix) -> Result<StoreResponse<Contents>, StoreError> {
        let asked = prefix.clone();
        self.run("list", prefix.as_str(), move |layout, clock| {
            list::contents(layout, clock, &asked)
        })
        .await
    }
}
