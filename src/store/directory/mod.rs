//! The embedded default: a folder with the container's layout, which several processes and editors may use at once
//! (src/store/README.md, "The folder").
//!
//! - A write is a temporary file beside its target, made durable and then renamed over it: readers
//!   need no lock, and `kill -9` leaves the old bytes or the new ones.
//! - Writers of one user's folder take turns through a lock file, so that a condition still holds
//!   when its write happens. Editors know nothing of the lock; see the modules `write` and `read` for how
//!   their saves are met.
//! - A version is what `stat` says (time, inode, size), so a listing reads no file.
//! - Write ids lie in files of their own, see the module `sidecar`.

mod failure;
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

pub use self::watch::{Touched, Watch};

use self::failure::store_error;
use self::layout::Layout;
use super::{
    Answer, BlobStore, Contents, Deleted, ETag, GetIf, Got, Key, Listing, Prefix, Put, PutIf,
    StoreError, Written,
};

/// Blobs as files below one folder.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    layout: Arc<Layout>,
    turns: Turns,
    clock: fn() -> DateTime<Utc>,
}

/// Who writes next in this process, by lock file. It keeps one small entry for every user who ever
/// wrote.
type Turns = Arc<DashMap<PathBuf, Arc<Mutex<()>>>>;

impl DirectoryStore {
    /// Opens the store at `root` and makes that folder when it is missing. From then on a missing
    /// root is an error, never an empty store: its disk may just not be mounted.
    ///
    /// `clock` is the storage clock of every answer, and the time that written files get.
    pub fn open(root: &Path, clock: fn() -> DateTime<Utc>) -> Result<Self, StoreError> {
        let layout =
            Layout::open(root).map_err(|e| store_error("open", &root.display().to_string(), &e))?;
        let (folders, now) = (layout.folders(), clock().into());
        // Beside everything else: it looks at every file there is, and nothing waits for it.
        std::thread::spawn(move || folders.iter().for_each(|folder| files::sweep(folder, now)));
        Ok(Self::over(layout, clock))
    }

    /// Opens the store at `root` for somebody who only reads: makes nothing, and sweeps nothing away.
    ///
    /// # Errors
    /// When no store was ever opened there.
    pub fn open_to_read(root: &Path, clock: fn() -> DateTime<Utc>) -> Result<Self, StoreError> {
        let shown = root.display().to_string();
        let missing = match (root.is_dir(), Layout::is_made(root)) {
            (true, true) => None,
            (true, false) => Some("the service has never used this folder; is its disk mounted?"),
            (false, _) => Some("there is no such folder"),
        };
        let layout = match missing {
            // Everything that this would make is there.
            None => Layout::open(root),
            Some(reason) => Err(io::Error::new(ErrorKind::NotFound, reason)),
        };
        let layout = layout.map_err(|e| store_error("open", &shown, &e))?;
        Ok(Self::over(layout, clock))
    }

    fn over(layout: Layout, clock: fn() -> DateTime<Utc>) -> Self {
        Self {
            layout: Arc::new(layout),
            turns: Turns::default(),
            clock,
        }
    }

    /// The folder as an absolute path, for the start line.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Waits for this process's other writers without a thread, so that one user's many writes keep
    /// nobody from the disk, and so that the lock file is handed on at once instead of polled for.
    async fn turn(
        &self,
        operation: &'static str,
        key: &Key,
    ) -> Result<OwnedMutexGuard<()>, StoreError> {
        let turn = Arc::clone(&self.turns.entry(self.layout.lock(key)).or_default());
        timeout(lock::PATIENCE, turn.lock_owned())
            .await
            .map_err(|_| store_error(operation, key.path(), &lock::out_of_patience()))
    }

    /// Runs `work` where it may block: one task per call, which goes on to its end even when the
    /// caller stops waiting.
    async fn run<T, W>(
        &self,
        operation: &'static str,
        path: &str,
        work: W,
    ) -> Result<Answer<T>, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Layout, fn() -> DateTime<Utc>) -> io::Result<T> + Send + 'static,
    {
        let (layout, clock) = (Arc::clone(&self.layout), self.clock);
        let done = tokio::task::spawn_blocking(move || work(&layout, clock))
            .await
            .map_err(io::Error::other);
        match done.flatten() {
            Ok(value) => Ok(Answer {
                value,
                date: clock(),
            }),
            Err(error) => Err(store_error(operation, path, &error)),
        }
    }
}

#[async_trait]
impl BlobStore for DirectoryStore {
    async fn get(&self, key: &Key, condition: GetIf) -> Result<Answer<Got>, StoreError> {
        let asked = key.clone();
        self.run("get", key.path(), move |layout, clock| {
            read::get(layout, clock, &asked, &condition)
        })
        .await
    }

    async fn put(
        &self,
        key: &Key,
        blob: Put,
        condition: PutIf,
    ) -> Result<Answer<Written>, StoreError> {
        let (asked, turn) = (key.clone(), self.turn("put", key).await?);
        let work = move |layout: &Layout, clock| {
            let _until_done = turn;
            write::put(layout, clock, &asked, &blob, &condition)
        };
        self.run("put", key.path(), work).await
    }

    async fn delete(&self, key: &Key, if_match: &ETag) -> Result<Answer<Deleted>, StoreError> {
        let (asked, etag, turn) = (
            key.clone(),
            if_match.clone(),
            self.turn("delete", key).await?,
        );
        let work = move |layout: &Layout, clock| {
            let _until_done = turn;
            write::delete(layout, clock, &asked, &etag)
        };
        self.run("delete", key.path(), work).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Answer<Listing>, StoreError> {
        let asked = prefix.clone();
        self.run("list", prefix.as_str(), move |layout, clock| {
            list::list(layout, clock, &asked)
        })
        .await
    }

    async fn contents(&self, prefix: &Prefix) -> Result<Answer<Contents>, StoreError> {
        let asked = prefix.clone();
        self.run("list", prefix.as_str(), move |layout, clock| {
            list::contents(layout, clock, &asked)
        })
        .await
    }
}
