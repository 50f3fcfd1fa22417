//! Where things are below the root.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::files::make_folder;
use crate::store::{Key, Prefix};

/// The store's own folder below the root, beside `raw`, `artifacts` and `state`.
const OWN: &str = ".codex-miroir";

/// The folder in it with a lock file for each folder that is written to.
const LOCKS: &str = "locks";

/// The paths of one store.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the root and the store's own folder. The latter is never made again: its absence
    /// shows that another folder has taken the root's place, such as a bare mount point.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        make_folder(&root.join(OWN).join(LOCKS))?;
        Ok(Self { root })
    }

    /// Whether [`Self::open`] would find everything made.
    pub(super) fn is_made(root: &Path) -> bool {
        root.join(OWN).join(LOCKS).is_dir()
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Every folder the store writes below; whatever else is in the root is none of its business.
    pub(super) fn folders(&self) -> [PathBuf; 4] {
        ["raw", "artifacts", "state", OWN].map(|folder| self.root.join(folder))
    }

    pub(super) fn blob(&self, key: &Key) -> PathBuf {
        self.root.join(key.path())
    }

    pub(super) fn folder(&self, prefix: &Prefix) -> PathBuf {
        self.root.join(prefix.as_str().trim_end_matches('/'))
    }

    /// The lock that guards the blob's first two segments, one user's part of one kind.
    pub(super) fn lock(&self, key: &Key) -> PathBuf {
        let segments: Vec<&str> = key.path().split('/').take(2).collect();
        self.root.join(OWN).join(LOCKS).join(segments.join("-"))
    }

    /// The blob's write ids, for the only kind that has them.
    pub(super) fn sidecar(&self, key: &Key) -> Option<PathBuf> {
        key.path()
            .starts_with("raw/")
            .then(|| self.root.join(OWN).join("writes").join(key.path()))
    }

    /// Whether losing the blob in a power cut matters.
    pub(super) fn is_durable(key: &Key) -> bool {
        !key.path().starts_with("artifacts/")
    }

    /// To be asked when nothing was found at `path`: an error when it, or a folder above it, is
    /// only out of reach (the root's disk or the target of a link isn't mounted).
    pub(super) fn check_absent(&self, path: &Path) -> io::Result<()> {
        if !self.root.join(OWN).is_dir() {
            let reason = format!(
                "{} is gone or another folder; is its disk mounted?",
                self.root.display()
            );
            return Err(io::Error::new(ErrorKind::NotFound, reason));
        }
        let below_root = |p: &&Path| p.starts_with(&self.root) && *p != self.root;
        match path
            .ancestors()
            .skip(1)
            .take_while(below_root)
            .find(|p| is_dangling(p))
        {
            Some(link) => Err(io::Error::new(
                ErrorKind::NotFound,
                format!("{} leads nowhere", link.display()),
            )),
            None => Ok(()),
        }
    }
}

fn is_dangling(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}
