//! Paths below the root folder.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::files::make_folder;
use crate::store::key::{BlobKey, Prefix};

/// The store's private folder below the root, beside `raw`, `artifacts` and `state`.
const STORE_FOLDER: &str = ".codex-miroir";

/// Its subfolder with the lock files.
const LOCKS: &str = "locks";

/// The paths of one store, and its clock.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// Dates responses and the files written.
    pub(super) clock: fn() -> DateTime<Utc>,
}

impl Layout {
    /// Creates the root and the private folder. The latter is never created again: if it is missing, another folder has
    /// taken the root's place, such as a bare mount point.
    pub(super) fn open(root: &Path, clock: fn() -> DateTime<Utc>) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        make_folder(&root.join(STORE_FOLDER).join(LOCKS))?;
        Ok(Self { root, clock })
    }

    /// Whether [`Self::open`] has been called on this root before.
    pub(super) fn is_initialized(root: &Path) -> bool {
        root.join(STORE_FOLDER).join(LOCKS).is_dir()
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)().into()
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folders that the store writes to. Anything else in the root is ignored.
    pub(super) fn folders(&self) -> [PathBuf; 4] {
        Self::folders_of(&self.root)
    }

    /// The folders of the store at `root`, whether or not they are there.
    pub(super) fn folders_of(root: &Path) -> [PathBuf; 4] {
        ["raw", "artifacts", "state", STORE_FOLDER].map(|folder| root.join(folder))
    }

    /// The private folder of the store at `root`.
    pub(super) fn private_folder(root: &Path) -> PathBuf {
        root.join(STORE_FOLDER)
    }

    pub(super) fn blob(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.path())
    }

    pub(super) fn folder(&self, prefix: &Prefix) -> PathBuf {
        self.root.join(prefix.as_str().trim_end_matches('/'))
    }

    /// The lock file for the path's first two segments: one user's blobs of one kind.
    pub(super) fn lock(&self, key: &BlobKey) -> PathBuf {
        let segments: Vec<&str> = key.path().split('/').take(2).collect();
        let locks = self.root.join(STORE_FOLDER).join(LOCKS);
        locks.join(segments.join("-"))
    }

    /// The file with the blob's write ids; `None` for the kinds that have none.
    pub(super) fn sidecar(&self, key: &BlobKey) -> Option<PathBuf> {
        let is_task = key.path().starts_with("raw/");
        is_task.then(|| self.root.join(STORE_FOLDER).join("writes").join(key.path()))
    }

    /// Whether the blob must survive a power failure.
    pub(super) fn is_durable(key: &BlobKey) -> bool {
        !key.path().starts_with("artifacts/")
    }

    /// Called when `path` doesn't exist. Fails if it is only unreachable because the root's disk, or the target of a
    /// link above it, isn't mounted.
    pub(super) fn check_absent(&self, path: &Path) -> io::Result<()> {
        if !self.root.join(STORE_FOLDER).is_dir() {
            let reason = format!(
                "{} is missing or isn't this store's folder; is its disk mounted?",
                self.root.display()
            );
            return Err(io::Error::new(ErrorKind::NotFound, reason));
        }
        let below_root = |p: &&Path| p.starts_with(&self.root) && *p != self.root;
        let mut above = path.ancestors().skip(1).take_while(below_root);
        match above.find(|p| p.is_symlink() && !p.exists()) {
            Some(link) => {
                let reason = format!("{} is a dangling link", link.display());
                Err(io::Error::new(ErrorKind::NotFound, reason))
            }
            None => Ok(()),
        }
    }
}
